//! What containers may use and do use.

use super::*;

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

#[test]
fn what_a_container_uses() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("use")).await.unwrap();
        let id = runtime.create_container(&sandbox.id, shell("main", BUSY));
        let id = id.await.unwrap();
        runtime.start_container(&id).await.unwrap();
        containers::check_usage(runtime, &sandbox.id, &id, Some(2)).await;
    });
}
