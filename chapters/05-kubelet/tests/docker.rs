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
    ContainerConfig, ContainerRuntime, ContainerState, ExecRequest, RuntimeError, SandboxConfig,
    SandboxState, SecurityProfile,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "support/containers.rs"]
mod containers;
use containers::{BUSY, sh};

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
        let path = self.logs(pod).join(container).join("0.log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let message = |line: &str| line.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
        text.lines().map(message).collect()
    }

    async fn run(&self, sandbox: &str, config: ContainerConfig) -> String {
        let id = self.runtime.create_container(sandbox, config).await;
        let id = id.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }

    /// How a container ended: its exit code and reason.
    async fn end(&self, id: &str) -> (i32, String) {
        let mut events = self.runtime.events();
        loop {
            let containers = self.runtime.list_containers(None).await.unwrap();
            let container = containers.into_iter().find(|it| it.id == id).unwrap();
            if let ContainerState::Exited {
                exit_code, reason, ..
            } = container.state
            {
                return (exit_code, reason);
            }
            let told = tokio::time::timeout(SECONDS, events.recv()).await;
            told.expect("the container ends").unwrap();
        }
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

#[test]
fn a_pod_from_its_start_to_its_end() {
    on_a_node(async || {
        let node = Node::start("whole").await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        assert_eq!(sandbox.ips[0].to_string(), "10.244.7.2");
        let script = "hostname; cat /etc/hosts /etc/resolv.conf /sys/class/net/eth0/address; \
                      echo oops >&2; exit 3";
        let id = node.run(&sandbox.id, shell("main", script)).await;
        assert_eq!(node.end(&id).await, (3, "Error".to_owned()));
        let log = node.log("web", "main");
        // The engine keeps the order within an output, not between the two.
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
        let uid = &sandbox.metadata.uid;
        let names: BTreeSet<String> = node.names().await.into_iter().collect();
        let expected = ["POD", "main"].map(|name| format!("k8s_{name}_web_default_{uid}_0"));
        assert_eq!(names, BTreeSet::from(expected));

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
        assert_eq!(node.names().await, Vec::<String>::new());
    });
}

/// An engine says `die` before its list shows it.
#[test]
fn which_system_calls_it_may_make() {
    on_a_node(async || {
        let node = Node::start("seccomp").await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let under = async |name, profile| {
            let script =
                "while read a b; do case $a in Seccomp:) echo $b;; esac; done < /proc/self/status";
            let mut config = shell(name, script);
            config.security.seccomp = profile;
            let id = node.run(&sandbox.id, config).await;
            assert_eq!(node.end(&id).await.0, 0);
            node.log("web", name)
        };
        let path = node.dir.path().join("all.json");
        std::fs::write(&path, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        let path = path.display().to_string();
        assert_eq!(
            under("free", SecurityProfile::Unconfined).await,
            ["stdout F 0"]
        );
        assert_eq!(
            under("default", SecurityProfile::RuntimeDefault).await,
            ["stdout F 2"]
        );
        assert_eq!(
            under("own", SecurityProfile::Localhost(path)).await,
            ["stdout F 2"]
        );
    });
}

#[test]
fn no_end_is_missed() {
    on_a_node(async || {
        let node = Node::start("ends").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("ends"))
            .await
            .unwrap();
        for attempt in 0..10 {
            let mut config = shell("main", "sleep 0.2; exit 3");
            config.attempt = attempt;
            let id = node.run(&sandbox.id, config).await;
            assert_eq!(node.end(&id).await, (3, "Error".to_owned()));
        }
    });
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(async || {
        let node = Node::start("bad").await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("bad")).await.unwrap();
        let mut config = shell("main", "");
        config.command = vec!["no-such-program".into()];
        let id = node
            .runtime
            .create_container(&sandbox.id, config)
            .await
            .unwrap();
        let error = node.runtime.start_container(&id).await.unwrap_err();
        let RuntimeError::Start(message) = error else {
            panic!("{error:?}")
        };
        assert!(
            message.contains("executable file not found in $PATH"),
            "{message}"
        );
        assert_eq!(node.end(&id).await, (127, "ContainerCannotRun".to_owned()));
    });
}

#[test]
fn a_name_is_given_once() {
    on_a_node(async || {
        let node = Node::start("once").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("once"))
            .await
            .unwrap();
        let create = || {
            let config = shell("main", "exec sleep 1000");
            node.runtime.create_container(&sandbox.id, config)
        };
        // The answer about the first was lost, as far as the kubelet knows.
        create().await.unwrap();
        let id = create().await.unwrap();
        node.runtime.start_container(&id).await.unwrap();
        let error = create().await.unwrap_err();
        assert!(error.to_string().ends_with("runs already"), "{error}");
        assert!(
            node.runtime
                .run_pod_sandbox(node.pod("once"))
                .await
                .is_err()
        );
        assert_eq!(node.names().await.len(), 2, "pause and main");
    });
}

#[test]
fn a_restarted_kubelet_goes_on_with_pods_addresses_and_logs() {
    on_a_machine(|| {
        let (mut node, sandbox, id) = life(async || {
            let node = Node::start("again").await;
            let sandbox = node.runtime.run_pod_sandbox(node.pod("long")).await;
            let sandbox = sandbox.unwrap();
            let script = "i=0; while read -r _; do i=$((i+1)); echo line $i; done";
            let mut config = shell("main", script);
            config.stdin = true;
            let id = node.run(&sandbox.id, config).await;
            say(&node, &id, "a\nb\n", "line 1\nline 2\n").await;
            (node, sandbox, id)
        });
        life(async || {
            node.restart_kubelet().await;
            let sandboxes = node.runtime.list_pod_sandboxes(None).await.unwrap();
            assert_eq!(sandboxes[0].id, sandbox.id);
            assert_eq!(sandboxes[0].state, SandboxState::Ready);
            let other = node.runtime.run_pod_sandbox(node.pod("other")).await;
            assert_ne!(other.unwrap().ips, sandbox.ips);
            say(&node, &id, "c\n", "line 3\n").await;
            node.runtime.stop_container(&id, 0).await.unwrap();
            assert_eq!(node.end(&id).await.0, 137);
            let expected = [1, 2, 3].map(|n| format!("stdout F line {n}"));
            assert_eq!(node.log("long", "main"), expected);
        });
    });
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

#[test]
fn commands_in_containers() {
    on_a_node(async || {
        let node = Node::start("exec").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("exec"))
            .await
            .unwrap();
        let id = node
            .run(&sandbox.id, shell("main", "exec sleep 1000"))
            .await;
        let run = |script, timeout| node.runtime.exec_sync(&id, sh(script), timeout);
        let output = run("echo out; echo err >&2; exit 4", SECONDS)
            .await
            .unwrap();
        assert_eq!(
            (
                output.exit_code,
                output.stdout.as_slice(),
                output.stderr.as_slice()
            ),
            (4, b"out\n".as_slice(), b"err\n".as_slice())
        );
        let error = run("sleep 1000", Duration::from_millis(300))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("timed out after 0.3s"),
            "{error}"
        );

        let request = ExecRequest {
            command: sh("read line; echo got $line; exit 5"),
            stdin: true,
            stdout: true,
            ..ExecRequest::default()
        };
        let mut streams = node.runtime.exec(&id, request).await.unwrap();
        streams
            .stdin
            .take()
            .unwrap()
            .write_all(b"this\n")
            .await
            .unwrap();
        let mut said = String::new();
        streams
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .await
            .unwrap();
        assert_eq!(
            (said.as_str(), streams.exit.await.unwrap().unwrap()),
            ("got this\n", 5)
        );
    });
}

/// Takes time, memory and a mebibyte of disk, says so, and stays: two processes.
#[test]
fn what_a_container_uses() {
    on_a_node(async || {
        let node = Node::start("uses").await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("use")).await.unwrap();
        let id = node.run(&sandbox.id, shell("main", BUSY)).await;
        containers::check_usage(runtime, &sandbox.id, &id, Some(2)).await;
    });
}

#[test]
fn a_container_may_end_in_its_own_way() {
    on_a_node(async || {
        let node = Node::start("grace").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("grace"))
            .await
            .unwrap();
        let script =
            "trap 'echo bye; exit 7' TERM; echo ready; echo > /ready; while :; do sleep 0.1; done";
        let id = node.run(&sandbox.id, shell("main", script)).await;
        let ready = "until [ -e /ready ]; do sleep 0.1; done";
        node.runtime
            .exec_sync(&id, sh(ready), SECONDS)
            .await
            .unwrap();
        for _ in 0..2 {
            node.runtime.stop_container(&id, 20).await.unwrap();
        }
        assert_eq!(node.end(&id).await, (7, "Error".to_owned()));
        let log = node.log("grace", "main");
        assert_eq!(log, ["stdout F ready", "stdout F bye"]);
    });
}

#[test]
fn ports_of_a_pod_are_on_its_loopback() {
    on_a_node(async || {
        let node = Node::start("port").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("port"))
            .await
            .unwrap();
        let pause = engine().inspect_container(&sandbox.id, None).await.unwrap();
        let pid = pause.state.unwrap().pid.unwrap();
        let netns = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
        let listen = || std::net::TcpListener::bind("127.0.0.1:80").unwrap();
        let server = netlink::netns::in_netns(&netns, listen).unwrap();
        let mut client = node.runtime.port_forward(&sandbox.id, 80).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        std::io::Read::read_exact(&mut server.accept().unwrap().0, &mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        let error = node
            .runtime
            .port_forward(&sandbox.id, 81)
            .await
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .contains("failed to connect to localhost:81"),
            "{error}"
        );
    });
}

#[test]
fn nodes_that_share_an_engine_do_not_see_each_other() {
    on_a_node(async || {
        let node = Node::start("one").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("mine"))
            .await
            .unwrap();
        node.run(&sandbox.id, shell("main", "exec sleep 1000"))
            .await;
        let neighbour = Node::start("two").await;
        assert!(
            neighbour
                .runtime
                .list_pod_sandboxes(None)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            neighbour
                .runtime
                .list_containers(None)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(node.runtime.list_containers(None).await.unwrap().len(), 1);
    });
}
