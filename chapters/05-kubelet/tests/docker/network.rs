//! Ports of pods, and engines that nodes share.

use super::*;

#[test]
fn ports_of_a_pod_are_on_its_loopback() {
    on_a_node(async || {
        let node = Node::start("port").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("port"))
            .await
            .unwrap();
        let pause = engine().inspect_container(&sandbox.id, None).await.unwrap();
        let pid = pause.state.unwrap().pid.unwrap();
        let netns = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
        let listen = || std::net::TcpListener::bind("127.0.0.1:80").unwrap();
        let server = netlink::netns::in_netns(&netns, listen).unwrap();
        let mut client = node.runtime.port_forward(&sandbox.id, 80).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        std::io::Read::read_exact(&mut server.accept().unwrap().0, &mut heard).unwrap();
        assert_eq!(&heard, b"hello");
        let error = node
            .runtime
            .port_forward(&sandbox.id, 81)
            .await
            .err()
            .unwrap();
        assert!(
            error
                .to_string()
                .contains("failed to connect to localhost:81"),
            "{error}"
        );
    });
}

#[test]
fn nodes_that_share_an_engine_do_not_see_each_other() {
    on_a_node(async || {
        let node = Node::start("one").await;
        let sandbox = node
            .runtime
            .run_pod_sandbox(node.pod("mine"))
            .await
            .unwrap();
        node.run(&sandbox.id, shell("main", "exec sleep 1000"))
            .await;
        let neighbour = Node::start("two").await;
        assert!(
            neighbour
                .runtime
                .list_pod_sandboxes(None)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            neighbour
                .runtime
                .list_containers(None)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(node.runtime.list_containers(None).await.unwrap().len(), 1);
    });
}
