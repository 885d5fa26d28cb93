//! The embedded runtime against a real kernel: each test is a node in a network namespace of its
//! own. Skipped, with the reason, where this user may make no namespaces.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubelet::runtime::images::{ImageStore, load_archive};
use kubelet::runtime::sandbox::{SandboxRuntime, SandboxRuntimeConfig, kill_node, remove_cgroups};
use kubelet::runtime::{
    ContainerConfig, ContainerRuntime, ContainerState, ExecRequest, Mount, PodMetadata,
    PortMapping, PortProtocol, Resources, RuntimeError, SandboxConfig, SandboxState, Security,
    TerminalSize, host_ports,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "sandbox/security.rs"]
mod security;

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
        SandboxConfig {
            metadata: PodMetadata {
                name: name.into(),
                namespace: "default".into(),
                uid: format!("uid-{name}"),
                attempt: 0,
            },
            hostname: name.into(),
            resolv_conf: "nameserver 10.96.0.10\n".into(),
            hosts: format!("127.0.0.1 localhost\n{{POD_IP}} {name}\n"),
            log_directory: self.dir.path().join("logs").join(name),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            share_process_namespace: false,
            sysctls: BTreeMap::new(),
            port_mappings: Vec::new(),
            runtime_handler: String::new(),
            privileged: false,
        }
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
        let mut events = self.runtime.events();
        loop {
            if let ContainerState::Exited { exit_code, .. } = self.state(id).await {
                return exit_code;
            }
            tokio::time::timeout(Duration::from_secs(20), events.recv())
                .await
                .expect("the container ends")
                .unwrap();
        }
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
    };
    SandboxRuntime::new(config).await.unwrap()
}

fn shell(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.into(),
        attempt: 0,
        image_id: "workshop/shell".into(),
        image: "workshop/shell".into(),
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        args: vec![],
        working_dir: String::new(),
        env: vec![],
        mounts: vec![],
        log_path: format!("{name}/0.log").into(),
        stdin: false,
        stdin_once: false,
        tty: false,
        security: Security::default(),
        memory_limit_bytes: None,
        cpu_limit_millis: None,
        cpu_request_millis: None,
        pid_target: None,
        labels: BTreeMap::new(),
    }
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

#[test]
fn a_pod_from_its_start_to_its_end() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        assert_eq!(sandbox.ips[0].to_string(), "10.244.7.2");
        assert_eq!(sandbox.state, SandboxState::Ready);
        let script = "hostname; cat /etc/hosts /etc/resolv.conf; id -u; echo $$; \
                      ls /proc | grep -c '^[0-9]'; cat /sys/class/net/eth0/address; \
                      touch /x && ls /x; touch /usr/x 2>&1; echo oops >&2; exit 3";
        let (code, log) = node.run(&sandbox.id, "web", shell("main", script)).await;
        assert_eq!(code, 3);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            lines[0..4],
            [
                "stdout F web",
                "stdout F 127.0.0.1 localhost",
                "stdout F 10.244.7.2 web",
                "stdout F nameserver 10.96.0.10",
            ]
        );
        assert_eq!(
            lines[4..6],
            ["stdout F 0", "stdout F 1"],
            "uid 0, the first process"
        );
        assert!(log.contains("stdout F 0a:58:0a:f4:07:02"), "{log}");
        assert!(log.contains("stdout F /x\n"), "{log}");
        assert!(log.contains("Read-only file system"), "{log}");
        assert!(log.contains("stderr F oops"), "{log}");

        node.runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
        node.runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
        let of_another = node.runtime.list_pod_sandboxes(Some("nobody")).await;
        assert!(of_another.unwrap().is_empty());
        let uid = sandbox.metadata.uid.as_str();
        let sandboxes = node.runtime.list_pod_sandboxes(Some(uid)).await.unwrap();
        assert_eq!(sandboxes[0].state, SandboxState::NotReady);
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        assert!(
            node.runtime
                .list_pod_sandboxes(None)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            std::fs::read_dir(node.dir.path().join("node/sandboxes"))
                .unwrap()
                .count(),
            0
        );
    });
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(|| async {
        let node = Node::start().await;
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
        let expected = "unable to start container process: exec: \"no-such-program\": \
                        executable file not found in $PATH";
        assert_eq!(message, expected);
        let ContainerState::Exited {
            exit_code, reason, ..
        } = node.state(&id).await
        else {
            panic!("not exited")
        };
        assert_eq!((exit_code, reason.as_str()), (128, "StartError"));

        let mut config = shell("nouser", "");
        config.security.run_as_user = Some(4_000_000_000);
        let mapped = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let created = node.runtime.create_container(&sandbox.id, config).await;
        assert_eq!(
            created.is_err(),
            !mapped.contains("4294967295"),
            "{created:?}"
        );
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn volumes_users_and_capabilities() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("vol")).await.unwrap();
        let volume = node.dir.path().join("volume");
        std::fs::create_dir_all(&volume).unwrap();
        std::fs::write(volume.join("file"), "hello\n").unwrap();
        let mut config = shell(
            "main",
            "cat /data/deep/file; touch /data/deep/y 2>&1; echo x > /rw/x; touch /z 2>&1; \
             grep CapEff /proc/self/status; cat /proc/sys/kernel/hostname; \
             echo 1 2>&1 > /proc/sys/kernel/domainname; pwd",
        );
        let mount = |path: &str, read_only| Mount {
            host_path: volume.clone(),
            container_path: path.into(),
            read_only,
            ..Mount::default()
        };
        config.mounts = vec![mount("/data/deep", true), mount("/rw", false)];
        config.security.read_only_root_filesystem = true;
        config.security.drop_capabilities = vec!["ALL".into()];
        config.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
        config.working_dir = "/srv/made".into();
        let (_, log) = node.run(&sandbox.id, "vol", config).await;
        assert!(log.starts_with("stdout F hello\n"), "{log}");
        assert_eq!(log.matches("Read-only file system").count(), 3, "{log}");
        assert!(log.contains("CapEff:\t0000000000000400"), "{log}");
        assert!(log.ends_with("stdout F /srv/made"), "{log}");
        assert_eq!(std::fs::read_to_string(volume.join("x")).unwrap(), "x\n");
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

/// Where a node's control groups are; `None`, with the reason, where this user can have none.
fn cgroup_roots(node: &Node) -> Option<Vec<PathBuf>> {
    let record = node.dir.path().join("node/cgroups.json");
    match std::fs::read(record) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(_) => {
            eprintln!("skipped: no control groups that this user may write");
            None
        }
    }
}

/// What a container sees of its own limits, be it v1 or v2.
const SEEN: &str = "cd /sys/fs/cgroup; cat cpu.weight cpu/cpu.shares cpu.max cpu/cpu.cfs_quota_us \
                    memory.max memory/memory.limit_in_bytes 2>/dev/null";

#[test]
fn what_a_container_may_use() {
    on_a_node(|| async {
        let node = Node::start().await;
        let Some(roots) = cgroup_roots(&node) else {
            return;
        };
        let sandbox = node.runtime.run_pod_sandbox(node.pod("use")).await.unwrap();
        let mut config = shell("main", "exec sleep 1000");
        config.cpu_request_millis = Some(1000);
        config.cpu_limit_millis = Some(1500);
        config.memory_limit_bytes = Some(64 << 20);
        let class = ("io.kubernetes.pod.qosClass".into(), "Burstable".into());
        config.labels.extend([class]);
        let id = node.runtime.create_container(&sandbox.id, config).await;
        let id = id.unwrap();
        node.runtime.start_container(&id).await.unwrap();
        let seen = || async {
            let command = ["/bin/sh", "-c", SEEN].map(String::from).to_vec();
            let time = Duration::from_secs(10);
            let output = node.runtime.exec_sync(&id, command, time).await.unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let v2 = roots[0].join("cgroup.controllers").exists();
        let expected = match v2 {
            true => "100\n150000 100000\n67108864\n",
            false => "1024\n150000\n67108864\n",
        };
        assert_eq!(seen().await, expected);
        let group = roots[0].join("kubepods/burstable/poduid-use").join(&id);
        // The first process, and none of the command's that has ended.
        let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap();
        assert_eq!(members.lines().count(), 1, "{members}");

        let more = Resources {
            cpu_request_millis: Some(2000),
            cpu_limit_millis: Some(3000),
            memory_limit_bytes: Some(128 << 20),
        };
        let runtime = &node.runtime;
        runtime.update_container_resources(&id, more).await.unwrap();
        let expected = match v2 {
            true => "300000 100000\n134217728\n",
            false => "2048\n300000\n134217728\n",
        };
        assert!(seen().await.ends_with(expected));
        let less = Resources {
            memory_limit_bytes: Some(4096),
            ..more
        };
        let error = runtime.update_container_resources(&id, less).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("below current usage"), "{error}");

        runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        for root in &roots {
            assert!(!root.join("kubepods/burstable/poduid-use").exists());
        }
    });
}

#[test]
fn who_takes_too_much_memory_is_ended() {
    on_a_node(|| async {
        let node = Node::start().await;
        if cgroup_roots(&node).is_none() {
            return;
        }
        let sandbox = node.runtime.run_pod_sandbox(node.pod("oom")).await.unwrap();
        let mut config = shell("main", "a=x; while :; do a=$a$a; done");
        config.memory_limit_bytes = Some(16 << 20);
        let id = node.runtime.create_container(&sandbox.id, config).await;
        let id = id.unwrap();
        node.runtime.start_container(&id).await.unwrap();
        assert_eq!(node.exit_code(&id).await, 137);
        let ContainerState::Exited { reason, .. } = node.state(&id).await else {
            panic!("not exited")
        };
        assert_eq!(reason, "OOMKilled");
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

/// Takes time, memory and a mebibyte of disk, says so, and stays: two processes.
const BUSY: &str = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo $i filler filler filler \
                    filler filler filler filler filler; done > /file; \
                    sleep 1000 & : > /done; exec sleep 1000";

#[test]
fn what_a_container_uses() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("use")).await.unwrap();
        let id = runtime
            .create_container(&sandbox.id, shell("main", BUSY))
            .await;
        let id = id.unwrap();
        runtime.start_container(&id).await.unwrap();
        let done = ["/bin/sh", "-c", "until [ -e /done ]; do sleep 0.01; done"]
            .map(String::from)
            .to_vec();
        let time = Duration::from_secs(10);
        let waited = runtime.exec_sync(&id, done, time).await.unwrap();
        assert_eq!(waited.exit_code, 0);
        let usages = runtime.container_usage().await.unwrap();
        assert_eq!(usages.len(), 1);
        let usage = &usages[0];
        assert_eq!(usage.container_id, id);
        assert!(usage.cpu_nanos.unwrap() > 1_000_000, "{usage:?}");
        let memory = usage.memory.unwrap();
        assert!(memory.working_set_bytes > 10_000, "{usage:?}");
        assert!(memory.working_set_bytes <= memory.usage_bytes, "{usage:?}");
        assert_eq!(usage.processes, Some(2));
        let networks = runtime.network_usage().await.unwrap();
        assert_eq!(networks.len(), 1);
        assert_eq!(networks[0].sandbox_id, sandbox.id);
        let mut links = networks[0].interfaces.iter();
        assert!(links.any(|link| link.name == "eth0"), "{networks:?}");
        let layers = runtime.writable_layers().await.unwrap();
        assert!(layers[&id].bytes >= 1 << 20, "{layers:?}");
        runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
        assert_eq!(runtime.container_usage().await.unwrap(), []);
        assert_eq!(runtime.network_usage().await.unwrap(), []);
        runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

/// A file for `lab load`: an image of that many layers, each with the file `n` and one of its own.
fn image_archive(path: &Path, name: &str, layers: usize) {
    fn add(tar: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    let layer = |number: usize| {
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "n", number.to_string().as_bytes());
        add(&mut tar, &format!("layer-{number}"), name.as_bytes());
        tar.into_inner().unwrap()
    };
    let layers: Vec<Vec<u8>> = (0..layers).map(layer).collect();
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{:x}", Sha256::digest(layer)))
        .collect();
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    add(&mut tar, "manifest.json", manifest.to_string().as_bytes());
    add(&mut tar, "config.json", config.to_string().as_bytes());
    for (name, layer) in names.iter().zip(&layers) {
        add(&mut tar, name, layer);
    }
    tar.finish().unwrap();
}

#[test]
fn an_image_is_a_volume() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("img")).await.unwrap();
        let store = ImageStore::open(&node.dir.path().join("images")).unwrap();
        for layers in [1, 3] {
            let name = format!("files:{layers}");
            let archive = node.dir.path().join("image.tar");
            image_archive(&archive, &name, layers);
            load_archive(&store, &archive).unwrap();
            let id = node.runtime.image_status(&name).await.unwrap().unwrap().id;
            let volume = node.dir.path().join(format!("volume-{layers}"));
            std::fs::create_dir(&volume).unwrap();
            node.runtime.mount_image(&id, &volume).unwrap();
            node.runtime.mount_image(&id, &volume).unwrap();
            // Who stands on it keeps it.
            node.runtime.remove_image(&id).await.unwrap();

            let mut config = shell("main", "cat /v/n; echo; ls /v; touch /v/x 2>&1");
            config.name = format!("c{layers}");
            config.log_path = format!("c{layers}/0.log").into();
            config.mounts = vec![Mount {
                host_path: volume.clone(),
                container_path: "/v".into(),
                read_only: true,
                ..Mount::default()
            }];
            let (_, log) = node.run(&sandbox.id, "img", config).await;
            let shown = format!("stdout F {}\nstdout F layer-0\n", layers - 1);
            assert!(log.starts_with(&shown), "{log}");
            assert_eq!(log.matches("layer-").count(), layers, "{log}");
            assert!(log.contains("Read-only file system"), "{log}");

            node.runtime.unmount_image(&volume);
            node.runtime.unmount_image(&volume);
            std::fs::remove_dir(&volume).unwrap();
        }
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn exec_attach_and_terminals() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("exec"))
            .await
            .unwrap();
        let mut config = shell(
            "main",
            "while read line; do echo got $line; done; exec sleep 1000",
        );
        config.stdin = true;
        let id = node
            .runtime
            .create_container(&sandbox.id, config)
            .await
            .unwrap();
        node.runtime.start_container(&id).await.unwrap();

        let second = Duration::from_secs(10);
        let sh = |script: &str| vec!["sh".to_string(), "-c".into(), script.into()];
        let script = "echo out; echo err >&2; hostname; exit 7";
        let output = node
            .runtime
            .exec_sync(&id, sh(script), second)
            .await
            .unwrap();
        assert_eq!((output.exit_code, &output.stderr[..]), (7, &b"err\n"[..]));
        assert_eq!(output.stdout, b"out\nexec\n");
        let short = Duration::from_millis(50);
        let error = node
            .runtime
            .exec_sync(&id, sh("sleep 100"), short)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("timed out"), "{error}");
        let error = node
            .runtime
            .exec_sync(&id, vec!["nope".into()], second)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("executable file not found"),
            "{error}"
        );

        let all = ExecRequest {
            command: sh("cat; exit 4"),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        let mut streams = node.runtime.exec(&id, all.clone()).await.unwrap();
        streams
            .stdin
            .take()
            .unwrap()
            .write_all(b"through")
            .await
            .unwrap();
        let mut text = String::new();
        streams
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert_eq!(
            (text.as_str(), streams.exit.await.unwrap().unwrap()),
            ("through", 4)
        );

        let command = sh("test -t 0 && tty; read x; stty size; exit 5");
        let terminal = ExecRequest {
            command,
            tty: true,
            ..all.clone()
        };
        let mut streams = node.runtime.exec(&id, terminal).await.unwrap();
        let size = TerminalSize {
            width: 91,
            height: 17,
        };
        streams.resize.as_ref().unwrap().send(size).await.unwrap();
        tokio::task::yield_now().await;
        streams
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"go\n")
            .await
            .unwrap();
        let mut text = String::new();
        streams
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert!(
            text.contains("/dev/pts/0") && text.contains("17 91"),
            "{text:?}"
        );
        assert_eq!(streams.exit.await.unwrap().unwrap(), 5);

        let mut attached = node.runtime.attach(&id, all).await.unwrap();
        attached
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"one\n")
            .await
            .unwrap();
        let mut line = [0; 8];
        attached
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .await
            .unwrap();
        assert_eq!(&line, b"got one\n");
        assert_eq!(node.log("exec", "main"), "stdout F got one");
        drop(attached);

        // A shell that waits for its input does not heed SIGTERM as a first process.
        node.runtime.stop_container(&id, 0).await.unwrap();
        assert_eq!(node.exit_code(&id).await, 137);
        assert!(
            node.runtime
                .exec_sync(&id, sh("true"), second)
                .await
                .is_err()
        );
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn pods_reach_each_other_and_themselves() {
    on_a_node(|| async {
        let node = Node::start().await;
        let server = node
            .runtime
            .run_pod_sandbox(node.pod("server"))
            .await
            .unwrap();
        let client = node
            .runtime
            .run_pod_sandbox(node.pod("client"))
            .await
            .unwrap();
        let id = node
            .runtime
            .create_container(&server.id, shell("main", GREETER))
            .await
            .unwrap();
        node.runtime.start_container(&id).await.unwrap();
        while node.log("server", "main").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ask = |ip: &str| {
            shell(
                "ask",
                &format!(
                    "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"{ip}:80\") \
                 or die \"no: $!\"; print <$s>'"
                ),
            )
        };
        // Without a line feed at its end: a partial line.
        let (_, log) = node.run(&client.id, "client", ask("10.244.7.2")).await;
        assert_eq!(log, "stdout P hello 10.244.7.3");
        let (_, log) = node.run(&server.id, "server", ask("10.244.7.2")).await;
        assert_eq!(log, "stdout P hello 10.244.7.2");

        let mut forwarded = node.runtime.port_forward(&server.id, 80).await.unwrap();
        let mut text = String::new();
        forwarded.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello 127.0.0.1");
        let error = node
            .runtime
            .port_forward(&server.id, 81)
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains("Connection refused"), "{error}");
        for sandbox in [server, client] {
            node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        }
    });
}

/// Says whom it sees, to everyone who connects to port 80.
const GREETER: &str = "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 9, \
     LocalPort => 80) or die; $| = 1; print \"up\\n\"; \
     while ($c = $s->accept) { print $c \"hello \" . $c->peerhost; close $c }'";

/// What is said at that address of the node.
fn heard(address: &str) -> std::io::Result<String> {
    use std::io::Read;
    let mut said = String::new();
    std::net::TcpStream::connect(address)?.read_to_string(&mut said)?;
    Ok(said)
}

#[test]
fn host_ports_lead_to_their_pod_as_long_as_it_runs() {
    on_a_node(|| async {
        let lo = netlink::Netlink::open().unwrap().set_link_up("lo", true);
        lo.unwrap();
        let node = Node::start().await;
        let port = |host_port, host_ip: &str| PortMapping {
            host_port,
            container_port: 80,
            protocol: PortProtocol::Tcp,
            host_ip: host_ip.into(),
        };
        let mut pod = node.pod("server");
        pod.port_mappings = vec![port(8080, ""), port(8081, "127.0.0.1")];
        let server = node.runtime.run_pod_sandbox(pod).await.unwrap();
        let main = shell("main", GREETER);
        let main = node.runtime.create_container(&server.id, main).await;
        node.runtime.start_container(&main.unwrap()).await.unwrap();
        while node.log("server", "main").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The bridge's address is one of the node's.
        assert_eq!(heard("10.244.7.1:8080").unwrap(), "hello 10.244.7.1");
        // Loopback means nothing to the pod, so it sees the node.
        assert_eq!(heard("127.0.0.1:8080").unwrap(), "hello 10.244.7.1");
        assert_eq!(heard("127.0.0.1:8081").unwrap(), "hello 10.244.7.1");
        assert!(heard("10.244.7.1:8081").is_err(), "hostIP is another one");

        let client = node.runtime.run_pod_sandbox(node.pod("client"));
        let client = client.await.unwrap();
        let ask = |port: u16| {
            let script = format!(
                "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"10.244.7.1:{port}\") \
                 or die \"no\"; print <$s>'"
            );
            shell("ask", &script)
        };
        let (_, log) = node.run(&client.id, "client", ask(8080)).await;
        assert_eq!(log, "stdout P hello 10.244.7.3");
        let (_, log) = node.run(&server.id, "server", ask(8080)).await;
        assert_eq!(log, "stdout P hello 10.244.7.1", "the pod calls itself");

        // The kernel forgets, as after somebody flushed it; the next kubelet writes it anew.
        let socket = netlink::nft::NftSocket::open().unwrap();
        let delete = [netlink::nft::Op::DeleteTable(host_ports::TABLE)];
        socket.apply(&delete).unwrap();
        assert!(heard("10.244.7.1:8080").is_err());
        let node = node.restart_kubelet().await;
        assert_eq!(heard("10.244.7.1:8080").unwrap(), "hello 10.244.7.1");

        node.runtime.stop_pod_sandbox(&server.id).await.unwrap();
        assert!(heard("10.244.7.1:8080").is_err());
        let nothing_left = socket.apply(&delete).unwrap_err();
        assert!(
            nothing_left.to_string().contains("No such file"),
            "{nothing_left}"
        );
        for sandbox in [server, client] {
            node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        }
    });
}

#[test]
fn pods_outlive_the_kubelet_but_not_their_shim() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("stay"))
            .await
            .unwrap();
        let long = node
            .runtime
            .create_container(&sandbox.id, shell("long", "exec sleep 1000"));
        let long = long.await.unwrap();
        node.runtime.start_container(&long).await.unwrap();
        let brief = node
            .runtime
            .create_container(&sandbox.id, shell("brief", "exit 9"));
        let brief = brief.await.unwrap();
        node.runtime.start_container(&brief).await.unwrap();
        node.exit_code(&brief).await;

        let node = node.restart_kubelet().await;
        let sandboxes = node.runtime.list_pod_sandboxes(None).await.unwrap();
        assert_eq!(sandboxes[0].state, SandboxState::Ready);
        assert_eq!(node.state(&long).await, ContainerState::Running);
        assert_eq!(node.exit_code(&brief).await, 9);
        let second = Duration::from_secs(10);
        let output = node
            .runtime
            .exec_sync(&long, vec!["hostname".into()], second)
            .await;
        assert_eq!(output.unwrap().stdout, b"stay\n");
        let another = node
            .runtime
            .run_pod_sandbox(node.pod("another"))
            .await
            .unwrap();
        assert_eq!(
            another.ips[0].to_string(),
            "10.244.7.3",
            "the first is taken"
        );

        assert_eq!(kill_node(&node.dir.path().join("node")), 2);
        let code = node.exit_code(&long).await;
        assert_eq!(code, 137);
        let node = node.restart_kubelet().await;
        let sandboxes = node.runtime.list_pod_sandboxes(None).await.unwrap();
        assert!(
            sandboxes
                .iter()
                .all(|sandbox| sandbox.state == SandboxState::NotReady)
        );
        let ContainerState::Exited { reason, .. } = node.state(&long).await else {
            panic!("not exited")
        };
        assert_eq!(reason, "ContainerStatusUnknown");
        for sandbox in sandboxes {
            node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        }
    });
}

#[test]
fn one_process_namespace_for_the_pod() {
    on_a_node(|| async {
        let node = Node::start().await;
        let mut pod = node.pod("shared");
        pod.share_process_namespace = true;
        let sandbox = node.runtime.run_pod_sandbox(pod).await.unwrap();
        let first = node
            .runtime
            .create_container(&sandbox.id, shell("first", "exec sleep 1234"));
        let first = first.await.unwrap();
        node.runtime.start_container(&first).await.unwrap();
        // Leaves an orphan behind, which the shim has to reap.
        let script = "(sleep 0.05 &) ; cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
        let (_, log) = node
            .run(&sandbox.id, "shared", shell("second", script))
            .await;
        assert!(
            log.contains("sleep 1234") && log.contains("workshop-shim"),
            "{log}"
        );
        node.runtime.stop_container(&first, 5).await.unwrap();
        assert_eq!(node.exit_code(&first).await, 143);
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn the_node_itself_and_privileges() {
    on_a_node(|| async {
        let node = Node::start().await;
        let mut pod = node.pod("host");
        pod.host_network = true;
        pod.host_pid = true;
        pod.host_ipc = true;
        let sandbox = node.runtime.run_pod_sandbox(pod).await.unwrap();
        assert!(sandbox.ips.is_empty());
        let mut config = shell(
            "main",
            "ls /sys/class/net; ls -d /proc/sys/kernel; test -w /proc/sys/net/ipv4/ip_forward \
             && echo writable; test -c /dev/null && echo device; echo $$ > /dev/shm/pid; \
             grep NoNewPrivs /proc/self/status",
        );
        config.security.privileged = true;
        let (code, log) = node.run(&sandbox.id, "host", config).await;
        assert_eq!(code, 0, "{log}");
        for line in ["cni0", "writable", "device", "NoNewPrivs:\t0"] {
            assert!(log.contains(&format!("stdout F {line}")), "{line} in {log}");
        }
        let mut config = shell("missing", "true");
        config.mounts = vec![Mount {
            host_path: "/no/such/folder".into(),
            container_path: "/data".into(),
            read_only: false,
            ..Mount::default()
        }];
        let id = node
            .runtime
            .create_container(&sandbox.id, config)
            .await
            .unwrap();
        let error = node
            .runtime
            .start_container(&id)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("mounting /no/such/folder on /data: No such file"),
            "{error}"
        );
        let long = node
            .runtime
            .create_container(&sandbox.id, shell("long", "exec sleep 1000"));
        let long = long.await.unwrap();
        node.runtime.start_container(&long).await.unwrap();
        node.runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
        assert_eq!(node.exit_code(&long).await, 137);
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn how_long_a_pod_takes() {
    on_a_node(|| async {
        let node = Node::start().await;
        let mut times = Vec::new();
        for number in 0..10 {
            let name = format!("pod{number}");
            let config = node.pod(&name);
            let begin = std::time::Instant::now();
            let sandbox = node.runtime.run_pod_sandbox(config).await.unwrap();
            let up = begin.elapsed();
            let container = shell("main", "exec sleep 100");
            let id = node
                .runtime
                .create_container(&sandbox.id, container)
                .await
                .unwrap();
            let created = begin.elapsed();
            node.runtime.start_container(&id).await.unwrap();
            times.push((up, created - up, begin.elapsed() - created, begin.elapsed()));
            node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
        }
        times.sort_by_key(|(_, _, _, total)| *total);
        eprintln!("sandbox, create, start, total (median): {:?}", times[5]);
        eprintln!("slowest: {:?}", times[9]);
        // Far above what it takes, far below what a sleep somewhere would cost.
        assert!(times[5].3 < Duration::from_secs(1), "{times:?}");
    });
}
