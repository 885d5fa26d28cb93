//! Namespaces that a pod's containers share, with each other and with the node.

use super::*;

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
