//! Pods reach each other, and the node's ports lead to them.

use super::*;

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
