//! Runs pods until enough of them have succeeded. Upstream: `pkg/controller/job/job_controller.go`.
//!
//! ```text
//!            ┌─ parallelism ─┐
//! pods:      run  run  run       one ends well ─► counted; the next takes its place
//!                                one fails     ─► counted; another, after a wait that grows
//! the Job:   completions reached ─► SuccessCriteriaMet ─► all gone or counted ─► Complete
//!            backoffLimit passed ─► FailureTarget      ─► all gone or counted ─► Failed
//! ```
//!
//! | module | decides |
//! | --- | --- |
//! | [`plan`] | what to make, delete and write |
//! | [`tally`] | what there is, and how a pod is counted exactly once |
//! | [`indexes`] | the indexes of an Indexed Job |
//! | [`policy`] | which failures count, and when some successes are enough |
//! | [`backoff`] | how long to wait after a failure |
//! | [`pod`] | what a Job's pod has beside its template |
//! | [`ttl`] | when a Job that has ended goes |
//!
//! Left out: `managedBy` somebody else is respected, and that is all there is to it.

pub mod backoff;
pub mod indexes;
pub mod plan;
pub mod pod;
pub mod policy;
pub mod tally;
pub mod ttl;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use informers::key_of;
use informers::shared_informer::Event;
use informers::store::Store;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found};
use crate::owners::{controller_of, selects};
use crate::pod_control::{claim_pods, create_pods, delete_pods};
use crate::replica_set::expectations::Expectations;
use plan::News;
use tally::{TRACKING, is_tracked};

/// Workers that look at Jobs at the same time.
const WORKERS: usize = 5;
/// The controller's name in events.
const COMPONENT: &str = "job-controller";
/// Who manages a Job that names nobody, and the name of that.
const MANAGED_HERE: &str = "kubernetes.io/job-controller";

/// What workers remember between two looks at a Job.
#[derive(Clone, Default)]
struct Memory {
    expectations: Expectations,
    /// By key, the version that a status was last written over. While that is what the store has,
    /// the store is behind: what it has of the pods may be newer than what it says was counted.
    outdated: Arc<Mutex<HashMap<String, String>>>,
}

impl Memory {
    fn is_outdated(&self, key: &str, version: &str) -> bool {
        let outdated = self.outdated.lock().expect("no holder of the lock panics");
        outdated.get(key).is_some_and(|it| it == version)
    }

    fn wrote_over(&self, key: &str, version: String) {
        let mut outdated = self.outdated.lock().expect("no holder of the lock panics");
        outdated.insert(key.to_owned(), version);
    }

    fn forget(&self, key: &str) {
        self.expectations.forget(key);
        let mut outdated = self.outdated.lock().expect("no holder of the lock panics");
        outdated.remove(key);
    }
}

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let (queue, orphans) = (WorkQueue::default(), WorkQueue::default());
    let memory = Memory::default();
    let jobs = queue.clone();
    informers
        .jobs
        .on_event(move |event| jobs.add(key_of(event.object().as_ref())));
    let (pods, store, seen) = (
        queue.clone(),
        informers.jobs.store(),
        memory.expectations.clone(),
    );
    let left = orphans.clone();
    informers.pods.on_event(move |event| {
        for key in keys_of_pod(event, &store, &seen) {
            pods.add(key);
        }
        if is_tracked(event.object()) {
            left.add(key_of(event.object().as_ref()));
        }
    });
    // A Job that goes leaves pods whose finalizer nobody else takes off.
    let (gone, pods) = (orphans.clone(), informers.pods.store());
    informers.jobs.on_event(move |event| {
        if let Event::Deleted(job) = event {
            let uid = job.metadata.uid.as_deref().unwrap_or_default();
            for pod in pods.by_index(crate::context::BY_CONTROLLER, uid) {
                gone.add(key_of(pod.as_ref()));
            }
        }
    });
    let ttl = ttl::register(informers);
    move |context| {
        context.work("job", &queue, WORKERS, move |context, key| {
            let memory = memory.clone();
            Box::pin(async move { reconcile(&context, &memory, &key).await })
        });
        context.work("job-orphans", &orphans, 1, |context, key: String| {
            Box::pin(async move { release_orphan(&context, &key).await })
        });
        ttl(context);
    }
}

/// The Jobs that a pod's change concerns.
fn keys_of_pod(
    event: &Event<'_, Pod>,
    store: &Store<Job>,
    expectations: &Expectations,
) -> Vec<String> {
    let owner_key = |pod: &Pod| {
        let owner = controller_of(pod).filter(|owner| owner.kind == "Job")?;
        let namespace = pod.namespace().unwrap_or_default();
        Some(informers::join_key(&namespace, &owner.name))
    };
    let pod = event.object();
    let key = owner_key(pod);
    if let Some(key) = &key {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if matches!(event, Event::Added(_)) {
            expectations.creation_observed(key);
        }
        if matches!(event, Event::Deleted(_)) || pod.metadata.deletion_timestamp.is_some() {
            expectations.deletion_observed(key, uid);
        }
    }
    let mut keys: Vec<String> = key.into_iter().collect();
    if let Event::Updated(old, _) = event {
        keys.extend(owner_key(old).filter(|old_key| keys.first() != Some(old_key)));
    }
    if controller_of(pod.as_ref()).is_none() {
        // An orphan: whoever selects it may want it.
        let jobs = store.in_namespace(&pod.namespace().unwrap_or_default());
        let wants = |job: &&Arc<Job>| {
            let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selects(selector, pod.metadata.labels.as_ref())
        };
        keys.extend(jobs.iter().filter(wants).map(|job| key_of(job.as_ref())));
    }
    keys
}

fn is_managed_here(job: &Job) -> bool {
    let manager = job
        .spec
        .as_ref()
        .and_then(|spec| spec.managed_by.as_deref());
    manager.is_none_or(|manager| manager == MANAGED_HERE)
}

async fn reconcile(context: &Context, memory: &Memory, key: &str) -> Outcome {
    let Some(job) = context.stores.jobs.get(key) else {
        memory.forget(key);
        return Ok(None);
    };
    let version = job.resource_version().unwrap_or_default();
    if !is_managed_here(&job) || memory.is_outdated(key, &version) {
        return Ok(None);
    }
    let spec = job.spec.as_ref();
    let selector = spec.and_then(|spec| spec.selector.as_ref());
    let expectations = &memory.expectations;
    // Asked before the pods are: what is seen in between is seen twice, and not missed.
    let may_manage = expectations.satisfied(key);
    let pods = claim_pods(context, job.as_ref(), selector, Some(TRACKING)).await?;
    let plan = plan::plan(&job, &pods, may_manage, Timestamp::now());

    let owner = job.as_ref();
    let mut failure = None;
    if !plan.create.is_empty() {
        let new = plan.create.iter().map(|new| pod::pod(owner, new));
        let new: Vec<Pod> = new.collect();
        failure = create_pods(context, COMPONENT, expectations, key, owner, &new).await;
    } else if !plan.dismiss.is_empty() || !plan.delete.is_empty() {
        for pod in &plan.dismiss {
            release(context, pod).await?;
        }
        let gone = &[plan.dismiss, plan.delete].concat();
        failure = delete_pods(context, COMPONENT, expectations, key, owner, gone).await;
    }
    write_status(context, memory, key, owner, plan.status, &plan.news).await?;
    for pod in &plan.release {
        release(context, pod).await?;
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(plan.again),
    }
}

/// Writes what has changed. After a conflict nothing else is done: it was worked out from what is
/// no longer so.
async fn write_status(
    context: &Context,
    memory: &Memory,
    key: &str,
    job: &Job,
    status: JobStatus,
    news: &[News],
) -> Result<(), Error> {
    if job.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let mut updated = job.clone();
    updated.status = Some(status);
    let namespace = job.namespace().unwrap_or_default();
    let api = Api::<Job>::namespaced(context.client.clone(), &namespace);
    let written = api
        .replace_status(&job.name_any(), &PostParams::default(), &updated)
        .await;
    let Some(written) = ignore_not_found(written)? else {
        return Ok(());
    };
    // A write that changes nothing makes no version, and no event that would bring us back.
    if written.resource_version() != job.resource_version() {
        memory.wrote_over(key, job.resource_version().unwrap_or_default());
    }
    let recorder = context.recorder.named(COMPONENT);
    for News {
        warning,
        reason,
        message,
    } in news
    {
        let reason = in_events(reason);
        match warning {
            true => recorder.warning(job, reason, message.clone()),
            false => recorder.normal(job, reason, message.clone()),
        }
    }
    Ok(())
}

/// The reasons that events give, which are a fixed set.
fn in_events(reason: &str) -> &'static str {
    const REASONS: [&str; 8] = [
        "Completed",
        "Suspended",
        "Resumed",
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
    ];
    let known = REASONS.into_iter().find(|known| *known == reason);
    known.unwrap_or("Failed")
}

/// Takes off the finalizer of a pod that no Job counts any more.
async fn release_orphan(context: &Context, key: &str) -> Outcome {
    let Some(pod) = context.stores.pods.get(key).filter(|pod| is_tracked(pod)) else {
        return Ok(None);
    };
    if let Some(owner) = controller_of(pod.as_ref()) {
        if owner.kind != "Job" {
            return Ok(None);
        }
        let namespace = pod.namespace().unwrap_or_default();
        let key = informers::join_key(&namespace, &owner.name);
        let job = context.stores.jobs.get(&key);
        let counts = |job: &Arc<Job>| {
            job.metadata.uid.as_ref() == Some(&owner.uid)
                && !(plan::is_finished(job) && is_managed_here(job))
        };
        if job.as_ref().is_some_and(counts) {
            return Ok(None);
        }
    }
    release(context, &pod).await?;
    Ok(None)
}

async fn release(context: &Context, pod: &Pod) -> Result<(), Error> {
    let namespace = pod.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let patch = Patch::Strategic(json!({"metadata": {
        "uid": pod.metadata.uid,
        "$deleteFromPrimitiveList/finalizers": [TRACKING],
    }}));
    let (name, params) = (pod.name_any(), PatchParams::default());
    ignore_not_found(api.patch(&name, &params, &patch).await)?;
    Ok(())
}
