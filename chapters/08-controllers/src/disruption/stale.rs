//! Unmarks pods that were to be disrupted and were not.
//!
//! Upstream: `syncStalePodDisruption` in `pkg/controller/disruption/disruption.go`.

use std::time::Duration;

use informers::key_of;
use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::ignore_not_found;
use crate::pods;

/// How long the mark holds by itself.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

pub(super) fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let marked = queue.clone();
    informers.pods.on_event(move |event| {
        let (Event::Added(pod) | Event::Updated(_, pod)) = event else {
            return;
        };
        if stale_in(pod, Timestamp::now()).is_some() {
            marked.add(key_of(pod.as_ref()));
        }
    });
    move |context| {
        context.work("stale-disruption", &queue, 1, |context, key| {
            Box::pin(async move { reconcile(&context, &key).await })
        });
    }
}

/// How long it takes until a pod's mark is stale, if it is marked. What its kubelet marked takes
/// as long as it takes, and what has ended stays as it is.
fn stale_in(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let mark = pods::condition(pod, "DisruptionTarget")?;
    let by_kubelet = mark.reason.as_deref() == Some("TerminationByKubelet");
    if mark.status != "True" || by_kubelet || !pods::is_active(pod) {
        return None;
    }
    let since = mark.last_transition_time.as_ref().map(|time| time.0);
    let at = since.unwrap_or_default() + TIMEOUT;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

async fn reconcile(context: &Context, key: &str) -> Outcome {
    let Some(pod) = context.stores.pods.get(key) else {
        return Ok(None);
    };
    let now = Timestamp::now();
    match stale_in(&pod, now) {
        None => Ok(None),
        Some(wait) if !wait.is_zero() => Ok(Some(wait)),
        Some(_) => {
            let namespace = pod.namespace().unwrap_or_default();
            let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
            let patch = Patch::Strategic(json!({
                "metadata": {"uid": pod.metadata.uid},
                "status": {"conditions": [{
                    "type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
                    "lastTransitionTime": k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now),
                }]},
            }));
            let name = pod.name_any();
            let params = PatchParams::default();
            ignore_not_found(api.patch_status(&name, &params, &patch).await)?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_grows_stale_unless_its_kubelet_made_it() {
        let pod = |reason: &str, phase: &str| -> Pod {
            let status = json!({"phase": phase, "conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": reason,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]});
            serde_json::from_value(json!({"status": status})).expect("it is a pod")
        };
        let at = |text: &str| text.parse::<Timestamp>().expect("it is a time");
        let evicted = pod("EvictionByEvictionAPI", "Running");
        assert_eq!(
            stale_in(&evicted, at("2026-01-01T00:01:30Z")),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            stale_in(&evicted, at("2026-01-01T00:03:00Z")),
            Some(Duration::ZERO)
        );
        let later = at("2026-01-02T00:00:00Z");
        assert_eq!(
            stale_in(&pod("TerminationByKubelet", "Running"), later),
            None
        );
        assert_eq!(
            stale_in(&pod("EvictionByEvictionAPI", "Failed"), later),
            None
        );
        assert_eq!(stale_in(&Pod::default(), later), None);
    }
}
