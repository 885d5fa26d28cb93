//! Deletes Jobs that have ended, when their time to be looked at is over.
//!
//! Upstream: `pkg/controller/ttlafterfinished/ttlafterfinished_controller.go`.

use std::time::Duration;

use informers::key_of;
use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Preconditions};

use super::plan::is_finished;
use crate::context::{Context, Outcome, SharedInformers};
use crate::error::ignore_not_found;

pub(super) fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let jobs = queue.clone();
    informers.jobs.on_event(move |event| {
        let (Event::Added(job) | Event::Updated(_, job)) = event else {
            return;
        };
        if left(job, Timestamp::now()).is_some() {
            jobs.add(key_of(job.as_ref()));
        }
    });
    move |context| {
        context.work("ttl-after-finished", &queue, 1, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

/// How long a Job has left, if it has ended and may not stay.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if !is_finished(job) || job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    let mut ends = conditions
        .filter(|it| matches!(it.type_.as_str(), "Complete" | "Failed") && it.status == "True");
    let ended = ends.next()?.last_transition_time.as_ref()?.0;
    let left = (ended + SignedDuration::from_secs(seconds.into())).duration_since(now);
    Some(Duration::try_from(left).unwrap_or_default())
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let now = Timestamp::now();
    let Some(job) = context.stores.jobs.get(key) else {
        return Ok(None);
    };
    match left(&job, now) {
        None => return Ok(None),
        Some(wait) if !wait.is_zero() => return Ok(Some(wait)),
        Some(_) => {}
    }
    // Its time may have been made longer a moment ago: nothing is deleted on hearsay.
    let namespace = job.namespace().unwrap_or_default();
    let api = Api::<Job>::namespaced(context.client.clone(), &namespace);
    let Some(live) = ignore_not_found(api.get(&job.name_any()).await)? else {
        return Ok(None);
    };
    match left(&live, now) {
        Some(wait) if wait.is_zero() => {
            let preconditions = Preconditions {
                uid: live.metadata.uid.clone(),
                resource_version: live.metadata.resource_version.clone(),
            };
            let params = DeleteParams::foreground().preconditions(preconditions);
            ignore_not_found(api.delete(&live.name_any(), &params).await)?;
            Ok(None)
        }
        wait => Ok(wait),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_has_ended_may_go() {
        let job = |ttl: Option<i32>, condition: &str| -> Job {
            serde_json::from_value(json!({
                "spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
                "status": {"conditions": [{"type": condition, "status": "True",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
            }))
            .expect("it is a Job")
        };
        let now = "2026-01-01T00:00:10Z".parse().expect("it is a time");
        let left = |ttl, condition| left(&job(ttl, condition), now);
        assert_eq!(left(Some(30), "Complete"), Some(Duration::from_secs(20)));
        assert_eq!(left(Some(5), "Failed"), Some(Duration::ZERO));
        assert_eq!(left(Some(5), "Suspended"), None);
        assert_eq!(left(None, "Complete"), None);
    }
}
