//! Counts what pods with limits use of the node's disk, and ends those that use more.
//!
//! Counting means walking through folders, so it is done beside everything else, one pod after
//! another, and only for pods that have a limit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::mpsc;

use super::pressure::bytes_in;
use super::worker::Order;
use crate::context::Context;
use crate::decide::local_storage::{self, Usage};
use crate::decide::{eviction, pod_key, spec};
use crate::runtime::usage::DiskUsage;

/// How often it is counted. Upstream: the eviction manager's monitoring interval.
const PERIOD: Duration = Duration::from_secs(10);

/// Counts until nobody listens: sends the uid of each pod that has to go, and its order.
pub async fn watch(context: Arc<Context>, over: mpsc::UnboundedSender<(String, Order)>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = over.closed() => return,
        }
        let mut pods = context.ledger.pods();
        pods.retain(|pod| local_storage::is_limited(pod));
        // Asked for once, and only if somebody's containers have a limit: it may take a while.
        let counts = pods.iter().any(|pod| local_storage::limits_containers(pod));
        let layers = match counts {
            true => context.runtime.writable_layers().await,
            false => Ok(HashMap::new()),
        };
        // Without the runtime's answer, logs and volumes alone count.
        let layers = layers.unwrap_or_default();
        for pod in &pods {
            let Some(message) = exceeded(&context, pod, &layers).await else {
                continue;
            };
            tracing::warn!(pod = pod_key(pod), message, "evicted");
            let order = Order {
                reason: "Evicted".to_owned(),
                message,
                grace_seconds: eviction::GRACE_SECONDS,
                warning: true,
            };
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let _nobody_listens = over.send((uid, order));
        }
    }
}

/// What the pod is ended for, if it uses more than it may.
async fn exceeded(
    context: &Context,
    pod: &Pod,
    layers: &HashMap<String, DiskUsage>,
) -> Option<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let meta = &pod.metadata;
    let (namespace, name, uid) = (text(&meta.namespace), text(&meta.name), text(&meta.uid));
    let volumes = context
        .pod_dir(&uid)
        .join("volumes/kubernetes.io~empty-dir");
    let logs = context.log_dir(&namespace, &name, &uid);
    let counted = pod.clone();
    let counted = tokio::task::spawn_blocking(move || count(&counted, &volumes, &logs));
    let mut usage = counted.await.ok()?;
    let made = context.runtime.list_containers(Some(&uid)).await;
    for container in made.iter().flatten() {
        if let Some(used) = usage.containers.get_mut(&container.name) {
            *used += layers.get(&container.id).map_or(0, |layer| layer.bytes);
        }
    }
    local_storage::exceeded(pod, &usage)
}

/// What a pod's volumes and logs take.
fn count(pod: &Pod, volumes: &Path, logs: &Path) -> Usage {
    let empty_dirs = spec::of(pod).volumes.iter().flatten();
    let empty_dirs = empty_dirs.filter(|volume| volume.empty_dir.is_some());
    let containers = spec::of(pod).containers.iter();
    let taken = |folder: &Path, name: &String| (name.clone(), bytes_in(&folder.join(name)));
    Usage {
        empty_dirs: empty_dirs.map(|it| taken(volumes, &it.name)).collect(),
        containers: containers.map(|it| taken(logs, &it.name)).collect(),
    }
}
