//! Ending pods on behalf of the node: because it is short of something, or about to go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio::time::Instant;

use super::worker::{Desired, Order};
use crate::context::Context;
use crate::decide::eviction::{self, Candidate, Shortage};
use crate::decide::{pod_key, shutdown};
use crate::node::machine;

/// Of what the machine is short now.
pub fn shortage(context: &Context) -> Option<Shortage> {
    let signals = machine::signals(&context.config.root_dir);
    let short = eviction::shortages(&signals, &context.config.eviction_hard);
    short.into_iter().next()
}

/// The pod that has to go because the node is short of something, and its order to go.
pub fn eviction(context: &Context) -> Option<(Arc<Pod>, Order)> {
    let short = shortage(context)?;
    let pods = context.ledger.pods();
    let candidates: Vec<Candidate> = pods
        .iter()
        .map(|pod| Candidate {
            pod,
            usage: (short.resource == "ephemeral-storage").then(|| disk_usage(context, pod)),
        })
        .collect();
    let Some(first) = eviction::first_to_go(&candidates, &short) else {
        tracing::warn!(
            short.resource,
            "the node is short, and no pod may be evicted"
        );
        return None;
    };
    let message = eviction::message(&short);
    context.metrics.evicted(short.signal);
    tracing::warn!(pod = pod_key(first), message, "evicted");
    let order = Order {
        reason: "Evicted".to_owned(),
        message,
        grace_seconds: eviction::GRACE_SECONDS,
        warning: true,
    };
    let pod = pods.iter().find(|pod| std::ptr::eq(&***pod, first));
    pod.map(|pod| (pod.clone(), order))
}

/// Bytes of a pod's volumes and logs.
fn disk_usage(context: &Context, pod: &Pod) -> u64 {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let meta = &pod.metadata;
    let (namespace, name, uid) = (text(&meta.namespace), text(&meta.name), text(&meta.uid));
    let logs = context.log_dir(&namespace, &name, &uid);
    bytes_in(&context.pod_dir(&uid)) + bytes_in(&logs)
}

/// Bytes of the disk that a folder takes, with all that is in it.
pub fn bytes_in(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Ends all pods of a node that is about to go, in phases. Returns when they have ended, or the
/// time is over.
pub async fn shut_down(context: Arc<Context>, workers: Vec<watch::Sender<Desired>>) {
    let config = &context.config;
    let pods: Vec<Arc<Pod>> = workers.iter().map(|w| w.borrow().pod.clone()).collect();
    let (all, critical) = (
        config.shutdown_grace_period,
        config.shutdown_grace_period_critical_pods,
    );
    let phases = shutdown::phases(pods.iter().map(|pod| &**pod), all.into(), critical.into());
    for phase in phases {
        tracing::info!(
            pods = phase.pods.len(),
            seconds = phase.seconds,
            "node shutdown"
        );
        let until = Instant::now() + Duration::from_secs(phase.seconds.unsigned_abs());
        let mut changes = context.ledger.changes();
        let mut uids = Vec::new();
        for (pod, grace_seconds) in phase.pods {
            let worker = workers.iter().find(|w| std::ptr::eq(&*w.borrow().pod, pod));
            let Some(worker) = worker else { continue };
            uids.extend(pod.metadata.uid.clone());
            worker.send_modify(|desired| {
                desired.order.get_or_insert(Order {
                    reason: shutdown::REASON.to_owned(),
                    message: shutdown::MESSAGE.to_owned(),
                    grace_seconds,
                    warning: false,
                });
            });
        }
        let all_ended = async {
            let holds_room = |pod: &Arc<Pod>| {
                let uid = pod.metadata.uid.as_ref();
                uid.is_some_and(|uid| uids.contains(uid))
            };
            while context.ledger.pods().iter().any(holds_room) && changes.changed().await.is_ok() {}
        };
        let _in_time_or_not = tokio::time::timeout_at(until, all_ended).await;
    }
}
