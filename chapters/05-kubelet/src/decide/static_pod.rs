//! Static pods: pods that a folder of the node wants, and not the API.
//!
//! They run with no API server at all, which is how a control plane can be pods of its own nodes.
//! So that everybody sees them, the kubelet puts a **mirror** of each into the API: an object that
//! shows how it is. Nobody can change a static pod through it; a mirror that is deleted is made
//! again.
//!
//! Upstream: `pkg/kubelet/config/common.go` and `file.go`, `pkg/kubelet/pod/mirror_client.go`.

use k8s_openapi::api::core::v1::{Pod, PodStatus, Toleration};
use sha2::{Digest, Sha256};

use super::spec;

/// Annotation of where a pod comes from: `file`; pods of the API have none.
pub const SOURCE: &str = "kubernetes.io/config.source";
/// Annotation of what a static pod's manifest says, in short.
pub const HASH: &str = "kubernetes.io/config.hash";
/// Annotation of when the manifest was seen.
pub const SEEN: &str = "kubernetes.io/config.seen";
/// Annotation by which a mirror is known: the hash of its static pod.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// Makes the pod of a manifest.
///
/// Its uid is of what it says and where, so that a changed manifest is another pod, and one that
/// a restarted kubelet reads again is the same.
///
/// # Errors
/// Why there can be no such static pod.
pub fn from_manifest(mut pod: Pod, path: &str, node_name: &str, seen: &str) -> Result<Pod, String> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err("a static pod needs a name".to_owned());
    }
    if let Some(what) = api_reference(&pod) {
        return Err(format!("static pods may not reference {what}"));
    }
    let said = serde_json::to_string(&pod).map_err(|error| error.to_string())?;
    let digest = Sha256::digest(format!("host:{node_name}\0file:{path}\0{said}"));
    let hash: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();

    let meta = &mut pod.metadata;
    meta.name = Some(format!("{name}-{}", node_name.to_lowercase()));
    meta.namespace.get_or_insert_with(|| "default".to_owned());
    if meta.uid.as_deref().unwrap_or_default().is_empty() {
        meta.uid = Some(hash.clone());
    }
    meta.generation = Some(1);
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(HASH.to_owned(), hash);
    annotations.insert(SEEN.to_owned(), seen.to_owned());
    annotations.insert(SOURCE.to_owned(), "file".to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.node_name = Some(node_name.to_owned());
    // No taint drives away what the node itself wants.
    spec.tolerations.get_or_insert_default().push(Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    });
    pod.status = Some(PodStatus {
        phase: Some("Pending".to_owned()),
        ..PodStatus::default()
    });
    Ok(pod)
}

/// What of the API a pod cannot do without, if anything: then it can be no static pod.
fn api_reference(pod: &Pod) -> Option<&'static str> {
    let spec = spec::of(pod);
    let name = spec.service_account_name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        return Some("serviceaccounts");
    }
    let containers = spec::init_containers(pod).iter().chain(&spec.containers);
    for container in containers {
        for source in container.env_from.iter().flatten() {
            if source.config_map_ref.is_some() {
                return Some("configmaps");
            }
            if source.secret_ref.is_some() {
                return Some("secrets");
            }
        }
        let sources = container.env.iter().flatten();
        for source in sources.filter_map(|variable| variable.value_from.as_ref()) {
            if source.config_map_key_ref.is_some() {
                return Some("configmaps");
            }
            if source.secret_key_ref.is_some() {
                return Some("secrets");
            }
        }
    }
    spec.volumes.iter().flatten().find_map(|volume| {
        if volume.config_map.is_some() {
            Some("configmaps")
        } else if volume.secret.is_some() {
            Some("secrets")
        } else if volume.persistent_volume_claim.is_some() {
            Some("persistentvolumeclaims")
        } else if volume.projected.is_some() {
            Some("projected volumes")
        } else {
            None
        }
    })
}

/// Whether the pod is wanted by the node and not by the API.
pub fn is_static(pod: &Pod) -> bool {
    annotation(pod, SOURCE).is_some_and(|source| source != "api")
        && annotation(pod, MIRROR).is_none()
}

/// Whether the pod of the API shows a static pod.
pub fn is_mirror(pod: &Pod) -> bool {
    annotation(pod, MIRROR).is_some()
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    let annotations = pod.metadata.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

/// What has to be done so that the API shows a static pod as it is.
#[derive(Debug, Clone, PartialEq)]
pub enum MirrorStep {
    /// It does.
    Nothing,
    /// Make the mirror.
    Create(Box<Pod>),
    /// Delete the mirror with this uid, at once.
    Delete(String),
}

/// Decides about a mirror.
pub fn mirror_step(wanted: Option<&Pod>, mirror: Option<&Pod>) -> MirrorStep {
    // ANCHOR: exercise-05.10
    match (wanted, mirror) {
        (None, None) => MirrorStep::Nothing,
        (None, Some(mirror)) => delete(mirror),
        (Some(wanted), None) => MirrorStep::Create(Box::new(mirror_of(wanted))),
        (Some(wanted), Some(mirror)) => {
            let current = annotation(mirror, MIRROR) == annotation(wanted, HASH);
            if current && mirror.metadata.deletion_timestamp.is_none() {
                MirrorStep::Nothing
            } else {
                delete(mirror)
            }
        }
    }
    // ANCHOR_END: exercise-05.10
}

fn delete(mirror: &Pod) -> MirrorStep {
    MirrorStep::Delete(mirror.metadata.uid.clone().unwrap_or_default())
}

fn mirror_of(pod: &Pod) -> Pod {
    let mut mirror = pod.clone();
    let meta = &mut mirror.metadata;
    meta.uid = None;
    meta.generation = None;
    let annotations = meta.annotations.get_or_insert_default();
    if let Some(hash) = annotations.get(HASH).cloned() {
        annotations.insert(MIRROR.to_owned(), hash);
    }
    mirror.status = None;
    mirror
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn manifest(container: Value) -> Result<Pod, String> {
        let pod = json!({
            "metadata": { "name": "web" }, "spec": { "containers": [container] },
        });
        let pod = serde_json::from_value(pod).unwrap();
        from_manifest(pod, "/etc/manifests/web.yaml", "Worker-1", "now")
    }

    #[test]
    fn is_the_same_pod_while_it_says_the_same() {
        let one = manifest(json!({ "name": "c", "image": "a" })).unwrap();
        let again = manifest(json!({ "name": "c", "image": "a" })).unwrap();
        let other = manifest(json!({ "name": "c", "image": "b" })).unwrap();
        assert_eq!(one.metadata.name.as_deref(), Some("web-worker-1"));
        assert_eq!(one.metadata.uid, again.metadata.uid);
        assert_ne!(one.metadata.uid, other.metadata.uid);
        assert!(is_static(&one) && !is_mirror(&one));
    }

    #[test]
    fn needs_nothing_of_the_api() {
        let env = json!([{ "name": "A", "valueFrom": {
            "secretKeyRef": { "name": "s", "key": "k" } } }]);
        assert_eq!(
            manifest(json!({ "name": "c", "env": env })).unwrap_err(),
            "static pods may not reference secrets"
        );
    }

    #[test]
    fn the_mirror_follows_the_manifest() {
        let pod = manifest(json!({ "name": "c", "image": "a" })).unwrap();
        let MirrorStep::Create(mirror) = mirror_step(Some(&pod), None) else {
            panic!("there is none yet");
        };
        let mut mirror = *mirror;
        assert!(is_mirror(&mirror) && !is_static(&mirror));
        mirror.metadata.uid = Some("m".into());
        assert_eq!(mirror_step(Some(&pod), Some(&mirror)), MirrorStep::Nothing);

        let gone = MirrorStep::Delete("m".into());
        assert_eq!(mirror_step(None, Some(&mirror)), gone);
        let changed = manifest(json!({ "name": "c", "image": "b" })).unwrap();
        assert_eq!(mirror_step(Some(&changed), Some(&mirror)), gone);

        // Somebody deletes it: it has no grace, and is made again.
        mirror.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
        );
        assert_eq!(mirror_step(Some(&pod), Some(&mirror)), gone);
    }
}
