//! The embedded runtime against a real kernel: each test is a node in a network namespace of its
//! own. Skipped, with the reason, where this user may make no namespaces.

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubelet::runtime::images::{ImageStore, load_archive};
use kubelet::runtime::sandbox::{SandboxRuntime, SandboxRuntimeConfig, kill_node, remove_cgroups};
use kubelet::runtime::{
    ContainerConfig, ContainerRuntime, ContainerState, ExecRequest, Mount, PortMapping,
    PortProtocol, Resources, SandboxConfig, SandboxState, TerminalSize, host_ports,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/containers.rs"]
mod containers;
#[path = "sandbox/lifecycle.rs"]
mod lifecycle;
#[path = "sandbox/namespaces.rs"]
mod namespaces;
#[path = "sandbox/network.rs"]
mod network;
#[path = "sandbox/propagation.rs"]
mod propagation;
#[path = "sandbox/resources.rs"]
mod resources;
#[path = "sandbox/security.rs"]
mod security;
#[path = "sandbox/streams.rs"]
mod streams;
#[path = "sandbox/users.rs"]
mod users;
#[path = "sandbox/volumes.rs"]
mod volumes;
use containers::{BUSY, TestNode};

/// A node's folders. A test that fails leaves no pods behind.
struct Dir(tempfile::TempDir);

impl Dir {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        kill_node(&self.path().join("node"));
        let sandboxes = std::fs::read_dir(self.path().join("node/sandboxes"));
        for sandbox in sandboxes.into_iter().flatten().flatten() {
            let shm = sandbox.path().join("shm");
            let _ = rustix::mount::unmount(shm, rustix::mount::UnmountFlags::DETACH);
        }
        remove_cgroups(&self.path().join("node"));
    }
}

/// A node's folders and its runtime.
struct Node {
    dir: Dir,
    runtime: SandboxRuntime,
}

impl Node {
    async fn start() -> Self {
        let dir = Dir(tempfile::tempdir().unwrap());
        let runtime = open(dir.path()).await;
        runtime.update_pod_cidr("10.244.7.0/24").await.unwrap();
        Node { dir, runtime }
    }

    /// The kubelet ends and another one starts.
    async fn restart_kubelet(self) -> Self {
        let Node { dir, runtime } = self;
        drop(runtime);
        let runtime = open(dir.path()).await;
        runtime.update_pod_cidr("10.244.7.0/24").await.unwrap();
        Node { dir, runtime }
    }

    fn pod(&self, name: &str) -> SandboxConfig {
        let logs = self.dir.path().join("logs").join(name);
        containers::pod(name, format!("uid-{name}"), logs)
    }

    fn log(&self, pod: &str, container: &str) -> String {
        let path = self
            .dir
            .path()
            .join("logs")
            .join(pod)
            .join(container)
            .join("0.log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let message = |line: &str| line.splitn(4, ' ').skip(1).collect::<Vec<_>>().join(" ");
        text.lines().map(message).collect::<Vec<_>>().join("\n")
    }

    /// Runs a container to its end; its exit code, reason, message and log.
    async fn run(&self, sandbox: &str, pod: &str, config: ContainerConfig) -> (i32, String) {
        let name = config.name.clone();
        let id = self
            .runtime
            .create_container(sandbox, config)
            .await
            .unwrap();
        self.runtime.start_container(&id).await.unwrap();
        let code = self.exit_code(&id).await;
        (code, self.log(pod, &name))
    }

    async fn state(&self, id: &str) -> ContainerState {
        let containers = self.runtime.list_containers(None).await.unwrap();
        containers
            .into_iter()
            .find(|container| container.id == id)
            .unwrap()
            .state
    }

    async fn exit_code(&self, id: &str) -> i32 {
        self.end(id).await.0
    }
}

impl containers::TestNode for Node {
    fn runtime(&self) -> &dyn ContainerRuntime {
        &self.runtime
    }

    fn pod(&self, name: &str) -> SandboxConfig {
        Node::pod(self, name)
    }

    fn image(&self) -> &str {
        "workshop/shell"
    }
}

async fn open(dir: &Path) -> SandboxRuntime {
    let config = SandboxRuntimeConfig {
        root_dir: dir.join("node"),
        image_store: dir.join("images"),
        node_name: "node".into(),
        image_proxy: None,
        helper: Some(PathBuf::from(env!("CARGO_BIN_EXE_kubelet"))),
        network: Default::default(),
        pods_limits: None,
    };
    SandboxRuntime::new(config).await.unwrap()
}

fn shell(name: &str, script: &str) -> ContainerConfig {
    containers::shell(name, "workshop/shell", script)
}

/// Runs a test on a thread in a new network namespace.
fn on_a_node<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = netlink::netns::unshare_network() {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "no network namespaces: {error}"
                );
                eprintln!("skipped: no network namespaces: {error}");
                return;
            }
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(test());
        });
    });
}
