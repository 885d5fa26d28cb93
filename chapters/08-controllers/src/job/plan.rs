//! What a Job needs next.
//!
//! Upstream: `syncJob` and `manageJob` in `pkg/controller/job/job_controller.go`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff;
use super::indexes::Indexes;
use super::policy::{self, Failure, judge};
use super::tally::{
    INDEX_FAILURES, INDEX_IGNORED, Tally, index_of, is_failed, is_terminating, is_tracked,
    number_in,
};
use crate::{pods, replica_set};

/// Most pods that are made, deleted or listed as uncounted in one go.
const BURST: usize = 500;

/// A pod to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPod {
    /// Which it is, of an Indexed Job.
    pub index: Option<i32>,
    /// How often its index has failed before, and how often that was ignored, where failures are
    /// counted by index.
    pub failures: Option<(i32, i32)>,
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// It did not go well.
    pub warning: bool,
    /// `Completed`.
    pub reason: String,
    /// `Job completed`.
    pub message: String,
}

/// What to do, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// Pods to make; never when some are to be deleted.
    pub create: Vec<NewPod>,
    /// Pods to let go and delete: they are too many, and count as nothing.
    pub dismiss: Vec<Arc<Pod>>,
    /// Pods to delete, as the Job has ended.
    pub delete: Vec<Arc<Pod>>,
    /// The status, to be written if it differs.
    pub status: JobStatus,
    /// Told when the status has been written.
    pub news: Vec<News>,
    /// Pods that are in the status now, and need not be kept for it any more.
    pub release: Vec<Arc<Pod>>,
    /// When to look again, if only time passes.
    pub again: Option<Duration>,
}

/// How a Job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    succeeds: bool,
    reason: String,
    message: String,
}

impl Verdict {
    fn fails(reason: &str, message: impl Into<String>) -> Option<Verdict> {
        Some(Verdict {
            succeeds: false,
            reason: reason.into(),
            message: message.into(),
        })
    }

    fn succeeds(reason: &str, message: impl Into<String>) -> Option<Verdict> {
        Some(Verdict {
            succeeds: true,
            reason: reason.into(),
            message: message.into(),
        })
    }

    /// The conditions that announce the end and that say it has come.
    fn conditions(&self) -> (&'static str, &'static str) {
        match self.succeeds {
            true => ("SuccessCriteriaMet", "Complete"),
            false => ("FailureTarget", "Failed"),
        }
    }
}

/// Whether a Job has ended.
pub fn is_finished(job: &Job) -> bool {
    holds(job, "Complete").is_some() || holds(job, "Failed").is_some()
}

/// A condition that is true.
fn holds<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
}

/// Decides, from a Job and its pods. `may_manage`: everything that was made and deleted before has
/// been seen, so that pods may be made and deleted.
pub fn plan(job: &Job, pods: &[Arc<Pod>], may_manage: bool, now: Timestamp) -> Plan {
    let spec = job.spec.clone().unwrap_or_default();
    let mut plan = Plan {
        status: job.status.clone().unwrap_or_default(),
        ..Plan::default()
    };
    if is_finished(job) {
        plan.release = pods.iter().filter(|pod| is_tracked(pod)).cloned().collect();
        return plan;
    }
    let suspended = spec.suspend == Some(true);
    if plan.status.start_time.is_none() && !suspended {
        plan.status.start_time = Some(Time(now));
    }
    let tally = Tally::of(job, &spec, pods);
    let (verdict, deadline) = verdict(job, &tally, now);
    plan.again = deadline;
    let is_deleted = job.metadata.deletion_timestamp.is_some();
    match &verdict {
        Some(_) => plan.delete.clone_from(&tally.active),
        None if may_manage && !is_deleted => manage(&tally, suspended, &mut plan, now),
        None => {}
    }
    if verdict.is_none() && !is_deleted {
        say_whether_suspended(&mut plan, suspended, now);
    }
    count(&tally, verdict.as_ref(), is_deleted, &mut plan);
    if let Some(verdict) = verdict {
        conclude(&tally, &verdict, &mut plan, now);
    }
    plan
}

/// How the Job ends, if it does, and how long its deadline is away.
fn verdict(job: &Job, tally: &Tally<'_>, now: Timestamp) -> (Option<Verdict>, Option<Duration>) {
    let spec = tally.spec;
    // What was announced stays.
    if let Some(announced) = holds(job, "SuccessCriteriaMet").or(holds(job, "FailureTarget")) {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let verdict = Verdict {
            succeeds: announced.type_ == "SuccessCriteriaMet",
            reason: text(&announced.reason),
            message: text(&announced.message),
        };
        return (Some(verdict), None);
    }
    let failed = tally.pods.iter().filter(|pod| is_failed(spec, pod));
    let fatal = failed.into_iter().find_map(|pod| match judge(spec, pod) {
        Failure::FailsJob(message) => Verdict::fails("PodFailurePolicy", message),
        _ => None,
    });
    if fatal.is_some() {
        return (fatal, None);
    }
    if tally.failed() > spec.backoff_limit.unwrap_or(6) || restarted_too_often(tally) {
        let message = "Job has reached the specified backoff limit";
        return (Verdict::fails("BackoffLimitExceeded", message), None);
    }
    let left = deadline(job, spec, now);
    if left == Some(Duration::ZERO) {
        let message = "Job was active longer than specified deadline";
        return (Verdict::fails("DeadlineExceeded", message), None);
    }
    let by_index = by_index(tally).or_else(|| {
        let message = policy::enough(spec, &tally.completed)?;
        Verdict::succeeds("SuccessPolicy", message)
    });
    if by_index.is_some() {
        return (by_index, None);
    }
    let succeeded = tally.succeeded();
    let is_done = tally.active.is_empty()
        && match spec.completions {
            Some(completions) => succeeded >= completions,
            None => succeeded > 0,
        };
    if is_done {
        let message = "Reached expected number of succeeded pods";
        return (Verdict::succeeds("CompletionsReached", message), None);
    }
    (None, left)
}

/// What is left until the Job has been active for too long. Nobody counts while it is suspended.
fn deadline(job: &Job, spec: &JobSpec, now: Timestamp) -> Option<Duration> {
    let seconds = spec.active_deadline_seconds?;
    if spec.suspend == Some(true) {
        return None;
    }
    let started = job.status.as_ref().and_then(|it| it.start_time.as_ref());
    let started = started.map_or(now, |time| time.0);
    let left = (started + SignedDuration::from_secs(seconds)).duration_since(now);
    Some(Duration::try_from(left).unwrap_or_default())
}

/// Whether containers that are started again in place have been so too often. Upstream:
/// `pastBackoffLimitOnFailure`.
fn restarted_too_often(tally: &Tally<'_>) -> bool {
    let pod = tally.spec.template.spec.as_ref();
    if pod.and_then(|pod| pod.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let alive = tally.pods.iter().filter(|pod| !pods::is_terminal(pod));
    let restarts = alive.filter_map(|pod| pod.status.as_ref()).map(|status| {
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let containers = lists.into_iter().flatten().flatten();
        containers.map(|it| it.restart_count).sum::<i32>()
    });
    let (restarts, limit) = (restarts.sum::<i32>(), tally.spec.backoff_limit.unwrap_or(6));
    if limit == 0 {
        restarts > 0
    } else {
        restarts >= limit
    }
}

/// Whether too many indexes have failed, or all that is left of them.
fn by_index(tally: &Tally<'_>) -> Option<Verdict> {
    let spec = tally.spec;
    let completions = spec.completions.filter(|_| tally.is_indexed())?;
    spec.backoff_limit_per_index?;
    let failed = tally.failed_indexes.total();
    if spec.max_failed_indexes.is_some_and(|most| failed > most) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Verdict::fails("MaxFailedIndexesExceeded", message);
    }
    if failed > 0 && failed + tally.completed.total() >= completions {
        return Verdict::fails("FailedIndexes", "Job has failed indexes");
    }
    None
}

/// Makes and deletes pods so that as many are active as should be.
fn manage(tally: &Tally<'_>, suspended: bool, plan: &mut Plan, now: Timestamp) {
    let active = tally.active.len();
    if suspended {
        plan.dismiss.clone_from(&tally.active);
        return;
    }
    let count = |number: i32| usize::try_from(number).unwrap_or(0);
    let parallelism = count(tally.spec.parallelism.unwrap_or(1));
    let wanted = match tally.spec.completions {
        Some(completions) => count(completions - tally.succeeded()).min(parallelism),
        // Whoever works off a queue has seen its end once one of them has succeeded.
        None if tally.succeeded() > 0 => active,
        None => parallelism,
    };
    plan.dismiss = surplus(tally, active.saturating_sub(wanted), now);
    if !plan.dismiss.is_empty() {
        plan.dismiss.truncate(BURST);
        return;
    }
    let leaving = tally.pods.iter().filter(|pod| is_terminating(pod)).count();
    let leaving = if waits_for_failed(tally.spec) {
        leaving
    } else {
        0
    };
    let missing = wanted.saturating_sub(active + leaving).min(BURST);
    if missing == 0 {
        return;
    }
    if tally.spec.backoff_limit_per_index.is_some() {
        return add_by_index(tally, missing, plan, now);
    }
    let succeeded = tally
        .pods
        .iter()
        .filter(|it| pods::phase(it) == "Succeeded");
    let failed = tally.pods.iter().filter(|it| is_failed(tally.spec, it));
    let (succeeded, failed): (Vec<_>, Vec<_>) = (succeeded.collect(), failed.collect());
    let wait = backoff::remaining(&succeeded, &failed, now);
    if !wait.is_zero() {
        plan.again = Some(plan.again.map_or(wait, |again| again.min(wait)));
        return;
    }
    let plain = |index| NewPod {
        index,
        failures: None,
    };
    plan.create = match tally.is_indexed() {
        false => vec![plain(None); missing],
        true => free_indexes(tally, missing)
            .into_iter()
            .map(|index| plain(Some(index)))
            .collect(),
    };
}

fn waits_for_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// The pods that are too many: those of an index that another has, then as ReplicaSets choose.
/// Upstream: `activePodsForRemoval`.
fn surplus(tally: &Tally<'_>, least: usize, now: Timestamp) -> Vec<Arc<Pod>> {
    let first_to_go = |pods: &[Arc<Pod>], keep: usize| {
        use replica_set::plan::Plan::Delete;
        match replica_set::plan::plan(keep, pods, now) {
            Delete(surplus) => surplus,
            _ => Vec::new(),
        }
    };
    let (mut gone, mut left) = (Vec::new(), tally.active.clone());
    if tally.is_indexed() {
        let completions = tally.spec.completions.unwrap_or(0);
        let mut by_index = std::collections::BTreeMap::<_, Vec<Arc<Pod>>>::new();
        for pod in left.drain(..) {
            let index = index_of(&pod).filter(|index| *index < completions);
            by_index.entry(index).or_default().push(pod);
        }
        for (index, mut pods) in by_index {
            let keep = usize::from(index.is_some());
            let twice = first_to_go(&pods, keep);
            pods.retain(|pod| !twice.iter().any(|it| Arc::ptr_eq(it, pod)));
            gone.extend(twice);
            left.extend(pods);
        }
    }
    let more = least.saturating_sub(gone.len());
    gone.extend(first_to_go(&left, left.len().saturating_sub(more)));
    gone
}

/// Indexes that nobody works on.
fn free_indexes(tally: &Tally<'_>, count: usize) -> Vec<i32> {
    let mut taken: Indexes = tally.completed.clone();
    let waits = waits_for_failed(tally.spec);
    let pods = tally.pods.iter();
    let busy = pods.filter(|pod| pods::is_active(pod) || (waits && is_terminating(pod)));
    busy.filter_map(|pod| index_of(pod))
        .for_each(|index| taken.insert(index));
    let completions = tally.spec.completions.unwrap_or(0);
    // Those that have failed for good are passed over, but only they.
    for index in (0..completions).filter(|index| tally.failed_indexes.contains(*index)) {
        taken.insert(index);
    }
    taken.first_missing(count, completions)
}

/// Makes the pods of indexes whose own wait is over.
fn add_by_index(tally: &Tally<'_>, missing: usize, plan: &mut Plan, now: Timestamp) {
    for index in free_indexes(tally, missing) {
        let last = tally.last_failed(index);
        let wait = last.map_or(Duration::ZERO, |pod| {
            let failures = super::tally::failures(pod).unsigned_abs() + 1;
            backoff::after(failures, backoff::finished_at(pod), now)
        });
        if !wait.is_zero() {
            plan.again = Some(plan.again.map_or(wait, |again| again.min(wait)));
            continue;
        }
        let failures = last.map_or((0, 0), |pod| {
            let before = |annotation| number_in(pod, annotation).unwrap_or(0);
            let (counted, ignored) = (before(INDEX_FAILURES), before(INDEX_IGNORED));
            match judge(tally.spec, pod) {
                Failure::Ignored => (counted, ignored + 1),
                _ => (counted + 1, ignored),
            }
        });
        plan.create.push(NewPod {
            index: Some(index),
            failures: Some(failures),
        });
    }
}

/// Takes over what has ended into the status, and says which pods are done with by that.
fn count(tally: &Tally<'_>, verdict: Option<&Verdict>, is_deleted: bool, plan: &mut Plan) {
    let fails = verdict.is_some_and(|verdict| !verdict.succeeds);
    let mut uncounted = tally.uncounted.clone();
    let succeeded = uncounted.succeeded.get_or_insert_default();
    let failed = uncounted.failed.get_or_insert_default();
    for pod in tally.pods.iter().filter(|pod| is_tracked(pod)) {
        if succeeded.len() + failed.len() >= BURST {
            break;
        }
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let has_succeeded = pods::phase(pod) == "Succeeded";
        let has_failed = is_failed(tally.spec, pod);
        let ends = is_deleted || verdict.is_some();
        let waits = index_of(pod).and_then(|index| tally.last_failed(index));
        let is_needed = waits.is_some_and(|last| Arc::ptr_eq(last, pod));
        if !(ends || has_succeeded || (has_failed && !is_needed)) {
            continue;
        }
        plan.release.push(pod.clone());
        if failed.contains(&uid) || succeeded.contains(&uid) || !tally.has_place(pod) {
            continue;
        }
        if has_succeeded {
            // An Indexed Job's status says so by the index.
            if !tally.is_indexed() {
                succeeded.push(uid);
            }
        } else if (has_failed || fails) && judge(tally.spec, pod) != Failure::Ignored {
            // When a Job has failed, so has every pod that had not ended by then.
            failed.push(uid);
        }
    }
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let some = |number: i32| (number != 0).then_some(number);
    let text = |indexes: &Indexes| Some(indexes.to_string()).filter(|text| !text.is_empty());
    let ready = tally
        .active
        .iter()
        .filter(|pod| pods::is_ready(pod))
        .count();
    let terminating = tally.pods.iter().filter(|pod| is_terminating(pod)).count();
    let status = &mut plan.status;
    status.active = some(number(tally.active.len()));
    status.ready = Some(number(ready));
    status.terminating = Some(number(terminating));
    status.failed = some(tally.counted_failed);
    status.succeeded = some(match tally.is_indexed() {
        true => tally.completed.total(),
        false => tally.counted_succeeded,
    });
    if tally.is_indexed() {
        status.completed_indexes = text(&tally.completed);
        if tally.spec.backoff_limit_per_index.is_some() {
            status.failed_indexes = Some(tally.failed_indexes.to_string());
        }
    }
    for list in [&mut uncounted.succeeded, &mut uncounted.failed] {
        *list = list.take().filter(|list| !list.is_empty());
    }
    status.uncounted_terminated_pods = Some(uncounted);
}

/// Announces the end, and says that it has come once all pods are gone or counted.
fn conclude(tally: &Tally<'_>, verdict: &Verdict, plan: &mut Plan, now: Timestamp) {
    let (announced, ended) = verdict.conditions();
    let Verdict {
        reason, message, ..
    } = verdict;
    set_condition(&mut plan.status, announced, "True", reason, message, now);
    let uncounted = plan.status.uncounted_terminated_pods.as_ref();
    let all_counted = uncounted.is_none_or(|it| it.succeeded.is_none() && it.failed.is_none());
    let all_ended = !tally
        .pods
        .iter()
        .any(|pod| is_tracked(pod) || pods::is_active(pod) || is_terminating(pod));
    if !all_counted || !all_ended {
        return;
    }
    set_condition(&mut plan.status, ended, "True", reason, message, now);
    if verdict.succeeds {
        plan.status.completion_time = Some(Time(now));
    }
    plan.news.push(match verdict.succeeds {
        true => News {
            warning: false,
            reason: "Completed".into(),
            message: "Job completed".into(),
        },
        false => News {
            warning: true,
            reason: reason.clone(),
            message: message.clone(),
        },
    });
}

/// Suspended or not, where that has changed; whoever goes on begins anew.
fn say_whether_suspended(plan: &mut Plan, suspended: bool, now: Timestamp) {
    let (status, reason, message, told) = match suspended {
        true => ("True", "JobSuspended", "Job suspended", "Suspended"),
        false => ("False", "JobResumed", "Job resumed", "Resumed"),
    };
    if !set_condition(&mut plan.status, "Suspended", status, reason, message, now) {
        return;
    }
    if !suspended {
        plan.status.start_time = Some(Time(now));
    }
    plan.news.push(News {
        warning: false,
        reason: told.into(),
        message: message.into(),
    });
}

/// Sets a condition; whether that changed anything. One that is not there is not set to false.
/// Upstream: `ensureJobConditionStatus`.
fn set_condition(
    status: &mut JobStatus,
    type_: &str,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let place = conditions.iter().position(|it| it.type_ == type_);
    let is_same = |it: &JobCondition| {
        it.status == value
            && it.reason.as_deref() == Some(reason)
            && it.message.as_deref() == Some(message)
    };
    let condition = JobCondition {
        type_: type_.into(),
        status: value.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    let changes = match place {
        Some(place) if is_same(&conditions[place]) => false,
        Some(place) => {
            conditions[place] = condition;
            true
        }
        None if value == "False" => false,
        None => {
            conditions.push(condition);
            true
        }
    };
    if conditions.is_empty() {
        status.conditions = None;
    }
    changes
}
