//! `persistentVolumeClaim`: a place of the node that outlives the pod.
//!
//! The claim says which volume, the volume says which path. Of the kinds of volumes there are
//! `hostPath` and `local`, which containers get as they are: nothing is mounted in between, so
//! that nothing of it can be removed with the pod's folder.
//!
//! Upstream: `pkg/kubelet/volumemanager/populator`, `pkg/volume/local`, `pkg/volume/hostpath`.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod,
};
use kube::ResourceExt;
use kube::api::Api;
use volume_binding::{claim_phase, node_fits, volume_name, volume_spec};

use super::{MountError, Mounted, host_path, ownership};
use crate::context::Context;
use crate::decide::spec;

/// The place that a claim stands for, ready for the pod.
///
/// # Errors
/// What it waits for, in upstream's words.
pub async fn mount(
    context: &Context,
    pod: &Pod,
    volume: &str,
    source: &PersistentVolumeClaimVolumeSource,
) -> Result<Mounted, MountError> {
    let persistent = bound_volume(context, pod, &source.claim_name).await;
    let persistent = persistent
        .and_then(|persistent| check_mode(pod, volume, &persistent).map(|()| persistent))
        .map_err(|why| MountError::not_processed(volume, &why))?;
    let name = persistent.name_any();
    let failed = |operation: &str, why: &str| MountError::failed(operation, &name, why);
    if volume_spec(&persistent).node_affinity.is_some() {
        let node = Api::<Node>::all(context.client.clone());
        let node = node.get(&context.node_name).await;
        let node = node.map_err(|error| failed("NodeAffinity check", &error.to_string()))?;
        let labels = node.metadata.labels.unwrap_or_default();
        if !node_fits(&persistent, &context.node_name, &labels) {
            let why = "no matching NodeSelectorTerms";
            return Err(failed("NodeAffinity check", why));
        }
    }
    let read_only = source.read_only == Some(true);
    let spec = volume_spec(&persistent);
    let path = if let Some(host_path) = &spec.host_path {
        host_path::check(host_path).map_err(|why| failed("SetUp", &why))?
    } else if let Some(local) = &spec.local {
        let path = local_path(Path::new(&local.path))
            .map_err(|why| failed("NewMounter initialization", &why))?;
        if !read_only {
            ownership::set_group_of_lasting(pod, &path);
        }
        path
    } else {
        let why = format!(
            "failed to get Plugin from volumeSpec for volume \"{name}\" err=no volume plugin matched"
        );
        return Err(MountError::not_processed(volume, &why));
    };
    Ok(Mounted { path, read_only })
}

/// The volume that a claim is bound to.
async fn bound_volume(
    context: &Context,
    pod: &Pod,
    claim_name: &str,
) -> Result<PersistentVolume, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let in_claim = |why: String| format!("error processing PVC {namespace}/{claim_name}: {why}");
    let claims = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), namespace);
    let claim = claims.get(claim_name).await.map_err(|error| {
        in_claim(format!(
            "failed to fetch PVC from API server: {}",
            told(&error)
        ))
    })?;
    let name = check_claim(&claim).map_err(in_claim)?;
    let volumes = Api::<PersistentVolume>::all(context.client.clone());
    let volume = volumes.get(name).await.map_err(|error| {
        in_claim(format!(
            "failed to fetch PV {name} from API server: {}",
            told(&error)
        ))
    })?;
    let named = volume_spec(&volume).claim_ref.as_ref();
    let named = named.and_then(|named| named.uid.clone());
    if named != claim.metadata.uid {
        let (named, uid) = (
            named.unwrap_or_default(),
            claim.metadata.uid.clone().unwrap_or_default(),
        );
        return Err(in_claim(format!(
            "found PV object {name} but its pv.Spec.ClaimRef.UID {named} does not point to \
             claim.UID {uid}"
        )));
    }
    Ok(volume)
}

/// What the API server said.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The name of a claim's volume, if a pod may be started with it.
fn check_claim(claim: &PersistentVolumeClaim) -> Result<&str, String> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted".to_owned());
    }
    if claim_phase(claim) != "Bound" {
        return Err("PVC is not bound".to_owned());
    }
    match volume_name(claim) {
        "" => Err("PVC has empty pvc.Spec.VolumeName".to_owned()),
        name => Ok(name),
    }
}

/// Files are mounted, devices are passed on; this kubelet does not pass on devices.
fn check_mode(pod: &Pod, volume: &str, persistent: &PersistentVolume) -> Result<(), String> {
    let containers = spec::of(pod).containers.iter();
    let mut containers = containers.chain(spec::init_containers(pod));
    let is_device = containers.any(|container| {
        let devices = container.volume_devices.iter().flatten();
        devices.into_iter().any(|device| device.name == volume)
    });
    let is_block = volume_spec(persistent).volume_mode.as_deref() == Some("Block");
    match (is_block, is_device) {
        (false, false) => Ok(()),
        (false, true) => Err(format!(
            "volume {volume} has volumeMode Filesystem, but is specified in volumeDevices"
        )),
        (true, false) => Err(format!(
            "volume {volume} has volumeMode Block, but is specified in volumeMounts"
        )),
        (true, true) => Err(format!(
            "volume {volume} has volumeMode Block, which is not supported by this kubelet"
        )),
    }
}

fn local_path(path: &Path) -> Result<PathBuf, String> {
    let text = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_block_device() => Err(format!(
            "{text} is a block device: this kubelet makes no file systems"
        )),
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("path \"{text}\" does not exist"))
        }
        Err(error) => Err(format!("{text}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_claim_is_bound_before_a_pod_starts_with_it() {
        let check = |metadata: Value, spec: Value, phase: &str| {
            let claim = json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}});
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
            check_claim(&claim).map(str::to_owned)
        };
        let named = json!({"volumeName": "pv"});
        assert_eq!(check(json!({}), named.clone(), "Bound"), Ok("pv".into()));
        let not_bound = Err("PVC is not bound".to_owned());
        assert_eq!(check(json!({}), named.clone(), "Pending"), not_bound);
        let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        let deleted = Err("PVC is being deleted".to_owned());
        assert_eq!(check(going, named, "Bound"), deleted);
    }

    #[test]
    fn a_device_is_no_folder() {
        let check = |mode: &str, field: &str| {
            let mut container = json!({"name": "c"});
            container[field] = json!([{"name": "v", "devicePath": "/d", "mountPath": "/d"}]);
            let pod = json!({"spec": {"containers": [container]}});
            let volume = json!({"spec": {"volumeMode": mode}});
            let pod = serde_json::from_value(pod).unwrap();
            check_mode(&pod, "v", &serde_json::from_value(volume).unwrap())
        };
        assert_eq!(check("Filesystem", "volumeMounts"), Ok(()));
        for (mode, field) in [
            ("Filesystem", "volumeDevices"),
            ("Block", "volumeMounts"),
            ("Block", "volumeDevices"),
        ] {
            let why = check(mode, field).expect_err("both say the same or no pod");
            assert!(
                why.starts_with(&format!("volume v has volumeMode {mode}")),
                "{why}"
            );
        }
    }
}
