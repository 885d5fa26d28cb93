//! Deletes pods that do not tolerate a `NoExecute` taint of their node, once their time is up.
//!
//! Upstream: `pkg/controller/tainteviction/taint_eviction.go`.

use std::time::Duration;

use informers::key_of;
use informers::work_queue::WorkQueue;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use crate::context::{BY_NODE, Context, Outcome, SharedInformers};
use crate::error::ignore_not_found;

/// When a pod must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// Never, as things are.
    Never,
    /// At this time, or at once if it has passed.
    At(Timestamp),
}

/// When a pod must leave a node with these taints. Each taint must be tolerated; the shortest
/// `tolerationSeconds` among the tolerations used counts, from the moment the last taint came.
pub fn eviction(taints: &[Taint], tolerations: &[Toleration], now: Timestamp) -> Eviction {
    let no_execute: Vec<&Taint> = taints
        .iter()
        .filter(|taint| taint.effect == "NoExecute")
        .collect();
    if no_execute.is_empty() {
        return Eviction::Never;
    }
    let mut shortest: Option<i64> = None;
    for taint in &no_execute {
        let used: Vec<&Toleration> = tolerations
            .iter()
            .filter(|toleration| tolerates(toleration, taint))
            .collect();
        if used.is_empty() {
            return Eviction::At(now);
        }
        // Of several tolerations of one taint the first that matches counts, as upstream.
        if let Some(seconds) = used[0].toleration_seconds {
            let seconds = seconds.max(0);
            shortest = Some(shortest.map_or(seconds, |shortest| shortest.min(seconds)));
        }
    }
    let since = no_execute
        .iter()
        .filter_map(|taint| taint.time_added.as_ref().map(|time| time.0))
        .max()
        .unwrap_or(now);
    match shortest {
        None => Eviction::Never,
        Some(seconds) => Eviction::At(since + SignedDuration::from_secs(seconds)),
    }
}

/// Upstream: `Toleration.ToleratesTaint`.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or("");
    let key = toleration.key.as_deref().unwrap_or("");
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "" | "Equal" => {
            toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("")
        }
        _ => false,
    }
}

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let (nodes, store) = (queue.clone(), informers.pods.store());
    informers.nodes.on_event(move |event| {
        use informers::shared_informer::Event;
        let taints_of = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
        if let Event::Updated(old, new) = event
            && taints_of(old) == taints_of(new)
        {
            return;
        }
        for pod in store.by_index(BY_NODE, &event.object().name_any()) {
            nodes.add(key_of(pod.as_ref()));
        }
    });
    let pods = queue.clone();
    informers
        .pods
        .on_event(move |event| pods.add(key_of(event.object().as_ref())));
    move |context| {
        context.work("taint-eviction", &queue, 2, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let Some(pod) = context.stores.pods.get(key) else {
        return Ok(None);
    };
    let spec = pod.spec.as_ref();
    let node = spec
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("");
    let node = context.stores.nodes.get(node);
    let (Some(node), None) = (node, &pod.metadata.deletion_timestamp) else {
        return Ok(None);
    };
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let tolerations = spec
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    let now = Timestamp::now();
    match eviction(taints, tolerations, now) {
        Eviction::Never => Ok(None),
        Eviction::At(at) if at > now => Ok(Duration::try_from(at.duration_since(now)).ok()),
        Eviction::At(_) => evict(context, &pod).await,
    }
}

async fn evict(context: &Context, pod: &Pod) -> Outcome {
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let recorder = context.recorder.named("taint-eviction-controller");
    let message = format!("Marking for deletion Pod {namespace}/{name}");
    recorder.normal(pod, "TaintManagerEviction", message);
    let patch = Patch::Strategic(json!({"status": {"conditions": [{
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": Timestamp::now().to_string(),
    }]}}));
    ignore_not_found(
        api.patch_status(&name, &PatchParams::default(), &patch)
            .await,
    )?;
    let preconditions = Preconditions {
        uid: pod.metadata.uid.clone(),
        resource_version: None,
    };
    let params = DeleteParams::default().preconditions(preconditions);
    ignore_not_found(api.delete(&name, &params).await)?;
    Ok(None)
}
