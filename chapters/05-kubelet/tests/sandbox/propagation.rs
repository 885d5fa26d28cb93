//! What is mounted on the node and what in a container: who sees what, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use kubelet::runtime::Propagation;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_change};

/// Takes back what a test mounted on the machine.
struct Mounted(PathBuf);

impl Mounted {
    /// A folder that is a mount, whose peers hear of what is mounted below it.
    fn shared(path: &Path) -> Self {
        mount_bind(path, path).unwrap();
        mount_change(path, MountPropagationFlags::SHARED).unwrap();
        Mounted(path.to_owned())
    }

    fn tmpfs(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        rustix::mount::mount("test", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        Mounted(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn what_is_mounted_later_is_seen_by_whom_it_should() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let volume = Mounted::tmpfs(node.dir.path().join("volume"));
        mount_change(&volume.0, MountPropagationFlags::SHARED).unwrap();
        for name in ["node", "container"] {
            std::fs::create_dir(volume.0.join(name)).unwrap();
        }
        let start = async |name: &str, propagation| {
            let mut config = shell(name, "sleep 1000");
            config.security.privileged = true;
            config.mounts = vec![Mount {
                host_path: volume.0.clone(),
                container_path: "/v".into(),
                propagation,
                ..Mount::default()
            }];
            let id = node.runtime.create_container(&sandbox.id, config);
            let id = id.await.unwrap();
            node.runtime.start_container(&id).await.unwrap();
            id
        };
        let run = async |id: &str, script: &str| {
            let command = ["/bin/sh", "-c", script].map(str::to_owned);
            let limit = Duration::from_secs(20);
            let said = node.runtime.exec_sync(id, command.into(), limit);
            String::from_utf8(said.await.unwrap().stdout).unwrap()
        };
        let alone = start("alone", Propagation::None).await;
        let told = start("told", Propagation::HostToContainer).await;
        let both = start("both", Propagation::Bidirectional).await;
        let later = Mounted::tmpfs(volume.0.join("node"));
        std::fs::write(later.0.join("file"), "").unwrap();
        assert_eq!(run(&alone, "ls /v/node").await, "");
        assert_eq!(run(&told, "ls /v/node").await, "file\n");
        assert_eq!(run(&both, "ls /v/node").await, "file\n");

        let script = "mount -t tmpfs x /v/container && touch /v/container/file";
        run(&told, script).await;
        let shown = || {
            std::fs::read_dir(volume.0.join("container"))
                .unwrap()
                .count()
        };
        assert_eq!(shown(), 0, "a slave tells nobody");
        run(&both, script).await;
        assert_eq!(shown(), 1);
        let _both = Mounted(volume.0.join("container"));
        assert_eq!(run(&alone, "ls /v/container").await, "");
    });
}

#[test]
fn a_mount_that_shares_nothing_cannot_propagate() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let volume = Mounted::tmpfs(node.dir.path().join("volume"));
        mount_change(&volume.0, MountPropagationFlags::PRIVATE).unwrap();
        let mut config = shell("main", "true");
        config.mounts = vec![Mount {
            host_path: volume.0.clone(),
            container_path: "/v".into(),
            propagation: Propagation::HostToContainer,
            ..Mount::default()
        }];
        let id = node.runtime.create_container(&sandbox.id, config);
        let error = node.runtime.start_container(&id.await.unwrap()).await;
        let path = volume.0.display();
        let expected = format!(
            "path \"{path}\" is mounted on \"{path}\" but it is not a shared or slave mount"
        );
        assert_eq!(error.unwrap_err().to_string(), expected);
    });
}

#[test]
fn read_only_goes_to_the_bottom_if_it_is_to() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let volume = Mounted::tmpfs(node.dir.path().join("volume"));
        let _below = Mounted::tmpfs(volume.0.join("below"));
        let run = async |name: &str, recursive_read_only| {
            let script = "touch /v/x || echo top; touch /v/below/x || echo below";
            let mut config = shell(name, &format!("({script}) 2>/dev/null"));
            config.mounts = vec![Mount {
                host_path: volume.0.clone(),
                container_path: "/v".into(),
                read_only: true,
                recursive_read_only,
                ..Mount::default()
            }];
            node.run(&sandbox.id, "web", config).await.1
        };
        assert_eq!(run("top", false).await, "stdout F top");
        assert_eq!(run("all", true).await, "stdout F top\nstdout F below");
    });
}

/// The mount points below a folder, as this process sees them.
fn mounts_below(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let below = |point: &&str| Path::new(point).starts_with(folder);
    points.filter(below).map(str::to_owned).collect()
}

#[test]
fn what_is_mounted_while_a_root_is_built_is_not_missed() {
    on_a_node(|| async {
        let dir = Dir(tempfile::tempdir().unwrap());
        // Volumes, and all that roots are made of, in one mount, as on most machines.
        let _node = Mounted::shared(dir.path());
        let runtime = open(dir.path()).await;
        runtime.update_pod_cidr("10.244.7.0/24").await.unwrap();
        let logs = dir.path().join("logs/web");
        let sandbox = containers::pod("web", "uid-web".into(), logs);
        let sandbox = runtime.run_pod_sandbox(sandbox).await.unwrap();
        let volume = dir.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let before = mounts_below(dir.path());

        let stop = Arc::new(AtomicBool::new(false));
        let mounter = std::thread::spawn({
            let (stop, volume) = (stop.clone(), volume.clone());
            move || {
                let names = (0..1000).take_while(|_| !stop.load(Ordering::Relaxed));
                let paths = names.map(|name| volume.join(format!("{name:03}")));
                paths.map(Mounted::tmpfs).collect::<Vec<_>>()
            }
        });
        let mut ids = Vec::new();
        for number in 0..8 {
            let mut config = shell(&format!("main{number}"), "sleep 1000");
            config.security.privileged = true;
            config.mounts = vec![Mount {
                host_path: volume.clone(),
                container_path: "/v".into(),
                propagation: match number % 2 {
                    0 => Propagation::HostToContainer,
                    _ => Propagation::Bidirectional,
                },
                ..Mount::default()
            }];
            let id = runtime.create_container(&sandbox.id, config).await.unwrap();
            runtime.start_container(&id).await.unwrap();
            ids.push(id);
        }
        stop.store(true, Ordering::Relaxed);
        let mounted = mounter.join().unwrap();
        for id in &ids {
            let script = "cut -d' ' -f5 /proc/self/mountinfo | grep ^/v/ | sort | tr '\\n' ' '";
            let command = ["/bin/sh", "-c", script].map(str::to_owned);
            let limit = Duration::from_secs(20);
            let said = runtime.exec_sync(id, command.into(), limit).await.unwrap();
            let seen = String::from_utf8(said.stdout).unwrap();
            let all: String = (0..mounted.len())
                .map(|it| format!("/v/{it:03} "))
                .collect();
            assert_eq!(seen, all, "of {} mounts", mounted.len());
        }
        // The node has what it had: no root was mounted on it, and none of its own went with one.
        drop(mounted);
        assert_eq!(mounts_below(dir.path()), before);
        runtime.stop_pod_sandbox(&sandbox.id).await.unwrap();
    });
}
