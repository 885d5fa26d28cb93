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
            let here = |endpoint: &Endpoint| {
                // Where an endpoint runs matters to a `Local` policy alone.
                (service.internal_local || service.external_local)
                    && endpoint.node_name.as_deref() == Some(inputs.node_name)
            };
            Port {
                service,
                port,
                id: port_id(name, port),
                all: usable(port, &slices, |_| true),
                local: usable(port, &slices, here),
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

/// Where a connection to a port of a Service may go, of the endpoints that `place` lets in. The
/// slices are the Service's; a port of theirs is meant for the Service's port of the same name and
/// protocol. Endpoints that are ready; where none is, those that still serve while they end, so
/// that a rollout of a single pod loses no connection. Upstream: `CategorizeEndpoints` in
/// `pkg/proxy/topology.go`.
pub fn usable(
    port: &ServicePort,
    slices: &[&Slice],
    place: impl Fn(&Endpoint) -> bool,
) -> BTreeSet<SocketAddrV4> {
    // ANCHOR: exercise-06.1
    let pick = |wanted: fn(&Endpoint) -> bool| {
        let mut found = BTreeSet::new();
        for slice in slices {
            let matching = slice
                .ports
                .iter()
                .filter(|(name, protocol, _)| *name == port.name && *protocol == port.protocol);
            for (_, _, number) in matching {
                let endpoints = slice.endpoints.iter();
                let endpoints = endpoints.filter(|endpoint| place(endpoint) && wanted(endpoint));
                found.extend(endpoints.map(|it| SocketAddrV4::new(it.address, *number)));
            }
        }
        found
    };
    let ready = pick(|endpoint| endpoint.ready);
    match ready.is_empty() {
        false => ready,
        true => pick(|endpoint| endpoint.serving_while_terminating),
    }
    // ANCHOR_END: exercise-06.1
}
