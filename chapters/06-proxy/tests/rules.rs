//! What is written for which kind of Service, as nft would print it.

mod support;

use std::net::Ipv4Addr;

use netlink::nft::delta;
use proxy::rules::{Inputs, rules, udp_targets};
use support::Cluster;

const NODE_ADDRESSES: [Ipv4Addr; 1] = [Ipv4Addr::new(172, 30, 0, 3)];

/// The rules of node `worker-1` for `cluster`.
fn table(cluster: &Cluster) -> netlink::nft::Table {
    rules(&inputs(cluster))
}

fn inputs(cluster: &Cluster) -> Inputs<'_> {
    Inputs {
        node_name: "worker-1",
        node_addresses: &NODE_ADDRESSES,
        cluster_cidr: "10.244.0.0/16".parse().ok(),
        services: &cluster.services,
        slices: &cluster.slices,
    }
}

/// What is written for `yaml` beyond what is always there, as the commands that add it.
fn added(yaml: &str) -> String {
    let (nothing, something) = (Cluster::default(), Cluster::parse(yaml));
    let (before, after) = (table(&nothing), table(&something));
    lines(&delta(&before, &after))
}

fn lines(ops: &[netlink::nft::Op<'_>]) -> String {
    let lines = ops
        .iter()
        .map(|op| op.to_string().replace(" ip workshop-proxy", ""));
    lines.collect::<Vec<_>>().join("\n")
}

/// A Service `web` with one port, and two endpoints of which the first is on this node.
fn web(spec: &str) -> String {
    WEB.replace("SPEC", spec)
}

const WEB: &str = "\
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.20
  SPEC
  ports: [{name: http, port: 80, targetPort: 8080, nodePort: 30080}]
---
kind: EndpointSlice
addressType: IPv4
metadata: {name: web-x, namespace: default, labels: {kubernetes.io/service-name: web}}
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.244.1.5], nodeName: worker-1, conditions: {ready: true}}
- {addresses: [10.244.2.7], nodeName: worker-2, conditions: {ready: true}}
- {addresses: [10.244.2.8], nodeName: worker-2, conditions: {ready: false, serving: false}}";

#[test]
fn without_services() {
    insta::assert_snapshot!(table(&Cluster::default()).to_string().replace('\t', "    "));
}

#[test]
fn cluster_ip() {
    insta::assert_snapshot!(added(&web("type: ClusterIP")));
}

#[test]
fn node_port() {
    insta::assert_snapshot!(added(&web("type: NodePort")));
}

#[test]
fn node_port_that_keeps_the_client_address() {
    insta::assert_snapshot!(added(&web(
        "type: NodePort\n  externalTrafficPolicy: Local"
    )));
}

#[test]
fn client_stays_with_its_endpoint() {
    insta::assert_snapshot!(added(&web("sessionAffinity: ClientIP")));
}

#[test]
fn local_only() {
    insta::assert_snapshot!(added(&web("internalTrafficPolicy: Local")));
    let elsewhere = web("internalTrafficPolicy: Local").replace("worker-1", "worker-3");
    assert!(added(&elsewhere).contains("{ 10.96.0.20 . tcp . 80 : drop }"));
}

#[test]
fn external_addresses() {
    insta::assert_snapshot!(added(&web("externalIPs: [192.0.2.10]")));
    let nobody = web("externalIPs: [192.0.2.10]")
        .replace("nodeName", "x")
        .replace("ready: true", "ready: false");
    insta::assert_snapshot!(added(&nobody), @r"
    add element cluster-ips { 10.96.0.20 }
    add element unserved-addresses { 192.0.2.10 . tcp . 80 : goto refuse }
    ");
}

#[test]
fn load_balancer_with_source_ranges() {
    let service = web("type: LoadBalancer\n  loadBalancerSourceRanges: [198.51.100.0/24]").replace(
        "metadata: {name: web, namespace: default}\n",
        "metadata: {name: web, namespace: default}\n\
         status: {loadBalancer: {ingress: [{ip: 192.0.2.20, ipMode: VIP}]}}\n",
    );
    insta::assert_snapshot!(added(&service));
}

#[test]
fn no_endpoints_no_headless_no_external_name() {
    let nobody = web("type: NodePort").replace("ready: true", "ready: false");
    insta::assert_snapshot!(added(&nobody), @"add element cluster-ips { 10.96.0.20 }");
    assert_eq!(
        added(&web("type: ClusterIP").replace("10.96.0.20", "None")),
        ""
    );
    let external =
        web("type: ExternalName").replace("clusterIP: 10.96.0.20", "externalName: x.example");
    assert_eq!(added(&external), "");
}

#[test]
fn ending_endpoints_are_the_last_resort() {
    let ending = "ready: false, serving: true, terminating: true";
    let one_left = web("type: ClusterIP").replacen("ready: true", ending, 1);
    assert!(!added(&one_left).contains("10.244.1.5"));
    let all_end = web("type: ClusterIP").replace("ready: true", ending);
    assert!(added(&all_end).contains("10.244.1.5"));
}

#[test]
fn a_change_of_one_endpoint_is_a_small_write() {
    let before = Cluster::parse(&web("type: ClusterIP"));
    let after = Cluster::parse(&web("type: ClusterIP").replace("10.244.2.7", "10.244.2.9"));
    insta::assert_snapshot!(lines(&delta(&table(&before), &table(&after))));
    assert_eq!(lines(&delta(&table(&after), &table(&after))), "");
}

#[test]
fn udp_targets_name_every_way_in() {
    let dns = web("type: NodePort\n  externalIPs: [192.0.2.10]")
        .replace("{name: http,", "{name: http, protocol: UDP,");
    let cluster = Cluster::parse(&dns);
    let targets = udp_targets(&inputs(&cluster));
    let shown: Vec<String> = targets
        .iter()
        .map(|(to, from)| format!("{to} {from:?}"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    10.96.0.20:80 {10.244.1.5:8080, 10.244.2.7:8080}
    172.30.0.3:30080 {10.244.1.5:8080, 10.244.2.7:8080}
    192.0.2.10:80 {10.244.1.5:8080, 10.244.2.7:8080}
    ");
}
