//! Pods that nobody will ever end: bound to a node that is gone, or deleted before they were
//! bound. Upstream: `pkg/controller/podgc/gc_controller.go`.

use std::time::Duration;

use informers::key_of;
use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use crate::context::{BY_NODE, Context, Outcome, SharedInformers};
use crate::error::ignore_not_found;
use crate::pods;

/// How long a node must have been gone before its pods are: it may only be re-registering.
/// Upstream: `quarantineTime`.
const QUARANTINE: Duration = Duration::from_secs(40);

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let (gone, store) = (queue.clone(), informers.pods.store());
    informers.nodes.on_event(move |event| {
        if let Event::Deleted(node) = event {
            for pod in store.by_index(BY_NODE, &node.name_any()) {
                gone.add_after(key_of(pod.as_ref()), QUARANTINE);
            }
        }
    });
    let (pods, nodes) = (queue.clone(), informers.nodes.store());
    informers.pods.on_event(move |event| {
        let pod = event.object();
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref())
            .unwrap_or("");
        if node.is_empty() && pod.metadata.deletion_timestamp.is_some() {
            pods.add(key_of(pod.as_ref()));
        } else if matches!(event, Event::Added(_)) && !node.is_empty() && nodes.get(node).is_none()
        {
            pods.add_after(key_of(pod.as_ref()), QUARANTINE);
        }
    });
    move |context| {
        context.work("pod-gc", &queue, 1, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let Some(pod) = context.stores.pods.get(key) else {
        return Ok(None);
    };
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .unwrap_or_default();
    let unbound = node.is_empty() && pod.metadata.deletion_timestamp.is_some();
    if !unbound {
        let known = context.stores.nodes.get(&node).is_some();
        // The store may lag: only the API knows that the node is really gone.
        let nodes = Api::<Node>::all(context.client.clone());
        if node.is_empty() || known || nodes.get_opt(&node).await?.is_some() {
            return Ok(None);
        }
    }
    let api = Api::<Pod>::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default());
    let name = pod.name_any();
    if !unbound && !pods::is_terminal(&pod) {
        let message = "PodGC: node no longer exists";
        let patch = json!({"status": {"phase": "Failed", "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": message, "lastTransitionTime": Timestamp::now().to_string(),
        }]}});
        let patch = Patch::Strategic(patch);
        ignore_not_found(
            api.patch_status(&name, &PatchParams::default(), &patch)
                .await,
        )?;
    }
    let preconditions = Preconditions {
        uid: pod.metadata.uid.clone(),
        resource_version: None,
    };
    let now = DeleteParams::default()
        .grace_period(0)
        .preconditions(preconditions);
    ignore_not_found(api.delete(&name, &now).await)?;
    Ok(None)
}
