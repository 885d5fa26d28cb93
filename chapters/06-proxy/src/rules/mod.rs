//! The core: Services and their endpoints in, one nftables table out.
//!
//! ```text
//! prerouting ─┐                     ┌─ 10.96.0.10 . tcp . 80 ─▶ service-default/web/tcp/http ─┬─▶ endpoint-…__10.244.1.5/8080
//!             ├─▶ services ── vmap ─┤                                        ▲      (random)   └─▶ endpoint-…__10.244.2.7/8080
//! output     ─┘                     └─ node address, tcp . 30080 ─▶ external-default/web/tcp/http
//! ```
//!
//! A packet for a Service is looked up once, in a map, however many Services there are; the chain
//! it is sent to picks an endpoint, and the endpoint's chain rewrites the destination. The kernel
//! remembers that for the connection's other packets and undoes it for the replies.
//!
//! The *source* is rewritten too ("masqueraded") where the reply would otherwise not come back
//! through this node: for clients outside the pod network, for node ports, and for a pod that
//! reaches itself through a Service. Which is decided before routing, by a mark, and done after.
//!
//! What is still addressed to a cluster IP after this table was asked has no endpoint (or no such
//! port): it is refused rather than left to time out.
//!
//! Upstream: `pkg/proxy/nftables/proxier.go`. Left out: IPv6, topology hints, health check node
//! ports, node ports on loopback.

pub mod endpoints;
mod service;
mod skeleton;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use netlink::nft::{Network, Protocol, Table};

use crate::model::{All, Service, Slice};

/// Name of our table; no rule outside of it is ever touched.
pub const TABLE: &str = "workshop-proxy";

/// What the rules of one node depend on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The node's name: endpoints there are local.
    pub node_name: &'a str,
    /// The node's own addresses, where node ports are served.
    pub node_addresses: &'a [Ipv4Addr],
    /// The network of all pods; who is outside is masqueraded.
    pub cluster_cidr: Option<Network>,
    /// All Services.
    pub services: &'a All<Service>,
    /// All EndpointSlices.
    pub slices: &'a All<Slice>,
}

/// The table that makes the Services work on this node.
pub fn rules(inputs: &Inputs<'_>) -> Table {
    let mut table = skeleton::skeleton(inputs.node_addresses);
    for port in endpoints::ports(inputs) {
        service::write(&mut table, inputs, &port);
    }
    table
}

/// For every address and port that takes UDP for a Service: where it may go. A tracked flow to
/// elsewhere is out of date.
pub fn udp_targets(inputs: &Inputs<'_>) -> BTreeMap<SocketAddrV4, BTreeSet<SocketAddrV4>> {
    let mut targets = BTreeMap::new();
    for port in endpoints::ports(inputs).filter(|port| port.port.protocol == Protocol::Udp) {
        let node_ports = inputs
            .node_addresses
            .iter()
            .filter_map(|address| Some(SocketAddrV4::new(*address, port.port.node_port?)));
        let addresses = port
            .service
            .cluster_ip
            .iter()
            .chain(port.external_addresses());
        let addresses = addresses.map(|address| SocketAddrV4::new(*address, port.port.port));
        for address in addresses.chain(node_ports) {
            targets
                .entry(address)
                .or_insert_with(|| &port.all | &port.local);
        }
    }
    targets
}
