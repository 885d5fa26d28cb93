//! The rules at work: connections through a kernel that was given them, in namespaces of the
//! test's own.
//!
//! One namespace is node and pod at once: a "pod" is one of its addresses. What a packet from
//! elsewhere meets (forwarding, masquerading) is for the whole-cluster tests.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use netlink::Netlink;
use netlink::link::VethEnd;
use netlink::nft::{NftSocket, delta, replace};
use netlink::route::Route;
use proxy::rules::{Inputs, rules, udp_targets};
use support::Cluster;

const NODE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);

#[test]
fn services_lead_to_their_endpoints() {
    let able = Command::new("unshare").args(["-rn", "true"]).output();
    if !able.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "needs user namespaces and unshare"
        );
        eprintln!("skipped: needs user namespaces and unshare");
        return;
    }
    let output = Command::new("unshare")
        .arg("-rn")
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", "inside_services_lead_to_their_endpoints"])
        .args(["--ignored", "--nocapture"])
        .output()
        .expect("unshare starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

#[test]
#[ignore = "run by services_lead_to_their_endpoints"]
fn inside_services_lead_to_their_endpoints() {
    let pods = [Ipv4Addr::new(10, 244, 1, 5), Ipv4Addr::new(10, 244, 1, 6)];
    lay_cables(&pods);
    let servers = pods.map(serve_tcp);
    let socket = NftSocket::open().expect("socket");
    let both = Cluster::parse(CLUSTER);
    let table = rules(&inputs(&both));
    socket.apply(&replace(&table)).expect("applied");

    let web = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 20), 80);
    let mut seen: Vec<String> = (0..64)
        .map(|_| ask(web).expect("an endpoint answers"))
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, servers, "both endpoints have their share");

    assert!(ask(SocketAddrV4::new(NODE, 30080)).is_ok(), "node port");
    let refused = |address| ask(address).expect_err("nobody is there").kind();
    let other_port = SocketAddrV4::new(*web.ip(), 81);
    assert_eq!(
        refused(other_port),
        ErrorKind::ConnectionRefused,
        "no such port"
    );
    let nobody = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 21), 80);
    assert_eq!(
        refused(nobody),
        ErrorKind::ConnectionRefused,
        "no endpoints"
    );

    let sticky = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 22), 80);
    let first = ask(sticky).expect("an endpoint answers");
    for _ in 0..32 {
        assert_eq!(ask(sticky).expect("an endpoint answers"), first, "affinity");
    }

    let dns = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 10), 53);
    let servers = pods.map(|pod| UdpSocket::bind((pod, 5353)).expect("bound"));
    let client = UdpSocket::bind((NODE, 0)).expect("bound");
    client.send_to(b"one", dns).expect("sent");
    let (first, second) = match received(&servers[0]) {
        true => (0, 1),
        false => (1, 0),
    };
    assert_ne!(first == 0, received(&servers[1]), "one of them has it");

    // The endpoint that was chosen goes; the client keeps sending from the same port.
    let fewer = CLUSTER.replace(&format!("- {{addresses: [{}]}}\n", pods[first]), "");
    let fewer = Cluster::parse(&fewer);
    socket
        .apply(&delta(&table, &rules(&inputs(&fewer))))
        .expect("applied");
    let targets = udp_targets(&inputs(&fewer));
    let stale: Vec<_> = socket
        .flows()
        .expect("flows")
        .into_iter()
        .filter(|flow| {
            flow.protocol == 17
                && targets
                    .get(&flow.destination)
                    .is_some_and(|to| !to.contains(&flow.endpoint))
        })
        .collect();
    assert_eq!(stale.len(), 1, "{stale:?}");
    socket.forget(&stale[0]).expect("forgotten");
    client.send_to(b"two", dns).expect("sent");
    assert!(received(&servers[second]), "the other one has it");
}

/// Addresses for node and pods, and a default route into a cable's end, so that the kernel sends
/// at all.
fn lay_cables(pods: &[Ipv4Addr]) {
    let mut netlink = Netlink::open().expect("netlink");
    let end = |name| VethEnd { name, netns: None };
    netlink
        .add_veth(end("eth0"), end("far"), 1500)
        .expect("a cable");
    for name in ["lo", "eth0", "far"] {
        netlink.set_link_up(name, true).expect("up");
    }
    let link = netlink.link("eth0").expect("eth0").index;
    for address in pods.iter().chain([&NODE]) {
        netlink
            .add_address(link, IpAddr::V4(*address), 32)
            .expect("address");
    }
    let everything = Route {
        destination: Ipv4Addr::UNSPECIFIED.into(),
        prefix_len: 0,
        gateway: None,
        link: Some(link),
    };
    netlink.replace_route(&everything).expect("default route");
}

/// A server that says its own address to whoever connects.
fn serve_tcp(address: Ipv4Addr) -> String {
    let listener = TcpListener::bind((address, 8080)).expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _client_gone = stream.and_then(|mut stream| write!(stream, "{address}"));
        }
    });
    address.to_string()
}

fn ask(address: SocketAddrV4) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.into(), Duration::from_secs(5))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Loopback delivers before `send` returns: what is not there now will not come.
fn received(socket: &UdpSocket) -> bool {
    socket.set_nonblocking(true).expect("set");
    socket.recv(&mut [0; 16]).is_ok()
}

fn inputs(cluster: &Cluster) -> Inputs<'_> {
    Inputs {
        node_name: "worker-1",
        node_addresses: &[NODE],
        cluster_cidr: "10.244.0.0/16".parse().ok(),
        services: &cluster.services,
        slices: &cluster.slices,
    }
}

const CLUSTER: &str = "\
kind: Service
metadata: {name: web, namespace: default}
spec: {type: NodePort, clusterIP: 10.96.0.20, ports: [{port: 80, nodePort: 30080}]}
---
kind: EndpointSlice
addressType: IPv4
metadata: {name: web-x, namespace: default, labels: {kubernetes.io/service-name: web}}
ports: [{port: 8080}]
endpoints:
- {addresses: [10.244.1.5]}
- {addresses: [10.244.1.6]}
---
kind: Service
metadata: {name: nobody, namespace: default}
spec: {clusterIP: 10.96.0.21, ports: [{port: 80}]}
---
kind: Service
metadata: {name: sticky, namespace: default}
spec: {clusterIP: 10.96.0.22, ports: [{port: 80}], sessionAffinity: ClientIP}
---
kind: EndpointSlice
addressType: IPv4
metadata: {name: sticky-x, namespace: default, labels: {kubernetes.io/service-name: sticky}}
ports: [{port: 8080}]
endpoints:
- {addresses: [10.244.1.5]}
- {addresses: [10.244.1.6]}
---
kind: Service
metadata: {name: dns, namespace: default}
spec: {clusterIP: 10.96.0.10, ports: [{port: 53, protocol: UDP}]}
---
kind: EndpointSlice
addressType: IPv4
metadata: {name: dns-x, namespace: default, labels: {kubernetes.io/service-name: dns}}
ports: [{port: 5353, protocol: UDP}]
endpoints:
- {addresses: [10.244.1.5]}
- {addresses: [10.244.1.6]}
";
