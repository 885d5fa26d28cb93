//! What containers use, as a CRI runtime tells it.
//!
//! CRI tells of processors, memory and writable layers in one list. Of the pod's network it has
//! `ListPodSandboxStats`, which older runtimes do not know; but the network is that of the
//! sandbox's process, whose number every runtime gives with its verbose status.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{CriRuntime, LIST_DEADLINE, cri, other};
use crate::runtime::Result;
use crate::runtime::usage::{self, ContainerUsage, DiskUsage, MemoryUsage, NetworkUsage};

impl CriRuntime {
    async fn stats(&self) -> Result<Vec<cri::ContainerStats>> {
        let request = cri::ListContainerStatsRequest {};
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        Ok(reply.map_err(other)?.stats)
    }

    pub(super) async fn usage(&self) -> Result<Vec<ContainerUsage>> {
        let stats = self.stats().await?;
        Ok(stats.into_iter().filter_map(usage_from).collect())
    }

    pub(super) async fn layers(&self) -> Result<HashMap<String, DiskUsage>> {
        let stats = self.stats().await?;
        let layers = stats.into_iter().filter_map(|stats| {
            let layer = stats.writable_layer?;
            let usage = DiskUsage {
                bytes: value(layer.used_bytes).unwrap_or(0),
                inodes: value(layer.inodes_used).unwrap_or(0),
            };
            Some((stats.attributes?.id, usage))
        });
        Ok(layers.collect())
    }

    pub(super) async fn networks(&self) -> Result<Vec<NetworkUsage>> {
        let request = cri::ListPodSandboxRequest { filter: None };
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        let mut usages = Vec::new();
        for sandbox in reply.map_err(other)?.items {
            let ready = sandbox.state == cri::PodSandboxState::Ready as i32;
            if !ready || self.addresses(&sandbox.id).await?.is_empty() {
                continue;
            }
            // Gone since it was listed, or a runtime that does not say.
            if let Some(pid) = self.pid(&sandbox.id).await {
                usages.push(NetworkUsage {
                    sandbox_id: sandbox.id,
                    interfaces: usage::network_of(pid),
                });
            }
        }
        Ok(usages)
    }

    /// The number of a sandbox's process. Upstream's `crictl inspectp` shows it the same way.
    async fn pid(&self, sandbox_id: &str) -> Option<i32> {
        let request = cri::PodSandboxStatusRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            verbose: true,
        };
        let reply = self.client.call(&request, LIST_DEADLINE).await.ok()?;
        let info: serde_json::Value = serde_json::from_str(reply.info.get("info")?).ok()?;
        i32::try_from(info["pid"].as_i64()?).ok()
    }
}

fn usage_from(stats: cri::ContainerStats) -> Option<ContainerUsage> {
    let id = stats.attributes?.id;
    // Those that do not run have an entry without numbers.
    let cpu = stats.cpu?;
    let memory = stats.memory.and_then(|memory| {
        // A runtime tells one of the two at least.
        let usage = value(memory.usage_bytes).or(value(memory.working_set_bytes))?;
        Some(MemoryUsage {
            usage_bytes: usage,
            working_set_bytes: value(memory.working_set_bytes).unwrap_or(usage),
            rss_bytes: value(memory.rss_bytes).unwrap_or(0),
            page_faults: value(memory.page_faults),
            major_page_faults: value(memory.major_page_faults),
        })
    });
    Some(ContainerUsage {
        container_id: id,
        at: Timestamp::from_nanosecond(cpu.timestamp.into()).unwrap_or_else(|_| Timestamp::now()),
        cpu_nanos: value(cpu.usage_core_nano_seconds),
        memory,
        processes: None,
    })
}

fn value(value: Option<cri::UInt64Value>) -> Option<u64> {
    value.map(|value| value.value)
}
