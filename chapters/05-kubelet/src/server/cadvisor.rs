//! `/metrics/cadvisor`: what containers use, by the names that dashboards know. Pure.
//!
//! Upstream this page is cAdvisor's, of which the essentials are here: processors, memory, links,
//! layers. A pod as a whole has an empty `container`, the machine the id `/`.

use super::exposition::{Family, Page};
use crate::node::machine::Capacity;
use crate::stats::summary::{ContainerStats, CpuStats, FsStats, MemoryStats, PodStats, Summary};
use k8s_openapi::api::core::v1::NodeSystemInfo;

/// Whose numbers they are.
struct Subject<'a> {
    id: &'a str,
    container: &'a str,
    pod: Option<&'a PodStats>,
    cpu: Option<&'a CpuStats>,
    memory: Option<&'a MemoryStats>,
    rootfs: Option<&'a FsStats>,
    start_seconds: f64,
}

impl<'a> Subject<'a> {
    fn of_container(pod: &'a PodStats, stats: &'a ContainerStats) -> Subject<'a> {
        Subject {
            id: "",
            container: &stats.name,
            pod: Some(pod),
            cpu: stats.cpu.as_ref(),
            memory: stats.memory.as_ref(),
            rootfs: stats.rootfs.as_ref(),
            start_seconds: stats.start_time.as_second() as f64,
        }
    }

    fn of_pod(pod: &'a PodStats) -> Subject<'a> {
        Subject {
            id: "",
            container: "",
            pod: Some(pod),
            cpu: pod.cpu.as_ref(),
            memory: pod.memory.as_ref(),
            rootfs: None,
            start_seconds: pod.start_time.as_second() as f64,
        }
    }

    fn labels(&self) -> Vec<(&'static str, &'a str)> {
        let reference = self.pod.map(|pod| &pod.pod_ref);
        vec![
            ("container", self.container),
            ("id", self.id),
            ("namespace", reference.map_or("", |pod| &pod.namespace)),
            ("pod", reference.map_or("", |pod| &pod.name)),
        ]
    }
}

/// The page.
pub fn page(summary: &Summary, capacity: &Capacity, info: &NodeSystemInfo) -> String {
    let node = &summary.node;
    let mut subjects = vec![Subject {
        id: "/",
        container: "",
        pod: None,
        cpu: node.cpu.as_ref(),
        memory: node.memory.as_ref(),
        rootfs: None,
        start_seconds: node.start_time.as_second() as f64,
    }];
    for pod in &summary.pods {
        subjects.push(Subject::of_pod(pod));
        let containers = pod.containers.iter();
        subjects.extend(containers.map(|container| Subject::of_container(pod, container)));
    }
    let mut page = Page::default();
    cpu(&mut page, &subjects);
    memory(&mut page, &subjects);
    let help = "Number of bytes that are consumed by the container on this filesystem.";
    let mut family = page.family("container_fs_usage_bytes", "gauge", help);
    for subject in &subjects {
        let used = subject.rootfs.and_then(|fs| fs.used_bytes);
        sample(&mut family, subject, used);
    }
    let help = "Start time of the container since unix epoch in seconds.";
    let mut family = page.family("container_start_time_seconds", "gauge", help);
    for subject in &subjects {
        family.sample(&subject.labels(), subject.start_seconds);
    }
    network(&mut page, summary);
    machine(&mut page, capacity, info);
    page.finish()
}

fn cpu(page: &mut Page, subjects: &[Subject<'_>]) {
    let help = "Cumulative cpu time consumed in seconds.";
    let mut family = page.family("container_cpu_usage_seconds_total", "counter", help);
    for subject in subjects {
        let nanos = subject.cpu.and_then(|cpu| cpu.usage_core_nano_seconds);
        if let Some(nanos) = nanos {
            let mut labels = subject.labels();
            labels.insert(1, ("cpu", "total"));
            family.sample(&labels, nanos as f64 / 1e9);
        }
    }
}

fn memory(page: &mut Page, subjects: &[Subject<'_>]) {
    type Part = fn(&MemoryStats) -> Option<u64>;
    let parts: [(&str, &str, Part); 3] = [
        ("container_memory_rss", "Size of RSS in bytes.", |memory| {
            memory.rss_bytes
        }),
        (
            "container_memory_usage_bytes",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
            |memory| memory.usage_bytes,
        ),
        (
            "container_memory_working_set_bytes",
            "Current working set in bytes.",
            |memory| memory.working_set_bytes,
        ),
    ];
    for (name, help, part) in parts {
        let mut family = page.family(name, "gauge", help);
        for subject in subjects {
            sample(&mut family, subject, subject.memory.and_then(part));
        }
    }
}

fn sample(family: &mut Family<'_>, subject: &Subject<'_>, value: Option<u64>) {
    if let Some(value) = value {
        family.sample(&subject.labels(), value as f64);
    }
}

fn network(page: &mut Page, summary: &Summary) {
    let directions = [
        (
            "container_network_receive_bytes_total",
            "Cumulative count of bytes received",
        ),
        (
            "container_network_transmit_bytes_total",
            "Cumulative count of bytes transmitted",
        ),
    ];
    for (index, (name, help)) in directions.into_iter().enumerate() {
        let mut family = page.family(name, "counter", help);
        for pod in &summary.pods {
            for link in pod.network.iter().flat_map(|network| &network.interfaces) {
                let labels = [
                    ("interface", link.name.as_str()),
                    ("namespace", &pod.pod_ref.namespace),
                    ("pod", &pod.pod_ref.name),
                ];
                let bytes = [link.rx_bytes, link.tx_bytes][index];
                family.sample(&labels, bytes as f64);
            }
        }
    }
}

fn machine(page: &mut Page, capacity: &Capacity, info: &NodeSystemInfo) {
    let labels = [
        ("boot_id", info.boot_id.as_str()),
        ("machine_id", &info.machine_id),
        ("system_uuid", &info.system_uuid),
    ];
    page.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.")
        .sample(&labels, capacity.cpus as f64);
    page.family(
        "machine_memory_bytes",
        "gauge",
        "Amount of memory installed on the machine.",
    )
    .sample(&labels, capacity.memory_bytes as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::usage::InterfaceUsage;
    use crate::stats::summary::{NetworkStats, NodeStats, PodReference};
    use jiff::Timestamp;

    #[test]
    fn the_machine_a_pod_and_its_container() {
        let memory = |bytes| {
            Some(MemoryStats {
                working_set_bytes: Some(bytes),
                ..MemoryStats::default()
            })
        };
        let container = ContainerStats {
            name: "app".to_owned(),
            cpu: Some(CpuStats {
                usage_core_nano_seconds: Some(2_500_000_000),
                ..CpuStats::default()
            }),
            memory: memory(5),
            ..ContainerStats::default()
        };
        let link = InterfaceUsage {
            name: "eth0".to_owned(),
            rx_bytes: 7,
            tx_bytes: 8,
            ..InterfaceUsage::default()
        };
        let pod = PodStats {
            pod_ref: PodReference {
                name: "web".to_owned(),
                namespace: "default".to_owned(),
                uid: "u".to_owned(),
            },
            containers: vec![container],
            memory: memory(6),
            network: Some(NetworkStats::of(&[link], Timestamp::UNIX_EPOCH)),
            ..PodStats::default()
        };
        let summary = Summary {
            node: NodeStats {
                memory: memory(100),
                ..NodeStats::default()
            },
            pods: vec![pod],
        };
        let capacity = Capacity {
            cpus: 2,
            memory_bytes: 1000,
            storage_bytes: 0,
        };
        let info = NodeSystemInfo {
            boot_id: "b".to_owned(),
            ..NodeSystemInfo::default()
        };
        let page = page(&summary, &capacity, &info);
        for line in [
            r#"container_cpu_usage_seconds_total{container="app",cpu="total",id="",namespace="default",pod="web"} 2.5"#,
            r#"container_memory_working_set_bytes{container="",id="/",namespace="",pod=""} 100"#,
            r#"container_memory_working_set_bytes{container="",id="",namespace="default",pod="web"} 6"#,
            r#"container_memory_working_set_bytes{container="app",id="",namespace="default",pod="web"} 5"#,
            r#"container_network_receive_bytes_total{interface="eth0",namespace="default",pod="web"} 7"#,
            r#"container_network_transmit_bytes_total{interface="eth0",namespace="default",pod="web"} 8"#,
            r#"machine_cpu_cores{boot_id="b",machine_id="",system_uuid=""} 2"#,
            r#"machine_memory_bytes{boot_id="b",machine_id="",system_uuid=""} 1000"#,
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is not in {page}");
        }
    }
}
