//! What the node and its pods use: measured when somebody asks, and not more often than is sensible.
//!
//! ```text
//! runtime ── usage, links, layers ─┐
//! /proc ──── the node ─────────────┼─▶ build (pure) ─▶ Summary ─▶ /stats/summary
//! folders ── logs, volumes ────────┘                        ├──▶ /metrics/resource
//!                                                           └──▶ evictions
//! ```
//!
//! Processors, memory and links are cheap to read and are read each time. What folders hold means
//! looking at every file, and is remembered for a minute (upstream's
//! `--volume-stats-agg-period`).

pub mod build;
pub mod node;
pub mod process;
pub mod summary;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::context::Context;
use crate::decide::spec;
use crate::runtime::usage::{self, DiskUsage};
use crate::runtime::{Container, ContainerState, Result, RuntimeError, SandboxState};
use build::{Disks, Measured, pod_stats, rate};
use summary::{
    ContainerStats, CpuStats, FsStats, NodeStats, PvcReference, RuntimeStats, Summary, VolumeStats,
    sum_cpu, sum_memory,
};

/// How old what folders hold may be. Upstream: `volumeStatsAggPeriod`.
const DISK_AGE_MAX: Duration = Duration::from_secs(60);
/// The rate of the machine is remembered under this name, and that of the kubelet under the other.
const NODE: &str = "";
const KUBELET: &str = "kubelet";

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Processors and memory: what `kubectl top` needs.
    CpuAndMemory,
    /// Networks and disks, too.
    All,
}

/// What is remembered from one question to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// Processor time when last looked at, by container.
    times: Mutex<HashMap<String, (Timestamp, u64)>>,
    /// What folders held.
    folders: Mutex<HashMap<PathBuf, (Instant, DiskUsage)>>,
    /// What writable layers held.
    layers: Mutex<Option<(Instant, HashMap<String, DiskUsage>)>>,
}

/// What the node and its pods use now. `pods` is what the API says of them.
///
/// # Errors
/// When the runtime does not answer.
pub async fn summary(context: &Context, pods: &[Arc<Pod>], depth: Depth) -> Result<Summary> {
    let runtime = &context.runtime;
    let mut sandboxes = runtime.list_pod_sandboxes(None).await?;
    sandboxes.retain(|sandbox| sandbox.state == SandboxState::Ready);
    let containers = runtime.list_containers(None).await?;
    let usages = runtime.container_usage().await?;
    let mut measured = Measured {
        now: Timestamp::now(),
        usages: usages
            .into_iter()
            .map(|usage| (usage.container_id.clone(), usage))
            .collect(),
        ..Measured::default()
    };
    measured.rates = rates(context, &containers, &measured);
    if depth == Depth::All {
        let networks = runtime.network_usage().await?.into_iter();
        measured.networks = networks
            .map(|network| (network.sandbox_id.clone(), network))
            .collect();
        measured.disks = Some(disks(context, pods, &containers).await?);
    }
    let pods: HashMap<&str, &Arc<Pod>> = pods
        .iter()
        .filter_map(|pod| Some((pod.metadata.uid.as_deref()?, pod)))
        .collect();
    let stats = sandboxes.iter().map(|sandbox| {
        let own = containers.iter().filter(|c| c.sandbox_id == sandbox.id);
        let own: Vec<&Container> = own.collect();
        let pod = pods.get(sandbox.metadata.uid.as_str());
        pod_stats(sandbox, &own, pod.map(|pod| &***pod), &measured)
    });
    let pods: Vec<summary::PodStats> = stats.collect();
    Ok(Summary {
        node: node_stats(context, &pods, &measured, depth).await?,
        pods,
    })
}

async fn node_stats(
    context: &Context,
    pods: &[summary::PodStats],
    measured: &Measured,
    depth: Depth,
) -> Result<NodeStats> {
    let cpu = node::cpu(context.stats.before(NODE));
    if let Some(cpu) = &cpu {
        context.stats.remember(NODE, cpu);
    }
    let boot_time = node::boot_time();
    let mut stats = NodeStats {
        node_name: context.node_name.clone(),
        system_containers: system_containers(context, pods, boot_time),
        start_time: boot_time,
        cpu,
        memory: node::memory(),
        ..NodeStats::default()
    };
    if let (Depth::All, Some(disks)) = (depth, &measured.disks) {
        let images = context.runtime.list_images().await?;
        let images: u64 = images.iter().map(|image| image.size_bytes).sum();
        let layers: u64 = disks.layers.values().map(|layer| layer.bytes).sum();
        let holds = |used| FsStats {
            used_bytes: Some(used),
            ..disks.image_fs
        };
        stats.network = Some(node::network());
        stats.fs = node::file_system(&context.config.root_dir);
        stats.runtime = Some(RuntimeStats {
            image_fs: Some(holds(images)),
            container_fs: Some(holds(layers)),
        });
        stats.rlimit = Some(node::processes());
    }
    Ok(stats)
}

/// The kubelet itself, and all pods together.
fn system_containers(
    context: &Context,
    pods: &[summary::PodStats],
    boot_time: Timestamp,
) -> Vec<ContainerStats> {
    let mut own = process::own();
    if let Some(cpu) = &mut own.cpu {
        let now = (cpu.time, cpu.usage_core_nano_seconds.unwrap_or(0));
        cpu.usage_nano_cores = rate(context.stats.before(KUBELET), Some(own.start_time), now);
        context.stats.remember(KUBELET, cpu);
    }
    let all = ContainerStats {
        name: "pods".to_owned(),
        start_time: boot_time,
        cpu: sum_cpu(pods.iter().filter_map(|pod| pod.cpu.as_ref())),
        memory: sum_memory(pods.iter().filter_map(|pod| pod.memory.as_ref())),
        ..ContainerStats::default()
    };
    vec![own, all]
}

impl Memory {
    fn before(&self, name: &str) -> Option<(Timestamp, u64)> {
        let times = self.times.lock().expect("no panics inside");
        times.get(name).copied()
    }

    fn remember(&self, name: &str, cpu: &CpuStats) {
        let nanos = cpu.usage_core_nano_seconds.unwrap_or(0);
        let mut times = self.times.lock().expect("no panics inside");
        times.insert(name.to_owned(), (cpu.time, nanos));
    }
}

/// How fast containers use processors; remembers what they have used for the next time.
fn rates(context: &Context, containers: &[Container], measured: &Measured) -> HashMap<String, u64> {
    let mut times = context.stats.times.lock().expect("no panics inside");
    let mut rates = HashMap::new();
    for container in containers {
        let usage = measured.usages.get(&container.id);
        let Some((at, nanos)) = usage.and_then(|usage| Some((usage.at, usage.cpu_nanos?))) else {
            continue;
        };
        let before = times.get(&container.id).copied();
        if let Some(rate) = rate(before, container.started_at, (at, nanos)) {
            rates.insert(container.id.clone(), rate);
            times.insert(container.id.clone(), (at, nanos));
        }
    }
    let is_there = |id: &String| containers.iter().any(|container| container.id == *id);
    times.retain(|id, _| id == NODE || id == KUBELET || is_there(id));
    rates
}

async fn disks(context: &Context, pods: &[Arc<Pod>], containers: &[Container]) -> Result<Disks> {
    let empty = |path: &Path| {
        let fs = node::file_system(path).unwrap_or_default();
        FsStats {
            used_bytes: None,
            inodes_used: None,
            ..fs
        }
    };
    let image_store = context.config.image_store();
    let mut disks = Disks {
        node_fs: empty(&context.config.root_dir),
        image_fs: empty(if image_store.exists() {
            &image_store
        } else {
            &context.config.root_dir
        }),
        layers: layers(context, containers).await?,
        ..Disks::default()
    };
    for container in containers
        .iter()
        .filter(|c| c.state == ContainerState::Running)
    {
        if let Some(folder) = container.log_path.parent() {
            let usage = folder_usage(context, folder).await?;
            disks.logs.insert(container.id.clone(), usage);
        }
    }
    for pod in pods {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        disks.volumes.insert(uid, volumes(context, pod).await?);
    }
    Ok(disks)
}

/// What each writable layer holds, not older than a minute, and of no container that is new.
async fn layers(context: &Context, containers: &[Container]) -> Result<HashMap<String, DiskUsage>> {
    let known = context
        .stats
        .layers
        .lock()
        .expect("no panics inside")
        .clone();
    if let Some((at, layers)) = known {
        let mut running = containers
            .iter()
            .filter(|c| c.state == ContainerState::Running);
        if at.elapsed() < DISK_AGE_MAX && running.all(|c| layers.contains_key(&c.id)) {
            return Ok(layers);
        }
    }
    let layers = context.runtime.writable_layers().await?;
    let entry = Some((Instant::now(), layers.clone()));
    *context.stats.layers.lock().expect("no panics inside") = entry;
    Ok(layers)
}

/// What a folder holds, not older than a minute.
pub async fn folder_usage(context: &Context, folder: &Path) -> Result<DiskUsage> {
    {
        let mut folders = context.stats.folders.lock().expect("no panics inside");
        folders.retain(|_, (at, _)| at.elapsed() < DISK_AGE_MAX);
        if let Some((_, usage)) = folders.get(folder) {
            return Ok(*usage);
        }
    }
    let path = folder.to_owned();
    let looked = tokio::task::spawn_blocking(move || usage::of_folder(&path)).await;
    let usage = looked.map_err(|error| RuntimeError::Other(error.to_string()))?;
    let mut folders = context.stats.folders.lock().expect("no panics inside");
    folders.insert(folder.to_owned(), (Instant::now(), usage));
    Ok(usage)
}

/// The volumes of a pod that are folders of its own: `volumes/kubernetes.io~<kind>/<name>`.
async fn volumes(context: &Context, pod: &Pod) -> Result<Vec<VolumeStats>> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let root = context.pod_dir(uid).join("volumes");
    let kinds = std::fs::read_dir(root).into_iter().flatten().flatten();
    let kinds: Vec<PathBuf> = kinds.map(|kind| kind.path()).collect();
    let mut stats = Vec::new();
    for volume in spec::of(pod).volumes.iter().flatten() {
        let mut paths = kinds.iter().map(|kind| kind.join(&volume.name));
        let Some(path) = paths.find(|path| path.is_dir()) else {
            continue;
        };
        let usage = folder_usage(context, &path).await?;
        let claim = volume.persistent_volume_claim.as_ref();
        stats.push(VolumeStats {
            fs: FsStats {
                used_bytes: Some(usage.bytes),
                inodes_used: Some(usage.inodes),
                ..node::file_system(&path).unwrap_or_default()
            },
            name: volume.name.clone(),
            pvc_ref: claim.map(|claim| PvcReference {
                name: claim.claim_name.clone(),
                namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            }),
        });
    }
    Ok(stats)
}
