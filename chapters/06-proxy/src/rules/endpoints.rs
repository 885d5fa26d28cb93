//! Which endpoints each port of each Service has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::Inputs;
use crate::model::{Endpoint, Name, Service, ServicePort, Slice};

/// One port of one Service, with its endpoints.
pub(super) struct Port<'a> {
    /// The Service.
    pub service: &'a Service,
    /// The port.
    pub port: &'a ServicePort,
    /// `namespace/service/protocol/port`.
    pub id: String,
    /// Where a connection may go.
    pub all: BTreeSet<SocketAddrV4>,
    /// Those of this node, for a Service with a `Local` traffic policy.
    pub local: BTreeSet<SocketAddrV4>,
}

impl<'a> Port<'a> {
    /// Addresses from outside the cluster.
    pub fn external_addresses(&self) -> impl Iterator<Item = &'a Ipv4Addr> + use<'a> {
        self.service
            .external_ips
            .iter()
            .chain(&self.service.load_balancer_ips)
    }
}

/// The ports of all Services that have an address to be reached at.
pub(super) fn ports<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = Port<'a>> {
    let inputs = *inputs;
    let mut slices: BTreeMap<(&str, &str), Vec<&Slice>> = BTreeMap::new();
    for (name, slice) in inputs.slices {
        slices
            .entry((&name.namespace, &slice.service))
            .or_default()
            .push(slice);
    }
    let with_address = inputs
        .services
        .iter()
        .filter(|(_, service)| service.cluster_ip.is_some());
    with_address.flat_map(move |(name, service)| {
        let slices = slices.remove(&(name.namespace.as_str(), name.name.as_str()));
        let slices = slices.unwrap_or_default();
        service.ports.iter().map(move |port| {
            let (all, mut local) = endpoints(port, &slices, inputs.node_name);
            if !service.internal_local && !service.external_local {
                local.clear(); // where an endpoint runs does not matter
            }
            Port {
                service,
                port,
                id: port_id(name, port),
                all,
                local,
            }
        })
    })
}

fn port_id(name: &Name, port: &ServicePort) -> String {
    let protocol = port.protocol;
    match port.name.as_str() {
        "" => format!("{name}/{protocol}/{}", port.port),
        port => format!("{name}/{protocol}/{port}"),
    }
}

/// The endpoints of a port: all, and those on the node. Ready ones; where there is none, those
/// that still serve while they end, so that a rollout of a single pod loses no connection.
fn endpoints(
    port: &ServicePort,
    slices: &[&Slice],
    node_name: &str,
) -> (BTreeSet<SocketAddrV4>, BTreeSet<SocketAddrV4>) {
    let pick = |wanted: &dyn Fn(&Endpoint) -> bool| {
        let mut found = BTreeSet::new();
        for slice in slices {
            let matching = slice
                .ports
                .iter()
                .filter(|(name, protocol, _)| *name == port.name && *protocol == port.protocol);
            for (_, _, number) in matching {
                let endpoints = slice.endpoints.iter().filter(|endpoint| wanted(endpoint));
                found.extend(endpoints.map(|it| SocketAddrV4::new(it.address, *number)));
            }
        }
        found
    };
    let usable = |place: &dyn Fn(&Endpoint) -> bool| {
        let ready = pick(&|endpoint| place(endpoint) && endpoint.ready);
        match ready.is_empty() {
            false => ready,
            true => pick(&|endpoint| place(endpoint) && endpoint.serving_while_terminating),
        }
    };
    let here = |endpoint: &Endpoint| endpoint.node_name.as_deref() == Some(node_name);
    (usable(&|_| true), usable(&here))
}
