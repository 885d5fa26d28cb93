//! What a container may do, found out by trying it.

use super::*;
use kubelet::runtime::{Propagation, SecurityProfile};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// A container that runs a script under a profile.
fn under(name: &str, seccomp: SecurityProfile, script: &str) -> ContainerConfig {
    let mut config = shell(name, script);
    config.security.seccomp = seccomp;
    config
}

#[test]
fn a_filter_stands_between_a_container_and_the_kernel() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let run = async |config| node.run(&sandbox.id, "web", config).await;
        // Making a user namespace needs no capability, so nothing but a filter is in its way.
        let script = "grep Seccomp: /proc/self/status; unshare -U true 2>&1 || echo refused";

        let (code, log) = run(under("free", SecurityProfile::Unconfined, script)).await;
        assert_eq!((code, log.as_str()), (0, "stdout F Seccomp:\t0"));

        let (code, log) = run(under("default", SecurityProfile::RuntimeDefault, script)).await;
        let expected = "stdout F Seccomp:\t2\nstdout F unshare: unshare failed: Operation not permitted\nstdout F refused";
        assert_eq!((code, log.as_str()), (0, expected));

        // As another user, and with what makes the filter the last step.
        let mut config = under("nobody", SecurityProfile::RuntimeDefault, script);
        config.security.run_as_user = Some(65534);
        config.security.no_new_privileges = true;
        let (code, log) = run(config).await;
        assert_eq!((code, log.as_str()), (0, expected));

        let mut config = under("all", SecurityProfile::RuntimeDefault, script);
        config.security.privileged = true;
        let (_, log) = run(config).await;
        assert_eq!(log.lines().next(), Some("stdout F Seccomp:\t0"));
    });
}

#[test]
fn a_profile_of_the_node_is_a_file() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let path = node.dir.path().join("no-mkdir.json");
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                "errnoRet": 28 }],
        });
        std::fs::write(&path, profile.to_string()).unwrap();
        let local = SecurityProfile::Localhost(path.display().to_string());
        let config = under("sleeper", local.clone(), "sleep 1000");
        let id = node.runtime.create_container(&sandbox.id, config);
        let id = id.await.unwrap();
        node.runtime.start_container(&id).await.unwrap();
        // What is added to a container is held to the same.
        let command = ["/bin/sh", "-c", "mkdir /tmp/x || touch /tmp/y"].map(str::to_owned);
        let limit = Duration::from_secs(20);
        let said = node.runtime.exec_sync(&id, command.into(), limit).await;
        let said = said.unwrap();
        assert_eq!(said.exit_code, 0);
        let message = String::from_utf8(said.stderr).unwrap();
        assert!(message.contains("No space left on device"), "{message}");

        let path = path.with_file_name("none.json").display().to_string();
        let config = under("lost", SecurityProfile::Localhost(path.clone()), "true");
        let error = node.runtime.create_container(&sandbox.id, config).await;
        let expected = format!(
            "cannot load seccomp profile \"{path}\": No such file or directory (os error 2)"
        );
        assert_eq!(error.unwrap_err().to_string(), expected);
    });
}

#[test]
fn groups_are_those_of_the_pod_and_of_the_image() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let run = async |name: &str, strict| {
            let mut config = shell(name, "id -G");
            config.security.run_as_group = Some(0);
            config.security.supplemental_groups = vec![7];
            config.security.strict_groups = strict;
            let id = node.runtime.create_container(&sandbox.id, config);
            let id = id.await.unwrap();
            node.runtime.start_container(&id).await.unwrap();
            assert_eq!(node.exit_code(&id).await, 0);
            let containers = node.runtime.list_containers(None).await.unwrap();
            let container = containers.into_iter().find(|it| it.id == id).unwrap();
            let groups = node.log("web", name);
            let groups = groups.trim_start_matches("stdout F ").split(' ');
            let groups: Vec<u32> = groups.map(|group| group.parse().unwrap()).collect();
            let user = container.user.unwrap();
            assert_eq!((user.uid, user.gid), (0, 0));
            assert_eq!(user.supplemental_groups, groups, "what is told is what is");
            groups
        };
        assert_eq!(run("strict", true).await, [0, 7]);
        assert!(run("merge", false).await.starts_with(&[0]));
    });
}

#[test]
fn kernel_parameters_are_the_pod_s_own() {
    on_a_node(|| async {
        let node = Node::start().await;
        let mut pod = node.pod("web");
        let names = [
            ("net.ipv4.ip_local_port_range", "1100 1200"),
            ("kernel/sem", "1 2 3 4"),
        ];
        let sysctls = names.map(|(name, value)| (name.to_owned(), value.to_owned()));
        pod.sysctls = sysctls.into();
        let sandbox = node.runtime.run_pod_sandbox(pod).await.unwrap();
        let script = "cd /proc/sys; cat net/ipv4/ip_local_port_range kernel/sem";
        let (_, log) = node.run(&sandbox.id, "web", shell("main", script)).await;
        assert_eq!(log, "stdout F 1100\t1200\nstdout F 1\t2\t3\t4");
    });
}

/// Takes back what a test mounted on the machine.
struct Mounted(PathBuf);

impl Mounted {
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
        rustix::mount::mount_change(&volume.0, MountPropagationFlags::SHARED).unwrap();
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
        rustix::mount::mount_change(&volume.0, MountPropagationFlags::PRIVATE).unwrap();
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
