//! What containers use, as the engine tells it.
//!
//! The engine may be in another place than the node, so its control groups are not looked at; its
//! statistics are, one question a container, all at once and without the second look that
//! `docker stats` takes. The link of a pod was made by the kubelet, so the kubelet reads it.

use std::collections::HashMap;

use bollard::models::{ContainerMemoryStats, ContainerStatsResponse, ContainerSummary};
use bollard::query_parameters::{ListContainersOptions, StatsOptions};
use futures::StreamExt;
use jiff::Timestamp;

use super::sandboxes::runs;
use super::{Inner, labels};
use crate::runtime::usage::{self, ContainerUsage, DiskUsage, MemoryUsage, NetworkUsage};
use crate::runtime::{Result, RuntimeError};

impl Inner {
    pub(super) async fn usage(&self) -> Result<Vec<ContainerUsage>> {
        let found = self.engine.list(self.labels_of(labels::CONTAINER)).await?;
        let running = found.iter().filter(|container| runs(container));
        let usages = running.map(|container| self.usage_of(container));
        let usages = futures::future::join_all(usages).await;
        Ok(usages.into_iter().flatten().collect())
    }

    /// Nothing of a container that ended since it was listed.
    async fn usage_of(&self, container: &ContainerSummary) -> Option<ContainerUsage> {
        let id = container.id.as_deref()?;
        let options = StatsOptions {
            stream: false,
            one_shot: true,
        };
        let mut answers = self.engine.docker.stats(id, Some(options));
        let answer = async { answers.next().await.transpose() };
        let stats = self.engine.look(id, answer).await.ok()??;
        Some(usage_from(id, &stats))
    }

    pub(super) async fn networks(&self) -> Result<Vec<NetworkUsage>> {
        let found = self.engine.list(self.labels_of(labels::SANDBOX)).await?;
        let mut usages = Vec::new();
        for sandbox in found.iter().filter(|sandbox| runs(sandbox)) {
            let id = sandbox.id.as_deref().unwrap_or_default();
            let inspected = match self.engine.inspect(id).await {
                Err(RuntimeError::NotFound(_)) => continue,
                inspected => inspected?,
            };
            let mode = inspected.host_config.and_then(|config| config.network_mode);
            let pid = inspected.state.and_then(|state| state.pid);
            // Other modes are the node's own network.
            if mode.as_deref() == Some("none")
                && let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok())
            {
                usages.push(NetworkUsage {
                    sandbox_id: id.to_owned(),
                    interfaces: usage::network_of(pid),
                });
            }
        }
        Ok(usages)
    }

    /// The engine counts bytes, not files.
    pub(super) async fn layers(&self) -> Result<HashMap<String, DiskUsage>> {
        let wanted = self.labels_of(labels::CONTAINER);
        let options = ListContainersOptions {
            all: true,
            size: true,
            filters: Some(HashMap::from([("label".to_owned(), wanted)])),
            ..ListContainersOptions::default()
        };
        let list = self.engine.docker.list_containers(Some(options));
        let found = self
            .engine
            .change("the sizes of the containers", list)
            .await?;
        let sizes = found.into_iter().filter_map(|container| {
            let bytes = u64::try_from(container.size_rw.unwrap_or(0)).ok()?;
            Some((container.id?, DiskUsage { bytes, inodes: 0 }))
        });
        Ok(sizes.collect())
    }

    fn labels_of(&self, kind: &str) -> Vec<String> {
        let mut wanted = self.own_labels();
        wanted.push(format!("{}={kind}", labels::TYPE));
        wanted
    }
}

fn usage_from(id: &str, stats: &ContainerStatsResponse) -> ContainerUsage {
    let cpu = stats.cpu_stats.as_ref();
    ContainerUsage {
        container_id: id.to_owned(),
        at: Timestamp::now(),
        cpu_nanos: cpu.and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage),
        memory: stats.memory_stats.as_ref().and_then(memory_from),
        processes: stats.pids_stats.as_ref().and_then(|pids| pids.current),
    }
}

/// The engine hands on the kernel's `memory.stat`, of v1 or of v2.
fn memory_from(stats: &ContainerMemoryStats) -> Option<MemoryUsage> {
    let usage_bytes = stats.usage?;
    let details = stats.stats.as_ref();
    let of = |v1: &str, v2: &str| {
        let details = details?;
        details.get(v1).or_else(|| details.get(v2)).copied()
    };
    let inactive = of("total_inactive_file", "inactive_file").unwrap_or(0);
    Some(MemoryUsage {
        usage_bytes,
        working_set_bytes: usage_bytes.saturating_sub(inactive),
        rss_bytes: of("total_rss", "anon").unwrap_or(0),
        page_faults: of("total_pgfault", "pgfault"),
        major_page_faults: of("total_pgmajfault", "pgmajfault"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(memory: &str, expected: MemoryUsage) {
        let json = format!(
            r#"{{"cpu_stats":{{"cpu_usage":{{"total_usage":7}}}},"pids_stats":{{"current":2}},
                "memory_stats":{memory}}}"#
        );
        let stats: ContainerStatsResponse = serde_json::from_str(&json).unwrap();
        let usage = usage_from("c", &stats);
        assert_eq!((usage.cpu_nanos, usage.processes), (Some(7), Some(2)));
        assert_eq!(usage.memory, Some(expected));
    }

    #[test]
    fn either_kind_of_control_groups_is_understood() {
        let expected = MemoryUsage {
            usage_bytes: 100,
            working_set_bytes: 70,
            rss_bytes: 50,
            page_faults: Some(3),
            major_page_faults: None,
        };
        check(
            r#"{"usage":100,"stats":{"total_inactive_file":30,"inactive_file":1,"total_rss":50,
                "total_pgfault":3}}"#,
            expected,
        );
        check(
            r#"{"usage":100,"stats":{"inactive_file":30,"anon":50,"pgfault":3}}"#,
            expected,
        );
    }
}
