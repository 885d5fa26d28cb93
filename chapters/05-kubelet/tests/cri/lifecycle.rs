//! A pod from its start to its end, and over restarts of the kubelet.

use super::*;

#[test]
fn a_pod_from_its_start_to_its_end() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        assert!(runtime.version().starts_with("containerd://"));
        containers::check_whole_life(&node).await;
    });
}

#[test]
fn pods_reach_each_other_and_are_reached() {
    on_a_node(|| async {
        let node = Node::start().await;
        let runtime = &node.runtime;
        let sandbox = runtime.run_pod_sandbox(node.pod("web")).await.unwrap();
        let script = "id -u; echo $$; touch /usr/x 2>&1";
        let (_, log) = node.run(&sandbox.id, "web", shell("main", script)).await;
        assert!(log.starts_with("stdout F 0\nstdout F 1\n"), "{log}");
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

#[test]
fn what_cannot_start_says_why() {
    on_a_node(|| async {
        let node = Node::start().await;
        containers::check_what_cannot_start(&node, (128, "StartError")).await;
        let missing = node.runtime.start_container("no-such-id").await;
        assert!(matches!(missing, Err(RuntimeError::NotFound(_))));
        node.runtime.stop_container("no-such-id", 1).await.unwrap();
        let invalid = node.runtime.image_status("UPPER").await;
        assert!(matches!(invalid, Err(RuntimeError::InvalidImage(_))));
        let unknown = node.runtime.pull_image("localhost:1/nothing:1", None).await;
        assert!(matches!(unknown, Err(RuntimeError::Pull(_))), "{unknown:?}");
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
