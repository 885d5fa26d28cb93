//! From what was measured to what is said of a pod: pure.
//!
//! Upstream: `pkg/kubelet/stats/cri_stats_provider.go`.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};

use super::summary::{
    ContainerStats, CpuStats, FsStats, MemoryStats, NetworkStats, PodReference, PodStats,
    ProcessStats, VolumeStats, sum_cpu, sum_memory,
};
use crate::decide::{quantity, spec};
use crate::runtime::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use crate::runtime::{Container, ContainerState, Sandbox};

/// What was measured of all pods of the node.
#[derive(Debug, Default)]
pub struct Measured {
    /// When.
    pub now: Timestamp,
    /// Processors and memory, by container.
    pub usages: HashMap<String, ContainerUsage>,
    /// Billionths of a core, by container.
    pub rates: HashMap<String, u64>,
    /// Links, by sandbox.
    pub networks: HashMap<String, NetworkUsage>,
    /// What disks hold; `None` if nobody asked.
    pub disks: Option<Disks>,
}

/// What was measured on disks.
#[derive(Debug, Default)]
pub struct Disks {
    /// The file system of pods, with nothing used.
    pub node_fs: FsStats,
    /// That of images and writable layers, with nothing used.
    pub image_fs: FsStats,
    /// Writable layers, by container.
    pub layers: HashMap<String, DiskUsage>,
    /// Logs, by container.
    pub logs: HashMap<String, DiskUsage>,
    /// Volumes, by pod.
    pub volumes: HashMap<String, Vec<VolumeStats>>,
}

/// What a pod uses: its sandbox's links, its running containers, their sum. `pod` is what the API
/// says of it, if it does.
pub fn pod_stats(
    sandbox: &Sandbox,
    containers: &[&Container],
    pod: Option<&Pod>,
    measured: &Measured,
) -> PodStats {
    let running = containers
        .iter()
        .filter(|container| container.state == ContainerState::Running);
    let mut stats: Vec<ContainerStats> = running
        .clone()
        .map(|container| container_stats(container, pod, measured))
        .collect();
    stats.sort_by(|a, b| a.name.cmp(&b.name));
    let metadata = &sandbox.metadata;
    let volumes = measured
        .disks
        .as_ref()
        .and_then(|disks| disks.volumes.get(&metadata.uid).cloned());
    let volume_stats = volumes.unwrap_or_default();
    let processes: Vec<u64> = running
        .filter_map(|container| measured.usages.get(&container.id)?.processes)
        .collect();
    let network = measured.networks.get(&sandbox.id);
    PodStats {
        pod_ref: PodReference {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
        },
        start_time: sandbox.created_at,
        cpu: sum_cpu(stats.iter().filter_map(|stats| stats.cpu.as_ref())),
        memory: sum_memory(stats.iter().filter_map(|stats| stats.memory.as_ref())),
        network: network.map(|network| NetworkStats::of(&network.interfaces, measured.now)),
        ephemeral_storage: measured
            .disks
            .as_ref()
            .map(|disks| ephemeral_storage(disks, &stats, &volume_stats, pod)),
        process_stats: (!processes.is_empty()).then(|| ProcessStats {
            process_count: processes.iter().sum(),
        }),
        containers: stats,
        volume_stats,
    }
}

fn container_stats(
    container: &Container,
    pod: Option<&Pod>,
    measured: &Measured,
) -> ContainerStats {
    let usage = measured.usages.get(&container.id);
    let limit = pod.and_then(|pod| memory_limit(pod, &container.name));
    let disks = measured.disks.as_ref();
    let holds = |fs: FsStats, usage: Option<&DiskUsage>| {
        usage.map(|usage| FsStats {
            used_bytes: Some(usage.bytes),
            inodes_used: Some(usage.inodes),
            ..fs
        })
    };
    ContainerStats {
        name: container.name.clone(),
        start_time: container.started_at.unwrap_or(container.created_at),
        cpu: usage.and_then(|usage| {
            usage.cpu_nanos.map(|nanos| CpuStats {
                time: usage.at,
                usage_nano_cores: measured.rates.get(&container.id).copied(),
                usage_core_nano_seconds: Some(nanos),
            })
        }),
        memory: usage.and_then(|usage| {
            let memory = usage.memory.as_ref();
            memory.map(|memory| MemoryStats::of(memory, limit, usage.at))
        }),
        rootfs: disks.and_then(|disks| holds(disks.image_fs, disks.layers.get(&container.id))),
        logs: disks.and_then(|disks| holds(disks.node_fs, disks.logs.get(&container.id))),
    }
}

fn memory_limit(pod: &Pod, name: &str) -> Option<u64> {
    let container = spec::find_container(pod, name)?;
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    u64::try_from(quantity::value(limits.get("memory")?)).ok()
}

/// What a pod holds of the node's own disk: layers, logs, and those volumes that are on it.
fn ephemeral_storage(
    disks: &Disks,
    containers: &[ContainerStats],
    volumes: &[VolumeStats],
    pod: Option<&Pod>,
) -> FsStats {
    let specs = pod.map(spec::of).and_then(|spec| spec.volumes.as_deref());
    let is_local = |volume: &&VolumeStats| {
        let mut specs = specs.unwrap_or_default().iter();
        specs.any(|spec| spec.name == volume.name && is_on_the_node_s_disk(spec))
    };
    let layers_and_logs = containers
        .iter()
        .flat_map(|stats| [stats.rootfs, stats.logs])
        .flatten();
    let volumes = volumes.iter().filter(is_local).map(|volume| volume.fs);
    let all: Vec<FsStats> = layers_and_logs.chain(volumes).collect();
    let sum = |part: fn(&FsStats) -> Option<u64>| Some(all.iter().filter_map(part).sum());
    FsStats {
        used_bytes: sum(|fs| fs.used_bytes),
        inodes_used: sum(|fs| fs.inodes_used),
        ..disks.node_fs
    }
}

/// Upstream: `pkg/volume/util/util.go: IsLocalEphemeralVolume`.
fn is_on_the_node_s_disk(volume: &Volume) -> bool {
    let empty_dir = volume.empty_dir.as_ref();
    let on_disk = empty_dir.is_some_and(|dir| dir.medium.as_deref().unwrap_or_default().is_empty());
    on_disk || volume.config_map.is_some()
}

/// Billionths of a core between two looks at the time that was used; since the start, if it was
/// never looked at before.
pub fn rate(
    before: Option<(Timestamp, u64)>,
    started_at: Option<Timestamp>,
    (at, nanos): (Timestamp, u64),
) -> Option<u64> {
    // What went backwards has been started anew.
    let before = before.filter(|(then, used)| *then < at && *used <= nanos);
    let (since, used) = before.or(started_at.map(|start| (start, 0)))?;
    let elapsed = at.duration_since(since).as_nanos();
    let used = i128::from(nanos - used);
    let rate = (elapsed > 0).then(|| used * 1_000_000_000 / elapsed)?;
    u64::try_from(rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::usage::{InterfaceUsage, MemoryUsage};
    use crate::runtime::{PodMetadata, SandboxState};
    use crate::stats::summary::Summary;
    use serde_json::json;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn container(id: &str, name: &str, state: ContainerState) -> Container {
        Container {
            id: id.to_owned(),
            sandbox_id: "s".to_owned(),
            name: name.to_owned(),
            attempt: 0,
            image: String::new(),
            image_ref: String::new(),
            state,
            created_at: second(1),
            started_at: Some(second(2)),
            log_path: Default::default(),
            user: None,
            labels: Default::default(),
        }
    }

    fn usage(id: &str, cpu_nanos: u64, memory: u64) -> (String, ContainerUsage) {
        let usage = ContainerUsage {
            container_id: id.to_owned(),
            at: second(10),
            cpu_nanos: Some(cpu_nanos),
            memory: Some(MemoryUsage {
                usage_bytes: memory + 1,
                working_set_bytes: memory,
                rss_bytes: 1,
                page_faults: Some(5),
                major_page_faults: None,
            }),
            processes: Some(2),
        };
        (id.to_owned(), usage)
    }

    fn sandbox() -> Sandbox {
        Sandbox {
            id: "s".to_owned(),
            metadata: PodMetadata {
                name: "web".to_owned(),
                namespace: "default".to_owned(),
                uid: "u".to_owned(),
                attempt: 0,
            },
            state: SandboxState::Ready,
            ips: Vec::new(),
            created_at: second(0),
            runtime_handler: String::new(),
        }
    }

    fn fs(used: u64) -> FsStats {
        FsStats {
            time: second(10),
            available_bytes: Some(500),
            capacity_bytes: Some(1000),
            used_bytes: Some(used),
            ..FsStats::default()
        }
    }

    fn volume(name: &str, used: u64) -> VolumeStats {
        VolumeStats {
            fs: fs(used),
            name: name.to_owned(),
            pvc_ref: None,
        }
    }

    #[test]
    fn a_pod_is_the_sum_of_what_runs_in_it() {
        let pod: Pod = serde_json::from_value(json!({ "spec": {
            "containers": [
                { "name": "app", "resources": { "limits": { "memory": "1Ki" } } },
                { "name": "log" },
            ],
            "volumes": [
                { "name": "scratch", "emptyDir": {} },
                { "name": "memory", "emptyDir": { "medium": "Memory" } },
            ],
        }}))
        .unwrap();
        let ended = ContainerState::Exited {
            exit_code: 0,
            finished_at: second(3),
            reason: String::new(),
            message: String::new(),
        };
        let containers = [
            container("c2", "log", ContainerState::Running),
            container("c1", "app", ContainerState::Running),
            container("c0", "app", ended),
        ];
        let disk = |bytes| DiskUsage { bytes, inodes: 1 };
        let link = InterfaceUsage {
            name: "eth0".to_owned(),
            rx_bytes: 7,
            ..InterfaceUsage::default()
        };
        let network = NetworkUsage {
            sandbox_id: "s".to_owned(),
            interfaces: vec![link],
        };
        let measured = Measured {
            now: second(10),
            usages: [usage("c1", 100, 24), usage("c2", 10, 2)].into(),
            rates: [("c1".to_owned(), 5)].into(),
            networks: [("s".to_owned(), network)].into(),
            disks: Some(Disks {
                node_fs: fs(0),
                image_fs: fs(0),
                layers: [("c1".to_owned(), disk(1)), ("c0".to_owned(), disk(1000))].into(),
                logs: [("c1".to_owned(), disk(10))].into(),
                volumes: [(
                    "u".to_owned(),
                    vec![volume("scratch", 100), volume("memory", 9)],
                )]
                .into(),
            }),
        };
        let containers: Vec<&Container> = containers.iter().collect();
        let stats = pod_stats(&sandbox(), &containers, Some(&pod), &measured);
        let summary = Summary {
            pods: vec![stats],
            ..Summary::default()
        };
        let said = summary.to_json()["pods"][0].clone();
        let time = "1970-01-01T00:00:10Z";
        let fs = |used: u64, inodes: Option<u64>| {
            let mut fs = json!({ "time": time, "availableBytes": 500, "capacityBytes": 1000,
                "usedBytes": used });
            if let Some(inodes) = inodes {
                fs["inodesUsed"] = json!(inodes);
            }
            fs
        };
        let mut scratch = fs(100, None);
        scratch["name"] = json!("scratch");
        let mut memory = fs(9, None);
        memory["name"] = json!("memory");
        let link = json!({ "name": "eth0", "rxBytes": 7, "rxErrors": 0, "txBytes": 0,
            "txErrors": 0 });
        let mut network = link.clone();
        network["time"] = json!(time);
        network["interfaces"] = json!([link]);
        let expected = json!({
            "podRef": { "name": "web", "namespace": "default", "uid": "u" },
            "startTime": "1970-01-01T00:00:00Z",
            "containers": [
                {
                    "name": "app", "startTime": "1970-01-01T00:00:02Z",
                    "cpu": { "time": time, "usageNanoCores": 5, "usageCoreNanoSeconds": 100 },
                    "memory": { "time": time, "availableBytes": 1000, "usageBytes": 25,
                        "workingSetBytes": 24, "rssBytes": 1, "pageFaults": 5 },
                    "rootfs": fs(1, Some(1)), "logs": fs(10, Some(1)),
                },
                {
                    "name": "log", "startTime": "1970-01-01T00:00:02Z",
                    "cpu": { "time": time, "usageCoreNanoSeconds": 10 },
                    "memory": { "time": time, "usageBytes": 3, "workingSetBytes": 2,
                        "rssBytes": 1, "pageFaults": 5 },
                },
            ],
            "cpu": { "time": time, "usageNanoCores": 5, "usageCoreNanoSeconds": 110 },
            "memory": { "time": time, "usageBytes": 28, "workingSetBytes": 26, "rssBytes": 2,
                "pageFaults": 10 },
            "network": network,
            "volume": [scratch, memory],
            // Layer, log and the volume on disk; neither what is in memory nor what has ended.
            "ephemeral-storage": fs(111, Some(2)),
            "process_stats": { "process_count": 4 },
        });
        assert_eq!(said, expected);
    }

    #[test]
    fn a_pod_of_which_nothing_is_known_is_there() {
        let stats = pod_stats(&sandbox(), &[], None, &Measured::default());
        let summary = Summary {
            pods: vec![stats],
            ..Summary::default()
        };
        let pod = &summary.to_json()["pods"][0];
        assert_eq!(
            *pod,
            json!({
                "podRef": { "name": "web", "namespace": "default", "uid": "u" },
                "startTime": "1970-01-01T00:00:00Z",
                "containers": [],
            })
        );
    }

    #[test]
    fn a_rate_is_what_was_used_between_two_looks() {
        let now = (second(10), 3_000_000_000);
        assert_eq!(
            rate(Some((second(8), 2_000_000_000)), None, now),
            Some(500_000_000)
        );
        // Never looked at before: since its start.
        assert_eq!(rate(None, Some(second(4)), now), Some(500_000_000));
        // It was started anew, or looked at twice at once.
        assert_eq!(
            rate(Some((second(8), 9_000_000_000)), Some(second(7)), now),
            Some(1_000_000_000)
        );
        assert_eq!(rate(Some((second(10), 0)), None, now), None);
    }
}
