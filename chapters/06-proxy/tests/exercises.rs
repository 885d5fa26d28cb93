//! The checks of chapter 6's exercise and of its planted bug.

mod support;

use exercise::Check;
use netlink::nft::Protocol;
use proxy::model::{Endpoint, ServicePort, Slice};
use proxy::rules::endpoints::usable;
use proxy::rules::{Inputs, rules};
use support::Cluster;

/// The port `http` of a Service.
fn http() -> ServicePort {
    ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        node_port: None,
    }
}

/// A slice whose pods take `http` on 8080; each endpoint is `ADDRESS STATE [NODE]`.
fn slice(endpoints: &[&str]) -> Slice {
    let endpoint = |text: &&str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        Endpoint {
            address: words[0].parse().expect("an address"),
            ready: words[1] == "ready",
            serving_while_terminating: words[1] == "ending",
            node_name: words.get(2).map(|node| (*node).to_owned()),
            hostname: None,
        }
    };
    Slice {
        service: "web".into(),
        ports: vec![("http".into(), Protocol::Tcp, 8080)],
        endpoints: endpoints.iter().map(endpoint).collect(),
    }
}

/// The addresses that a connection to port `http` may go to, checked.
fn check(tried: &str, slices: &[Slice], node: Option<&str>, expected: &str, rule: &str) {
    let slices: Vec<&Slice> = slices.iter().collect();
    let place = |endpoint: &Endpoint| node.is_none_or(|_| endpoint.node_name.as_deref() == node);
    let found: Vec<String> = usable(&http(), &slices, place)
        .iter()
        .map(ToString::to_string)
        .collect();
    Check::new(format!(
        "where a connection to port http may go, with {tried}"
    ))
    .because(rule)
    .expect_text(&found.join("\n"), expected);
}

#[test]
fn exercise_06_1_ready_endpoints() {
    let rule = "a connection goes to endpoints that are ready, in whichever slice they are";
    check(
        "10.244.1.5 ready and 10.244.1.6 not ready in one slice, 10.244.2.7 ready in another",
        &[
            slice(&["10.244.1.5 ready", "10.244.1.6 starting"]),
            slice(&["10.244.2.7 ready"]),
        ],
        None,
        "10.244.1.5:8080\n10.244.2.7:8080",
        rule,
    );
    check("no slice at all", &[], None, "", rule);
}

#[test]
fn exercise_06_1_ports() {
    let mut two_ports = slice(&["10.244.1.5 ready"]);
    two_ports
        .ports
        .push(("metrics".into(), Protocol::Tcp, 9090));
    check(
        "a slice whose pods have the ports http 8080 and metrics 9090",
        &[two_ports],
        None,
        "10.244.1.5:8080",
        "a slice's port belongs to the Service's port of the same name",
    );
    let mut two_protocols = slice(&["10.244.1.5 ready"]);
    two_protocols
        .ports
        .push(("http".into(), Protocol::Udp, 8443));
    check(
        "a slice whose pods have http on TCP 8080 and on UDP 8443",
        &[two_protocols],
        None,
        "10.244.1.5:8080",
        "name and protocol together tell ports apart",
    );
}

#[test]
fn exercise_06_1_the_last_resort() {
    check(
        "10.244.1.5 ready and 10.244.1.6 ending",
        &[slice(&["10.244.1.5 ready", "10.244.1.6 ending"])],
        None,
        "10.244.1.5:8080",
        "an endpoint that is ending gets no new connection while another is ready",
    );
    let rule = "where none is ready, those that still serve while they end are the last resort";
    check(
        "10.244.1.5 and 10.244.1.6 both ending",
        &[slice(&["10.244.1.5 ending", "10.244.1.6 ending"])],
        None,
        "10.244.1.5:8080\n10.244.1.6:8080",
        rule,
    );
    check(
        "10.244.1.5 ending in one slice, 10.244.2.7 ready in another",
        &[slice(&["10.244.1.5 ending"]), slice(&["10.244.2.7 ready"])],
        None,
        "10.244.2.7:8080",
        "whether any is ready is asked of all slices together",
    );
}

#[test]
fn exercise_06_1_on_one_node() {
    let endpoints = [slice(&[
        "10.244.1.5 ending worker-1",
        "10.244.2.7 ready worker-2",
    ])];
    check(
        "10.244.1.5 ending on worker-1 and 10.244.2.7 ready on worker-2, asked for worker-2",
        &endpoints,
        Some("worker-2"),
        "10.244.2.7:8080",
        "only the endpoints that `place` lets in count",
    );
    check(
        "10.244.1.5 ending on worker-1 and 10.244.2.7 ready on worker-2, asked for worker-1",
        &endpoints,
        Some("worker-1"),
        "10.244.1.5:8080",
        "whether any is ready is asked of the endpoints that `place` lets in, not of all",
    );
}

#[test]
fn bug_06() {
    let cluster = Cluster::parse(
        "\
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.20
  ports: [{name: http, port: 80, targetPort: 8080}]
---
kind: EndpointSlice
addressType: IPv4
metadata: {name: web-x, namespace: default, labels: {kubernetes.io/service-name: web}}
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.244.1.5], conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.244.2.7], conditions: {ready: false, serving: true, terminating: true}}",
    );
    let table = rules(&Inputs {
        node_name: "worker-1",
        node_addresses: &[],
        cluster_cidr: None,
        services: &cluster.services,
        slices: &cluster.slices,
    });
    let endpoints: Vec<String> = table
        .chains
        .keys()
        .filter_map(|name| name.rsplit_once("__"))
        .map(|(_, endpoint)| endpoint.to_owned())
        .collect();
    Check::new(
        "the rules for a Service with the pod 10.244.1.5, which is ready, and the pod 10.244.2.7, \
         which is being deleted and still serves",
    )
    .because("a pod that is being deleted gets no new connections while another one is ready")
    .expect_text(&endpoints.join("\n"), "10.244.1.5/8080");
}
