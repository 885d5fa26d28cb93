//! `emptyDir` in memory: a tmpfs that the engine has, too.
//!
//! The kubelet mounts a tmpfs on the volume's folder. Where the node is a container, the engine
//! does not see that mount: it was made in the node's own mount namespace. So the engine is asked
//! for a volume of its own that is a tmpfs, of the same size and for the same users. An engine
//! unmounts a volume that no container uses, so the pause container uses it all the time.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::Inner;
use super::labels::POD_UID;
use crate::runtime::{Result, RuntimeError};

/// A volume in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryVolume {
    /// Its path on the node.
    pub path: PathBuf,
    /// The engine's name for it.
    pub volume: String,
}

impl Inner {
    /// The volumes of a pod that are in memory. None where the engine sees the node's mounts.
    pub(super) fn memory_volumes(&self, uid: &str) -> Vec<MemoryVolume> {
        if self.place.is_machine() {
            return Vec::new();
        }
        let pod_dir = self.config.root_dir.join("pods").join(uid);
        let folder = pod_dir.join("volumes/kubernetes.io~empty-dir");
        let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
        let around = device(&folder);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| device(path) != around)
            .filter_map(|path| {
                let name = path.file_name()?.to_string_lossy().into_owned();
                let volume = format!("k8s_{uid}_{name}");
                Some(MemoryVolume { path, volume })
            })
            .collect()
    }

    /// Makes the engine's side of a volume, or finds it made.
    pub(super) async fn make_memory_volume(&self, memory: &MemoryVolume, uid: &str) -> Result<()> {
        let options = options(&memory.path).map_err(super::engine::other)?;
        let labels = super::labels::Labels::from([(POD_UID.to_owned(), uid.to_owned())]);
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = VolumeCreateRequest {
            name: Some(memory.volume.clone()),
            driver: Some("local".to_owned()),
            driver_opts: Some(HashMap::from([
                option("type", "tmpfs"),
                option("device", "tmpfs"),
                option("o", &options),
            ])),
            labels: Some(self.with_own(labels)),
            ..VolumeCreateRequest::default()
        };
        let create = self.engine.docker.create_volume(request);
        self.engine.change(&memory.volume, create).await.map(drop)
    }

    /// Where the engine has a volume.
    pub(super) async fn mountpoint(&self, volume: &str) -> Result<PathBuf> {
        let inspect = self.engine.docker.inspect_volume(volume);
        let found = self.engine.look(volume, inspect).await?;
        Ok(found.mountpoint.into())
    }

    /// Removes the engine's volumes of a pod that is gone.
    pub(super) async fn remove_memory_volumes(&self, uid: &str) -> Result<()> {
        let mut labels = self.own_labels();
        labels.push(format!("{POD_UID}={uid}"));
        let options = ListVolumesOptions {
            filters: Some(HashMap::from([("label".to_owned(), labels)])),
        };
        let list = self.engine.docker.list_volumes(Some(options));
        let found = self.engine.look("the volumes", list).await?;
        for volume in found.volumes.into_iter().flatten() {
            let force = Some(RemoveVolumeOptions { force: false });
            let remove = self.engine.docker.remove_volume(&volume.name, force);
            match self.engine.change(&volume.name, remove).await {
                Ok(()) | Err(RuntimeError::NotFound(_)) => {}
                // Another sandbox of the pod still uses it, and will remove it.
                Err(error) => tracing::debug!(volume = volume.name, %error, "volume not removed"),
            }
        }
        Ok(())
    }
}

/// The options of a tmpfs like the one at `path`.
fn options(path: &Path) -> std::io::Result<String> {
    let meta = std::fs::metadata(path)?;
    let space = rustix::fs::statvfs(path)?;
    let size = space.f_blocks * space.f_frsize;
    Ok(format!(
        "size={size},mode={:o},uid={},gid={}",
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid()
    ))
}
