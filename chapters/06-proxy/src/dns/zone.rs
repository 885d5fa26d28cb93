//! All names of the cluster at one moment, by what a query looks them up with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use netlink::nft::Protocol;

use crate::model::{All, Name, Namespace, Service, Slice};

/// The names under the cluster's domain, and the addresses that lead back to them.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    /// Labels of the domain, `cluster` and `local`, in lower case.
    pub domain: Vec<String>,
    /// Namespaces that exist: a name below one that does not is NXDOMAIN.
    pub namespaces: BTreeSet<String>,
    /// Services.
    pub services: BTreeMap<Name, Named>,
    /// Labels under the domain by address, for PTR.
    pub reverse: BTreeMap<Ipv4Addr, BTreeSet<Vec<String>>>,
}

/// A Service as its name sees it.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Its address; a Service without one has its endpoints' addresses.
    pub cluster_ip: Option<Ipv4Addr>,
    /// Its alias for a name elsewhere.
    pub external_name: Option<String>,
    /// (name, protocol, number) of its own ports.
    pub ports: Vec<(String, Protocol, u16)>,
    /// Its endpoints that may be told to clients.
    pub endpoints: Vec<Target>,
}

/// An endpoint as its name sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// First label of its name: its hostname, or its address with dashes.
    pub label: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// (name, protocol, number) of its ports.
    pub ports: Vec<(String, Protocol, u16)>,
}

impl Zone {
    /// A zone without any name but its own.
    pub fn new(domain: &str) -> Self {
        let labels = domain.split('.').filter(|label| !label.is_empty());
        Zone {
            domain: labels.map(str::to_lowercase).collect(),
            ..Zone::default()
        }
    }

    /// The zone of all that is there.
    pub fn build(
        domain: &str,
        services: &All<Service>,
        slices: &All<Slice>,
        namespaces: &All<Namespace>,
    ) -> Self {
        let mut zone = Zone::new(domain);
        zone.namespaces = namespaces.keys().map(|name| name.name.clone()).collect();
        zone.services = services
            .iter()
            .map(|(name, it)| (name.clone(), named(it)))
            .collect();
        for (name, slice) in slices {
            let name = Name::new(&name.namespace, &slice.service);
            if let Some(service) = zone.services.get_mut(&name) {
                service.endpoints.extend(targets(slice));
            }
        }
        for (name, service) in &mut zone.services {
            // Slices may overlap for a moment, while endpoints move between them.
            service.endpoints.sort();
            service.endpoints.dedup();
            let path = vec![name.name.clone(), name.namespace.clone(), "svc".to_owned()];
            if let Some(address) = service.cluster_ip {
                zone.reverse
                    .entry(address)
                    .or_default()
                    .insert(path.clone());
            }
            for target in &service.endpoints {
                let mut path = path.clone();
                path.insert(0, target.label.clone());
                zone.reverse.entry(target.address).or_default().insert(path);
            }
        }
        zone
    }
}

fn named(service: &Service) -> Named {
    let ports = service.ports.iter();
    Named {
        cluster_ip: service.cluster_ip,
        external_name: service.external_name.clone(),
        ports: ports
            .map(|port| (port.name.clone(), port.protocol, port.port))
            .collect(),
        endpoints: Vec::new(),
    }
}

/// The endpoints that are ready. With `publishNotReadyAddresses` the controller that writes the
/// slices says that they all are.
fn targets(slice: &Slice) -> impl Iterator<Item = Target> {
    slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.ready)
        .map(|endpoint| Target {
            label: match &endpoint.hostname {
                Some(hostname) => hostname.to_lowercase(),
                None => endpoint.address.to_string().replace('.', "-"),
            },
            address: endpoint.address,
            ports: slice.ports.clone(),
        })
}
