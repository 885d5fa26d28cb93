//! What the tests of the real runtimes have in common: pods and containers as they want them, and
//! what is demanded of each runtime.

use std::path::PathBuf;
use std::time::Duration;

use kubelet::runtime::{
    ContainerConfig, ContainerRuntime, ContainerState, PodMetadata, RuntimeError, SandboxConfig,
    SandboxState,
};

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node of a test, whatever runs its containers.
pub trait TestNode {
    /// What runs them.
    fn runtime(&self) -> &dyn ContainerRuntime;

    /// A pod of that name.
    fn pod(&self, name: &str) -> SandboxConfig;

    /// The image of the test's containers: a shell and a few programs.
    fn image(&self) -> &str;

    /// Makes a container of that image.
    async fn create(&self, sandbox_id: &str, mut config: ContainerConfig) -> String {
        let image = self.runtime().image_status(self.image()).await.unwrap();
        config.image_id = image.expect("the tests' image is there").id;
        let id = self.runtime().create_container(sandbox_id, config).await;
        id.unwrap()
    }

    /// How a container ended: its exit code and reason.
    async fn end(&self, id: &str) -> (i32, String) {
        let mut events = self.runtime().events();
        loop {
            let containers = self.runtime().list_containers(None).await.unwrap();
            let container = containers.into_iter().find(|it| it.id == id).unwrap();
            if let ContainerState::Exited {
                exit_code, reason, ..
            } = container.state
            {
                return (exit_code, reason);
            }
            let told = tokio::time::timeout(PATIENCE, events.recv()).await;
            told.expect("the container ends").unwrap();
        }
    }

    /// A container's log without the times.
    fn lines(&self, pod: &str, container: &str) -> Vec<String> {
        let logs = self.pod(pod).log_directory;
        let text = std::fs::read_to_string(logs.join(container).join("0.log"));
        let message = |line: &str| line.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
        text.unwrap_or_default().lines().map(message).collect()
    }
}

/// Demands that a pod has its name, its address and its files, that what its container says is
/// kept, and that it ends, twice if told so twice.
pub async fn check_whole_life(node: &impl TestNode) {
    let runtime = node.runtime();
    let sandbox = runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
    assert_eq!(sandbox.ips[0].to_string(), "10.244.7.2");
    assert_eq!(sandbox.state, SandboxState::Ready);
    let script = "hostname; cat /etc/hosts /etc/resolv.conf /sys/class/net/eth0/address; \
                  echo oops >&2; exit 3";
    let config = shell("main", node.image(), script);
    let id = node.create(&sandbox.id, config).await;
    runtime.start_container(&id).await.unwrap();
    assert_eq!(node.end(&id).await, (3, "Error".to_owned()));
    let log = node.lines("web", "main");
    // Engines keep the order within an output, not between the two.
    let (errors, lines): (Vec<_>, Vec<_>) = log
        .iter()
        .map(String::as_str)
        .partition(|line| line.starts_with("stderr"));
    assert_eq!(errors, ["stderr F oops"]);
    assert_eq!(
        lines,
        [
            "stdout F web",
            "stdout F 127.0.0.1 localhost",
            "stdout F 10.244.7.2 web",
            "stdout F nameserver 10.96.0.10",
            "stdout F 0a:58:0a:f4:07:02",
        ]
    );
    for _ in 0..2 {
        runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
    }
    let of_another = runtime.list_pod_sandboxes(Some("nobody")).await;
    assert!(of_another.unwrap().is_empty());
    let uid = sandbox.metadata.uid.as_str();
    let sandboxes = runtime.list_pod_sandboxes(Some(uid)).await.unwrap();
    assert_eq!(sandboxes[0].state, SandboxState::NotReady);
    for _ in 0..2 {
        runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    }
    let sandboxes = runtime.list_pod_sandboxes(Some(uid)).await.unwrap();
    assert!(sandboxes.is_empty());
}

/// Demands that a program that does not exist is told of, and is a container's end: that exit code
/// and reason.
pub async fn check_what_cannot_start(node: &impl TestNode, end: (i32, &str)) {
    let runtime = node.runtime();
    let sandbox = runtime.run_pod_sandbox(node.pod("bad")).await.unwrap();
    let mut config = shell("main", node.image(), "");
    config.command = vec!["no-such-program".into()];
    let id = node.create(&sandbox.id, config).await;
    let error = runtime.start_container(&id).await.unwrap_err();
    let RuntimeError::Start(message) = error else {
        panic!("{error:?}")
    };
    let expected = "executable file not found in $PATH";
    assert!(message.contains(expected), "{message}");
    let (code, reason) = node.end(&id).await;
    assert_eq!((code, reason.as_str()), end);
    runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
}

/// A pod with names of its own.
pub fn pod(name: &str, uid: String, log_directory: PathBuf) -> SandboxConfig {
    SandboxConfig {
        metadata: PodMetadata {
            name: name.into(),
            namespace: "default".into(),
            uid,
            attempt: 0,
        },
        hostname: name.into(),
        resolv_conf: "nameserver 10.96.0.10\n".into(),
        hosts: format!("127.0.0.1 localhost\n{{POD_IP}} {name}\n"),
        log_directory,
        ..SandboxConfig::default()
    }
}

/// A container that runs a script.
pub fn shell(name: &str, image: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        image_id: image.into(),
        image: image.into(),
        command: sh(script),
        log_path: format!("{name}/0.log").into(),
        ..ContainerConfig::default()
    }
}

/// The command that runs a script.
pub fn sh(script: &str) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), script.into()]
}

/// Works for a while, writes a file of more than a megabyte, says so, and leaves a child.
pub const BUSY: &str = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo $i filler filler filler \
                        filler filler filler filler filler; done > /file; \
                        sleep 1000 & : > /done; exec sleep 1000";

/// Demands that the runtime tells what a container that runs [`BUSY`] uses, with how many
/// processes it has if the runtime counts them; ends its sandbox.
pub async fn check_usage(
    runtime: &dyn ContainerRuntime,
    sandbox_id: &str,
    id: &str,
    processes: Option<u64>,
) {
    let done = sh("until [ -e /done ]; do sleep 0.01; done");
    let time = Duration::from_secs(10);
    let waited = runtime.exec_sync(id, done, time).await.unwrap();
    assert_eq!(waited.exit_code, 0);

    let usages = runtime.container_usage().await.unwrap();
    assert_eq!(usages.len(), 1);
    let usage = &usages[0];
    assert_eq!(usage.container_id, id);
    assert!(usage.cpu_nanos.unwrap() > 1_000_000, "{usage:?}");
    let memory = usage.memory.unwrap();
    assert!(memory.working_set_bytes > 10_000, "{usage:?}");
    assert!(memory.working_set_bytes <= memory.usage_bytes, "{usage:?}");
    assert_eq!(usage.processes, processes);

    let networks = runtime.network_usage().await.unwrap();
    assert_eq!(networks.len(), 1);
    assert_eq!(networks[0].sandbox_id, sandbox_id);
    let mut links = networks[0].interfaces.iter();
    assert!(links.any(|link| link.name == "eth0"), "{networks:?}");

    // containerd looks at layers now and then only: see `stats_collect_period`.
    let mut layers = runtime.writable_layers().await.unwrap();
    while layers[id].bytes < 1 << 20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        layers = runtime.writable_layers().await.unwrap();
    }

    runtime.stop_pod_sandbox(sandbox_id).await.unwrap();
    assert_eq!(runtime.container_usage().await.unwrap(), []);
    assert_eq!(runtime.network_usage().await.unwrap(), []);
    runtime.remove_pod_sandbox(sandbox_id).await.unwrap();
}
