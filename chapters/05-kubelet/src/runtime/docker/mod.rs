//! The Docker runtime: a pod is a few containers of a Docker engine, seen in `docker ps`.
//!
//! ```text
//!   kubelet ── bollard ──► engine
//!      │                     ├─ k8s_POD_web_…   pause: --network none, holds the namespaces
//!      │                     ├─ k8s_app_web_…   in pause's network and IPC namespaces
//!      │                     └─ k8s_log_web_…   the same
//!      └─ netlink: a veth pair from the node's bridge into pause's network namespace
//! ```
//!
//! An engine knows containers, not pods. A pod is what all of its containers share, and something
//! has to hold that while they come and go: a container that does nothing but wait, `pause`. It is
//! made without a network, and the kubelet plugs it into the node's bridge: that is what a CNI
//! plugin does. Everything else is told by labels ([`labels`]): the engine keeps them, so nothing
//! is written down beside it, and whoever asks it sees the same truth.
//!
//! # Who outlives whom
//!
//! | what ends | what happens |
//! | --- | --- |
//! | a container | the engine says so as an event; the kubelet looks |
//! | the kubelet | the pods go on; the next kubelet finds them by their labels, and goes on with their logs where they end |
//! | the node (a lab's container, or the machine) | pods whose network went with it are killed, and made anew: a reboot |
//! | the engine, with `live-restore` | the pods go on; the kubelet hears no events meanwhile, and looks at all pods afterwards |
//! | the engine, without | all containers end; what may run again is made anew |
//! | the engine hangs | each call has an end ([`engine`]); the node is `NotReady` after 30 s |
//!
//! A container is never made twice, since its name says which of its pod's it is: the engine
//! refuses a second one of that name, also when the answer about the first was lost.
//!
//! # Logs
//!
//! The engine's log of a container is followed into a file of CRI's format ([`logs`]), the one
//! place where the rest of the kubelet looks. The other way, asking the engine when somebody wants
//! to read, would need each of its readers twice.
//!
//! # What to read next
//!
//! [`spec`] for what the engine is asked for, [`sandboxes`] for a pod's start and its network,
//! [`containers`], [`place`] for a node that is a container itself.
//!
//! # Left out
//!
//! `recursiveReadOnly` mounts, `supplementalGroupsPolicy: Strict` (the engine always adds the image's groups)
//! and the users of containers in their status, cgroups for a whole pod (`--cgroup-parent`), checkpoints. Upstream removed its Docker runtime in v1.24; the same lives
//! on as `Mirantis/cri-dockerd`.

pub mod containers;
pub mod engine;
pub mod events;
pub mod exec;
pub mod images;
pub mod labels;
pub mod logs;
pub mod memory;
pub mod place;
pub mod sandboxes;
pub mod spec;
pub mod usage;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bollard::models::ContainerSummaryStateEnum;
use tokio::sync::broadcast;

use super::sandbox::node_network::{NodeNetwork, PodCidr, set_up_bridge};
use super::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use super::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Image,
    ProcessStreams, PullAuth, Resources, Result, RuntimeEvent, Sandbox, SandboxConfig,
};
use engine::Engine;
use place::Place;

/// Events that a slow listener may fall behind, before it looks at everything.
const EVENTS_MAX: usize = 1024;

/// How a node uses an engine.
#[derive(Debug, Clone)]
pub struct DockerRuntimeConfig {
    /// Where the engine listens: `unix:///var/run/docker.sock`.
    pub host: String,
    /// Name of the node: containers of others are not looked at.
    pub node_name: String,
    /// The container that the node is, where it is one.
    pub node_container: Option<String>,
    /// Labels of everything that is made, `name=value`.
    pub labels: Vec<String>,
    /// Image of pause containers, where the node is none itself: see [`place::Pause`].
    pub pause_image: String,
    /// Folder of the kubelet.
    pub root_dir: PathBuf,
    /// The node's network, shared with its other runtimes.
    pub network: NodeNetwork,
}

/// [`ContainerRuntime`] over a Docker engine.
pub struct DockerRuntime {
    inner: Arc<Inner>,
}

/// What the runtime's own tasks share with it.
struct Inner {
    config: DockerRuntimeConfig,
    engine: Engine,
    version: String,
    place: Place,
    state: Mutex<State>,
    logs: logs::Followers,
    events: broadcast::Sender<RuntimeEvent>,
}

/// What is known without asking the engine.
#[derive(Default)]
struct State {
    /// Which sandbox has an address.
    holders: HashMap<Ipv4Addr, String>,
    /// Containers as they were when last looked at closely, with the state they were in: while
    /// that is the same, so is all else.
    seen: HashMap<String, (ContainerSummaryStateEnum, Container)>,
}

impl DockerRuntime {
    /// Connects a node with its engine, and takes up the pods that still run.
    ///
    /// # Errors
    /// When no engine answers, or the node's own container is not one of its.
    pub async fn new(config: DockerRuntimeConfig) -> Result<Self> {
        let engine = Engine::connect(&config.host).await?;
        let found = engine.look("its version", engine.docker.version()).await?;
        let place = Place::find(
            &engine,
            config.node_container.as_deref(),
            &config.pause_image,
        )
        .await?;
        let inner = Arc::new(Inner {
            config,
            engine,
            version: format!("docker://{}", found.version.unwrap_or_default()),
            place,
            state: Mutex::default(),
            logs: logs::Followers::default(),
            events: broadcast::channel(EVENTS_MAX).0,
        });
        inner.adopt_all().await?;
        tokio::spawn(events::follow(inner.clone()));
        Ok(DockerRuntime { inner })
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panics inside")
    }

    /// Labels of everything of this node.
    fn own_labels(&self) -> Vec<String> {
        let mut labels = self.config.labels.clone();
        labels.push(format!("{}={}", labels::NODE, self.config.node_name));
        labels
    }

    /// `own`, and the labels of everything of this node.
    fn with_own(&self, mut own: labels::Labels) -> labels::Labels {
        for label in self.own_labels() {
            let (name, value) = label.split_once('=').unwrap_or((&label, ""));
            own.insert(name.to_owned(), value.to_owned());
        }
        own
    }

    /// Tells that something about a pod changed.
    fn changed(&self, pod_uid: String) {
        // Nobody may be listening yet.
        let _ = self.events.send(RuntimeEvent { pod_uid });
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for DockerRuntime {
    fn version(&self) -> String {
        self.inner.version.clone()
    }

    async fn status(&self) -> Result<()> {
        self.inner.engine.ping().await
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let cidr = PodCidr::parse(pod_cidr)?;
        if self.inner.config.network.addresses().cidr() != Some(cidr) {
            set_up_bridge(cidr)?;
            self.inner.config.network.addresses().set_cidr(cidr);
            tracing::info!(pod_cidr, "pod network is up");
        }
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        self.inner.run_sandbox(config).await
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.inner.stop_sandbox(sandbox_id).await
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.inner.remove_sandbox(sandbox_id).await
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        self.inner.list_sandboxes(pod_uid).await
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        self.inner.create(sandbox_id, config).await
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        self.inner.start(container_id).await
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        self.inner.stop(container_id, grace_period_seconds).await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        self.inner.resize(container_id, &resources).await
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        self.inner.remove(container_id).await
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        self.inner.list_containers(pod_uid).await
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        self.inner.run_command(container_id, command, timeout).await
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        Ok(self.inner.start_command(container_id, request).await?.1)
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.inner.attach_to(container_id, request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        self.inner.connect_to(sandbox_id, port).await
    }

    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.inner.pull(image, auth).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.inner.image(image).await
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        self.inner.images().await
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.inner.remove_image(image).await
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        self.inner.usage().await
    }

    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        self.inner.networks().await
    }

    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        self.inner.layers().await
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.inner.events.subscribe()
    }
}
