//! What a ReplicaSet needs: how many pods to make, which to delete.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pods;

/// Most pods that are made or deleted in one go. Upstream: `BurstReplicas`.
pub const BURST_REPLICAS: usize = 500;

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Plan {
    /// Nothing.
    Keep,
    /// Make this many pods.
    Create(usize),
    /// Delete these.
    Delete(Vec<Arc<Pod>>),
}

/// Compares the pods that count with the number that is wanted. `crowding` says how many pods of
/// the same owner run on each node.
pub fn plan(replicas: usize, active: &[Arc<Pod>], now: Timestamp) -> Plan {
    if active.len() < replicas {
        return Plan::Create((replicas - active.len()).min(BURST_REPLICAS));
    }
    let surplus = (active.len() - replicas).min(BURST_REPLICAS);
    if surplus == 0 {
        return Plan::Keep;
    }
    let mut crowding: HashMap<&str, usize> = HashMap::new();
    for pod in active {
        *crowding.entry(node_of(pod)).or_default() += 1;
    }
    let mut candidates: Vec<Candidate<'_>> = active
        .iter()
        .map(|pod| Candidate::of(pod, crowding[node_of(pod)], now))
        .collect();
    candidates.sort_by(goes_before);
    let first = candidates.into_iter().take(surplus);
    Plan::Delete(first.map(|candidate| candidate.pod.clone()).collect())
}

fn node_of(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("")
}

/// A pod that may be deleted, and what is weighed.
struct Candidate<'a> {
    pod: &'a Arc<Pod>,
    /// It has a node.
    bound: bool,
    /// 0 for `Pending`, 1 for `Unknown`, 2 for `Running`.
    phase: u8,
    ready: bool,
    /// Annotation `controller.kubernetes.io/pod-deletion-cost`.
    cost: i32,
    /// Pods of the same owner on its node, itself included.
    crowding: usize,
    /// Magnitude of the time that it has been ready: see [`age_magnitude`].
    ready_for: u32,
    restarts: i32,
    /// Magnitude of the time since it was made.
    age: u32,
    name: &'a str,
}

impl<'a> Candidate<'a> {
    fn of(pod: &'a Arc<Pod>, crowding: usize, now: Timestamp) -> Self {
        let cost = pod
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get("controller.kubernetes.io/pod-deletion-cost"))
            .and_then(|cost| cost.parse().ok());
        let ready_since = pods::condition(pod, "Ready")
            .filter(|condition| condition.status == "True")
            .and_then(|condition| condition.last_transition_time.as_ref());
        Candidate {
            pod,
            bound: !node_of(pod).is_empty(),
            phase: match pods::phase(pod) {
                "Pending" => 0,
                "Unknown" => 1,
                _ => 2,
            },
            ready: pods::is_ready(pod),
            cost: cost.unwrap_or(0),
            crowding,
            ready_for: age_magnitude(ready_since, now),
            restarts: pods::restarts(pod),
            age: age_magnitude(pod.metadata.creation_timestamp.as_ref(), now),
            name: pod.metadata.name.as_deref().unwrap_or_default(),
        }
    }
}

/// `Less` if `a` is to be deleted rather than `b`: not bound before bound, pending before running,
/// not ready before ready, cheap before dear, crowded before lonely, ready for a short time before
/// ready for long, restarted often before never, young before old.
/// Upstream: `ActivePodsWithRanks` in `pkg/controller/controller_utils.go`.
fn goes_before(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    // ANCHOR: exercise-08.2
    (a.bound.cmp(&b.bound))
        .then(a.phase.cmp(&b.phase))
        .then(a.ready.cmp(&b.ready))
        .then(a.cost.cmp(&b.cost))
        .then(b.crowding.cmp(&a.crowding))
        .then(a.ready_for.cmp(&b.ready_for))
        .then(b.restarts.cmp(&a.restarts))
        .then(a.age.cmp(&b.age))
        // Last resort, so that the order is always the same.
        .then(a.name.cmp(b.name))
    // ANCHOR_END: exercise-08.2
}

/// Times are compared by powers of two of their age, as upstream does, so that pods made almost
/// together count as equal.
fn age_magnitude(since: Option<&Time>, now: Timestamp) -> u32 {
    let seconds = since.map_or(0, |time| now.duration_since(time.0).as_secs().max(0));
    64 - (seconds as u64).leading_zeros()
}

/// The status that follows from the pods. Upstream: `calculateStatus` in
/// `pkg/controller/replicaset/replica_set_utils.go`.
pub fn status(
    replica_set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<&(&'static str, String)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let spec = replica_set.spec.clone().unwrap_or_default();
    let old = replica_set.status.clone().unwrap_or_default();
    let template_labels = spec.template.and_then(|template| template.metadata?.labels);
    let fully_labeled = |pod: &Pod| {
        let labels = pod.metadata.labels.as_ref();
        template_labels
            .iter()
            .flatten()
            .all(|(key, value)| labels.is_some_and(|labels| labels.get(key) == Some(value)))
    };
    let min_ready_seconds = spec.min_ready_seconds.unwrap_or(0);
    let count =
        |holds: &dyn Fn(&Pod) -> bool| active.iter().filter(|pod| holds(pod)).count() as i32;

    let mut conditions: Vec<ReplicaSetCondition> = old.conditions.unwrap_or_default();
    match failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some((reason, message)) => {
            let same = conditions
                .iter()
                .any(|c| c.type_ == "ReplicaFailure" && c.reason.as_deref() == Some(reason));
            if !same {
                conditions.retain(|condition| condition.type_ != "ReplicaFailure");
                conditions.push(ReplicaSetCondition {
                    type_: "ReplicaFailure".into(),
                    status: "True".into(),
                    reason: Some((*reason).to_owned()),
                    message: Some(message.clone()),
                    last_transition_time: Some(Time(now)),
                });
            }
        }
    }
    ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: Some(count(&fully_labeled)),
        ready_replicas: Some(count(&|pod| pods::is_ready(pod))),
        available_replicas: Some(count(&|pod| {
            pods::is_available(pod, min_ready_seconds, now)
        })),
        terminating_replicas: Some(terminating as i32),
        observed_generation: replica_set.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}
