//! The kubelet's CRI runtime against a real containerd: each test has one of its own, with its
//! node's network namespace. Skipped, with the reason, where containerd is not installed or this
//! user is not root.

use std::future::Future;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kubelet::runtime::cri::containerd::ContainerdDir;
use kubelet::runtime::cri::{CriConfig, CriRuntime};
use kubelet::runtime::{
    ContainerConfig, ContainerRuntime, ContainerState, ExecRequest, Mount, PortMapping,
    PortProtocol, Resources, RuntimeError, SandboxConfig, SandboxState, SecurityProfile,
    TerminalSize,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/containers.rs"]
mod containers;
#[path = "cri/lifecycle.rs"]
mod lifecycle;
#[path = "cri/spec.rs"]
mod spec;
#[path = "cri/streams.rs"]
mod streams;
use containers::{BUSY, TestNode, sh};

/// A containerd in a PID and a mount namespace of its own: nothing of it outlives this.
struct Containerd(Child);

impl Containerd {
    fn start(dir: &Path) -> Containerd {
        let containerd = ContainerdDir::new(dir.join("containerd"));
        let program = Path::new(env!("CARGO_BIN_EXE_kubelet"));
        containerd.prepare(program).unwrap();
        let log = std::fs::File::create(dir.join("containerd.log")).unwrap();
        // The sockets of its shims, and what libcni remembers, have fixed places.
        let script = "for dir in /run/containerd /var/lib/cni; do \
                          mkdir -p $dir && mount -t tmpfs tmpfs $dir || exit; \
                      done; exec containerd --config \"$0\"";
        let child = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"])
            .args(["sh", "-c", script])
            .arg(containerd.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Containerd(child)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A node: its folders, its containerd, and the runtime that the kubelet has of it.
struct Node {
    runtime: CriRuntime,
    containerd: Option<Containerd>,
    dir: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("containerd.log"));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(40);
            eprintln!("containerd:\n{}", lines[last..].join("\n"));
        }
        drop(self.containerd.take());
        // Its processes end a moment later; what they were in cannot be removed before.
        let began = std::time::Instant::now();
        let root = cgroup_root(self.dir.path());
        while !remove_cgroups(&root) && began.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
    }
}

impl Node {
    async fn start() -> Node {
        let dir = tempfile::tempdir().unwrap();
        let containerd = Containerd::start(dir.path());
        let runtime = connect(dir.path()).await;
        runtime.update_pod_cidr("10.244.7.0/24").await.unwrap();
        Node {
            runtime,
            containerd: Some(containerd),
            dir,
        }
    }

    fn pod(&self, name: &str) -> SandboxConfig {
        let logs = self.dir.path().join("logs").join(name);
        containers::pod(name, format!("uid-{name}"), logs)
    }

    fn log(&self, pod: &str, container: &str) -> String {
        let logs = self.dir.path().join("logs").join(pod);
        let text = std::fs::read_to_string(logs.join(container).join("0.log"));
        let message = |line: &str| line.splitn(4, ' ').skip(1).collect::<Vec<_>>().join(" ");
        let lines: Vec<_> = text.unwrap_or_default().lines().map(message).collect();
        lines.join("\n")
    }

    async fn start_container(&self, sandbox: &str, config: ContainerConfig) -> String {
        let id = self.create(sandbox, config).await;
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    /// Runs a container to its end; its exit code and log.
    async fn run(&self, sandbox: &str, pod: &str, config: ContainerConfig) -> (i32, String) {
        let name = config.name.clone();
        let id = self.start_container(sandbox, config).await;
        let code = self.exit_code(&id).await;
        (code, self.log(pod, &name))
    }

    async fn state(&self, id: &str) -> ContainerState {
        let containers = self.runtime.list_containers(None).await.unwrap();
        let found = containers.into_iter().find(|container| container.id == id);
        found.unwrap().state
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

async fn connect(dir: &Path) -> CriRuntime {
    let runtime = CriRuntime::connect(CriConfig {
        endpoint: ContainerdDir::new(dir.join("containerd")).endpoint(),
        root_dir: dir.join("node"),
        image_store: dir.join("images"),
        bring_pause: true,
        cgroup_root: cgroup_root(dir),
    });
    runtime.await.unwrap()
}

fn cgroup_root(dir: &Path) -> String {
    format!(
        "/workshop-test{}",
        dir.file_name().unwrap().to_str().unwrap()
    )
}

/// Removes the test's cgroups, of one hierarchy or several, from the leaves on. Returns whether
/// all are gone.
fn remove_cgroups(root: &str) -> bool {
    fn remove(dir: &Path) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        let _ = std::fs::remove_dir(dir);
    }
    let base = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(base).into_iter().flatten().flatten();
    let hierarchies = hierarchies.map(|entry| entry.path());
    let mut roots = std::iter::once(base.to_owned())
        .chain(hierarchies)
        .map(|dir| dir.join(root.trim_start_matches('/')));
    roots.all(|root| {
        remove(&root);
        !root.exists()
    })
}

fn shell(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        labels: [("io.kubernetes.pod.uid".to_owned(), "uid".to_owned())].into(),
        ..containers::shell(name, "workshop/shell", script)
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Says why a test is not run. In CI every one is.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// Runs a test on a thread in a new network namespace, where there can be a containerd.
fn on_a_node<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    if !is_installed("containerd") || !is_installed("runc") {
        return skip("containerd and runc are not installed");
    }
    if !rustix::process::getuid().is_root() {
        return skip("containerd wants root");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            netlink::netns::unshare_network().unwrap();
            netlink::Netlink::open()
                .unwrap()
                .set_link_up("lo", true)
                .unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(test());
        });
    });
}

fn with_name(config: ContainerConfig, name: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        log_path: format!("{name}/0.log").into(),
        ..config
    }
}
