//! Ending pods on behalf of the node: because it is short of something, or about to go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio::time::Instant;

use super::worker::{Desired, Order};
use crate::context::Context;
use crate::decide::eviction::{self, Candidate, Shortage, Verdict};
use crate::decide::{pod_key, shutdown};
use crate::node::machine;
use crate::stats::summary::{ContainerStats, PodStats};
use crate::stats::{self, Depth};

/// How long the runtime has to say what pods use, before one goes anyway.
const STATS_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at what the machine has left, and what follows from that.
pub fn observe(context: &Context) -> Verdict {
    let signals = machine::signals(&context.config.root_dir);
    let mut monitor = context.monitor.lock().expect("no panics inside");
    monitor.observe(&context.config.eviction(), &signals, Timestamp::now())
}

/// The pod that has to go because the node is short of something, and its order to go.
pub async fn eviction(context: &Context) -> Option<(Arc<Pod>, Order)> {
    let short = observe(context).shortage?;
    let pods = context.ledger.pods();
    let stats = stats_of(context, &pods, &short).await;
    let candidates: Vec<Candidate> = pods
        .iter()
        .map(|pod| candidate(pod, &stats, &short))
        .collect();
    let Some(first) = eviction::first_to_go(&candidates, &short) else {
        tracing::warn!(
            short.resource,
            "the node is short, and no pod may be evicted"
        );
        return None;
    };
    let message = eviction::message(first, &short);
    context.metrics.evicted(short.signal);
    tracing::warn!(pod = pod_key(first.pod), message, "evicted");
    let order = Order {
        reason: "Evicted".to_owned(),
        message,
        grace_seconds: eviction::grace_seconds(first.pod, &short),
        warning: true,
    };
    let pod = pods.iter().find(|pod| std::ptr::eq(&***pod, first.pod));
    pod.map(|pod| (pod.clone(), order))
}

/// What the pods use; nothing if the runtime does not answer, which must not keep pods that the
/// node has no room for.
async fn stats_of(context: &Context, pods: &[Arc<Pod>], short: &Shortage) -> Vec<PodStats> {
    let depth = match short.resource {
        "memory" => Depth::CpuAndMemory,
        _ => Depth::All,
    };
    let summary = tokio::time::timeout(STATS_TIMEOUT, stats::summary(context, pods, depth)).await;
    match summary {
        Ok(Ok(summary)) => summary.pods,
        Ok(Err(error)) => {
            tracing::warn!(%error, "what pods use is not known");
            Vec::new()
        }
        Err(_) => {
            tracing::warn!("what pods use is not known in time");
            Vec::new()
        }
    }
}

/// A pod, with what it and its containers use of what is short.
fn candidate<'a>(pod: &'a Pod, stats: &[PodStats], short: &Shortage) -> Candidate<'a> {
    let uid = pod.metadata.uid.as_deref();
    let stats = stats.iter().find(|stats| Some(&*stats.pod_ref.uid) == uid);
    let of_pod = |stats: &PodStats| match short.resource {
        "memory" => stats.memory.and_then(|memory| memory.working_set_bytes),
        "inodes" => stats.ephemeral_storage.and_then(|fs| fs.inodes_used),
        _ => stats.ephemeral_storage.and_then(|fs| fs.used_bytes),
    };
    let of_container = |stats: &ContainerStats| match short.resource {
        "memory" => stats.memory.and_then(|memory| memory.working_set_bytes),
        "inodes" => None,
        _ => {
            let parts = [stats.rootfs, stats.logs].into_iter().flatten();
            Some(parts.filter_map(|fs| fs.used_bytes).sum())
        }
    };
    let containers = stats.into_iter().flat_map(|stats| &stats.containers);
    Candidate {
        pod,
        usage: stats.and_then(of_pod),
        containers: containers
            .filter_map(|stats| Some((stats.name.clone(), of_container(stats)?)))
            .collect(),
    }
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
