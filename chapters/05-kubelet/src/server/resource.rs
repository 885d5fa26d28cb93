//! `/metrics/resource`: what metrics-server asks for, and `kubectl top` shows. Pure.
//!
//! Upstream: `pkg/kubelet/metrics/collectors/resource_metrics.go`, whose names and texts these
//! are. A scraper takes the difference of two samples, and so each carries the time it is of.

use super::exposition::{Family, Page};
use crate::stats::summary::{ContainerStats, CpuStats, MemoryStats, PodStats, Summary};

/// The page; `None` if nothing could be measured.
pub fn page(summary: Option<&Summary>) -> String {
    let mut page = Page::default();
    if let Some(summary) = summary {
        containers(&mut page, &summary.pods);
        node(&mut page, summary);
        pods(&mut page, &summary.pods);
    }
    let help = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise";
    page.family("resource_scrape_error", "gauge", help)
        .sample(&[], if summary.is_some() { 0.0 } else { 1.0 });
    page.finish()
}

fn containers(page: &mut Page, pods: &[PodStats]) {
    let all = || {
        pods.iter()
            .flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
    };
    let mut family = page.family(
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    );
    for (pod, container) in all() {
        cpu(&mut family, &labels(pod, container), container.cpu.as_ref());
    }
    let mut family = page.family(
        "container_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the container in bytes",
    );
    for (pod, container) in all() {
        let memory = container.memory.as_ref();
        working_set(&mut family, &labels(pod, container), memory);
    }
    let mut family = page.family(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    for (pod, container) in all() {
        let seconds = container.start_time.as_nanosecond() as f64 / 1e9;
        family.sample(&labels(pod, container), seconds);
    }
}

fn node(page: &mut Page, summary: &Summary) {
    let mut family = page.family(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    );
    cpu(&mut family, &[], summary.node.cpu.as_ref());
    let mut family = page.family(
        "node_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the node in bytes",
    );
    working_set(&mut family, &[], summary.node.memory.as_ref());
}

fn pods(page: &mut Page, pods: &[PodStats]) {
    let mut family = page.family(
        "pod_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    );
    for pod in pods {
        cpu(&mut family, &pod_labels(pod), pod.cpu.as_ref());
    }
    let mut family = page.family(
        "pod_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the pod in bytes",
    );
    for pod in pods {
        working_set(&mut family, &pod_labels(pod), pod.memory.as_ref());
    }
}

fn labels<'a>(pod: &'a PodStats, container: &'a ContainerStats) -> [(&'static str, &'a str); 3] {
    let [namespace, name] = pod_labels(pod);
    [("container", &container.name), namespace, name]
}

fn pod_labels(pod: &PodStats) -> [(&'static str, &str); 2] {
    let reference = &pod.pod_ref;
    [
        ("namespace", &reference.namespace),
        ("pod", &reference.name),
    ]
}

fn cpu(family: &mut Family<'_>, labels: &[(&str, &str)], stats: Option<&CpuStats>) {
    if let Some(stats) = stats
        && let Some(nanos) = stats.usage_core_nano_seconds
    {
        family.sample_at(labels, nanos as f64 / 1e9, stats.time);
    }
}

fn working_set(family: &mut Family<'_>, labels: &[(&str, &str)], stats: Option<&MemoryStats>) {
    if let Some(stats) = stats
        && let Some(bytes) = stats.working_set_bytes
    {
        family.sample_at(labels, bytes as f64, stats.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::summary::{NodeStats, PodReference};
    use jiff::Timestamp;

    #[test]
    fn the_page_of_a_pod() {
        let time = Timestamp::from_second(10).unwrap();
        let cpu = |nanos| {
            Some(CpuStats {
                time,
                usage_nano_cores: None,
                usage_core_nano_seconds: Some(nanos),
            })
        };
        let memory = |bytes| {
            Some(MemoryStats {
                time,
                working_set_bytes: Some(bytes),
                ..MemoryStats::default()
            })
        };
        let container = ContainerStats {
            name: "app".to_owned(),
            start_time: Timestamp::from_millisecond(1500).unwrap(),
            cpu: cpu(1_500_000_000),
            memory: memory(100),
            ..ContainerStats::default()
        };
        let silent = ContainerStats {
            name: "new".to_owned(),
            start_time: Timestamp::from_second(2).unwrap(),
            ..ContainerStats::default()
        };
        let pod = PodStats {
            pod_ref: PodReference {
                name: "web".to_owned(),
                namespace: "default".to_owned(),
                uid: "u".to_owned(),
            },
            containers: vec![container, silent],
            cpu: cpu(2_000_000_000),
            memory: memory(200),
            ..PodStats::default()
        };
        let summary = Summary {
            node: NodeStats {
                cpu: cpu(9_000_000_000),
                memory: memory(900),
                ..NodeStats::default()
            },
            pods: vec![pod],
        };
        let page = page(Some(&summary));
        let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"container_cpu_usage_seconds_total{container="app",namespace="default",pod="web"} 1.5 10000"#,
                r#"container_memory_working_set_bytes{container="app",namespace="default",pod="web"} 100 10000"#,
                r#"container_start_time_seconds{container="app",namespace="default",pod="web"} 1.5"#,
                r#"container_start_time_seconds{container="new",namespace="default",pod="web"} 2"#,
                "node_cpu_usage_seconds_total 9 10000",
                "node_memory_working_set_bytes 900 10000",
                r#"pod_cpu_usage_seconds_total{namespace="default",pod="web"} 2 10000"#,
                r#"pod_memory_working_set_bytes{namespace="default",pod="web"} 200 10000"#,
                "resource_scrape_error 0",
            ]
        );
    }

    #[test]
    fn a_runtime_that_does_not_answer_is_an_error() {
        assert!(super::page(None).ends_with("\nresource_scrape_error 1\n"));
    }
}
