//! Any CRI runtime behind the kubelet's trait: containerd, CRI-O, whatever listens on a socket.
//!
//! CRI is the gRPC interface that kubelet and container runtime meet at. What the embedded sandbox
//! does itself is here a call:
//!
//! ```text
//! kubelet ── gRPC over a Unix socket ──► containerd ──► shim, one for each pod ──► runc
//!    │                                       └─ CNI plugin (see [`crate::cni`]): the pod's network
//!    └── SPDY ──► its streaming server: exec, attach, port-forward
//! ```
//!
//! | the kubelet does | the runtime does |
//! | --- | --- |
//! | `/etc/hosts`, once the pod's address is known | `/etc/hostname`, `/etc/resolv.conf` |
//! | names the log's file, rotates it | writes it |
//! | names the pod's cgroup | makes it, and each container's in it |
//! | looks once a second ([`relist`]) | keeps the state |
//!
//! A container is known by its labels, so a restarted kubelet finds its pods by asking; beside
//! them it keeps a small record of each sandbox ([`records`]), for what CRI does not give back.
//!
//! Where to read on: [`grpc::client`] is what a call is, [`convert`] what is said, [`streaming`] what does
//! not fit in a call, [`import`] how the workshop's own images get there.
//!
//! Left out: `GetContainerEvents` (containerd 1.6 has none), images pulled by a
//! runtime handler.
//!
//! Upstream: `pkg/kubelet/kuberuntime`, `staging/src/k8s.io/cri-client`.

pub mod containerd;
mod convert;
mod images;
mod import;
mod messages;
mod pause;
mod records;
mod relist;
mod rotation;
mod streaming;
mod usage;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use self::messages as cri;
use self::records::Records;
use self::relist::Relist;
use super::images::ImageStore;
use super::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use super::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Features,
    Handler, Image, ProcessStreams, PullAuth, Resources, Result, RuntimeError, RuntimeEvent,
    Sandbox, SandboxConfig, SandboxState,
};
use grpc::client::{Client, Code, Rpc, Status};

pub use import::import;

/// How long a call may take. Upstream: `--runtime-request-timeout`.
const DEADLINE: Duration = Duration::from_secs(120);
/// How much longer than its own limit a command's call may take.
const EXEC_GRACE: Duration = Duration::from_secs(1);
/// How long a list may take, which the runtime has at hand.
const LIST_DEADLINE: Duration = Duration::from_secs(10);
/// How long a runtime that is just being started is waited for.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How often something is asked that cannot be waited for.
const RETRY: Duration = Duration::from_millis(20);

/// How a CRI runtime is reached, and what it is told.
#[derive(Debug, Clone)]
pub struct CriConfig {
    /// Where it listens: `unix:///run/containerd/containerd.sock`.
    pub endpoint: String,
    /// Folder of this node alone, for the records of sandboxes.
    pub root_dir: PathBuf,
    /// Folder of the images that the workshop brings along.
    pub image_store: PathBuf,
    /// Bring the pause image along, for a runtime whose sandboxes are made of it.
    pub bring_pause: bool,
    /// The cgroup that all pods' cgroups are in; `/` is the root.
    pub cgroup_root: String,
}

/// [`ContainerRuntime`] over CRI.
pub struct CriRuntime {
    client: Arc<Client>,
    relist: Arc<Relist>,
    records: Records,
    images: ImageStore,
    version: String,
    features: Features,
    cgroup_root: String,
    /// Addresses of sandboxes, which never change: to ask once is enough.
    addresses: Mutex<HashMap<String, Vec<IpAddr>>>,
    /// Held while images are imported.
    importing: tokio::sync::Mutex<()>,
}

impl CriRuntime {
    /// Connects; waits a while for a runtime that is being started.
    ///
    /// # Errors
    /// When the endpoint is none, nobody answers there, or a folder cannot be made.
    pub async fn connect(config: CriConfig) -> Result<CriRuntime> {
        let Some(socket) = config.endpoint.strip_prefix("unix://") else {
            let message = format!("{:?} is no endpoint: unix:///path is", config.endpoint);
            return Err(RuntimeError::Other(message));
        };
        let client = Arc::new(Client::new(socket));
        let version = version(&client).await?;
        let status = client.call(&cri::StatusRequest {}, LIST_DEADLINE).await;
        let features = convert::features(&status.map_err(other)?);
        rotation::start(&client);
        let runtime = CriRuntime {
            relist: Relist::start(client.clone()),
            client,
            records: Records::open(config.root_dir.join("cri"))?,
            images: ImageStore::open(&config.image_store)?,
            version,
            features,
            cgroup_root: config.cgroup_root,
            addresses: Mutex::default(),
            importing: tokio::sync::Mutex::default(),
        };
        if config.bring_pause {
            runtime.bring_pause().await?;
        }
        Ok(runtime)
    }

    async fn call<R: Rpc>(&self, request: &R) -> std::result::Result<R::Reply, Status> {
        self.client.call(request, DEADLINE).await
    }

    /// A call that may find its work done already.
    async fn call_idempotent<R: Rpc>(&self, request: &R, deadline: Duration) -> Result<()> {
        let done = self.client.call(request, deadline).await;
        self.relist.soon();
        match done {
            Ok(_) => Ok(()),
            Err(status) if status.code == Code::NotFound => Ok(()),
            Err(status) => Err(other(status)),
        }
    }

    /// The addresses of a sandbox. None with the host's network.
    async fn addresses(&self, sandbox_id: &str) -> Result<Vec<IpAddr>> {
        if let Some(known) = self.known_addresses().get(sandbox_id).cloned() {
            return Ok(known);
        }
        let request = cri::PodSandboxStatusRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            verbose: false,
        };
        let reply = self.call(&request).await.map_err(other)?;
        let network = reply.status.unwrap_or_default().network.unwrap_or_default();
        let more = network.additional_ips.iter().map(|more| &more.ip);
        let ips = std::iter::once(&network.ip).chain(more);
        let ips: Vec<IpAddr> = ips.filter_map(|ip| ip.parse().ok()).collect();
        self.known_addresses()
            .insert(sandbox_id.to_owned(), ips.clone());
        Ok(ips)
    }

    fn known_addresses(&self) -> MutexGuard<'_, HashMap<String, Vec<IpAddr>>> {
        self.addresses.lock().expect("no panics inside")
    }

    async fn sandbox(&self, sandbox: cri::PodSandbox) -> Result<Sandbox> {
        let is_ready = sandbox.state == cri::PodSandboxState::Ready as i32;
        // One whose record was never written cannot take containers: it is made again.
        let is_ready = is_ready && self.records.has(&sandbox.id);
        Ok(Sandbox {
            ips: match is_ready {
                true => self.addresses(&sandbox.id).await?,
                false => Vec::new(),
            },
            id: sandbox.id,
            metadata: convert::pod_metadata(sandbox.metadata.unwrap_or_default()),
            state: match is_ready {
                true => SandboxState::Ready,
                false => SandboxState::NotReady,
            },
            created_at: convert::timestamp(sandbox.created_at),
            runtime_handler: sandbox.runtime_handler,
        })
    }

    /// What the list leaves out is asked for one by one, all at once.
    async fn statuses(&self, listed: Vec<cri::Container>) -> Result<Vec<Container>> {
        let each = listed.into_iter().map(async |container| {
            let request = cri::ContainerStatusRequest {
                container_id: container.id,
            };
            match self.client.call(&request, LIST_DEADLINE).await {
                Ok(reply) => {
                    let status = reply.status.unwrap_or_default();
                    Ok(Some(convert::container(status, container.pod_sandbox_id)))
                }
                // Gone since it was listed.
                Err(status) if status.code == Code::NotFound => Ok(None),
                Err(status) => Err(other(status)),
            }
        });
        let statuses = futures::future::try_join_all(each).await?;
        let mut containers: Vec<Container> = statuses.into_iter().flatten().collect();
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        Ok(containers)
    }

    /// Puts aside the logs that are longer than that, which else happens now and then.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub async fn rotate_logs(&self, length_max: u64) -> Result<()> {
        rotation::look(&self.client, length_max)
            .await
            .map_err(other)
    }

    /// Whether pods can be given a network, or why not.
    async fn network(&self) -> std::result::Result<(), String> {
        let reply = self
            .client
            .call(&cri::StatusRequest {}, LIST_DEADLINE)
            .await;
        let reply = reply.map_err(|status| status.to_string())?;
        let conditions = reply.status.unwrap_or_default().conditions;
        let not_ready = conditions.into_iter().find(|condition| !condition.status);
        not_ready.map_or(Ok(()), |condition| {
            Err(format!(
                "{}=false reason:{} message:{}",
                condition.r#type, condition.reason, condition.message
            ))
        })
    }
}

/// `containerd://1.7.2`.
async fn version(client: &Client) -> Result<String> {
    let request = cri::VersionRequest {
        version: "0.1.0".to_owned(),
    };
    let began = Instant::now();
    loop {
        match client.call(&request, LIST_DEADLINE).await {
            Ok(reply) => {
                // Git's `v1.7.2` and the distributions' `1.7.2` are the same thing.
                let version = reply.runtime_version;
                let version = version.strip_prefix('v').unwrap_or(&version);
                return Ok(format!("{}://{version}", reply.runtime_name));
            }
            Err(status) if began.elapsed() > START_DEADLINE => return Err(other(status)),
            // It listens before its CRI part is there, and knows no such service until then.
            Err(status) => tracing::debug!(%status, "the container runtime is not there yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for CriRuntime {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn features(&self) -> Features {
        self.features
    }

    async fn status(&self) -> Result<()> {
        let reply = self
            .client
            .call(&cri::StatusRequest {}, LIST_DEADLINE)
            .await;
        let conditions = reply.map_err(other)?.status.unwrap_or_default().conditions;
        let mut failing = conditions
            .iter()
            .filter(|condition| condition.r#type == "RuntimeReady" && !condition.status);
        match failing.next() {
            Some(condition) => Err(other(&condition.message)),
            None => Ok(()),
        }
    }

    async fn runtime_handlers(&self) -> Result<Vec<Handler>> {
        let request = cri::StatusRequest {};
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        Ok(convert::handlers(&reply.map_err(other)?))
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let network_config = Some(cri::NetworkConfig {
            pod_cidr: pod_cidr.to_owned(),
        });
        let request = cri::UpdateRuntimeConfigRequest {
            runtime_config: Some(cri::RuntimeConfig { network_config }),
        };
        self.call(&request).await.map_err(other)?;
        // The runtime writes its network's config from a template, and watches that folder.
        let began = Instant::now();
        loop {
            match self.network().await {
                Ok(()) => return Ok(()),
                Err(why) if began.elapsed() > LIST_DEADLINE => return Err(other(why)),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        // containerd leaves making the folder to whoever names it.
        std::fs::create_dir_all(&config.log_directory).map_err(other)?;
        let request = cri::RunPodSandboxRequest {
            config: Some(convert::sandbox_config(&config, &self.cgroup_root)),
            runtime_handler: config.runtime_handler.clone(),
        };
        let reply = self.call(&request).await.map_err(other)?;
        let id = reply.pod_sandbox_id;
        let ips = self.addresses(&id).await?;
        self.records.write(&id, &config, ips.first())?;
        self.relist.soon();
        Ok(Sandbox {
            id,
            metadata: config.metadata,
            state: SandboxState::Ready,
            ips: if config.host_network { Vec::new() } else { ips },
            created_at: jiff::Timestamp::now(),
            runtime_handler: config.runtime_handler,
        })
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let request = cri::StopPodSandboxRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
        };
        self.call_idempotent(&request, DEADLINE).await
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let request = cri::RemovePodSandboxRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
        };
        self.call_idempotent(&request, DEADLINE).await?;
        self.known_addresses().remove(sandbox_id);
        self.records.remove(sandbox_id, &self.cgroup_root);
        Ok(())
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        let filter = pod_uid.map(|uid| cri::PodSandboxFilter {
            label_selector: [("io.kubernetes.pod.uid".to_owned(), uid.to_owned())].into(),
        });
        let request = cri::ListPodSandboxRequest { filter };
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        let listed = reply.map_err(other)?.items;
        let each = listed.into_iter().map(|sandbox| self.sandbox(sandbox));
        let mut sandboxes = futures::future::try_join_all(each).await?;
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        Ok(sandboxes)
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let sandbox = self.records.read(sandbox_id)?;
        let mut mounts = self.host_mounts(&config.image)?;
        mounts.push(cri::Mount {
            container_path: "/etc/hosts".to_owned(),
            host_path: self.records.hosts(sandbox_id).display().to_string(),
            readonly: false,
            ..cri::Mount::default()
        });
        // So does it leave the folder of each container's log.
        if let Some(folder) = sandbox.log_directory.join(&config.log_path).parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| RuntimeError::Create(error.to_string()))?;
        }
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(convert::container_config(&config, &sandbox, mounts)),
            sandbox_config: Some(convert::sandbox_config(&sandbox, &self.cgroup_root)),
        };
        match self.call(&request).await {
            Ok(reply) => Ok(reply.container_id),
            Err(status) => Err(RuntimeError::Create(status.to_string())),
        }
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        let request = cri::StartContainerRequest {
            container_id: container_id.to_owned(),
        };
        let started = self.call(&request).await;
        self.relist.soon();
        match started {
            Ok(cri::Empty {}) => Ok(()),
            Err(status) if status.code == Code::NotFound => Err(RuntimeError::NotFound(format!(
                "container {container_id:?}"
            ))),
            Err(status) => Err(RuntimeError::Start(status.to_string())),
        }
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        let timeout = grace_period_seconds.max(0);
        let request = cri::StopContainerRequest {
            container_id: container_id.to_owned(),
            timeout,
        };
        let deadline = DEADLINE + Duration::from_secs(timeout as u64);
        self.call_idempotent(&request, deadline).await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        let mut linux = convert::resources(&resources);
        // 0 would be "as it is"; -1 takes a limit away.
        if resources.cpu_limit_millis.is_none() {
            linux.cpu_quota = -1;
        }
        if resources.memory_limit_bytes.is_none() {
            linux.memory_limit_in_bytes = -1;
        }
        let request = cri::UpdateContainerResourcesRequest {
            container_id: container_id.to_owned(),
            linux: Some(linux),
        };
        self.call(&request).await.map(drop).map_err(other)
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        let request = cri::RemoveContainerRequest {
            container_id: container_id.to_owned(),
        };
        self.call_idempotent(&request, DEADLINE).await
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        let filter = pod_uid.map(|uid| cri::ContainerFilter {
            label_selector: [("io.kubernetes.pod.uid".to_owned(), uid.to_owned())].into(),
        });
        let request = cri::ListContainersRequest { filter };
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        self.statuses(reply.map_err(other)?.containers).await
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let described = command.join(" ");
        let request = cri::ExecSyncRequest {
            container_id: container_id.to_owned(),
            cmd: command,
            timeout: convert::whole_seconds(timeout),
        };
        // containerd waits for whoever still holds the output, even when the time is up.
        let deadline = Duration::from_secs(request.timeout as u64) + EXEC_GRACE;
        match self.client.call(&request, deadline).await {
            Ok(reply) => Ok(ExecOutput {
                exit_code: reply.exit_code,
                stdout: reply.stdout,
                stderr: reply.stderr,
            }),
            Err(status) if status.code == Code::DeadlineExceeded => Err(other(format!(
                "command {described:?} timed out after {}s",
                timeout.as_secs_f64()
            ))),
            Err(status) => Err(other(status)),
        }
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let asked = cri::ExecRequest {
            container_id: container_id.to_owned(),
            cmd: request.command.clone(),
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let reply = self.call(&asked).await.map_err(other)?;
        streaming::process(&reply.url, &request).await
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let asked = cri::AttachRequest {
            container_id: container_id.to_owned(),
            stdin: request.stdin,
            tty: request.tty,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
        };
        let reply = self.call(&asked).await.map_err(other)?;
        streaming::process(&reply.url, &request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        let request = cri::PortForwardRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            port: vec![port.into()],
        };
        let reply = self.call(&request).await.map_err(other)?;
        streaming::port(&reply.url, port).await
    }

    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.pull(image, auth).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.find_image(image).await
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        let request = cri::ListImagesRequest {};
        let reply = self.client.call(&request, LIST_DEADLINE).await;
        let images = reply.map_err(other)?.images;
        Ok(images.into_iter().map(convert::image).collect())
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        let request = cri::RemoveImageRequest {
            image: Some(cri::ImageSpec {
                image: images::full_name(image)?,
            }),
        };
        self.call_idempotent(&request, DEADLINE).await
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        self.usage().await
    }

    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        self.networks().await
    }

    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        self.layers().await
    }

    async fn checkpoint_container(
        &self,
        container_id: &str,
        location: &std::path::Path,
    ) -> Result<()> {
        let request = cri::CheckpointContainerRequest {
            container_id: container_id.to_owned(),
            location: location.display().to_string(),
            timeout: 0,
        };
        self.call(&request).await.map(drop).map_err(other)
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.relist.events()
    }
}

fn other(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(error.to_string())
}
