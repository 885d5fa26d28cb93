//! Volumes: folders of the node that a pod's containers see.
//!
//! | volume | what it is on the node |
//! | --- | --- |
//! | `emptyDir` | a folder, or a tmpfs for `medium: Memory` |
//! | `configMap`, `secret`, `downwardAPI`, `projected` | files behind an [`atomic_writer`] |
//! | `hostPath` | the path itself, after its type was checked |
//! | `image` | the image's files, mounted read-only |
//! | `persistentVolumeClaim` | the path that its volume, `hostPath` or `local`, names |
//!
//! They live in `<root-dir>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>`, which upstream's
//! kubelet uses as well. Any other kind of volume is refused with an event that says so. Secrets
//! are on the node's disk, readable by its root alone; upstream puts them on a tmpfs.

pub mod atomic_writer;
mod claims;
mod empty_dir;
mod host_path;
pub mod image;
mod ownership;
pub mod payload;
pub mod sub_path;
pub mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, Pod, ProjectedVolumeSource, Volume,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use rustix::mount::UnmountFlags;
use tokio::sync::Notify;

use crate::context::Context;
use crate::decide::fields::PodAddresses;
use crate::decide::{quantity, spec};
use crate::objects::Hold;
use crate::runtime::ContainerRuntime;
use atomic_writer::Payload;
use tokens::Tokens;

/// Why a volume is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountError {
    /// What the event `FailedMount` says.
    pub message: String,
    /// It is others that have to do something first.
    pub waits: bool,
}

impl MountError {
    /// An operation on a volume failed: `SetUp` of `config`, `configmap "app" not found`.
    fn failed(operation: &str, volume: &str, why: &str) -> MountError {
        MountError {
            message: format!("MountVolume.{operation} failed for volume \"{volume}\" : {why}"),
            waits: false,
        }
    }

    /// It is not known yet what the volume is.
    fn not_processed(volume: &str, why: &str) -> MountError {
        MountError {
            message: format!(
                "Unable to attach or mount volumes: unmounted volumes=[{volume}], unattached \
                 volumes=[], failed to process volumes=[{volume}]: {why}"
            ),
            waits: true,
        }
    }
}

/// A volume that is ready for containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is on the node.
    pub path: PathBuf,
    /// No container may write to it.
    pub read_only: bool,
}

/// The volumes of one pod.
pub struct Volumes {
    context: Arc<Context>,
    uid: String,
    tokens: Tokens,
    wake: Arc<Notify>,
    /// The pod's objects, from the first attempt to show them on.
    hold: Option<Hold>,
    /// The claims' places, by volume: once a pod has started with a claim, it keeps it.
    claims: BTreeMap<String, Mounted>,
}

impl Volumes {
    /// None of them made yet. `wake` is notified when what they show has changed.
    pub fn new(context: Arc<Context>, uid: &str, wake: Arc<Notify>) -> Volumes {
        Volumes {
            context,
            uid: uid.to_owned(),
            tokens: Tokens::default(),
            wake,
            hold: None,
            claims: BTreeMap::new(),
        }
    }

    /// Makes all volumes, or brings those up to date whose content has changed. Returns them
    /// by name.
    ///
    /// # Errors
    /// The first volume that cannot be made.
    pub async fn mount(
        &mut self,
        pod: &Pod,
        addresses: &PodAddresses,
    ) -> Result<BTreeMap<String, Mounted>, MountError> {
        let objects = &self.context.objects;
        let hold = self
            .hold
            .get_or_insert_with(|| objects.hold(pod, self.wake.clone()));
        // What is read from here on is not older than this.
        hold.take_stale();
        let mut mounted = BTreeMap::new();
        for volume in spec::of(pod).volumes.iter().flatten() {
            let name = &volume.name;
            let made = if let Some(source) = &volume.persistent_volume_claim {
                self.claim(pod, name, source).await?
            } else {
                let made = self.mount_one(pod, volume, addresses).await;
                Mounted {
                    path: made.map_err(|why| MountError::failed("SetUp", name, &why))?,
                    read_only: false,
                }
            };
            mounted.insert(name.clone(), made);
        }
        Ok(mounted)
    }

    async fn claim(
        &mut self,
        pod: &Pod,
        volume: &str,
        source: &PersistentVolumeClaimVolumeSource,
    ) -> Result<Mounted, MountError> {
        if let Some(known) = self.claims.get(volume) {
            return Ok(known.clone());
        }
        let mounted = claims::mount(&self.context, pod, volume, source).await?;
        self.claims.insert(volume.to_owned(), mounted.clone());
        Ok(mounted)
    }

    /// Whether an object that a volume shows has changed since the volumes were made.
    pub fn are_stale(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::is_stale)
    }

    /// Whether a volume's content may change while the pod runs.
    pub fn may_change(pod: &Pod) -> bool {
        spec::of(pod).volumes.iter().flatten().any(|volume| {
            volume.config_map.is_some()
                || volume.secret.is_some()
                || volume.projected.is_some()
                || volume.downward_api.is_some()
        })
    }

    /// Whether a volume of the pod is a mount on the node, not only a folder.
    pub fn mounts_any(pod: &Pod) -> bool {
        spec::of(pod).volumes.iter().flatten().any(|volume| {
            volume
                .empty_dir
                .as_ref()
                .is_some_and(|dir| dir.medium.as_deref() == Some("Memory"))
        })
    }

    async fn mount_one(
        &mut self,
        pod: &Pod,
        volume: &Volume,
        addresses: &PodAddresses,
    ) -> Result<PathBuf, String> {
        if let Some(source) = &volume.host_path {
            return host_path::check(source);
        }
        if let Some(source) = &volume.empty_dir {
            return self.empty_dir(pod, &volume.name, source);
        }
        if volume.image.is_some() {
            // The image is mounted on it for the containers that ask for it, once it is pulled.
            let path = image::path(&self.context.pod_dir(&self.uid), &volume.name);
            fs::create_dir_all(&path).map_err(|error| error.to_string())?;
            return Ok(path);
        }
        let (kind, payload) = self.payload(pod, volume, addresses).await?;
        let path = self.volume_dir(kind, &volume.name);
        let now = Timestamp::now();
        // Before it is shown: nobody sees a file that is not yet the group's.
        let give = |folder: &Path| ownership::set_group(pod, folder, false);
        let written = atomic_writer::write(&path, &payload, now, give);
        if written.map_err(|error| error.to_string())? {
            ownership::set_group(pod, &path, false);
        }
        Ok(path)
    }

    fn empty_dir(
        &self,
        pod: &Pod,
        name: &str,
        source: &EmptyDirVolumeSource,
    ) -> Result<PathBuf, String> {
        let path = self.volume_dir("empty-dir", name);
        let in_memory = source.medium.as_deref() == Some("Memory");
        let limit = source.size_limit.as_ref().map(quantity::value);
        let allocatable = self.context.allocatable.get("memory");
        let allocatable = allocatable.map(|text| quantity::value(&Quantity(text.clone())));
        let size = empty_dir::memory_size(limit, memory_limit(pod), allocatable);
        let made = empty_dir::make(&path, in_memory, size);
        if made.map_err(|error| error.to_string())? {
            ownership::set_group(pod, &path, true);
        }
        Ok(path)
    }

    async fn payload(
        &mut self,
        pod: &Pod,
        volume: &Volume,
        addresses: &PodAddresses,
    ) -> Result<(&'static str, Payload), String> {
        if let Some(source) = &volume.config_map {
            let projected = VolumeProjection {
                config_map: Some(k8s_openapi::api::core::v1::ConfigMapProjection {
                    name: source.name.clone(),
                    items: source.items.clone(),
                    optional: source.optional,
                }),
                ..VolumeProjection::default()
            };
            let mode = source.default_mode.unwrap_or(0o644);
            let files = self.project(pod, &projected, mode, addresses).await?;
            Ok(("configmap", files))
        } else if let Some(source) = &volume.secret {
            let projected = VolumeProjection {
                secret: Some(k8s_openapi::api::core::v1::SecretProjection {
                    name: source.secret_name.clone().unwrap_or_default(),
                    items: source.items.clone(),
                    optional: source.optional,
                }),
                ..VolumeProjection::default()
            };
            let mode = source.default_mode.unwrap_or(0o644);
            Ok((
                "secret",
                self.project(pod, &projected, mode, addresses).await?,
            ))
        } else if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            let mode = source.default_mode.unwrap_or(0o644);
            let allocatable = &self.context.allocatable;
            let files = payload::downward_api(pod, items, mode, addresses, allocatable)?;
            Ok(("downward-api", files))
        } else if let Some(source) = &volume.projected {
            Ok(("projected", self.projected(pod, source, addresses).await?))
        } else {
            Err("this kind of volume is not supported by this kubelet".to_owned())
        }
    }

    async fn projected(
        &mut self,
        pod: &Pod,
        source: &ProjectedVolumeSource,
        addresses: &PodAddresses,
    ) -> Result<Payload, String> {
        let mode = source.default_mode.unwrap_or(0o644);
        let mut files = Payload::new();
        for part in source.sources.iter().flatten() {
            files.extend(self.project(pod, part, mode, addresses).await?);
        }
        Ok(files)
    }

    async fn project(
        &mut self,
        pod: &Pod,
        source: &VolumeProjection,
        mode: i32,
        addresses: &PodAddresses,
    ) -> Result<Payload, String> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let objects = &self.context.objects;
        if let Some(source) = &source.config_map {
            let optional = source.optional == Some(true);
            let found = objects.config_map(namespace, &source.name).await;
            let data = match found.map_err(|error| error.to_string())? {
                Some(map) => payload::config_map_data(&map),
                None if optional => payload::Data::new(),
                None => return Err(format!("configmap \"{}\" not found", source.name)),
            };
            payload::keyed(&data, source.items.as_deref(), mode, optional)
        } else if let Some(source) = &source.secret {
            let optional = source.optional == Some(true);
            let found = objects.secret(namespace, &source.name).await;
            let data = match found.map_err(|error| error.to_string())? {
                Some(secret) => payload::secret_data(&secret),
                None if optional => payload::Data::new(),
                None => return Err(format!("secret \"{}\" not found", source.name)),
            };
            payload::keyed(&data, source.items.as_deref(), mode, optional)
        } else if let Some(source) = &source.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            payload::downward_api(pod, items, mode, addresses, &self.context.allocatable)
        } else if let Some(source) = &source.service_account_token {
            let token = self.tokens.get(&self.context.client, pod, source).await;
            let token = token.map_err(|error| format!("failed to fetch token: {error}"))?;
            let owner = ownership::user(pod);
            // Its user's or its group's alone, if it has one.
            let is_shared = owner.is_none() && ownership::group(pod).is_none();
            let mut file = payload::file(token.as_bytes(), if is_shared { mode } else { 0o600 });
            file.owner = owner;
            Ok(Payload::from([(PathBuf::from(&source.path), file)]))
        } else {
            Err("this kind of projection is not supported by this kubelet".to_owned())
        }
    }

    fn volume_dir(&self, kind: &str, name: &str) -> PathBuf {
        let volumes = self.context.pod_dir(&self.uid).join("volumes");
        volumes.join(format!("kubernetes.io~{kind}")).join(name)
    }
}

/// What the pod's containers may use of memory together, if each of them has a limit.
fn memory_limit(pod: &Pod) -> Option<i64> {
    let limits = spec::of(pod).containers.iter().map(|container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        limits.get("memory").map(quantity::value)
    });
    limits.sum()
}

/// Unmounts what is mounted below a pod's folder and removes the folder. Idempotent.
///
/// # Errors
/// When something in it is busy or cannot be removed.
pub fn remove_pod_dir(runtime: &dyn ContainerRuntime, pod_dir: &Path) -> std::io::Result<()> {
    image::unmount_all(runtime, pod_dir);
    let empty_dirs = pod_dir.join("volumes/kubernetes.io~empty-dir");
    for entry in fs::read_dir(&empty_dirs).into_iter().flatten().flatten() {
        // Not a mount point unless it was a tmpfs: that error is no news.
        let _not_mounted = rustix::mount::unmount(entry.path(), UnmountFlags::DETACH);
    }
    match fs::remove_dir_all(pod_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
