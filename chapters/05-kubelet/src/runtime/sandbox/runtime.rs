//! [`ContainerRuntime`] over shims and the image store.

mod containers;
mod exec;
mod resources;
mod sandboxes;
mod usage;
mod volumes;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::cgroups::Cgroups;
use super::node_network::{PodCidr, set_up_bridge};
use super::pods::Pods;
use super::users::IdMap;
use super::{SandboxRuntimeConfig, shim};
use crate::runtime::images::{ImageStore, Puller};
use crate::runtime::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use crate::runtime::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Features, Image,
    ProcessStreams, PullAuth, Resources, Result, RuntimeError, RuntimeEvent, Sandbox,
    SandboxConfig,
};

/// The embedded implementation of [`ContainerRuntime`].
pub struct SandboxRuntime {
    config: SandboxRuntimeConfig,
    pods: Arc<Pods>,
    images: ImageStore,
    puller: Puller,
    uid_map: IdMap,
    gid_map: IdMap,
    cgroups: Option<Cgroups>,
    /// Whether pods can have users of their own.
    user_namespaces: bool,
}

impl SandboxRuntime {
    /// Opens the runtime of a node: reads what it kept, and takes up the pods that still run.
    ///
    /// # Errors
    /// When a folder cannot be made or read.
    pub async fn new(config: SandboxRuntimeConfig) -> Result<Self> {
        let open = |path: &std::path::Path, error: io::Error| {
            RuntimeError::Other(format!("{}: {error}", path.display()))
        };
        let root = std::path::absolute(&config.root_dir).map_err(|e| open(&config.root_dir, e))?;
        let pods = Arc::new(
            Pods::load(&root, config.network.clone()).map_err(|error| open(&root, error))?,
        );
        let images = ImageStore::open(&config.image_store)?;
        let id_map = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/self/{name}"));
            IdMap::parse(&text.unwrap_or_else(|_| "0 0 4294967295".into()))
        };
        let puller = Puller::new(config.image_proxy.clone());
        let (uid_map, gid_map) = (id_map("uid_map"), id_map("gid_map"));
        let cgroups = Cgroups::open(&root).inspect_err(|why| {
            let node = &config.node_name;
            tracing::warn!(node, why, "memory and CPU of containers are not limited");
        });
        let user_namespaces = has_user_namespaces(&config, &root).await;
        if let (Ok(cgroups), Some(limits)) = (&cgroups, &config.pods_limits)
            && let Err(error) = cgroups.limit_pods(limits)
        {
            // Pods that a kubelet before this one gave more use more than that at present.
            let node = &config.node_name;
            tracing::warn!(node, %error, "what pods use together is not limited");
        }
        sandboxes::adopt_all(&pods).await;
        let ports = sandboxes::open_ports(&pods);
        pods.network.host_ports.begin(ports);
        let runtime = SandboxRuntime {
            config,
            pods,
            images,
            puller,
            uid_map,
            gid_map,
            cgroups: cgroups.ok(),
            user_namespaces,
        };
        runtime.remove_stale_cgroups();
        Ok(runtime)
    }
}

/// Whether pods can have users of their own, found out by a helper that tries it.
async fn has_user_namespaces(config: &SandboxRuntimeConfig, root: &Path) -> bool {
    let mut command = config.helper_command();
    command
        .arg(shim::USERS_ARG)
        .arg(root)
        .arg(&config.image_store);
    let node = &config.node_name;
    match command.output().await {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            tracing::info!(
                node,
                why = why.trim(),
                "pods cannot have users of their own"
            );
            false
        }
        Err(error) => {
            tracing::warn!(node, %error, "cannot tell whether pods can have users of their own");
            false
        }
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for SandboxRuntime {
    fn version(&self) -> String {
        concat!("sandbox://", env!("CARGO_PKG_VERSION")).into()
    }

    fn features(&self) -> Features {
        Features {
            supplemental_groups_policy: true,
            recursive_read_only_mounts: true,
            user_namespaces: self.user_namespaces,
        }
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let cidr = PodCidr::parse(pod_cidr)?;
        if self.pods.network.addresses().cidr() != Some(cidr) {
            set_up_bridge(cidr)?;
            self.pods.network.addresses().set_cidr(cidr);
            tracing::info!(node = self.config.node_name, pod_cidr, "pod network is up");
        }
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        self.run_sandbox(config).await
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.stop_sandbox(sandbox_id).await
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        self.remove_sandbox(sandbox_id).await
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        Ok(self.pods.list_sandboxes(pod_uid))
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        self.create(sandbox_id, config).await
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        self.start(container_id).await
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        self.stop(container_id, grace_period_seconds).await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        self.update_resources(container_id, resources)
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        self.remove(container_id).await
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        Ok(self.pods.list_containers(pod_uid))
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        self.run_command(container_id, command, timeout).await
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.start_command(container_id, request).await
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        self.attach_to(container_id, request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        self.connect_to(sandbox_id, port).await
    }

    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.puller.pull(&self.images, image, auth).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.images.status(image)
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        self.images.list()
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.images.remove(image)
    }

    fn mount_image(&self, image_id: &str, target: &Path) -> Result<()> {
        volumes::mount_image(&self.images, image_id, target)
    }

    fn unmount_image(&self, target: &Path) {
        volumes::unmount_image(&self.images, target);
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        self.usage().await
    }

    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        Ok(self.networks())
    }

    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        self.layers().await
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.pods.events()
    }
}

/// An id like containerd's: 64 hexadecimal digits.
fn new_id() -> String {
    format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    )
}

fn other(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(error.to_string())
}

fn ignore_not_found(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}
