//! How pods start, go on without their kubelet, and end.

use super::*;

#[test]
fn a_pod_from_its_start_to_its_end() {
    on_a_node(|| async {
        let node = Node::start().await;
        containers::check_whole_life(&node).await;
        let left = std::fs::read_dir(node.dir.path().join("node/sandboxes"));
        assert_eq!(left.unwrap().count(), 0);
    });
}

#[test]
fn a_container_has_processes_and_files_of_its_own() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let script = "id -u; echo $$; touch /x && ls /x; touch /usr/x 2>&1; \
                      : > /dev/null && head -c 1 /dev/zero | wc -c";
        let (_, log) = node.run(&sandbox.id, "web", shell("main", script)).await;
        let lines: Vec<&str> = log.lines().collect();
        let expected = ["stdout F 0", "stdout F 1", "stdout F /x"];
        assert_eq!(lines[0..3], expected, "uid 0, the first process");
        assert!(lines[3].ends_with("Read-only file system"), "{log}");
        assert_eq!(lines[4], "stdout F 1", "a byte of a device");
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

#[test]
fn what_cannot_start_says_why() {
    on_a_node(|| async {
        let node = Node::start().await;
        containers::check_what_cannot_start(&node, (128, "StartError")).await;

        let sandbox = node.runtime.run_pod_sandbox(node.pod("bad")).await.unwrap();
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
