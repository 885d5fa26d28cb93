//! In which order the pods of a node end when the node does.
//!
//! Upstream: `pkg/kubelet/nodeshutdown`, KEP-2000.

use k8s_openapi::api::core::v1::Pod;

use super::eviction::CRITICAL_PRIORITY;
use super::spec;

/// What the status of a pod says that ended with its node.
pub const REASON: &str = "Terminated";
/// And in a sentence.
pub const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";

/// Pods that end together, and the seconds they have.
#[derive(Debug, PartialEq)]
pub struct Phase<'a> {
    /// The pods, and each one's own grace in seconds.
    pub pods: Vec<(&'a Pod, i64)>,
    /// How long the phase takes at most, in seconds.
    pub seconds: i64,
}

/// First what is not critical, in the time that is not kept for the rest; then the rest.
pub fn phases<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    seconds: i64,
    critical_seconds: i64,
) -> Vec<Phase<'a>> {
    let is_critical = |pod: &&Pod| spec::of(pod).priority.unwrap_or(0) >= CRITICAL_PRIORITY;
    let (critical, usual): (Vec<_>, Vec<_>) = pods.partition(is_critical);
    let phase = |pods: Vec<&'a Pod>, seconds: i64| Phase {
        pods: pods
            .into_iter()
            .map(|pod| (pod, spec::grace_period_seconds(pod).min(seconds)))
            .collect(),
        seconds,
    };
    [
        phase(usual, (seconds - critical_seconds).max(0)),
        phase(critical, critical_seconds),
    ]
    .into_iter()
    .filter(|phase| !phase.pods.is_empty())
    .collect()
}
