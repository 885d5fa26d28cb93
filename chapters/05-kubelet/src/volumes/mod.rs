//! Volumes: folders of the node that a pod's containers see.
//!
//! | volume | what it is on the node |
//! | --- | --- |
//! | `emptyDir` | a folder, or a tmpfs for `medium: Memory` |
//! | `configMap`, `secret`, `downwardAPI`, `projected` | files behind an [`atomic_writer`] |
//! | `hostPath` | the path itself, after its type was checked |
//!
//! They live in `<root-dir>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>`, which upstream's
//! kubelet uses as well. Any other kind of volume is refused with an event that says so. Secrets
//! are on the node's disk, readable by its root alone; upstream puts them on a tmpfs.

pub mod atomic_writer;
pub mod payload;
pub mod sub_path;
pub mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, Pod, ProjectedVolumeSource, Volume, VolumeProjection,
};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::context::Context;
use crate::decide::fields::PodAddresses;
use crate::decide::{quantity, spec};
use atomic_writer::Payload;
use tokens::Tokens;

/// Why a volume is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountError {
    /// The volume's name.
    pub volume: String,
    /// `configmap "app" not found`.
    pub message: String,
}

/// The volumes of one pod.
pub struct Volumes {
    context: Arc<Context>,
    uid: String,
    tokens: Tokens,
}

impl Volumes {
    /// None of them made yet.
    pub fn new(context: Arc<Context>, uid: &str) -> Volumes {
        Volumes {
            context,
            uid: uid.to_owned(),
            tokens: Tokens::default(),
        }
    }

    /// Makes all volumes, or brings those up to date whose content has changed. Returns their
    /// paths by name.
    ///
    /// # Errors
    /// The first volume that cannot be made.
    pub async fn mount(
        &mut self,
        pod: &Pod,
        addresses: &PodAddresses,
    ) -> Result<BTreeMap<String, PathBuf>, MountError> {
        let mut paths = BTreeMap::new();
        for volume in spec::of(pod).volumes.iter().flatten() {
            let made = self.mount_one(pod, volume, addresses).await;
            let path = made.map_err(|message| MountError {
                volume: volume.name.clone(),
                message,
            })?;
            paths.insert(volume.name.clone(), path);
        }
        Ok(paths)
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
            return host_path(source);
        }
        if let Some(source) = &volume.empty_dir {
            let path = self.volume_dir("empty-dir", &volume.name);
            let memory = source.medium.as_deref() == Some("Memory");
            let limit = source.size_limit.as_ref().map(quantity::value);
            empty_dir(&path, memory, limit).map_err(|error| error.to_string())?;
            set_group(pod, &path, true);
            return Ok(path);
        }
        let (kind, payload) = self.payload(pod, volume, addresses).await?;
        let path = self.volume_dir(kind, &volume.name);
        let now = Timestamp::now();
        let changed = atomic_writer::write(&path, &payload, now).map_err(|e| e.to_string())?;
        if changed {
            set_group(pod, &path, false);
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
            let group = security_group(pod);
            // Only the pod's own user may read it: its group, or all where no group is set.
            let mode = if group.is_some() { mode | 0o600 } else { mode };
            Ok(Payload::from([(
                PathBuf::from(&source.path),
                payload::file(token.as_bytes(), mode),
            )]))
        } else {
            Err("this kind of projection is not supported by this kubelet".to_owned())
        }
    }

    fn volume_dir(&self, kind: &str, name: &str) -> PathBuf {
        let volumes = self.context.pod_dir(&self.uid).join("volumes");
        volumes.join(format!("kubernetes.io~{kind}")).join(name)
    }
}

/// Unmounts what is mounted below a pod's folder and removes the folder. Idempotent.
///
/// # Errors
/// When something in it is busy or cannot be removed.
pub fn remove_pod_dir(pod_dir: &Path) -> std::io::Result<()> {
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

fn empty_dir(path: &Path, memory: bool, size_limit: Option<i64>) -> std::io::Result<()> {
    let is_new = !path.exists();
    fs::create_dir_all(path)?;
    if is_new {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    }
    if memory && !is_mount_point(path) {
        let options = match size_limit {
            Some(bytes) if bytes > 0 => format!("mode=0777,size={bytes}"),
            _ => "mode=0777".to_owned(),
        };
        let options = std::ffi::CString::new(options).expect("no NUL inside");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?;
    }
    Ok(())
}

fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(path) != path.parent().and_then(device)
}

/// Checks a `hostPath` by its type. Upstream: `pkg/volume/hostpath`.
fn host_path(source: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&source.path);
    let text = path.display();
    let type_ = source.type_.as_deref().unwrap_or("");
    if path
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        return Err(format!(
            "hostPath type check failed: {text} must not contain '..'"
        ));
    }
    let made = match type_ {
        "DirectoryOrCreate" if !path.exists() => fs::create_dir_all(&path),
        "FileOrCreate" if !path.exists() => fs::File::create(&path).map(drop),
        _ => Ok(()),
    };
    made.map_err(|error| format!("hostPath {text}: {error}"))?;
    let kind = fs::metadata(&path).map(|meta| meta.file_type());
    let (fits, what) = match (&kind, type_) {
        // Anything goes, also what is not there: the runtime makes a folder of it.
        (_, "") => (true, ""),
        (Ok(kind), "Directory" | "DirectoryOrCreate") => (kind.is_dir(), "a directory"),
        (Ok(kind), "File" | "FileOrCreate") => (kind.is_file(), "a file"),
        (Ok(kind), "Socket") => (kind.is_socket(), "a socket"),
        (Ok(kind), "CharDevice") => (kind.is_char_device(), "a character device"),
        (Ok(kind), "BlockDevice") => (kind.is_block_device(), "a block device"),
        (Err(_), "Directory" | "DirectoryOrCreate") => (false, "a directory"),
        (Err(_), _) => (false, "there"),
        (Ok(_), other) => return Err(format!("{other} is an invalid volume type")),
    };
    if !fits {
        return Err(format!("hostPath type check failed: {text} is not {what}"));
    }
    if type_.is_empty() && kind.is_err() {
        fs::create_dir_all(&path).map_err(|error| format!("hostPath {text}: {error}"))?;
    }
    Ok(path)
}

fn security_group(pod: &Pod) -> Option<u32> {
    let security = spec::of(pod).security_context.as_ref()?;
    security
        .fs_group
        .and_then(|group| u32::try_from(group).ok())
}

/// Gives the volume to the pod's `fsGroup`. Where the group has no meaning in the node's user
/// namespace (a lab of an ordinary user) that cannot be done, and files stay readable by mode.
fn set_group(pod: &Pod, path: &Path, writable: bool) {
    let Some(group) = security_group(pod) else {
        return;
    };
    if let Err(error) = give_to_group(path, group, writable) {
        tracing::debug!(path = %path.display(), group, %error, "fsGroup not applied");
    }
}

fn give_to_group(path: &Path, group: u32, writable: bool) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    std::os::unix::fs::lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mut mode = meta.permissions().mode() & 0o7777;
    mode |= if writable { 0o660 } else { 0o440 };
    if meta.is_dir() {
        // New files in it belong to the group as well.
        mode |= 0o2110;
        for entry in fs::read_dir(path)? {
            give_to_group(&entry?.path(), group, writable)?;
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
