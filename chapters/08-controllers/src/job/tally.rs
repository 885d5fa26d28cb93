//! What there is of a Job: its pods by what they do, and what its status has counted of them.
//!
//! A pod that has ended is counted once, though it may be seen often and vanish at any time. For
//! that each has a finalizer, and is counted in two steps:
//!
//! ```text
//! ended, finalizer ─► uid into status.uncountedTerminatedPods ─► finalizer off ─► a number
//! ```
//!
//! Successes of an Indexed Job need no list of uids: their indexes say it. Upstream:
//! `trackJobStatusAndRemoveFinalizers` in `pkg/controller/job/job_controller.go`, KEP 2307.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobSpec, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::indexes::Indexes;
use super::policy::{Failure, judge};
use crate::pods;

/// The finalizer of pods that are not counted yet.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label: which of an Indexed Job's pods it is.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation: how often the pods of this index have failed before.
pub const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation: how often they have, and it was ignored.
pub const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Whether a pod is still to be counted.
pub fn is_tracked(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|it| it == TRACKING)
}

/// Which of an Indexed Job's pods it is.
pub fn index_of(pod: &Pod) -> Option<i32> {
    number_in(pod, INDEX).filter(|index| *index >= 0)
}

/// A number in one of a pod's annotations.
pub fn number_in(pod: &Pod, annotation: &str) -> Option<i32> {
    pod.annotations().get(annotation)?.parse().ok()
}

/// Whether a pod failed, or is on its way out before it could succeed. With a policy that says
/// which failures count, or when failed pods are replaced only once they have failed, one on its
/// way out has not failed yet.
pub fn is_failed(spec: &JobSpec, pod: &Pod) -> bool {
    let waits = spec.pod_replacement_policy.as_deref() == Some("Failed")
        || spec.pod_failure_policy.is_some();
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => !waits && pod.metadata.deletion_timestamp.is_some(),
    }
}

/// Whether a pod is on its way out.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && !pods::is_terminal(pod)
}

/// A Job's pods, and what has been counted of them.
pub struct Tally<'a> {
    /// The Job's.
    pub spec: &'a JobSpec,
    /// All of them.
    pub pods: &'a [Arc<Pod>],
    /// Neither ended nor on their way out.
    pub active: Vec<Arc<Pod>>,
    /// Ended well, and not in the status in any way.
    pub new_succeeded: Vec<&'a Arc<Pod>>,
    /// Failed, and not in the status in any way.
    pub new_failed: Vec<&'a Arc<Pod>>,
    /// Uids that are in the status and still have the finalizer.
    pub uncounted: UncountedTerminatedPods,
    /// Successes that are done with; of an Indexed Job the indexes say it.
    pub counted_succeeded: i32,
    /// Failures that are done with.
    pub counted_failed: i32,
    /// Indexes that have succeeded, those of [`Tally::new_succeeded`] among them.
    pub completed: Indexes,
    /// Indexes that have failed for good, by pods that are counted.
    pub failed_indexes: Indexes,
}

impl<'a> Tally<'a> {
    /// Looks at a Job and its pods.
    pub fn of(job: &'a Job, spec: &'a JobSpec, pods: &'a [Arc<Pod>]) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let completions = spec.completions.unwrap_or(i32::MAX);
        let indexes = |text: Option<String>| Indexes::parse(&text.unwrap_or_default(), completions);
        let mut tally = Tally {
            spec,
            pods,
            active: pods
                .iter()
                .filter(|it| pods::is_active(it))
                .cloned()
                .collect(),
            new_succeeded: Vec::new(),
            new_failed: Vec::new(),
            uncounted: status.uncounted_terminated_pods.unwrap_or_default(),
            counted_succeeded: status.succeeded.unwrap_or(0),
            counted_failed: status.failed.unwrap_or(0),
            completed: indexes(status.completed_indexes),
            failed_indexes: indexes(status.failed_indexes),
        };
        let listed: HashSet<String> = [&tally.uncounted.succeeded, &tally.uncounted.failed]
            .into_iter()
            .flatten()
            .flatten()
            .cloned()
            .collect();
        tally.settle();
        for pod in pods.iter().filter(|pod| is_tracked(pod)) {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            if listed.contains(uid) || !tally.has_place(pod) {
                continue;
            }
            if pods::phase(pod) == "Succeeded" {
                tally.new_succeeded.push(pod);
            } else if is_failed(spec, pod) {
                tally.new_failed.push(pod);
            }
        }
        if tally.is_indexed() {
            let new = tally.new_succeeded.iter().filter_map(|pod| index_of(pod));
            let new: Vec<i32> = new.collect();
            new.into_iter()
                .for_each(|index| tally.completed.insert(index));
            let failed = tally.new_failed.iter().filter(|pod| tally.fails_index(pod));
            let failed: Vec<i32> = failed.filter_map(|pod| index_of(pod)).collect();
            failed
                .into_iter()
                .for_each(|index| tally.failed_indexes.insert(index));
        }
        tally
    }

    /// What has lost its finalizer becomes a number.
    fn settle(&mut self) {
        let tracked = self.pods.iter().filter(|pod| is_tracked(pod));
        let tracked: HashSet<&str> = tracked
            .filter_map(|pod| pod.metadata.uid.as_deref())
            .collect();
        let settle = |uids: &mut Option<Vec<String>>| {
            let uids = uids.get_or_insert_default();
            let before = uids.len();
            uids.retain(|uid| tracked.contains(uid.as_str()));
            i32::try_from(before - uids.len()).unwrap_or(i32::MAX)
        };
        self.counted_succeeded += settle(&mut self.uncounted.succeeded);
        self.counted_failed += settle(&mut self.uncounted.failed);
    }

    /// Whether the Job's pods have indexes.
    pub fn is_indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    /// Whether a pod's index is one that the Job has.
    pub fn has_place(&self, pod: &Pod) -> bool {
        let completions = self.spec.completions.unwrap_or(0);
        !self.is_indexed() || index_of(pod).is_some_and(|index| index < completions)
    }

    /// Successes, counted or not yet.
    pub fn succeeded(&self) -> i32 {
        if self.is_indexed() {
            return self.completed.total();
        }
        let listed = self.uncounted.succeeded.as_ref().map_or(0, Vec::len);
        let open = listed + self.new_succeeded.len();
        self.counted_succeeded + i32::try_from(open).unwrap_or(i32::MAX)
    }

    /// Failures that count, counted or not yet.
    pub fn failed(&self) -> i32 {
        let listed = self.uncounted.failed.as_ref().map_or(0, Vec::len);
        let new = self.new_failed.iter();
        let new = new.filter(|pod| judge(self.spec, pod) != Failure::Ignored);
        self.counted_failed + i32::try_from(listed + new.count()).unwrap_or(i32::MAX)
    }

    /// Whether with a pod's failure its index has failed for good.
    fn fails_index(&self, pod: &Pod) -> bool {
        let Some(limit) = self.spec.backoff_limit_per_index else {
            return false;
        };
        match judge(self.spec, pod) {
            Failure::FailsIndex => true,
            Failure::Ignored => false,
            _ => number_in(pod, INDEX_FAILURES).unwrap_or(0) >= limit,
        }
    }

    /// The failed pod of an index whose successor has still to be told how often it failed.
    pub fn last_failed(&self, index: i32) -> Option<&'a Arc<Pod>> {
        let is_settled = self.spec.backoff_limit_per_index.is_none()
            || self.completed.contains(index)
            || self.failed_indexes.contains(index)
            || self.active.iter().any(|pod| index_of(pod) == Some(index));
        if is_settled {
            return None;
        }
        let pods = self.pods.iter().filter(|pod| {
            is_tracked(pod) && index_of(pod) == Some(index) && is_failed(self.spec, pod)
        });
        pods.max_by_key(|pod| (failures(pod), super::backoff::finished_at(pod)))
    }
}

/// How often the pods of a pod's index have failed before it, for whatever reason.
pub fn failures(pod: &Pod) -> i32 {
    let counted = number_in(pod, INDEX_FAILURES).unwrap_or(0);
    counted + number_in(pod, INDEX_IGNORED).unwrap_or(0)
}
