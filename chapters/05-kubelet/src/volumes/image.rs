//! `image` volumes: the files of an image, read-only. Upstream: KEP-4639.
//!
//! The kubelet pulls the image as it does those of containers, and the runtime mounts it in the
//! pod's folder.

use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use crate::decide::spec;
use crate::runtime::ContainerRuntime;

/// Folder of a pod's image volumes.
fn folder(pod_dir: &Path) -> PathBuf {
    pod_dir.join("volumes/kubernetes.io~image")
}

/// Where an image is mounted.
pub fn path(pod_dir: &Path, volume: &str) -> PathBuf {
    folder(pod_dir).join(volume)
}

/// The image volumes that a container mounts, each as a container that has this image: that is
/// what is pulled, with its policy and its back-off.
pub fn wanted(pod: &Pod, container: &Container) -> Vec<(String, Container)> {
    let mounts = container.volume_mounts.iter().flatten();
    let volumes = spec::of(pod).volumes.as_deref().unwrap_or_default();
    let is_mounted = |volume: &&Volume| mounts.clone().any(|mount| mount.name == volume.name);
    let mounted = volumes.iter().filter(is_mounted);
    let wanted = mounted.filter_map(|volume| {
        let source = volume.image.as_ref()?;
        let image = Container {
            name: volume.name.clone(),
            image: source.reference.clone(),
            image_pull_policy: source.pull_policy.clone(),
            ..Container::default()
        };
        Some((volume.name.clone(), image))
    });
    wanted.collect()
}

/// Unmounts all image volumes of a pod. Idempotent.
pub fn unmount_all(runtime: &dyn ContainerRuntime, pod_dir: &Path) {
    for entry in fs::read_dir(folder(pod_dir))
        .into_iter()
        .flatten()
        .flatten()
    {
        runtime.unmount_image(&entry.path());
    }
}
