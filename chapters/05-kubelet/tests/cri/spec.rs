//! What a container is given, and what it may do.

use super::*;

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
