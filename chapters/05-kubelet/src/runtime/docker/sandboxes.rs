//! Sandboxes: a pause container each, and its place in the node's network.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bollard::models::{ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::CreateContainerOptions;
use jiff::Timestamp;
use netlink::{Netlink, netns};

use super::engine::{other, said, status};
use super::{Inner, labels, spec};
use crate::runtime::sandbox::node_network::{PodCidr, pod_network};
use crate::runtime::sandbox::shim_network;
use crate::runtime::{PodMetadata, Result, RuntimeError, Sandbox, SandboxConfig, SandboxState};

/// One process namespace for all containers of the pod.
pub(super) const SHARE_PROCESSES: &str = "workshop.share-process-namespace";
/// Where the pause container has the volumes that it keeps alive.
const KEPT_VOLUMES: &str = "/volumes";

impl Inner {
    pub(super) async fn run_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        let (ip, cidr) = match config.host_network {
            true => (None, None),
            false => {
                let mut addresses = self.config.network.addresses();
                (Some(addresses.allocate()?), addresses.cidr())
            }
        };
        let made = self.make_sandbox(&config, ip, cidr).await;
        if made.is_err()
            && let Some(ip) = ip
        {
            self.config.network.addresses().release(ip);
        }
        let id = made.map_err(|error| match error {
            RuntimeError::Other(why) | RuntimeError::Create(why) => RuntimeError::Other(format!(
                "failed to create a sandbox for pod \"{}\": {why}",
                config.metadata.name
            )),
            error => error,
        })?;
        if let Some(ip) = ip {
            self.state().holders.insert(ip, id.clone());
        }
        Ok(Sandbox {
            id,
            metadata: config.metadata,
            state: SandboxState::Ready,
            ips: ip.into_iter().map(Into::into).collect(),
            created_at: Timestamp::now(),
            runtime_handler: String::new(),
        })
    }

    async fn make_sandbox(
        &self,
        config: &SandboxConfig,
        ip: Option<Ipv4Addr>,
        cidr: Option<PodCidr>,
    ) -> Result<String> {
        let metadata = &config.metadata;
        self.write_files(config, ip).map_err(other)?;
        let mut kept = Vec::new();
        for (at, memory) in self.memory_volumes(&metadata.uid).into_iter().enumerate() {
            self.make_memory_volume(&memory, &metadata.uid).await?;
            kept.push((memory.volume, format!("{KEPT_VOLUMES}/{at}")));
        }
        let mut own = labels::of_sandbox(metadata, ip, &config.port_mappings);
        if config.share_process_namespace {
            own.insert(SHARE_PROCESSES.to_owned(), "true".to_owned());
        }
        let body = spec::pause(config, &self.place, &kept, self.with_own(own));
        let name = labels::sandbox_name(metadata);
        let id = match self.create_named(&name, body.clone()).await {
            Err(RuntimeError::Create(why)) if why.contains("No such image") => {
                self.pull(&self.place.pause.image, None).await?;
                self.create_named(&name, body).await?
            }
            made => made?,
        };
        let started = async {
            let start = self.engine.docker.start_container(&id, None);
            self.engine.change(&id, start).await?;
            if let (Some(ip), Some(cidr)) = (ip, cidr) {
                let pause = self.netns_of(&id).await?;
                connect(pause, ip, cidr, &id).await?;
                let ports = &config.port_mappings;
                self.config.network.host_ports.open(&id, ip, ports)?;
            }
            Ok(())
        };
        if let Err(error) = started.await {
            // Half a sandbox is none: the next attempt begins anew.
            self.engine.remove(&id).await?;
            return Err(error);
        }
        Ok(id)
    }

    /// Makes a container under a name. One of that name that never ran is what is left of an
    /// attempt whose answer was lost; one that ran is not made again.
    pub(super) async fn create_named(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String> {
        for _ in 0..2 {
            let options = CreateContainerOptions {
                name: Some(name.to_owned()),
                ..CreateContainerOptions::default()
            };
            let create = self
                .engine
                .docker
                .create_container(Some(options), body.clone());
            let limit = std::time::Duration::from_secs(120);
            match tokio::time::timeout(limit, create).await {
                Ok(Ok(created)) => return Ok(created.id),
                Ok(Err(error)) if status(&error) == Some(409) => self.clear(name).await?,
                Ok(Err(error)) => return Err(RuntimeError::Create(said(&error))),
                Err(_) => return Err(other("the Docker engine does not answer")),
            }
        }
        Err(other(format!("the name {name} is taken")))
    }

    /// Takes a name back from a container that does not run.
    async fn clear(&self, name: &str) -> Result<()> {
        let found = match self.engine.inspect(name).await {
            Err(RuntimeError::NotFound(_)) => return Ok(()),
            found => found?,
        };
        if found.state.and_then(|state| state.running) == Some(true) {
            return Err(other(format!("{name} runs already")));
        }
        self.engine.remove(&found.id.unwrap_or_default()).await
    }

    /// The network namespace of a container.
    pub(super) async fn netns_of(&self, id: &str) -> Result<OwnedFd> {
        let found = self.engine.inspect(id).await?;
        let pid = found
            .state
            .and_then(|state| state.pid)
            .filter(|pid| *pid > 0);
        let pid = pid.ok_or_else(|| other(format!("container {id} does not run")))?;
        let path = format!("/proc/{pid}/ns/net");
        let file = File::open(&path).map_err(|error| other(format!("{path}: {error}")))?;
        Ok(file.into())
    }

    pub(super) async fn stop_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.config.network.host_ports.close(sandbox_id)?;
        for container in self.of_sandbox(sandbox_id).await? {
            if runs(&container) {
                self.engine.kill(&container.id.unwrap_or_default()).await?;
            }
        }
        self.engine.kill(sandbox_id).await?;
        let mut state = self.state();
        let held = state
            .holders
            .iter()
            .find(|(_, holder)| *holder == sandbox_id);
        if let Some(ip) = held.map(|(ip, _)| *ip) {
            state.holders.remove(&ip);
            self.config.network.addresses().release(ip);
        }
        Ok(())
    }

    pub(super) async fn remove_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let found = match self.engine.inspect(sandbox_id).await {
            Err(RuntimeError::NotFound(_)) => return Ok(()),
            found => found?,
        };
        self.stop_sandbox(sandbox_id).await?;
        for container in self.of_sandbox(sandbox_id).await? {
            self.remove(&container.id.unwrap_or_default()).await?;
        }
        self.engine.remove(sandbox_id).await?;
        let own = found.config.and_then(|config| config.labels);
        let metadata = labels::metadata(&own.unwrap_or_default());
        let removed = std::fs::remove_dir_all(self.files(&metadata));
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(other(error));
        }
        self.remove_memory_volumes(&metadata.uid).await
    }

    /// Containers of a sandbox, without the pause container.
    async fn of_sandbox(&self, sandbox_id: &str) -> Result<Vec<ContainerSummary>> {
        let mut wanted = self.own_labels();
        wanted.push(format!("{}={sandbox_id}", labels::SANDBOX_ID));
        self.engine.list(wanted).await
    }

    /// The pause containers of this node, of one pod if asked.
    async fn pause_containers(&self, pod_uid: Option<&str>) -> Result<Vec<ContainerSummary>> {
        let mut wanted = self.own_labels();
        wanted.push(format!("{}={}", labels::TYPE, labels::SANDBOX));
        wanted.extend(pod_uid.map(|uid| format!("{}={uid}", labels::POD_UID)));
        self.engine.list(wanted).await
    }

    pub(super) async fn list_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        let found = self.pause_containers(pod_uid).await?;
        let mut sandboxes: Vec<Sandbox> = found.into_iter().map(describe).collect();
        sandboxes.sort_by_key(|sandbox| {
            std::cmp::Reverse((sandbox.created_at, sandbox.metadata.attempt))
        });
        Ok(sandboxes)
    }

    /// Takes up what an earlier kubelet left: addresses, host ports and logs. A sandbox whose network is gone
    /// was on a node that has ended since, and ends now.
    pub(super) async fn adopt_all(&self) -> Result<()> {
        for sandbox in self.list_sandboxes(None).await? {
            if sandbox.state != SandboxState::Ready {
                continue;
            }
            let name = &sandbox.metadata.name;
            match self.check_network(&sandbox).await {
                Ok(()) => {
                    tracing::info!(pod = name, sandbox = sandbox.id, "pod goes on");
                    for ip in &sandbox.ips {
                        if let std::net::IpAddr::V4(ip) = ip {
                            self.config.network.addresses().claim(*ip);
                            self.state().holders.insert(*ip, sandbox.id.clone());
                        }
                    }
                }
                Err(why) => {
                    tracing::info!(pod = name, sandbox = sandbox.id, %why, "pod is lost");
                    self.stop_sandbox(&sandbox.id).await?;
                }
            }
        }
        let mut open = BTreeMap::new();
        for pause in self.pause_containers(None).await?.into_iter().filter(runs) {
            let ports = labels::pod_ports(&pause.labels.unwrap_or_default());
            open.extend(ports.map(|ports| (pause.id.unwrap_or_default(), ports)));
        }
        self.config.network.host_ports.begin(open);
        for container in self.list_containers(None).await? {
            self.follow_log(&container.id, &container.log_path);
        }
        Ok(())
    }

    async fn check_network(&self, sandbox: &Sandbox) -> Result<()> {
        let pause = self.netns_of(&sandbox.id).await?;
        let Some(ip) = sandbox.ips.first().copied() else {
            let own = netns::current().map_err(other)?;
            let same = same_file(&own, &pause).map_err(other)?;
            return same
                .then_some(())
                .ok_or_else(|| other("the node has another network now"));
        };
        let host_link = format!("veth{}", &sandbox.id[..8]);
        let linked = Netlink::open().and_then(|mut node| node.link(&host_link));
        linked.map_err(other)?;
        let addressed = netns::in_netns(&pause, || Netlink::open()?.addresses());
        let addresses = addressed.and_then(|found| found).map_err(other)?;
        let has = addresses.iter().any(|address| address.ip == ip);
        has.then_some(())
            .ok_or_else(|| other("the pod has no address"))
    }

    /// Folder of the files that every container of a sandbox sees.
    pub(super) fn files(&self, metadata: &PodMetadata) -> PathBuf {
        let name = format!("{}_{}", metadata.uid, metadata.attempt);
        self.config.root_dir.join("docker/sandboxes").join(name)
    }

    fn write_files(&self, config: &SandboxConfig, ip: Option<Ipv4Addr>) -> io::Result<()> {
        let folder = self.files(&config.metadata);
        std::fs::create_dir_all(&folder)?;
        let ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
        std::fs::write(folder.join("hosts"), config.hosts.replace("{POD_IP}", &ip))?;
        std::fs::write(folder.join("hostname"), format!("{}\n", config.hostname))?;
        std::fs::write(folder.join("resolv.conf"), &config.resolv_conf)
    }
}

/// Plugs a pause container into the node's bridge.
async fn connect(pause: OwnedFd, ip: Ipv4Addr, cidr: PodCidr, id: &str) -> Result<()> {
    let network = pod_network(ip, cidr, id);
    let plugged = tokio::task::spawn_blocking(move || {
        // The node's socket is opened here, in the node's network, and taken along.
        let node = Netlink::open()?;
        netns::in_netns(&pause, || {
            shim_network::set_defaults();
            shim_network::connect(node, &network)
        })?
    });
    let plugged = plugged.await.map_err(other)?;
    plugged.map_err(|error| other(format!("failed to set up pod network: {error}")))
}

fn describe(found: ContainerSummary) -> Sandbox {
    let own = found.labels.clone().unwrap_or_default();
    Sandbox {
        state: match runs(&found) {
            true => SandboxState::Ready,
            false => SandboxState::NotReady,
        },
        id: found.id.unwrap_or_default(),
        metadata: labels::metadata(&own),
        ips: labels::text(&own, labels::POD_IP)
            .parse()
            .into_iter()
            .collect(),
        created_at: Timestamp::from_second(found.created.unwrap_or(0)).unwrap_or_default(),
        runtime_handler: String::new(),
    }
}

pub(super) fn runs(found: &ContainerSummary) -> bool {
    use ContainerSummaryStateEnum::{PAUSED, RUNNING};
    matches!(found.state, Some(RUNNING | PAUSED))
}

fn same_file(a: &OwnedFd, b: &OwnedFd) -> rustix::io::Result<bool> {
    let (a, b) = (rustix::fs::fstat(a)?, rustix::fs::fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}
