//! What containers use: asked of their control groups, or of `/proc` where there are none.

use std::collections::HashMap;
use std::path::PathBuf;

use super::super::processes::Processes;
use super::super::record::{ContainerStatus, STATUS_FILE, read_json};
use super::super::shim;
use super::{SandboxRuntime, other};
use crate::runtime::Result;
use crate::runtime::usage::{self, ContainerUsage, DiskUsage, NetworkUsage};

/// A running container, and where to look for what it uses.
struct Running {
    id: String,
    cgroups: Vec<PathBuf>,
    sandbox_dir: PathBuf,
    dir: PathBuf,
}

impl SandboxRuntime {
    pub(super) async fn usage(&self) -> Result<Vec<ContainerUsage>> {
        let containers = self.all_running();
        let read = move || {
            let mut processes = None;
            let usages = containers.into_iter().filter_map(|container| {
                let found = usage::of_groups(&container.cgroups).or_else(|| {
                    let processes = processes.get_or_insert_with(Processes::read);
                    let status: ContainerStatus =
                        read_json(&container.dir.join(STATUS_FILE)).ok()?;
                    let pid = std::fs::read_to_string(container.sandbox_dir.join(shim::PID_FILE));
                    processes.of_container(pid.ok()?.trim().parse().ok()?, status.pid?)
                });
                let container_id = container.id;
                found.map(|usage| ContainerUsage {
                    container_id,
                    ..usage
                })
            });
            usages.collect()
        };
        tokio::task::spawn_blocking(read).await.map_err(other)
    }

    fn all_running(&self) -> Vec<Running> {
        let state = self.pods.lock();
        let ready = state.pods.values().filter(|pod| pod.ready);
        let containers = ready.flat_map(|pod| {
            let entries = pod.containers.iter();
            let running = entries.filter(|(_, entry)| {
                entry.status.started_at.is_some() && entry.status.exit.is_none()
            });
            running.map(|(id, entry)| Running {
                id: id.clone(),
                cgroups: entry.record.spec.cgroups.clone(),
                sandbox_dir: self.pods.dir(&pod.record.id),
                dir: self.pods.container_dir(&pod.record.id, id),
            })
        });
        containers.collect()
    }

    pub(super) fn networks(&self) -> Vec<NetworkUsage> {
        let state = self.pods.lock();
        let own_network = state
            .pods
            .values()
            .filter(|pod| pod.ready && pod.record.network.is_some());
        let usages = own_network.filter_map(|pod| {
            let id = pod.record.id.clone();
            let pid = std::fs::read_to_string(self.pods.dir(&id).join(shim::PID_FILE)).ok()?;
            Some(NetworkUsage {
                sandbox_id: id,
                interfaces: usage::network_of(pid.trim().parse().ok()?),
            })
        });
        usages.collect()
    }

    pub(super) async fn layers(&self) -> Result<HashMap<String, DiskUsage>> {
        let containers: Vec<(String, PathBuf)> = {
            let state = self.pods.lock();
            let dir = |sandbox: &str, id: &String| {
                let dir = self.pods.container_dir(sandbox, id);
                (id.clone(), dir.join("upper"))
            };
            let pods = state.pods.values();
            pods.flat_map(|pod| pod.containers.keys().map(|id| dir(&pod.record.id, id)))
                .collect()
        };
        let read = move || {
            let sizes = containers.into_iter();
            sizes
                .map(|(id, dir)| (id, usage::of_folder(&dir)))
                .collect()
        };
        tokio::task::spawn_blocking(read).await.map_err(other)
    }
}
