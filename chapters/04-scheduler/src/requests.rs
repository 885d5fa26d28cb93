//! What the scheduler tells the API server.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};

fn pods_beside(client: Client, pod: &Pod) -> Api<Pod> {
    Api::namespaced(client, &pod.namespace().unwrap_or_default())
}

/// Tells the API server that a pod goes to a node.
///
/// # Errors
///
/// If it says no, or cannot be reached.
pub async fn bind(client: Client, pod: &Pod, node: &str) -> kube::Result<()> {
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
    let _status: Status = pods
        .create_subresource("binding", &name, &PostParams::default(), &binding)
        .await?;
    Ok(())
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
