//! Notices nodes that have gone silent, and keeps taints in step with conditions.
//!
//! ```text
//!   kubelet renews its Lease every 10 s ──► heard now
//!   nothing for the grace period        ──► conditions Unknown, taint unreachable, pods not Ready
//!   (taint_eviction then deletes the pods whose toleration runs out)
//!   the kubelet is back                 ──► conditions by the kubelet, taints go
//! ```
//!
//! Silence is measured by our own clock from the moment a change was seen, so clocks of different
//! machines never meet. Upstream: `pkg/controller/nodelifecycle`, without its zones and rate
//! limits: a cluster that loses most of its nodes at once is not spared here.

pub mod plan;
pub mod taint_eviction;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use informers::key_of;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use crate::context::{BY_NODE, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found};
use crate::pods;

/// When each node was last heard of.
type Heard = Arc<Mutex<HashMap<String, Instant>>>;

/// Adds the controller's handlers and returns what starts it.
pub fn register(
    informers: &mut SharedInformers,
    grace: Duration,
    period: Duration,
) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let heard: Heard = Arc::default();
    let (nodes, heard_of_node) = (queue.clone(), heard.clone());
    informers.nodes.on_event(move |event| {
        let name = key_of(event.object().as_ref());
        use informers::shared_informer::Event;
        let mut heard = heard_of_node.lock().expect("no holder of the lock panics");
        match event {
            Event::Added(_) => drop(heard.insert(name.clone(), Instant::now())),
            Event::Updated(old, new) if heartbeat(old) != heartbeat(new) => {
                heard.insert(name.clone(), Instant::now());
            }
            Event::Updated(..) => {}
            Event::Deleted(_) => drop(heard.remove(&name)),
        }
        drop(heard);
        nodes.add(name);
    });
    let (leases, heard_of_lease, store) = (queue.clone(), heard.clone(), informers.nodes.store());
    informers.leases.on_event(move |event| {
        use informers::shared_informer::Event;
        let name = event.object().name_any();
        if matches!(event, Event::Deleted(_)) || store.get(&name).is_none() {
            return;
        }
        heard_of_lease
            .lock()
            .expect("no holder of the lock panics")
            .insert(name.clone(), Instant::now());
        let status = store.get(&name);
        let ready = status
            .as_deref()
            .and_then(|node| plan::condition_status(node, "Ready"));
        if ready == Some("Unknown") {
            leases.add(name);
        }
    });

    move |context| {
        watch_the_clock(context, &queue, period);
        context.work("node-lifecycle", &queue, 2, move |context, name| {
            let heard = heard.clone();
            Box::pin(async move { reconcile(&context, &heard, grace, &name).await })
        });
    }
}

/// When the kubelet last wrote the node's status.
fn heartbeat(node: &Node) -> Option<Timestamp> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .filter_map(|condition| Some(condition.last_heartbeat_time.as_ref()?.0))
        .max()
}

/// Silence makes no event: all nodes are looked at every `period`.
fn watch_the_clock(context: &Context, queue: &WorkQueue<String>, period: Duration) {
    let (context, queue) = (context.clone(), queue.clone());
    let tasks = context.tasks.clone();
    tasks.spawn(async move {
        let tick = || tokio::time::sleep(period);
        while context.shutdown.run_until_cancelled(tick()).await.is_some() {
            context
                .stores
                .nodes
                .keys()
                .into_iter()
                .for_each(|name| queue.add(name));
        }
    });
}

async fn reconcile(context: &Context, heard: &Heard, grace: Duration, name: &str) -> Outcome {
    let Some(node) = context.stores.nodes.get(name) else {
        return Ok(None);
    };
    let silence = {
        let heard = heard.lock().expect("no holder of the lock panics");
        heard.get(name).map_or(Duration::ZERO, |at| at.elapsed())
    };
    let now = Timestamp::now();
    let api = Api::<Node>::all(context.client.clone());
    let mut node = Node::clone(&node);
    if plan::is_silent(silence, grace)
        && let Some(conditions) = plan::silent_conditions(&node, now)
    {
        tracing::warn!(node = name, ?silence, "nothing is heard of the node");
        let patch = Patch::Strategic(json!({"status": {"conditions": conditions}}));
        let patched = api
            .patch_status(name, &PatchParams::default(), &patch)
            .await;
        let Some(patched) = ignore_not_found(patched)? else {
            return Ok(None);
        };
        node = patched;
        let recorder = context.recorder.named("node-controller");
        let message = format!("Node {name} status is now: NodeNotReady");
        recorder.normal(&node, "NodeNotReady", message);
    }
    if let Some(taints) = plan::taints(&node, now) {
        // The version guards the list: a taint that somebody adds meanwhile is not lost.
        let patch = json!({
            "metadata": {"resourceVersion": node.resource_version()},
            "spec": {"taints": taints},
        });
        let patched = api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        ignore_not_found(patched)?;
    }
    if plan::condition_status(&node, "Ready").is_some_and(|ready| ready != "True") {
        mark_pods_not_ready(context, name).await?;
    }
    Ok(None)
}

/// Nobody else says so: the node's own kubelet is silent.
async fn mark_pods_not_ready(context: &Context, node: &str) -> Result<(), Error> {
    for pod in context.stores.pods.by_index(BY_NODE, node) {
        if !pods::is_ready(&pod) {
            continue;
        }
        let api =
            Api::<Pod>::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default());
        let patch = json!({"status": {"conditions": [{
            "type": "Ready",
            "status": "False",
            "lastTransitionTime": Timestamp::now().to_string(),
        }]}});
        let patch = Patch::Strategic(patch);
        let name = pod.name_any();
        ignore_not_found(
            api.patch_status(&name, &PatchParams::default(), &patch)
                .await,
        )?;
        let recorder = context.recorder.named("node-controller");
        recorder.warning(pod.as_ref(), "NodeNotReady", "Node is not ready".to_owned());
    }
    Ok(())
}
