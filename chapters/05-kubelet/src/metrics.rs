//! What the kubelet counts of its own work, for its pages of metrics.
//!
//! Upstream: `pkg/kubelet/metrics/metrics.go`, whose names these are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Bounds of how long a pod takes to start, in seconds.
pub const START_BOUNDS: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0,
    300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];
/// Bounds of how long a worker's step takes: Prometheus's own.
pub const WORKER_BOUNDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Bounds of how long the runtime takes: each 2.5 times the one before, from 5 ms.
pub const RUNTIME_BOUNDS: &[f64] = &[
    0.005,
    0.0125,
    0.03125,
    0.078125,
    0.1953125,
    0.48828125,
    1.220703125,
    3.0517578125,
    7.62939453125,
    19.073486328125,
    47.6837158203125,
    119.20928955078125,
    298.0232238769531,
    745.0580596923828,
];

/// How many values there were, how many of them up to each bound, and their sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Values up to each bound, in the bounds' order.
    pub counts: Vec<u64>,
    /// All values.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len(), 0);
        for (count, bound) in self.counts.iter_mut().zip(bounds) {
            *count += u64::from(value <= *bound);
        }
        self.count += 1;
        self.sum += value;
    }
}

/// Calls of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calls {
    /// How many failed.
    pub errors: u64,
    /// How long they took.
    pub durations: Histogram,
}

/// One probe's answers of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeLabels {
    /// `Liveness`, `Readiness` or `Startup`.
    pub probe_type: &'static str,
    /// `successful` or `failed`.
    pub result: &'static str,
    /// Name of the container.
    pub container: String,
    /// Name of the pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub pod_uid: String,
}

/// All that is counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// From a pod seen for the first time to all its containers running.
    pub pod_start: Histogram,
    /// From a pod's creation to all its containers running, without pulls and init containers.
    pub pod_start_sli: Histogram,
    /// Steps of workers, by kind.
    pub worker: BTreeMap<&'static str, Histogram>,
    /// Calls of the runtime, by kind.
    pub runtime: BTreeMap<&'static str, Calls>,
    /// Evicted pods, by what was short.
    pub evictions: BTreeMap<&'static str, u64>,
    /// Removed images, by why.
    pub images_collected: BTreeMap<&'static str, u64>,
    /// Answers of probes.
    pub probes: BTreeMap<ProbeLabels, u64>,
}

/// The counts of one kubelet.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().expect("no panics inside")
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// All containers of a pod run.
    pub fn pod_started(&self, since_seen: Duration, sli: Duration) {
        let mut counts = self.lock();
        let seconds = since_seen.as_secs_f64();
        counts.pod_start.observe(START_BOUNDS, seconds);
        counts
            .pod_start_sli
            .observe(START_BOUNDS, sli.as_secs_f64());
    }

    /// A worker has done a step.
    pub fn worked(&self, kind: &'static str, took: Duration) {
        let mut counts = self.lock();
        let durations = counts.worker.entry(kind).or_default();
        durations.observe(WORKER_BOUNDS, took.as_secs_f64());
    }

    /// The runtime has answered a call.
    pub fn runtime_called(&self, kind: &'static str, took: Duration, failed: bool) {
        let mut counts = self.lock();
        let calls = counts.runtime.entry(kind).or_default();
        calls.errors += u64::from(failed);
        calls.durations.observe(RUNTIME_BOUNDS, took.as_secs_f64());
    }

    /// A pod was evicted since `signal` says that something is short.
    pub fn evicted(&self, signal: &'static str) {
        *self.lock().evictions.entry(signal).or_default() += 1;
    }

    /// An image was removed.
    pub fn image_collected(&self, why: &'static str) {
        *self.lock().images_collected.entry(why).or_default() += 1;
    }

    /// A probe was answered.
    pub fn probed(&self, labels: ProbeLabels) {
        *self.lock().probes.entry(labels).or_default() += 1;
    }

    /// A pod is gone: nobody asks for its probes any more.
    pub fn forget_pod(&self, uid: &str) {
        self.lock().probes.retain(|labels, _| labels.pod_uid != uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_for_each_bound_above_it() {
        let metrics = Metrics::default();
        metrics.worked("sync", Duration::from_millis(10));
        metrics.worked("sync", Duration::from_secs(60));
        let histogram = &metrics.counts().worker["sync"];
        assert_eq!(histogram.counts[..3], [0, 1, 1]);
        assert_eq!(histogram.counts.last(), Some(&1));
        assert_eq!((histogram.count, histogram.sum), (2, 60.01));
    }

    #[test]
    fn probes_of_a_pod_that_is_gone_are_forgotten() {
        let metrics = Metrics::default();
        let labels = |uid: &str| ProbeLabels {
            probe_type: "Liveness",
            result: "successful",
            container: "c".to_owned(),
            pod: "p".to_owned(),
            namespace: "n".to_owned(),
            pod_uid: uid.to_owned(),
        };
        metrics.probed(labels("a"));
        metrics.probed(labels("b"));
        metrics.probed(labels("b"));
        metrics.forget_pod("a");
        assert_eq!(metrics.counts().probes, BTreeMap::from([(labels("b"), 2)]));
    }
}
