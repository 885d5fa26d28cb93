//! What a container may do, found out by trying it.

use super::*;
use kubelet::runtime::SecurityProfile;

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
