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
use containers::{BUSY, sh};

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
        let mut config = config;
        let image = self.runtime.image_status(&config.image).await.unwrap();
        config.image_id = image.expect("the workshop's own is always there").id;
        let id = self.runtime.create_container(sandbox, config).await;
        let id = id.unwrap();
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
        let mut events = self.runtime.events();
        loop {
            if let ContainerState::Exited { exit_code, .. } = self.state(id).await {
                return exit_code;
            }
            tokio::time::timeout(Duration::from_secs(30), events.recv())
                .await
                .expect("the container ends")
                .unwrap();
        }
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

#[test]
fn a_pod_from_its_start_to_its_end() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        assert!(runtime.version().starts_with("containerd://"));
        let sandbox = runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        assert_eq!(sandbox.ips[0].to_string(), "10.244.7.2");
        let script = "hostname; cat /etc/hosts /etc/resolv.conf; id -u; echo $$; \
                      cat /sys/class/net/eth0/address; touch /usr/x 2>&1; echo oops >&2; exit 3";
        let (code, log) = node.run(&sandbox.id, "web", shell("main", script)).await;
        assert_eq!(code, 3, "{log}");
        for line in [
            "stdout F web",
            "stdout F 127.0.0.1 localhost",
            "stdout F 10.244.7.2 web",
            "stdout F nameserver 10.96.0.10",
            "stdout F 0",
            "stdout F 1",
            "stdout F 0a:58:0a:f4:07:02",
            "stderr F oops",
        ] {
            assert!(log.lines().any(|it| it == line), "{line:?} is not in {log}");
        }
        assert!(log.contains("Read-only file system"), "{log}");

        let mut other = node.pod("other");
        other.port_mappings = vec![PortMapping {
            host_port: 8080,
            container_port: 80,
            protocol: PortProtocol::Tcp,
            host_ip: String::new(),
        }];
        let second = runtime.run_pod_sandbox(other).await.unwrap();
        assert_eq!(second.ips[0].to_string(), "10.244.7.3");
        let ping = shell(
            "main",
            "bash -c ': > /dev/tcp/10.244.7.3/1' 2>&1 | grep -q refused && echo 1",
        );
        let (_, log) = node.run(&sandbox.id, "web", with_name(ping, "ping")).await;
        assert_eq!(log, "stdout F 1", "the other pod answers");

        let of_second = runtime.list_pod_sandboxes(Some(&second.metadata.uid)).await;
        let of_second = of_second.unwrap().into_iter().map(|one| one.id);
        assert_eq!(of_second.collect::<Vec<_>>(), [second.id.as_str()]);
        let server = "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 9, \
             LocalPort => 80) or die; $| = 1; print \"up\\n\"; \
             while ($c = $s->accept) { print $c \"hello\"; close $c }'";
        node.start_container(&second.id, shell("main", server))
            .await;
        while node.log("other", "main").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let hear = |address: &str| -> std::io::Result<String> {
            std::io::read_to_string(std::net::TcpStream::connect(address)?)
        };
        assert_eq!(hear("127.0.0.1:8080").unwrap(), "hello");
        assert_eq!(hear("10.244.7.1:8080").unwrap(), "hello");

        for sandbox in [&sandbox, &second] {
            runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
            runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
        }
        let sandboxes = runtime.list_pod_sandboxes(None).await.unwrap();
        assert_eq!(sandboxes[0].state, SandboxState::NotReady);
        assert!(hear("127.0.0.1:8080").is_err(), "closed with its pod");
        let addresses = node.dir.path().join("containerd/cni/addresses");
        let given = std::fs::read_dir(addresses).unwrap();
        let given = given.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_str().unwrap().starts_with("10.")
        });
        assert_eq!(given.count(), 0, "all addresses are given back");
        for sandbox in [&sandbox, &second] {
            runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
            runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        }
        assert!(runtime.list_pod_sandboxes(None).await.unwrap().is_empty());
        let records = std::fs::read_dir(node.dir.path().join("node/cri")).unwrap();
        assert_eq!(records.count(), 0);
    });
}

fn with_name(config: ContainerConfig, name: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        log_path: format!("{name}/0.log").into(),
        ..config
    }
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("bad")).await.unwrap();
        let mut config = shell("main", "");
        config.command = vec!["no-such-program".into()];
        let image = node.runtime.image_status(&config.image).await.unwrap();
        config.image_id = image.unwrap().id;
        let id = node.runtime.create_container(&sandbox.id, config).await;
        let id = id.unwrap();
        let error = node.runtime.start_container(&id).await.unwrap_err();
        let RuntimeError::Start(message) = error else {
            panic!("{error:?}")
        };
        let expected = "exec: \"no-such-program\": executable file not found in $PATH";
        assert!(message.contains(expected), "{message}");
        let ContainerState::Exited {
            exit_code, reason, ..
        } = node.state(&id).await
        else {
            panic!("not exited")
        };
        assert_eq!((exit_code, reason.as_str()), (128, "StartError"));
        let missing = node.runtime.start_container("no-such-id").await;
        assert!(matches!(missing, Err(RuntimeError::NotFound(_))));
        node.runtime.stop_container("no-such-id", 1).await.unwrap();
        let invalid = node.runtime.image_status("UPPER").await;
        assert!(matches!(invalid, Err(RuntimeError::InvalidImage(_))));
        let unknown = node.runtime.pull_image("localhost:1/nothing:1", None).await;
        assert!(matches!(unknown, Err(RuntimeError::Pull(_))), "{unknown:?}");
    });
}

#[test]
fn volumes_users_and_limits() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("vol")).await.unwrap();
        let volume = node.dir.path().join("volume");
        std::fs::create_dir_all(&volume).unwrap();
        std::fs::write(volume.join("file"), "hello\n").unwrap();
        let mut config = shell(
            "main",
            "cat /data/deep/file; touch /data/deep/y 2>&1; echo x > /rw/x; touch /z 2>&1; \
             grep CapEff /proc/self/status; id -g; ls /proc/scsi /proc/acpi; \
             cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; \
             exec sleep 1000",
        );
        let mount = |path: &str, read_only| Mount {
            host_path: volume.clone(),
            container_path: path.into(),
            read_only,
            ..Mount::default()
        };
        config.mounts = vec![mount("/data/deep", true), mount("/rw", false)];
        config.security.read_only_root_filesystem = true;
        config.security.run_as_group = Some(7);
        config.security.run_as_user = Some(0);
        config.security.drop_capabilities = vec!["ALL".into()];
        config.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
        config.memory_limit_bytes = Some(64 << 20);
        let id = node.start_container(&sandbox.id, config).await;
        let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
                     2> /dev/null";
        let minute = Duration::from_secs(60);
        let said = node
            .runtime
            .exec_sync(&id, sh(limit), minute)
            .await
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "67108864\n");
        let more = Resources {
            memory_limit_bytes: Some(96 << 20),
            ..Resources::default()
        };
        let updated = node.runtime.update_container_resources(&id, more).await;
        updated.unwrap();
        let said = node
            .runtime
            .exec_sync(&id, sh(limit), minute)
            .await
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "100663296\n");
        node.runtime.stop_container(&id, 0).await.unwrap();
        assert_eq!(node.exit_code(&id).await, 137);
        let log = node.log("vol", "main");
        assert!(log.starts_with("stdout F hello\n"), "{log}");
        assert_eq!(log.matches("Read-only file system").count(), 2, "{log}");
        assert!(log.contains("CapEff:\t0000000000000400"), "{log}");
        assert!(log.contains("stdout F 7\n"), "{log}");
        assert_eq!(std::fs::read_to_string(volume.join("x")).unwrap(), "x\n");
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

/// Takes time, memory and a mebibyte of disk, says so, and stays: two processes.
#[test]
fn what_a_container_uses() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("use")).await.unwrap();
        let id = node.start_container(&sandbox.id, shell("main", BUSY)).await;
        containers::check_usage(runtime, &sandbox.id, &id, None).await;
    });
}

#[test]
fn which_system_calls_it_may_make() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let under = async |name, profile| {
            let mut config = shell(name, "grep Seccomp: /proc/self/status; unshare -U true");
            config.security.seccomp = profile;
            node.run(&sandbox.id, "web", config).await
        };
        let (code, log) = under("free", SecurityProfile::Unconfined).await;
        assert_eq!((code, log.as_str()), (0, "stdout F Seccomp:\t0"));
        let (code, log) = under("default", SecurityProfile::RuntimeDefault).await;
        assert_eq!(code, 1, "{log}");
        // The two streams are read beside each other, so either may be the first.
        assert!(
            log.lines().any(|line| line == "stdout F Seccomp:\t2"),
            "{log}"
        );
        let path = node.dir.path().join("all.json");
        std::fs::write(&path, r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        let local = SecurityProfile::Localhost(path.display().to_string());
        let (code, log) = under("own", local).await;
        assert_eq!((code, log.as_str()), (0, "stdout F Seccomp:\t2"));
    });
}

#[test]
fn exec_attach_and_port_forward() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("exec")).await.unwrap();
        let script = "while read line; do echo got $line; done; exec sleep 1000";
        let mut config = shell("main", script);
        config.stdin = true;
        let id = node.start_container(&sandbox.id, config).await;

        let minute = Duration::from_secs(60);
        let script = "echo out; echo err >&2; hostname; exit 7";
        let output = runtime.exec_sync(&id, sh(script), minute).await.unwrap();
        assert_eq!(output.exit_code, 7);
        assert_eq!(output.stdout, b"out\nexec\n");
        assert_eq!(output.stderr, b"err\n");
        let second = Duration::from_secs(1);
        let late = runtime.exec_sync(&id, sh("sleep 60; true"), second).await;
        let late = late.unwrap_err().to_string();
        assert_eq!(
            late,
            "command \"/bin/sh -c sleep 60; true\" timed out after 1s"
        );

        let request = |script: &str| ExecRequest {
            command: sh(script),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let asked = request("cat; echo err >&2; exit 5");
        let mut process = runtime.exec(&id, asked).await.unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"in\n").await.unwrap();
        stdin.shutdown().await.unwrap();
        drop(stdin);
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (process.stdout.unwrap(), process.stderr.unwrap());
        stdout.read_to_string(&mut out).await.unwrap();
        stderr.read_to_string(&mut err).await.unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("in\n", "err\n"));
        assert_eq!(process.exit.await.unwrap().unwrap(), 5);

        let mut missing = request("");
        missing.command = vec!["no-such-program".to_owned()];
        let process = runtime.exec(&id, missing).await.unwrap();
        let why = process.exit.await.unwrap().unwrap_err().to_string();
        let expected = "unable to start container process: exec: \"no-such-program\": \
                        executable file not found in $PATH";
        assert!(why.starts_with("failed to exec in container: "), "{why}");
        assert!(why.contains(expected), "{why}");

        let mut asked = request("sleep 0.2; stty size; exit 4");
        asked.tty = true;
        let mut process = runtime.exec(&id, asked).await.unwrap();
        let size = TerminalSize {
            width: 77,
            height: 33,
        };
        let sizes = process.resize.take().unwrap();
        sizes.send(size).await.unwrap();
        let mut out = String::new();
        let stdout = process.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut out).await.unwrap();
        assert_eq!(out, "33 77\r\n");
        assert_eq!(process.exit.await.unwrap().unwrap(), 4);

        let asked = ExecRequest {
            command: Vec::new(),
            ..request("")
        };
        let mut attached = runtime.attach(&id, asked).await.unwrap();
        let stdin = attached.stdin.as_mut().unwrap();
        stdin.write_all(b"line\n").await.unwrap();
        let mut answer = [0; 9];
        let stdout = attached.stdout.as_mut().unwrap();
        stdout.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"got line\n");
        drop(attached);

        let listen = "python3 -c 'import socket; s=socket.create_server((\"127.0.0.1\", 80)); \
                      print(1, flush=True); c=s.accept()[0]; d=c.recv(99); c.sendall(d[::-1])'";
        let server = node.start_container(&sandbox.id, with_name(shell("s", listen), "server"));
        server.await;
        while !node.log("exec", "server").contains("stdout F 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut connection = runtime.port_forward(&sandbox.id, 80).await.unwrap();
        connection.write_all(b"abc").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "cba");
    });
}

#[test]
fn a_restarted_kubelet_finds_its_pods() {
    on_a_node(|| async {
        let mut node = Node::start().await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("stay"))
            .await
            .unwrap();
        let config = shell("main", "exec sleep 1000");
        let id = node.start_container(&sandbox.id, config).await;
        node.runtime = connect(node.dir.path()).await;
        node.runtime.update_pod_cidr("10.244.7.0/24").await.unwrap();
        let sandboxes = node.runtime.list_pod_sandboxes(None).await.unwrap();
        assert_eq!(sandboxes[0].id, sandbox.id);
        assert_eq!(sandboxes[0].state, SandboxState::Ready);
        assert_eq!(sandboxes[0].ips, sandbox.ips);
        assert_eq!(node.state(&id).await, ContainerState::Running);
        let of_pod = node.runtime.list_containers(Some("uid")).await.unwrap();
        assert_eq!(of_pod.len(), 1);
        let of_other = node.runtime.list_containers(Some("other")).await.unwrap();
        assert!(of_other.is_empty());
        let talks = "while :; do echo talking; sleep 0.01; done";
        let talking = with_name(shell("main", talks), "talking");
        node.start_container(&sandbox.id, talking).await;
        while !node.log("stay", "talking").contains("talking") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        node.runtime.rotate_logs(1).await.unwrap();
        let logs = node.dir.path().join("logs/stay/talking");
        assert_eq!(std::fs::read_dir(logs).unwrap().count(), 2);
        while !node.log("stay", "talking").contains("talking") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let second = with_name(shell("main", "cat /etc/hosts"), "second");
        let (_, log) = node.run(&sandbox.id, "stay", second).await;
        assert!(log.contains("10.244.7.2 stay"), "{log}");
    });
}
