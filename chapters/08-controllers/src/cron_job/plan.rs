//! What a CronJob needs next.
//!
//! Upstream: `syncCronJob` in `pkg/controller/cronjob/cronjob_controllerv2.go`, and `utils.go`
//! beside it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cron::Schedule;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use crate::job::plan::is_finished;
use crate::owners::controller_reference;

/// Annotation of a Job: the time that it was to start at.
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// So many times missed are worth a warning.
const MISSED_MANY: usize = 100;
/// A little later than the time itself, so that it has come for sure.
const SLACK: Duration = Duration::from_millis(100);

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// It did not go well.
    pub warning: bool,
    /// `SawCompletedJob`.
    pub reason: &'static str,
    /// The rest.
    pub message: String,
}

/// What to do, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// Jobs to delete: those that have ended too long ago, or that are replaced.
    pub delete: Vec<Arc<Job>>,
    /// A Job to make, for this time.
    pub create: Option<(Job, Timestamp)>,
    /// The status, without the Job that is to be made.
    pub status: CronJobStatus,
    /// What happened.
    pub news: Vec<News>,
    /// When to look again.
    pub again: Option<Duration>,
}

impl Plan {
    fn tell(&mut self, warning: bool, reason: &'static str, message: String) {
        self.news.push(News {
            warning,
            reason,
            message,
        });
    }
}

/// Decides, from a CronJob and the Jobs that it controls. `missing`: uids of Jobs that the status
/// calls active and that are gone.
pub fn plan(
    cron_job: &CronJob,
    jobs: &[Arc<Job>],
    missing: &BTreeSet<String>,
    now: Timestamp,
) -> Plan {
    let spec = &cron_job.spec;
    let mut plan = Plan {
        status: cron_job.status.clone().unwrap_or_default(),
        ..Plan::default()
    };
    see_what_ended(&mut plan, jobs, missing);
    clean_up(&mut plan, spec, jobs);
    if cron_job.metadata.deletion_timestamp.is_none() && spec.suspend != Some(true) {
        start(&mut plan, cron_job, jobs, now);
    }
    plan
}

/// Takes Jobs that have ended or vanished out of those that are active.
fn see_what_ended(plan: &mut Plan, jobs: &[Arc<Job>], missing: &BTreeSet<String>) {
    let mut active = plan.status.active.take().unwrap_or_default();
    for job in jobs {
        let uid = job.metadata.uid.as_ref();
        let place = active.iter().position(|it| it.uid.as_ref() == uid);
        match (place, is_finished(job)) {
            (None, false) => {
                let message = format!(
                    "Saw a job that the controller did not create or forgot: {}",
                    job.name_any()
                );
                plan.tell(true, "UnexpectedJob", message);
            }
            (Some(place), true) => {
                active.remove(place);
                let how = how_it_ended(job);
                let message = format!("Saw completed job: {}, condition: {how}", job.name_any());
                plan.tell(false, "SawCompletedJob", message);
            }
            (None, true) | (Some(_), false) => {}
        }
        let completed = job
            .status
            .as_ref()
            .and_then(|it| it.completion_time.clone());
        let completed = completed.filter(|_| how_it_ended(job) == "Complete");
        // The latest, whichever was seen last.
        plan.status.last_successful_time = plan.status.last_successful_time.take().max(completed);
    }
    let gone = |it: &ObjectReference| it.uid.as_ref().is_some_and(|uid| missing.contains(uid));
    for reference in active.iter().filter(|it| gone(it)) {
        let name = reference.name.as_deref().unwrap_or_default();
        plan.tell(
            false,
            "MissingJob",
            format!("Active job went missing: {name}"),
        );
    }
    active.retain(|it| !gone(it));
    plan.status.active = (!active.is_empty()).then_some(active);
}

fn how_it_ended(job: &Job) -> &str {
    let conditions = job.status.as_ref().and_then(|it| it.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    let end = conditions
        .find(|it| it.status == "True" && matches!(it.type_.as_str(), "Complete" | "Failed"));
    end.map_or("", |it| it.type_.as_str())
}

/// Deletes the oldest Jobs that have ended, beyond what is to be kept of each kind.
fn clean_up(plan: &mut Plan, spec: &CronJobSpec, jobs: &[Arc<Job>]) {
    let limits = [
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ];
    for (how, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
            continue;
        };
        let mut ended: Vec<&Arc<Job>> = jobs
            .iter()
            .filter(|job| how_it_ended(job) == how && job.metadata.deletion_timestamp.is_none())
            .collect();
        let started = |job: &Job| job.status.as_ref().and_then(|it| it.start_time.clone());
        ended.sort_by_key(|job| (started(job), job.name_any()));
        let surplus = ended.len().saturating_sub(limit);
        plan.delete.extend(ended.into_iter().take(surplus).cloned());
    }
}

/// Starts the Job whose time has come, unless something speaks against it.
fn start(plan: &mut Plan, cron_job: &CronJob, jobs: &[Arc<Job>], now: Timestamp) {
    let spec = &cron_job.spec;
    let zone = match spec.time_zone.as_deref().map(TimeZone::get) {
        None => TimeZone::UTC,
        Some(Ok(zone)) => zone,
        Some(Err(_)) => {
            let name = spec.time_zone.as_deref().unwrap_or_default();
            let message = format!("invalid timeZone: {name:?}: unknown time zone {name}");
            return plan.tell(true, "UnknownTimeZone", message);
        }
    };
    let schedule = match Schedule::parse(&spec.schedule) {
        Ok(schedule) => schedule,
        Err(why) => {
            let message = format!("unparseable schedule: {:?} : {why}", spec.schedule);
            return plan.tell(true, "UnparseableSchedule", message);
        }
    };
    let next = schedule.after(now, &zone);
    plan.again = next.map(|next| {
        let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
        wait + SLACK
    });
    let (time, missed) = latest(cron_job, &schedule, &zone, now);
    if missed > MISSED_MANY {
        let message = "too many missed start times. Set or decrease \
                       .spec.startingDeadlineSeconds or check clock skew";
        plan.tell(true, "TooManyMissedTimes", message.to_owned());
    }
    let last = plan.status.last_schedule_time.as_ref().map(|it| it.0);
    let Some(time) = time.filter(|time| Some(*time) != last) else {
        return;
    };
    let deadline = spec
        .starting_deadline_seconds
        .map(SignedDuration::from_secs);
    if deadline.is_some_and(|deadline| time + deadline < now) {
        let message = format!(
            "Missed scheduled time to start a job: {}",
            time.strftime("%a, %d %b %Y %H:%M:%S %z")
        );
        return plan.tell(true, "MissSchedule", message);
    }
    let job = job_at(cron_job, time, &zone);
    let active = plan.status.active.clone().unwrap_or_default();
    if active.iter().any(|it| it.name == job.metadata.name) {
        return;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message = "Not starting job because prior execution is running and concurrency \
                           policy is Forbid";
            return plan.tell(false, "JobAlreadyActive", message.to_owned());
        }
        Some("Replace") => {
            let is_active = |job: &&Arc<Job>| active.iter().any(|it| it.uid == job.metadata.uid);
            plan.delete.extend(jobs.iter().filter(is_active).cloned());
            plan.status.active = None;
        }
        _ => {}
    }
    plan.create = Some((job, time));
}

/// The last time that has come and was not used yet, and how many have come, if not too many to
/// count. Upstream:
/// `mostRecentScheduleTime`.
fn latest(
    cron_job: &CronJob,
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
) -> (Option<Timestamp>, usize) {
    let status = cron_job.status.as_ref();
    let last = status.and_then(|it| it.last_schedule_time.as_ref());
    let since = last.or(cron_job.metadata.creation_timestamp.as_ref());
    let mut since = since.map_or(now, |time| time.0);
    if let Some(seconds) = cron_job.spec.starting_deadline_seconds {
        // What was to start before has missed its deadline.
        since = since.max(now - SignedDuration::from_secs(seconds));
    }
    let times = std::iter::successors(schedule.after(since, zone), |time| {
        schedule.after(*time, zone)
    });
    let missed = times.take_while(|time| *time <= now).take(MISSED_MANY + 1);
    (schedule.latest(since, now, zone), missed.count())
}

/// The Job of a time. Its name is the time's, so that none is made twice.
fn job_at(cron_job: &CronJob, time: Timestamp, zone: &TimeZone) -> Job {
    let template = cron_job.spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut job = Job {
        metadata: kube::api::ObjectMeta {
            name: Some(format!("{}-{}", cron_job.name_any(), time.as_second() / 60)),
            namespace: cron_job.namespace(),
            labels: meta.labels,
            annotations: meta.annotations,
            owner_references: Some(vec![controller_reference(cron_job)]),
            ..kube::api::ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    };
    let local = time.to_zoned(zone.clone());
    let format = match local.offset().is_zero() {
        true => "%Y-%m-%dT%H:%M:%SZ",
        false => "%Y-%m-%dT%H:%M:%S%:z",
    };
    let text = local.strftime(format).to_string();
    job.annotations_mut().insert(SCHEDULED.to_owned(), text);
    job
}

/// The status once a Job was made.
pub fn with_job(mut status: CronJobStatus, job: &Job, time: Timestamp) -> CronJobStatus {
    let reference = ObjectReference {
        api_version: Some("batch/v1".into()),
        kind: Some("Job".into()),
        namespace: job.namespace(),
        name: job.metadata.name.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        ..ObjectReference::default()
    };
    status.active.get_or_insert_default().push(reference);
    status.last_schedule_time = Some(Time(time));
    status
}
