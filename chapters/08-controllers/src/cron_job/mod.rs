//! Starts Jobs by the clock. Upstream: `pkg/controller/cronjob/cronjob_controllerv2.go`.
//!
//! ```text
//! schedule:   |       |       |       |
//! looks:      ▲ wait  ▲ wait  ▲       the Job's name is its time: made twice, it is made once
//! Jobs:       1───────────┐   2 ...   Forbid: not while 1 runs; Replace: 1 is deleted
//! ```
//!
//! [`plan`] decides. Nobody keeps a timer for each CronJob: a look at one says when to look again.

pub mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

use informers::key_of;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};

use crate::context::{BY_CONTROLLER, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found, is_conflict};
use crate::job::plan::is_finished;
use crate::owners::controller_of;
use plan::News;

/// Workers that look at CronJobs at the same time.
const WORKERS: usize = 5;

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let cron_jobs = queue.clone();
    informers
        .cron_jobs
        .on_event(move |event| cron_jobs.add(key_of(event.object().as_ref())));
    let jobs = queue.clone();
    informers.jobs.on_event(move |event| {
        let job = event.object();
        if let Some(owner) = controller_of(job.as_ref()).filter(|owner| owner.kind == "CronJob") {
            let namespace = job.namespace().unwrap_or_default();
            jobs.add(informers::join_key(&namespace, &owner.name));
        }
    });
    move |context| {
        context.work("cronjob", &queue, WORKERS, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let Some(cron_job) = context.stores.cron_jobs.get(key) else {
        return Ok(None);
    };
    let namespace = cron_job.namespace().unwrap_or_default();
    let api = Api::<Job>::namespaced(context.client.clone(), &namespace);
    let uid = cron_job.metadata.uid.as_deref().unwrap_or_default();
    let jobs = context.stores.jobs.by_index(BY_CONTROLLER, uid);
    let Some(cron_job) = as_new_as(context, cron_job, &jobs).await? else {
        return Ok(None);
    };
    let missing = missing(&api, &cron_job, &jobs).await?;
    let plan = plan::plan(&cron_job, &jobs, &missing, Timestamp::now());
    let recorder = context.recorder.named("cronjob-controller");
    for News {
        warning,
        reason,
        message,
    } in plan.news
    {
        match warning {
            true => recorder.warning(cron_job.as_ref(), reason, message),
            false => recorder.normal(cron_job.as_ref(), reason, message),
        }
    }
    for job in plan.delete {
        let name = job.name_any();
        let preconditions = Preconditions {
            uid: job.metadata.uid.clone(),
            resource_version: None,
        };
        let params = DeleteParams::background().preconditions(preconditions);
        ignore_not_found(api.delete(&name, &params).await)?;
        recorder.normal(
            cron_job.as_ref(),
            "SuccessfulDelete",
            format!("Deleted job {name}"),
        );
    }
    let mut status = plan.status;
    if let Some((job, time)) = plan.create {
        let made = match create(&api, &cron_job, &job).await {
            Ok(made) => made,
            Err(error) => {
                let message = format!("Error creating job: {error}");
                recorder.warning(cron_job.as_ref(), "FailedCreate", message);
                write_status(context, &cron_job, status).await?;
                return Err(error);
            }
        };
        let message = format!("Created job {}", made.name_any());
        recorder.normal(cron_job.as_ref(), "SuccessfulCreate", message);
        status = plan::with_job(status, &made, time);
    }
    write_status(context, &cron_job, status).await?;
    Ok(plan.again)
}

/// The CronJob in a version that knows of its Jobs. The store may have seen a Job before it sees the
/// status that was written after the Job was made: then the API is asked.
async fn as_new_as(
    context: &Context,
    cron_job: Arc<CronJob>,
    jobs: &[Arc<Job>],
) -> Result<Option<Arc<CronJob>>, Error> {
    let status = cron_job.status.as_ref();
    let active = status
        .and_then(|it| it.active.as_deref())
        .unwrap_or_default();
    let is_known =
        |job: &Arc<Job>| is_finished(job) || active.iter().any(|it| it.uid == job.metadata.uid);
    if jobs.iter().all(is_known) {
        return Ok(Some(cron_job));
    }
    let namespace = cron_job.namespace().unwrap_or_default();
    let api = Api::<CronJob>::namespaced(context.client.clone(), &namespace);
    let live = ignore_not_found(api.get(&cron_job.name_any()).await)?;
    Ok(live.map(Arc::new))
}

/// Uids of Jobs that the status calls active and that are gone. The store may be behind: who is
/// not in it is asked for.
async fn missing(
    api: &Api<Job>,
    cron_job: &CronJob,
    jobs: &[Arc<Job>],
) -> Result<BTreeSet<String>, Error> {
    let mut missing = BTreeSet::new();
    let active = cron_job.status.as_ref().and_then(|it| it.active.as_ref());
    for reference in active.into_iter().flatten() {
        if jobs.iter().any(|job| job.metadata.uid == reference.uid) {
            continue;
        }
        let name = reference.name.as_deref().unwrap_or_default();
        let live = ignore_not_found(api.get_metadata(name).await)?;
        if live.is_none_or(|live| live.metadata.uid != reference.uid) {
            missing.extend(reference.uid.clone());
        }
    }
    Ok(missing)
}

/// Makes a Job, or finds that it was made before its CronJob's status could say so.
async fn create(api: &Api<Job>, cron_job: &CronJob, job: &Job) -> Result<Job, Error> {
    match api.create(&PostParams::default(), job).await {
        Err(error) if is_conflict(&error) => {
            let made = api.get(&job.name_any()).await?;
            let owner = controller_of(&made).map(|owner| &owner.uid);
            if owner == cron_job.metadata.uid.as_ref() {
                Ok(made)
            } else {
                Err(error.into())
            }
        }
        made => Ok(made?),
    }
}

async fn write_status(
    context: &Context,
    cron_job: &CronJob,
    status: CronJobStatus,
) -> Result<(), Error> {
    if cron_job.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let mut updated = cron_job.clone();
    updated.status = Some(status);
    let namespace = cron_job.namespace().unwrap_or_default();
    let api = Api::<CronJob>::namespaced(context.client.clone(), &namespace);
    let (name, params) = (cron_job.name_any(), PostParams::default());
    ignore_not_found(api.replace_status(&name, &params, &updated).await)?;
    Ok(())
}
