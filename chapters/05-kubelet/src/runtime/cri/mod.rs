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
//! Where to read on: [`grpc::client`] is what a call is, [`calls`] which are made, [`convert`] what is said, [`streaming`] what does
//! not fit in a call, [`import`] how the workshop's own images get there.
//!
//! Left out: `GetContainerEvents` (containerd 1.6 has none), images pulled by a
//! runtime handler.
//!
//! Upstream: `pkg/kubelet/kuberuntime`, `staging/src/k8s.io/cri-client`.

mod calls;
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
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use self::messages as cri;
use self::records::Records;
use self::relist::Relist;
use super::images::ImageStore;
use super::{Container, Features, Result, RuntimeError, Sandbox, SandboxState};
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

fn other(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(error.to_string())
}
