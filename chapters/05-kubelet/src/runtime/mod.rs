//! The seam between the kubelet and whatever runs containers: CRI's verbs as a trait.
//!
//! Upstream: `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`. Names and states are
//! CRI's, so that a CRI runtime or a Docker engine can stand behind the same trait. A sandbox is a
//! pod's shared ground (network, hostname, IPC); containers are started in it one by one.
//!
//! What a runtime is asked for is in `config.rs`, what it says that there is in `status.rs`.

mod config;
pub mod cri;
pub mod docker;
mod error;
pub mod fake;
pub mod handlers;
pub mod host_ports;
pub mod images;
pub(crate) mod measured;
pub mod sandbox;
mod status;
mod streams;
pub mod usage;

use std::collections::HashMap;
use std::pin::Pin;

use tokio::sync::broadcast;

pub use config::*;
pub use error::*;
pub use status::*;
pub use streams::*;
use usage::{ContainerUsage, DiskUsage, NetworkUsage};

/// CRI's `RuntimeService` and `ImageService`.
#[async_trait::async_trait]
pub trait ContainerRuntime: Send + Sync + 'static {
    /// Name and version, for `status.nodeInfo.containerRuntimeVersion`: `sandbox://0.1.0`. The
    /// part before `:` is the scheme of `containerID`.
    fn version(&self) -> String;

    /// What it can do.
    fn features(&self) -> Features {
        Features::default()
    }

    /// Whether it works: asked every few seconds. CRI: `Status`, `RuntimeReady`.
    ///
    /// # Errors
    /// Why it does not.
    async fn status(&self) -> Result<()> {
        Ok(())
    }

    /// The handlers that pods may ask for; the one without a name is for those that name none.
    /// CRI: `Status`.
    async fn runtime_handlers(&self) -> Result<Vec<Handler>> {
        Ok(vec![Handler {
            name: String::new(),
            features: self.features(),
        }])
    }

    /// The runtime behind a handler, where it is not this one: it has images of its own.
    fn of_handler(&self, handler: &str) -> Option<std::sync::Arc<dyn ContainerRuntime>> {
        let _ = handler;
        None
    }

    /// The node's pod CIDR is known: the network can be made ready. Called before any sandbox.
    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()>;

    /// Makes and starts a sandbox with its network.
    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox>;
    /// Ends all that runs in the sandbox and gives back its network. Idempotent.
    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()>;
    /// Forgets a stopped sandbox and its containers. Idempotent.
    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()>;
    /// All sandboxes, of one pod if asked, newest first.
    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>>;

    /// Makes a container, not started.
    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String>;
    /// Starts its process.
    async fn start_container(&self, container_id: &str) -> Result<()>;
    /// SIGTERM (or the image's stop signal), then SIGKILL after the grace period. Returns when
    /// it has ended. Idempotent.
    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()>;
    /// Changes what a running container may use, all of it (in-place resize).
    ///
    /// # Errors
    /// When the runtime cannot: the resize stays in progress, and is tried again.
    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        let _ = (container_id, resources);
        Err(RuntimeError::Other(
            "this runtime cannot change the resources of a running container".to_owned(),
        ))
    }
    /// Forgets an ended container and its writable layer. Idempotent.
    async fn remove_container(&self, container_id: &str) -> Result<()>;
    /// All containers, of one pod if asked, newest first.
    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>>;

    /// Runs a command to its end, killed after `timeout` (probes and hooks).
    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: std::time::Duration,
    ) -> Result<ExecOutput>;
    /// Starts a command whose streams the caller holds.
    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams>;
    /// Holds the streams of the container's own process.
    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams>;
    /// Connects to a port on the pod's loopback.
    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>>;

    /// Brings an image to the node; returns its id.
    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String>;
    /// The image, if it is on the node. Accepts references and ids.
    async fn image_status(&self, image: &str) -> Result<Option<Image>>;
    /// All images on the node.
    async fn list_images(&self) -> Result<Vec<Image>>;
    /// Removes an image. Idempotent.
    async fn remove_image(&self, image: &str) -> Result<()>;
    /// Mounts an image's files on a folder of the node, read-only: a volume of kind `image`.
    /// Idempotent.
    ///
    /// # Errors
    /// When the runtime cannot.
    fn mount_image(&self, image_id: &str, target: &std::path::Path) -> Result<()> {
        let _ = (image_id, target);
        Err(RuntimeError::Other(
            "this runtime has no volumes from images".to_owned(),
        ))
    }
    /// Undoes [`Self::mount_image`]. Idempotent.
    fn unmount_image(&self, target: &std::path::Path) {
        let _ = target;
    }

    /// What each running container uses of processors and memory. Cheap: asked every few seconds.
    /// Those of which nothing is known are left out. CRI: `ListContainerStats`.
    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        Ok(Vec::new())
    }
    /// What the network of each sandbox has carried. Sandboxes in the host's are left out.
    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        Ok(Vec::new())
    }
    /// The writable layers of containers, by id: what each has written beside its image and its
    /// volumes. May look at every file.
    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        Ok(HashMap::new())
    }

    /// Writes everything of a running container to a file, from which it could be restored. The
    /// container goes on. CRI: `CheckpointContainer`.
    ///
    /// # Errors
    /// When the runtime cannot.
    async fn checkpoint_container(
        &self,
        container_id: &str,
        location: &std::path::Path,
    ) -> Result<()> {
        let _ = (container_id, location);
        Err(RuntimeError::Other(
            "this runtime cannot make checkpoints".to_owned(),
        ))
    }

    /// Changes, as they happen. A receiver that lags relists.
    fn events(&self) -> broadcast::Receiver<RuntimeEvent>;
}
