//! The embedded runtime: pods in namespaces of this machine, with no engine beside the kubelet.

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::broadcast;

use super::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Image,
    ProcessStreams, PullAuth, Result, RuntimeError, RuntimeEvent, Sandbox, SandboxConfig,
};

/// Where a node's embedded runtime keeps its things.
#[derive(Debug, Clone)]
pub struct SandboxRuntimeConfig {
    /// Folder of this node alone; pods' records, writable layers and sockets are kept in it.
    pub root_dir: PathBuf,
    /// Folder of images, which the nodes of one machine share.
    pub image_store: PathBuf,
    /// Name of the node, which names the host ends of its pods' links.
    pub node_name: String,
    /// HTTP proxy for image pulls: `http://host:port`.
    pub image_proxy: Option<String>,
    /// Program that is run as a pod's shim: one whose `main` calls [`maybe_run_helper`] first.
    /// The running program itself if left out.
    pub helper: Option<PathBuf>,
}

/// The embedded implementation of [`ContainerRuntime`].
pub struct SandboxRuntime {
    events: broadcast::Sender<RuntimeEvent>,
}

impl SandboxRuntime {
    /// Opens the runtime of a node: reads what it kept, and takes up the pods that still run.
    ///
    /// # Errors
    /// When a folder cannot be made or read.
    pub async fn new(_config: SandboxRuntimeConfig) -> Result<Self> {
        Ok(SandboxRuntime {
            events: broadcast::channel(1024).0,
        })
    }
}

/// Runs a helper process of the sandbox if that is what this process was started as. To be called
/// first thing in `main`, before any thread or runtime; `Some` is then what `main` returns.
pub fn maybe_run_helper() -> Option<ExitCode> {
    None
}

fn soon<T>() -> Result<T> {
    Err(RuntimeError::Other(
        "the embedded runtime is being built".into(),
    ))
}

#[async_trait::async_trait]
impl ContainerRuntime for SandboxRuntime {
    fn version(&self) -> String {
        concat!("sandbox://", env!("CARGO_PKG_VERSION")).into()
    }
    async fn update_pod_cidr(&self, _pod_cidr: &str) -> Result<()> {
        soon()
    }
    async fn run_pod_sandbox(&self, _config: SandboxConfig) -> Result<Sandbox> {
        soon()
    }
    async fn stop_pod_sandbox(&self, _sandbox_id: &str) -> Result<()> {
        soon()
    }
    async fn remove_pod_sandbox(&self, _sandbox_id: &str) -> Result<()> {
        soon()
    }
    async fn list_pod_sandboxes(&self) -> Result<Vec<Sandbox>> {
        soon()
    }
    async fn create_container(&self, _sandbox: &str, _config: ContainerConfig) -> Result<String> {
        soon()
    }
    async fn start_container(&self, _container_id: &str) -> Result<()> {
        soon()
    }
    async fn stop_container(&self, _container_id: &str, _grace_period_seconds: i64) -> Result<()> {
        soon()
    }
    async fn remove_container(&self, _container_id: &str) -> Result<()> {
        soon()
    }
    async fn list_containers(&self, _pod_uid: Option<&str>) -> Result<Vec<Container>> {
        soon()
    }
    async fn exec_sync(&self, _: &str, _: Vec<String>, _: Duration) -> Result<ExecOutput> {
        soon()
    }
    async fn exec(&self, _container_id: &str, _request: ExecRequest) -> Result<ProcessStreams> {
        soon()
    }
    async fn attach(&self, _container_id: &str, _request: ExecRequest) -> Result<ProcessStreams> {
        soon()
    }
    async fn port_forward(&self, _sandbox_id: &str, _port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        soon()
    }
    async fn pull_image(&self, _image: &str, _auth: Option<PullAuth>) -> Result<String> {
        soon()
    }
    async fn image_status(&self, _image: &str) -> Result<Option<Image>> {
        soon()
    }
    async fn list_images(&self) -> Result<Vec<Image>> {
        soon()
    }
    async fn remove_image(&self, _image: &str) -> Result<()> {
        soon()
    }
    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}
