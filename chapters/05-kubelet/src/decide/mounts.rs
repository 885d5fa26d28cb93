//! How a container's volumes are mounted.
//!
//! Upstream: `pkg/kubelet/kubelet_pods.go`, `resolveRecursiveReadOnly`, `translateMountPropagation`.

use k8s_openapi::api::core::v1::{Container, VolumeMount, VolumeMountStatus};

use crate::runtime::{Features, Propagation};

/// Which mounts that are made later are seen on the other side.
pub fn propagation(mount: &VolumeMount) -> Propagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::None,
    }
}

/// Whether what is mounted below a read-only volume is read-only, too.
///
/// # Errors
/// When that is asked for where it cannot be had.
pub fn recursive_read_only(mount: &VolumeMount, features: Features) -> Result<bool, String> {
    let asked = mount.recursive_read_only.as_deref().unwrap_or("Disabled");
    if asked == "Disabled" {
        return Ok(false);
    }
    let name = &mount.name;
    let because = |why: String| {
        Err(format!(
            "failed to resolve recursive read-only mode: volume {name:?} requested recursive \
             read-only mode, but it is not {why}"
        ))
    };
    if mount.read_only != Some(true) {
        return because("read-only".to_owned());
    }
    let propagation = mount.mount_propagation.as_deref().unwrap_or("None");
    if propagation != "None" {
        return because(format!("compatible with propagation {propagation:?}"));
    }
    match asked {
        "IfPossible" => Ok(features.recursive_read_only_mounts),
        _ if features.recursive_read_only_mounts => Ok(true),
        _ => because("supported by the runtime".to_owned()),
    }
}

/// KEP-3857: how each mount was made.
pub fn statuses(container: &Container, features: Features) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_deref()?;
    let status = mounts.iter().map(|mount| {
        let read_only = mount.read_only.unwrap_or(false);
        let recursive = match recursive_read_only(mount, features) {
            Ok(true) => "Enabled",
            _ => "Disabled",
        };
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: read_only.then_some(true),
            recursive_read_only: read_only.then(|| recursive.to_owned()),
            ..VolumeMountStatus::default()
        }
    });
    Some(status.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn read_only_to_the_bottom() {
        let asked = |mode: &str, read_only: bool, propagation: &str, able: bool| {
            let mount = json!({ "name": "v", "mountPath": "/v", "readOnly": read_only,
                "recursiveReadOnly": mode, "mountPropagation": propagation });
            let features = Features {
                recursive_read_only_mounts: able,
                ..Features::default()
            };
            recursive_read_only(&serde_json::from_value(mount).unwrap(), features)
        };
        assert_eq!(asked("Enabled", true, "None", true), Ok(true));
        assert_eq!(asked("IfPossible", true, "None", true), Ok(true));
        assert_eq!(asked("IfPossible", true, "None", false), Ok(false));
        assert_eq!(asked("Disabled", false, "Bidirectional", false), Ok(false));
        let refused = |why: &str| {
            Err(format!(
                "failed to resolve recursive read-only mode: volume \"v\" requested recursive \
                 read-only mode, but it is not {why}"
            ))
        };
        let unsupported = refused("supported by the runtime");
        assert_eq!(asked("Enabled", true, "None", false), unsupported);
        assert_eq!(asked("Enabled", false, "None", true), refused("read-only"));
        assert_eq!(
            asked("Enabled", true, "HostToContainer", true),
            refused("compatible with propagation \"HostToContainer\"")
        );
    }
}
