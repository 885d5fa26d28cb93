//! What the scheduler tells the API server.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Binding, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use volume_binding::{is_fully_bound, volume_spec};

/// How long a pod's claims may take to be bound to the volumes that were chosen. Upstream:
/// `bindTimeoutSeconds`.
const VOLUMES_TIMEOUT: Duration = Duration::from_secs(600);

/// Why a pod was not bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The API server said no to the binding.
    #[error("binding rejected: {0}")]
    Api(kube::Error),
    /// The API server did not answer in time.
    #[error("binding not answered within {0:?}")]
    Timeout(Duration),
    /// Its claims did not get their volumes.
    #[error("running PreBind plugin \"VolumeBinding\": binding volumes: {0}")]
    Volumes(String),
}

/// Gives a pod's claims the volumes that were chosen with its node, and waits until they are
/// bound: the binder of chapter 8 does the claims' half.
///
/// # Errors
///
/// If somebody else was faster with a volume, or nobody finishes the binding.
pub async fn bind_volumes(client: &Client, volumes: &[PersistentVolume]) -> Result<(), BindError> {
    let failed = |error: &dyn std::fmt::Display| BindError::Volumes(error.to_string());
    let api = Api::<PersistentVolume>::all(client.clone());
    for volume in volumes {
        let name = volume.name_any();
        let written = api.replace(&name, &PostParams::default(), volume).await;
        written.map_err(|error| failed(&error))?;
    }
    let claims = volumes
        .iter()
        .filter_map(|volume| volume_spec(volume).claim_ref.clone());
    let all_bound = async {
        for claim in claims {
            let namespace = claim.namespace.unwrap_or_default();
            let api = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &namespace);
            let name = claim.name.unwrap_or_default();
            let is_bound = |claim: Option<&PersistentVolumeClaim>| claim.is_none_or(is_fully_bound);
            await_condition(api, &name, is_bound)
                .await
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    };
    match tokio::time::timeout(VOLUMES_TIMEOUT, all_bound).await {
        Ok(result) => result,
        Err(_) => Err(failed(&"timed out waiting for the condition")),
    }
}

fn pods_beside(client: Client, pod: &Pod) -> Api<Pod> {
    Api::namespaced(client, &pod.namespace().unwrap_or_default())
}

/// Tells the API server that a pod goes to a node.
///
/// # Errors
///
/// If it says no, cannot be reached, or does not answer within `timeout`: then the pod may be bound,
/// or may be yet.
pub async fn bind(
    client: Client,
    pod: &Pod,
    node: &str,
    timeout: Duration,
) -> Result<(), BindError> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name_any()),
            namespace: pod.namespace(),
            // So that a new pod of the same name is not bound in its place.
            uid: pod.uid(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let pods = pods_beside(client, pod);
    let name = pod.name_any();
    let params = PostParams::default();
    let answer = pods.create_subresource::<_, Status>("binding", &name, &params, &binding);
    match tokio::time::timeout(timeout, answer).await {
        Ok(answer) => answer.map(drop).map_err(BindError::Api),
        Err(_) => Err(BindError::Timeout(timeout)),
    }
}

/// The condition that says why a pod has no node; none if it says so already.
pub fn unschedulable(pod: &Pod, message: String) -> Option<PodCondition> {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let before = conditions
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled");
    let is_false = before.filter(|before| before.status == "False");
    if is_false.is_some_and(|before| before.message.as_ref() == Some(&message)) {
        return None;
    }
    let since = is_false.and_then(|before| before.last_transition_time.clone());
    Some(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(since.unwrap_or(Time(jiff::Timestamp::now()))),
        observed_generation: pod.metadata.generation,
        ..PodCondition::default()
    })
}

/// Writes a pod's condition; if that fails, the next attempt to place the pod writes it again.
pub async fn set_condition(client: Client, pod: Arc<Pod>, condition: PodCondition) {
    let patch = serde_json::json!({ "status": { "conditions": [condition] } });
    let pods = pods_beside(client, &pod);
    let patched = pods
        .patch_status(
            &pod.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await;
    if let Err(error) = patched {
        tracing::debug!(pod = %pod.name_any(), %error, "its condition was not written");
    }
}
