//! Sandboxes: a shim each, started, followed, taken up again, stopped.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::client::{self, Connection};
use super::super::node_network::pod_network;
use super::super::pods::{Pod, Pods, State, describe_pod};
use super::super::protocol::{Reply, Request, listen_in};
use super::super::record::{
    CONTAINERS_DIR, PodNetwork, SANDBOX_FILE, STOPPED_FILE, SandboxRecord, write_json,
};
use super::super::{kill_shim, shim};
use super::{SandboxRuntime, ignore_not_found, new_id, other};
use crate::runtime::host_ports::PodPorts;
use crate::runtime::{Result, RuntimeError, Sandbox, SandboxConfig};

/// How long a shim may take to end its pod before it is killed itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

impl SandboxRuntime {
    pub(super) async fn run_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        let id = new_id();
        let network = match config.host_network {
            true => None,
            false => {
                let mut addresses = self.pods.network.addresses();
                let ip = addresses.allocate()?;
                let cidr = addresses.cidr().expect("an address was allocated from it");
                Some(pod_network(ip, cidr, &id))
            }
        };
        let record = SandboxRecord {
            id,
            config,
            created_at: Timestamp::now(),
            network,
        };
        let id = record.id.clone();
        if let Err(error) = write_sandbox(&self.pods.dir(&id), &record) {
            self.discard(&record);
            return Err(other(format!("failed to create sandbox: {error}")));
        }
        let pod = Pod {
            record: record.clone(),
            ready: false,
            containers: BTreeMap::new(),
        };
        self.pods.lock().pods.insert(id.clone(), pod);
        let started = async {
            self.start_shim(&id).await?;
            match &record.network {
                Some(network) => {
                    let ports = &record.config.port_mappings;
                    self.pods.network.host_ports.open(&id, network.ip, ports)
                }
                None => Ok(()),
            }
        };
        if let Err(error) = started.await {
            self.discard(&record);
            return Err(error);
        }
        let sandbox = describe_pod(self.pods.lock().pod(&id)?);
        Ok(sandbox)
    }

    pub(super) async fn stop_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let Ok(ready) = self.pods.lock().pod(sandbox_id).map(|pod| pod.ready) else {
            return Ok(());
        };
        self.pods.network.host_ports.close(sandbox_id)?;
        let dir = self.pods.dir(sandbox_id);
        if ready {
            let stop = async {
                // An error means that the shim is gone already.
                let _ = client::call(&dir, Request::Stop).await;
                let gone = |state: &State| state.pod(sandbox_id).is_ok_and(|pod| !pod.ready);
                self.pods.wait_until(gone).await;
            };
            if tokio::time::timeout(STOP_TIMEOUT, stop).await.is_err() {
                tracing::warn!(sandbox_id, "the shim does not stop: killing it");
                kill_shim(&dir).ok_or_else(|| other("the sandbox's shim cannot be stopped"))?;
            }
        }
        let _ = rustix::mount::unmount(dir.join("shm"), rustix::mount::UnmountFlags::DETACH);
        self.remove_pod_cgroups(sandbox_id);
        if !dir.join(STOPPED_FILE).exists() {
            std::fs::write(dir.join(STOPPED_FILE), "").map_err(other)?;
            let state = self.pods.lock();
            let network = state
                .pods
                .get(sandbox_id)
                .and_then(|pod| pod.record.network.clone());
            if let Some(PodNetwork { ip, .. }) = network {
                self.pods.network.addresses().release(ip);
            }
        }
        Ok(())
    }

    pub(super) async fn remove_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.stop_sandbox(sandbox_id).await?;
        let Some(pod) = self.pods.lock().pods.remove(sandbox_id) else {
            return Ok(());
        };
        for id in pod.containers.keys() {
            self.images.release(id);
        }
        let dir = self.pods.dir(sandbox_id);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(dir));
        removed
            .await
            .map_err(other)?
            .or_else(ignore_not_found)
            .map_err(other)
    }

    /// Starts a shim for a sandbox whose record is on disk, and waits until it is up.
    async fn start_shim(&self, sandbox_id: &str) -> Result<()> {
        let dir = self.pods.dir(sandbox_id);
        let failed = |error: io::Error| RuntimeError::Other(format!("starting the shim: {error}"));
        let listener = listen_in(&dir).map_err(failed)?;
        let errors = std::fs::File::create(dir.join(shim::ERRORS_FILE)).map_err(failed)?;
        let mut command = self.config.helper_command();
        command.current_dir(&dir);
        command.stdin(listener).stdout(Stdio::null()).stderr(errors);
        let status = command
            .spawn()
            .map_err(failed)?
            .wait()
            .await
            .map_err(failed)?;
        // The command holds the listener too, and while it does nobody is refused.
        drop(command);
        let said = || {
            let text = std::fs::read_to_string(dir.join(shim::ERRORS_FILE)).unwrap_or_default();
            RuntimeError::Other(format!("failed to create sandbox: {}", text.trim()))
        };
        if !status.success() {
            return Err(said());
        }
        match watch_shim(&self.pods, sandbox_id).await {
            Ok(_) => Ok(()),
            Err(RuntimeError::NotFound(_)) => Err(said()),
            Err(error) => Err(RuntimeError::Other(format!(
                "failed to create sandbox: {error}"
            ))),
        }
    }

    /// Gives a sandbox its address back and forgets that it ever was.
    fn discard(&self, record: &SandboxRecord) {
        let mut state = self.pods.lock();
        state.pods.remove(&record.id);
        if let Some(network) = &record.network {
            self.pods.network.addresses().release(network.ip);
        }
        drop(state);
        let dir = self.pods.dir(&record.id);
        kill_shim(&dir);
        let _ = rustix::mount::unmount(dir.join("shm"), rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Takes up the pods that an earlier kubelet left running.
pub(super) async fn adopt_all(pods: &Arc<Pods>) {
    let ids: Vec<String> = pods.lock().pods.keys().cloned().collect();
    for id in ids {
        if pods.dir(&id).join(STOPPED_FILE).exists() {
            continue;
        }
        match watch_shim(pods, &id).await {
            Ok(running) => {
                // What ended while no kubelet was there is on disk, and was read from there.
                tracing::info!(sandbox = id, containers = running, "pod goes on");
            }
            Err(error) => {
                tracing::info!(sandbox = id, %error, "pod is lost");
                pods.lost(&id);
            }
        }
    }
}

/// The host ports of the pods that run.
pub(super) fn open_ports(pods: &Pods) -> BTreeMap<String, PodPorts> {
    let state = pods.lock();
    let running = state.pods.iter().filter(|(_, pod)| pod.ready);
    let ports = running.filter_map(|(id, pod)| {
        let ip = pod.record.network.as_ref()?.ip;
        let ports = pod.record.config.port_mappings.clone();
        (!ports.is_empty()).then(|| (id.clone(), PodPorts { ip, ports }))
    });
    ports.collect()
}

/// Connects to a sandbox's shim and keeps the state true from then on. How many containers run.
async fn watch_shim(pods: &Arc<Pods>, sandbox_id: &str) -> Result<usize> {
    let (connection, reply, _) = client::open(&pods.dir(sandbox_id), Request::Watch, &[]).await?;
    let Reply::Ready { running } = reply else {
        return Err(RuntimeError::Other(
            "the shim gave an answer to another question".into(),
        ));
    };
    if let Some(pod) = pods.lock().pods.get_mut(sandbox_id) {
        pod.ready = true;
    }
    tokio::spawn(follow_shim(
        pods.clone(),
        sandbox_id.to_string(),
        connection,
    ));
    Ok(running.len())
}

async fn follow_shim(pods: Arc<Pods>, sandbox_id: String, connection: Connection) {
    while let Ok(Some((reply, _))) = connection.receive().await {
        if let Reply::Exited { container_id, exit } = reply {
            pods.exited(&sandbox_id, &container_id, exit);
        }
    }
    pods.lost(&sandbox_id);
}

fn write_sandbox(dir: &Path, record: &SandboxRecord) -> io::Result<()> {
    let etc = dir.join("etc");
    std::fs::create_dir_all(&etc)?;
    std::fs::create_dir(dir.join(CONTAINERS_DIR))?;
    let ip = record
        .network
        .as_ref()
        .map(|network| network.ip.to_string())
        .unwrap_or_default();
    std::fs::write(
        etc.join("hosts"),
        record.config.hosts.replace("{POD_IP}", &ip),
    )?;
    std::fs::write(
        etc.join("hostname"),
        format!("{}\n", record.config.hostname),
    )?;
    std::fs::write(etc.join("resolv.conf"), &record.config.resolv_conf)?;
    write_json(&dir.join(SANDBOX_FILE), record)
}
