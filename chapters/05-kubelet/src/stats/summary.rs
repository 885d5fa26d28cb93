//! What `/stats/summary` says: the types, and how they are filled. Pure.
//!
//! Field names and meanings are those of `staging/src/k8s.io/kubelet/pkg/apis/stats/v1alpha1`
//! upstream, since metrics-server and everybody who watches nodes read them. Swap and pressure
//! stalls are left out.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::runtime::usage::{InterfaceUsage, MemoryUsage};

/// All that the node knows of what it and its pods use.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The node.
    pub node: NodeStats,
    /// Its pods.
    pub pods: Vec<PodStats>,
}

/// What the node uses.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// Its name.
    pub node_name: String,
    /// `kubelet`, and `pods`: all of them together.
    pub system_containers: Vec<ContainerStats>,
    /// Since when is counted: the machine's start.
    pub start_time: Timestamp,
    /// Processors.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// The links of the node.
    pub network: Option<NetworkStats>,
    /// The file system of the kubelet's folder.
    pub fs: Option<FsStats>,
    /// The container runtime's file systems.
    pub runtime: Option<RuntimeStats>,
    /// Processes.
    pub rlimit: Option<RlimitStats>,
}

/// Where the container runtime keeps its things.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeStats {
    /// The file system of images; used is what images take.
    pub image_fs: Option<FsStats>,
    /// The file system of writable layers; used is what those take.
    pub container_fs: Option<FsStats>,
}

/// How many processes there are, and may be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RlimitStats {
    /// When it was looked at.
    pub time: Timestamp,
    /// The highest number of a process.
    pub maxpid: Option<u64>,
    /// Processes and threads now.
    pub curproc: Option<u64>,
}

/// What a pod uses.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStats {
    /// Which one.
    pub pod_ref: PodReference,
    /// When its sandbox was made.
    pub start_time: Timestamp,
    /// Its running containers.
    pub containers: Vec<ContainerStats>,
    /// The sum of its containers.
    pub cpu: Option<CpuStats>,
    /// The sum of its containers.
    pub memory: Option<MemoryStats>,
    /// Its links; none with the host's network.
    pub network: Option<NetworkStats>,
    /// Its volumes.
    #[serde(rename = "volume")]
    pub volume_stats: Vec<VolumeStats>,
    /// Writable layers, logs and volumes on the node's disk together.
    #[serde(rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<FsStats>,
    /// How many processes it has.
    #[serde(rename = "process_stats")]
    pub process_stats: Option<ProcessStats>,
}

/// How many processes there are.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct ProcessStats {
    /// Now.
    pub process_count: u64,
}

/// Which pod is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PodReference {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
}

/// What a container uses.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStats {
    /// Name in its pod.
    pub name: String,
    /// When its process was started.
    pub start_time: Timestamp,
    /// Processors.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Its writable layer.
    pub rootfs: Option<FsStats>,
    /// Its logs.
    pub logs: Option<FsStats>,
}

/// Processor time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    /// When it was looked at.
    pub time: Timestamp,
    /// Billionths of a core, since it was last looked at, or since the start.
    pub usage_nano_cores: Option<u64>,
    /// Nanoseconds of cores since the start.
    pub usage_core_nano_seconds: Option<u64>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// When it was looked at.
    pub time: Timestamp,
    /// The limit without the working set; none without a limit.
    pub available_bytes: Option<u64>,
    /// All of it.
    pub usage_bytes: Option<u64>,
    /// Without the file pages that nobody used lately.
    pub working_set_bytes: Option<u64>,
    /// What is of no file.
    pub rss_bytes: Option<u64>,
    /// Pages that had to be found.
    pub page_faults: Option<u64>,
    /// Pages that had to be read.
    pub major_page_faults: Option<u64>,
}

/// What links have carried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStats {
    /// When it was looked at.
    pub time: Timestamp,
    /// `eth0`, if there is one.
    #[serde(flatten)]
    pub default: Option<InterfaceStats>,
    /// All of them.
    pub interfaces: Vec<InterfaceStats>,
}

/// What a link has carried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// Bytes in.
    pub rx_bytes: u64,
    /// Errors in.
    pub rx_errors: u64,
    /// Bytes out.
    pub tx_bytes: u64,
    /// Errors out.
    pub tx_errors: u64,
}

/// A file system, and what of it somebody uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FsStats {
    /// When it was looked at.
    pub time: Timestamp,
    /// Bytes that are free.
    pub available_bytes: Option<u64>,
    /// Bytes it has.
    pub capacity_bytes: Option<u64>,
    /// Bytes that whoever this is about uses.
    pub used_bytes: Option<u64>,
    /// Files it has room for.
    pub inodes_free: Option<u64>,
    /// Files it can hold.
    pub inodes: Option<u64>,
    /// Files of whoever this is about.
    pub inodes_used: Option<u64>,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStats {
    /// Its file system, and what it takes of it.
    #[serde(flatten)]
    pub fs: FsStats,
    /// Name in the pod's spec.
    pub name: String,
    /// The claim that it is of.
    pub pvc_ref: Option<PvcReference>,
}

/// A claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PvcReference {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
}

impl Summary {
    /// As JSON. What is not known is not there, and so are lists in which nothing is but those
    /// that upstream always writes.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("plain data");
        strip(&mut value);
        value
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| {
                let is_empty_list = field.as_array().is_some_and(Vec::is_empty);
                let always = matches!(name.as_str(), "pods" | "containers");
                !field.is_null() && (always || !is_empty_list)
            });
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::String(text) => {
            // Times have whole seconds, as everywhere in the API.
            if let Ok(time) = text.parse::<Timestamp>() {
                *text = format!("{time:.0}");
            }
        }
        _ => {}
    }
}

impl MemoryStats {
    /// Of what a runtime says, and the limit in bytes, if there is one.
    pub fn of(usage: &MemoryUsage, limit: Option<u64>, time: Timestamp) -> MemoryStats {
        MemoryStats {
            time,
            available_bytes: limit.map(|limit| limit.saturating_sub(usage.working_set_bytes)),
            usage_bytes: Some(usage.usage_bytes),
            working_set_bytes: Some(usage.working_set_bytes),
            rss_bytes: Some(usage.rss_bytes),
            page_faults: usage.page_faults,
            major_page_faults: usage.major_page_faults,
        }
    }
}

impl NetworkStats {
    /// Of links. Upstream's default link is `eth0` as well.
    pub fn of(links: &[InterfaceUsage], time: Timestamp) -> NetworkStats {
        let interfaces: Vec<InterfaceStats> = links
            .iter()
            .map(|link| InterfaceStats {
                name: link.name.clone(),
                rx_bytes: link.rx_bytes,
                rx_errors: link.rx_errors,
                tx_bytes: link.tx_bytes,
                tx_errors: link.tx_errors,
            })
            .collect();
        let default = interfaces.iter().find(|link| link.name == "eth0");
        NetworkStats {
            time,
            default: default.cloned(),
            interfaces,
        }
    }
}

/// Adds up what containers use; what is known of none is not known.
pub fn sum_cpu<'a>(all: impl Iterator<Item = &'a CpuStats>) -> Option<CpuStats> {
    all.copied().reduce(|a, b| CpuStats {
        time: a.time.max(b.time),
        usage_nano_cores: add(a.usage_nano_cores, b.usage_nano_cores),
        usage_core_nano_seconds: add(a.usage_core_nano_seconds, b.usage_core_nano_seconds),
    })
}

/// As [`sum_cpu`].
pub fn sum_memory<'a>(all: impl Iterator<Item = &'a MemoryStats>) -> Option<MemoryStats> {
    all.copied().reduce(|a, b| MemoryStats {
        time: a.time.max(b.time),
        // Known only if each of them has a limit.
        available_bytes: a.available_bytes.zip(b.available_bytes).map(|(a, b)| a + b),
        usage_bytes: add(a.usage_bytes, b.usage_bytes),
        working_set_bytes: add(a.working_set_bytes, b.working_set_bytes),
        rss_bytes: add(a.rss_bytes, b.rss_bytes),
        page_faults: add(a.page_faults, b.page_faults),
        major_page_faults: add(a.major_page_faults, b.major_page_faults),
    })
}

fn add(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
