//! `/metrics` and `/metrics/probes`: what the kubelet does. Pure.
//!
//! Upstream: `pkg/kubelet/metrics/metrics.go`, `pkg/kubelet/prober/prober_manager.go`.

use std::collections::BTreeMap;

use super::exposition::Page;
use crate::metrics::{Counts, RUNTIME_BOUNDS, START_BOUNDS, WORKER_BOUNDS};
use crate::node::machine::KUBELET_VERSION;
use crate::runtime::{Container, ContainerState, Sandbox, SandboxState};
use crate::stats::process::Process;

/// What is true now, beside what was counted.
#[derive(Debug)]
pub struct Now<'a> {
    /// Name of the node.
    pub node_name: &'a str,
    /// The runtime's sandboxes.
    pub sandboxes: &'a [Sandbox],
    /// The runtime's containers.
    pub containers: &'a [Container],
    /// The kubelet's own process.
    pub process: Process,
    /// Seconds since 1970 when that was started.
    pub started_seconds: f64,
}

/// The page.
pub fn page(counts: &Counts, now: &Now<'_>) -> String {
    let mut page = Page::default();
    let help = "[ALPHA] Cumulative number of pod evictions by eviction signal";
    let mut family = page.family("kubelet_evictions", "counter", help);
    for (signal, count) in &counts.evictions {
        family.sample(&[("eviction_signal", signal)], *count as f64);
    }
    let help = "[ALPHA] Total number of images garbage collected by the kubelet, whether through \
                disk usage or image age.";
    let mut family = page.family("kubelet_image_garbage_collected_total", "counter", help);
    for (reason, count) in &counts.images_collected {
        family.sample(&[("reason", reason)], *count as f64);
    }
    page.family(
        "kubelet_node_name",
        "gauge",
        "[ALPHA] The node's name. The count is always 1.",
    )
    .sample(&[("node", now.node_name)], 1.0);
    started(&mut page, counts);
    running(&mut page, now);
    runtime(&mut page, counts);
    build(&mut page);
    process(&mut page, now);
    page.finish()
}

fn started(page: &mut Page, counts: &Counts) {
    let mut histogram = |name, help, histogram: &crate::metrics::Histogram| {
        page.family(name, "histogram", help)
            .histogram(&[], START_BOUNDS, histogram);
    };
    histogram(
        "kubelet_pod_start_duration_seconds",
        "[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod \
         starting to run",
        &counts.pod_start,
    );
    histogram(
        "kubelet_pod_start_sli_duration_seconds",
        "[ALPHA] Duration in seconds to start a pod, excluding time to pull images and run init \
         containers, measured from pod creation timestamp to when all its containers are \
         reported as started and observed via watch",
        &counts.pod_start_sli,
    );
    let help = "[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: \
                create, update, or sync";
    let mut family = page.family("kubelet_pod_worker_duration_seconds", "histogram", help);
    for (kind, histogram) in &counts.worker {
        family.histogram(&[("operation_type", kind)], WORKER_BOUNDS, histogram);
    }
}

fn running(page: &mut Page, now: &Now<'_>) {
    let mut states = BTreeMap::from([("created", 0), ("exited", 0), ("running", 0)]);
    for container in now.containers {
        let state = match container.state {
            ContainerState::Created => "created",
            ContainerState::Running => "running",
            ContainerState::Exited { .. } => "exited",
        };
        *states.entry(state).or_default() += 1;
    }
    let help = "[ALPHA] Number of containers currently running";
    let mut family = page.family("kubelet_running_containers", "gauge", help);
    for (state, count) in states {
        family.sample(&[("container_state", state)], f64::from(count));
    }
    let sandboxes = now.sandboxes.iter();
    let ready = sandboxes.filter(|sandbox| sandbox.state == SandboxState::Ready);
    let help = "[ALPHA] Number of pods that have a running pod sandbox";
    page.family("kubelet_running_pods", "gauge", help)
        .sample(&[], ready.count() as f64);
}

fn runtime(page: &mut Page, counts: &Counts) {
    let help = "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.";
    let name = "kubelet_runtime_operations_duration_seconds";
    let mut family = page.family(name, "histogram", help);
    for (kind, calls) in &counts.runtime {
        family.histogram(
            &[("operation_type", kind)],
            RUNTIME_BOUNDS,
            &calls.durations,
        );
    }
    let help = "[ALPHA] Cumulative number of runtime operation errors by operation type.";
    let mut family = page.family("kubelet_runtime_operations_errors_total", "counter", help);
    for (kind, calls) in counts.runtime.iter().filter(|(_, calls)| calls.errors > 0) {
        family.sample(&[("operation_type", kind)], calls.errors as f64);
    }
    let help = "[ALPHA] Cumulative number of runtime operations by operation type.";
    let mut family = page.family("kubelet_runtime_operations_total", "counter", help);
    for (kind, calls) in &counts.runtime {
        family.sample(&[("operation_type", kind)], calls.durations.count as f64);
    }
}

fn build(page: &mut Page) {
    let help = "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, \
                git commit, git tree state, build date, Go version, and compiler from which \
                Kubernetes was built, and platform on which it is running.";
    let mut version = KUBELET_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (version.next(), version.next());
    page.family("kubernetes_build_info", "gauge", help).sample(
        &[
            ("git_version", KUBELET_VERSION),
            ("major", major.unwrap_or_default()),
            ("minor", minor.unwrap_or_default()),
        ],
        1.0,
    );
}

/// What every program that speaks to Prometheus says of itself.
fn process(page: &mut Page, now: &Now<'_>) {
    let process = &now.process;
    let values = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            process.cpu_seconds(),
        ),
        (
            "process_open_fds",
            "gauge",
            "Number of open file descriptors.",
            process.open_fds as f64,
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            process.resident_bytes as f64,
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            now.started_seconds,
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            process.virtual_bytes as f64,
        ),
    ];
    for (name, kind, help, value) in values {
        page.family(name, kind, help).sample(&[], value);
    }
}

/// The page of probes.
pub fn probes(counts: &Counts) -> String {
    let mut page = Page::default();
    let help = "[BETA] Cumulative number of a liveness, readiness or startup probe for a \
                container by result.";
    let mut family = page.family("prober_probe_total", "counter", help);
    for (labels, count) in &counts.probes {
        let labels = [
            ("container", labels.container.as_str()),
            ("namespace", &labels.namespace),
            ("pod", &labels.pod),
            ("pod_uid", &labels.pod_uid),
            ("probe_type", labels.probe_type),
            ("result", labels.result),
        ];
        family.sample(&labels, *count as f64);
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, ProbeLabels};
    use std::time::Duration;

    #[test]
    fn the_page_of_a_kubelet_that_has_worked() {
        let metrics = Metrics::default();
        metrics.pod_started(Duration::from_secs(1), Duration::from_millis(400));
        metrics.runtime_called("run_podsandbox", Duration::from_millis(10), false);
        metrics.runtime_called("run_podsandbox", Duration::from_millis(10), true);
        metrics.evicted("memory.available");
        let now = Now {
            node_name: "n",
            sandboxes: &[],
            containers: &[],
            process: Process::default(),
            started_seconds: 5.0,
        };
        let page = page(&metrics.counts(), &now);
        for line in [
            r#"kubelet_evictions{eviction_signal="memory.available"} 1"#,
            r#"kubelet_node_name{node="n"} 1"#,
            r#"kubelet_pod_start_duration_seconds_bucket{le="0.5"} 0"#,
            r#"kubelet_pod_start_duration_seconds_bucket{le="1"} 1"#,
            r#"kubelet_pod_start_sli_duration_seconds_bucket{le="0.5"} 1"#,
            r#"kubelet_running_containers{container_state="running"} 0"#,
            "kubelet_running_pods 0",
            r#"kubelet_runtime_operations_duration_seconds_bucket{operation_type="run_podsandbox",le="0.0125"} 2"#,
            r#"kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1"#,
            r#"kubelet_runtime_operations_total{operation_type="run_podsandbox"} 2"#,
            "process_start_time_seconds 5",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is not in {page}");
        }
    }

    #[test]
    fn the_page_of_probes() {
        let metrics = Metrics::default();
        metrics.probed(ProbeLabels {
            probe_type: "Liveness",
            result: "failed",
            container: "c".to_owned(),
            pod: "p".to_owned(),
            namespace: "n".to_owned(),
            pod_uid: "u".to_owned(),
        });
        let sample = r#"prober_probe_total{container="c",namespace="n",pod="p",pod_uid="u",probe_type="Liveness",result="failed"} 1"#;
        assert_eq!(probes(&metrics.counts()).lines().last(), Some(sample));
    }
}
