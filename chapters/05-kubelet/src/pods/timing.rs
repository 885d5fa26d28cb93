//! How long a pod's start and its worker's steps take.
//!
//! What a pod's start is measured from is its creation, and from that are taken away the times
//! that are not the kubelet's to answer for: pulls, and what init containers do.
//!
//! Upstream: `pkg/kubelet/util/pod_startup_latency_tracker.go`.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::decide::spec;
use crate::metrics::Metrics;

/// The times of one worker.
#[derive(Debug)]
pub struct Timing {
    seen: Instant,
    /// The pod's start is yet to be counted.
    is_starting: bool,
    /// The version of the pod at the last step; `None` before the first.
    resource_version: Option<String>,
}

impl Timing {
    /// Of a pod that is seen for the first time. One that was started already, by an earlier
    /// kubelet, tells nothing of starts.
    pub fn new(pod: &Pod) -> Timing {
        let status = pod.status.as_ref();
        Timing {
            seen: Instant::now(),
            is_starting: status.is_none_or(|status| status.start_time.is_none()),
            resource_version: None,
        }
    }

    /// Counts a step.
    pub fn stepped(&mut self, metrics: &Metrics, pod: &Pod, took: Duration) {
        let version = pod.metadata.resource_version.clone().unwrap_or_default();
        let kind = match &self.resource_version {
            None => "create",
            Some(known) if *known == version => "sync",
            Some(_) => "update",
        };
        self.resource_version = Some(version);
        metrics.worked(kind, took);
    }

    /// Counts the pod's start, once, when all its containers run. `pulling` is how long its images
    /// were pulled.
    pub fn stated(&mut self, metrics: &Metrics, pod: &Pod, status: &PodStatus, pulling: Duration) {
        if self.is_starting && all_run(pod, status) {
            self.is_starting = false;
            let created = pod.metadata.creation_timestamp.as_ref();
            let whole = created.map(|created| Timestamp::now().duration_since(created.0));
            let whole = whole.and_then(|whole| Duration::try_from(whole).ok());
            let others = pulling + initializing(pod, status);
            let own = whole.unwrap_or_default().saturating_sub(others);
            metrics.pod_started(self.seen.elapsed(), own);
        }
    }
}

fn all_run(pod: &Pod, status: &PodStatus) -> bool {
    let statuses = status.container_statuses.as_deref().unwrap_or_default();
    let runs = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    };
    statuses.len() == spec::of(pod).containers.len() && statuses.iter().all(runs)
}

/// How long init containers ran that are not sidecars.
fn initializing(pod: &Pod, status: &PodStatus) -> Duration {
    let statuses = status.init_container_statuses.iter().flatten();
    let times = statuses.filter_map(|status| {
        let container = spec::find_container(pod, &status.name)?;
        let ended = status.state.as_ref()?.terminated.as_ref()?;
        let (from, to) = ended.started_at.as_ref().zip(ended.finished_at.as_ref())?;
        let ran = Duration::try_from(to.0.duration_since(from.0)).ok()?;
        (!spec::is_sidecar(&container)).then_some(ran)
    });
    times.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        let created = Timestamp::now() - jiff::SignedDuration::from_secs(100);
        serde_json::from_value(json!({
            "metadata": { "creationTimestamp": created.to_string(), "resourceVersion": "1" },
            "spec": { "initContainers": [{ "name": "i" }], "containers": [{ "name": "c" }] },
            "status": status,
        }))
        .unwrap()
    }

    fn stated(timing: &mut Timing, metrics: &Metrics, state: &str) {
        let init = json!({ "terminated": { "exitCode": 0,
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:40Z" } });
        let container = |name: &str, state: Value| {
            json!({ "name": name, "state": state, "ready": true, "restartCount": 0,
                "image": "", "imageID": "" })
        };
        let status = serde_json::from_value(json!({
            "initContainerStatuses": [container("i", init)],
            "containerStatuses": [container("c", json!({ state: {} }))],
        }))
        .unwrap();
        let pulling = Duration::from_secs(50);
        timing.stated(metrics, &pod(Value::Null), &status, pulling);
    }

    #[test]
    fn a_start_is_counted_once_without_what_others_took() {
        let metrics = Metrics::default();
        let mut timing = Timing::new(&pod(Value::Null));
        stated(&mut timing, &metrics, "waiting");
        assert_eq!(metrics.counts().pod_start.count, 0);
        stated(&mut timing, &metrics, "running");
        stated(&mut timing, &metrics, "running");
        let counts = metrics.counts();
        assert_eq!(counts.pod_start.count, 1);
        // Of a hundred seconds fifty were pulls, and forty the init container's.
        assert!(
            (9.0..20.0).contains(&counts.pod_start_sli.sum),
            "{counts:?}"
        );
    }

    #[test]
    fn a_pod_of_an_earlier_kubelet_is_not_a_start() {
        let metrics = Metrics::default();
        let mut timing = Timing::new(&pod(json!({ "startTime": "2026-01-01T00:00:00Z" })));
        stated(&mut timing, &metrics, "running");
        assert_eq!(metrics.counts().pod_start.count, 0);
    }

    #[test]
    fn steps_are_told_apart() {
        let metrics = Metrics::default();
        let mut pod = pod(Value::Null);
        let mut timing = Timing::new(&pod);
        let second = Duration::from_secs(1);
        timing.stepped(&metrics, &pod, second);
        timing.stepped(&metrics, &pod, second);
        pod.metadata.resource_version = Some("2".to_owned());
        timing.stepped(&metrics, &pod, second);
        let kinds: Vec<&str> = metrics.counts().worker.keys().copied().collect();
        assert_eq!(kinds, ["create", "sync", "update"]);
    }
}
