//! The Docker runtime against a real engine: each test is a node in a network namespace of its
//! own. Skipped, with the reason, where no engine answers or this user may make no namespaces.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptions, ListContainersOptions, RemoveContainerOptions,
};
use futures::StreamExt;
use kubelet::runtime::docker::{DockerRuntime, DockerRuntimeConfig};
use kubelet::runtime::{
    ContainerConfig, ContainerRuntime, ExecRequest, SandboxConfig, SandboxState, SecurityProfile,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/containers.rs"]
mod containers;
#[path = "docker/lifecycle.rs"]
mod lifecycle;
#[path = "docker/network.rs"]
mod network;
#[path = "docker/streams.rs"]
mod streams;
use containers::{BUSY, TestNode, sh};

/// The image of all containers here, made of this machine's own programs: no registry is asked.
const IMAGE: &str = "workshop-test/docker-runtime:1";
/// On everything that is made here.
const LABEL: &str = "workshop.test=docker-runtime";
const SECONDS: Duration = Duration::from_secs(20);

/// A node's folder, its name, and its runtime.
struct Node {
    dir: tempfile::TempDir,
    name: String,
    runtime: DockerRuntime,
}

impl Node {
    async fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("{name}-{}", std::process::id());
        let runtime = open(&dir, &name).await;
        Node { dir, name, runtime }
    }

    /// Another kubelet of the node starts; the one before must have ended, with its tasks.
    async fn restart_kubelet(&mut self) {
        self.runtime = open(&self.dir, &self.name).await;
    }

    fn pod(&self, name: &str) -> SandboxConfig {
        containers::pod(name, format!("uid-{}-{name}", self.name), self.logs(name))
    }

    fn logs(&self, pod: &str) -> PathBuf {
        let folder = format!("default_{pod}_uid-{}-{pod}", self.name);
        self.dir.path().join("log/pods").join(folder)
    }

    /// A container's log without the times.
    fn log(&self, pod: &str, container: &str) -> Vec<String> {
        self.lines(pod, container)
    }

    async fn run(&self, sandbox: &str, config: ContainerConfig) -> String {
        let id = self.runtime.create_container(sandbox, config).await;
        let id = id.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    /// Names of all that this node has in the engine.
    async fn names(&self) -> Vec<String> {
        let found = containers_of(&engine(), &self.name).await;
        let names = found.into_iter().filter_map(|it| it.names?.pop());
        names
            .map(|name| name.trim_start_matches('/').to_owned())
            .collect()
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
        IMAGE
    }
}

impl Drop for Node {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        let name = self.name.clone();
        let clean = move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let docker = engine();
                for container in containers_of(&docker, &name).await {
                    let force = RemoveContainerOptions {
                        force: true,
                        ..RemoveContainerOptions::default()
                    };
                    let id = container.id.unwrap_or_default();
                    let _gone_already = docker.remove_container(&id, Some(force)).await;
                }
            });
        };
        let _ = std::thread::spawn(clean).join();
    }
}

fn host() -> String {
    std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}

fn engine() -> Docker {
    Docker::connect_with_host(&host()).unwrap()
}

async fn containers_of(docker: &Docker, node: &str) -> Vec<bollard::models::ContainerSummary> {
    let labels = vec![LABEL.to_owned(), format!("workshop.node={node}")];
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), labels)])),
        ..ListContainersOptions::default()
    };
    docker
        .list_containers(Some(options))
        .await
        .unwrap_or_default()
}

async fn open(dir: &tempfile::TempDir, name: &str) -> DockerRuntime {
    let config = DockerRuntimeConfig {
        host: host(),
        node_name: name.to_owned(),
        node_container: None,
        labels: vec![LABEL.to_owned()],
        pause_image: IMAGE.to_owned(),
        root_dir: dir.path().to_owned(),
        network: Default::default(),
    };
    let runtime = DockerRuntime::new(config).await.unwrap();
    runtime.update_pod_cidr("10.244.7.0/24").await.unwrap();
    runtime
}

fn shell(name: &str, script: &str) -> ContainerConfig {
    containers::shell(name, IMAGE, script)
}

/// Says why a test is not run. In CI every one is.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

/// Runs a test on a thread in a new network namespace, if there is an engine.
fn on_a_machine(test: impl FnOnce() + Send) {
    let test = || {
        if let Err(error) = netlink::netns::unshare_network() {
            return skip(&format!("no network namespaces: {error}"));
        }
        match life(async || Docker::connect_with_host(&host())?.ping().await) {
            Ok(_) => {
                life(make_image);
                test();
            }
            Err(error) => skip(&format!("no engine at {}: {error}", host())),
        }
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(test).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The life of one kubelet: no task of it outlives this.
fn life<T>(of: impl AsyncFnOnce() -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(of())
}

fn on_a_node(test: impl AsyncFnOnce() + Send) {
    on_a_machine(|| life(test));
}

/// Makes the image, once for all tests. Run by itself it waits: it is the pause image, too.
async fn make_image() {
    static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let make = || async {
        let mut archive = tar::Builder::new(Vec::new());
        for file in programs() {
            let inside = file.strip_prefix("/").unwrap();
            archive
                .append_path_with_name(std::fs::canonicalize(&file).unwrap(), inside)
                .unwrap();
        }
        let (repo, tag) = IMAGE.split_once(':').unwrap();
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(repo.to_owned()),
            tag: Some(tag.to_owned()),
            changes: vec![
                r#"ENTRYPOINT ["/bin/sleep", "1000000"]"#.to_owned(),
                format!("LABEL {LABEL}"),
            ],
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(archive.into_inner().unwrap().into());
        let engine = engine();
        let mut steps = Box::pin(engine.create_image(Some(options), Some(body), None));
        while let Some(step) = steps.next().await {
            step.unwrap();
        }
    };
    MADE.get_or_init(make).await;
}

/// A shell, a few programs, and their libraries, where they are on this machine.
fn programs() -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for program in [
        "/bin/sh",
        "/bin/sleep",
        "/bin/cat",
        "/bin/hostname",
        "/bin/id",
    ] {
        let libraries = std::process::Command::new("ldd")
            .arg(program)
            .output()
            .unwrap();
        let libraries = String::from_utf8(libraries.stdout).unwrap();
        let paths = libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        files.extend(paths.map(PathBuf::from));
        files.insert(program.into());
    }
    files
}

/// Says something to a container, and hears its answer.
async fn say(node: &Node, id: &str, lines: &str, answer: &str) {
    let both = ExecRequest {
        stdin: true,
        stdout: true,
        ..ExecRequest::default()
    };
    let mut attached = node.runtime.attach(id, both).await.unwrap();
    let mut stdin = attached.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    let mut heard = vec![0; answer.len()];
    let mut stdout = attached.stdout.take().unwrap();
    let read = tokio::time::timeout(SECONDS, stdout.read_exact(&mut heard));
    read.await.expect("it answers").unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), answer);
}
