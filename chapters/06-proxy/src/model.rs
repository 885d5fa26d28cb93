//! What of Services, EndpointSlices, Nodes and Namespaces matters here, and nothing else.
//!
//! A watcher hands over whole objects; these records are made of them at once and the objects
//! dropped, so that memory is what the rules need, and a change that does not matter (a node's
//! heartbeat) is seen to be none by comparing records.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use netlink::nft::{Network, Protocol};

/// Label of an EndpointSlice that names its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Namespace and name of an object; the namespace of a cluster-scoped one is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Name {
    /// A name out of its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Name {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{}", self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// A record that is made of an API object.
pub trait Record: PartialEq + Sized + Send + 'static {
    /// The API object.
    type Object: watches::Watched;

    /// What matters of `object`; `None` if nothing does.
    fn of(object: &Self::Object) -> Option<Self>;
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its virtual address; `None` for a headless one and for an ExternalName.
    pub cluster_ip: Option<Ipv4Addr>,
    /// `spec.externalName`, for type ExternalName.
    pub external_name: Option<String>,
    /// Other addresses at which nodes take traffic for it.
    pub external_ips: Vec<Ipv4Addr>,
    /// Addresses that a load balancer delivers traffic for.
    pub load_balancer_ips: Vec<Ipv4Addr>,
    /// Who may come through a load balancer; everyone if empty.
    pub source_ranges: Vec<Network>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Seconds for which a client stays with its endpoint, with `sessionAffinity: ClientIP`.
    pub affinity_seconds: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, empty if it is the only one; EndpointSlices refer to it by this.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Where clients connect.
    pub port: u16,
    /// The same on every node's own address.
    pub node_port: Option<u16>,
}

/// An EndpointSlice: some of the endpoints of one Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    /// The Service, in the slice's own namespace.
    pub service: String,
    /// (name, protocol, port) of the pods' ports.
    pub ports: Vec<(String, Protocol, u16)>,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint: a pod, mostly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// New connections may go there.
    pub ready: bool,
    /// It answers although it is about to end: a last resort.
    pub serving_while_terminating: bool,
    /// Where it runs.
    pub node_name: Option<String>,
    /// Its own DNS name within a headless Service.
    pub hostname: Option<String>,
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its addresses of type InternalIP.
    pub addresses: Vec<Ipv4Addr>,
    /// The network of its pods.
    pub pod_cidr: Option<Network>,
}

/// A Namespace: all that matters is that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace;

/// All there is of one kind.
pub type All<R> = BTreeMap<Name, R>;

impl Record for Service {
    type Object = core::Service;

    fn of(object: &core::Service) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let external_name = spec.external_name.clone();
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        let balancer = object
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer
            .and_then(|balancer| balancer.ingress.as_deref())
            .unwrap_or_default();
        let affinity = spec.session_affinity_config.as_ref();
        let timeout = affinity
            .and_then(|config| config.client_ip.as_ref())
            .and_then(|client_ip| client_ip.timeout_seconds)
            .and_then(|seconds| u32::try_from(seconds).ok());
        let external = kind == "NodePort" || kind == "LoadBalancer";
        let sticky = spec.session_affinity.as_deref() == Some("ClientIP");
        Some(Service {
            cluster_ip: spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok()),
            external_name: external_name.filter(|_| kind == "ExternalName"),
            external_ips: addresses(spec.external_ips.as_deref()),
            load_balancer_ips: ingress
                .iter()
                .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
                .filter_map(|ingress| ingress.ip.as_deref()?.parse().ok())
                .collect(),
            source_ranges: spec
                .load_balancer_source_ranges
                .iter()
                .flatten()
                .filter_map(|range| range.trim().parse().ok())
                .collect(),
            ports: (spec.ports.iter().flatten())
                .filter_map(|port| ServicePort::of(port, external))
                .collect(),
            affinity_seconds: sticky.then(|| timeout.unwrap_or(10800)),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        })
    }
}

impl ServicePort {
    fn of(port: &core::ServicePort, node_ports: bool) -> Option<Self> {
        let node_port = port.node_port.and_then(|port| u16::try_from(port).ok());
        Some(ServicePort {
            name: port.name.clone().unwrap_or_default(),
            protocol: protocol(port.protocol.as_deref())?,
            port: u16::try_from(port.port).ok()?,
            node_port: node_port.filter(|port| node_ports && *port != 0),
        })
    }
}

impl Record for Slice {
    type Object = discovery::EndpointSlice;

    fn of(object: &discovery::EndpointSlice) -> Option<Self> {
        if object.address_type != "IPv4" {
            return None;
        }
        let ports = object.ports.iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.port?).ok()?;
            let name = port.name.clone().unwrap_or_default();
            Some((name, protocol(port.protocol.as_deref())?, number))
        });
        Some(Slice {
            service: object
                .metadata
                .labels
                .as_ref()?
                .get(SERVICE_NAME_LABEL)?
                .clone(),
            ports: ports.collect(),
            endpoints: object
                .endpoints
                .iter()
                .flatten()
                .filter_map(Endpoint::of)
                .collect(),
        })
    }
}

impl Endpoint {
    /// Consumers use the first address only: the API says that all of them are the same pod's.
    fn of(endpoint: &discovery::Endpoint) -> Option<Self> {
        let conditions = endpoint.conditions.as_ref();
        // Unknown readiness counts as ready, as the API defines.
        let ready = conditions
            .and_then(|conditions| conditions.ready)
            .unwrap_or(true);
        let serving = conditions
            .and_then(|conditions| conditions.serving)
            .unwrap_or(ready);
        let terminating = conditions.and_then(|conditions| conditions.terminating);
        Some(Endpoint {
            address: endpoint.addresses.first()?.parse().ok()?,
            ready,
            serving_while_terminating: serving && terminating.unwrap_or(false),
            node_name: endpoint.node_name.clone(),
            hostname: endpoint.hostname.clone(),
        })
    }
}

impl Record for Node {
    type Object = core::Node;

    fn of(object: &core::Node) -> Option<Self> {
        let addresses = object
            .status
            .iter()
            .flat_map(|status| status.addresses.iter().flatten());
        let spec = object.spec.as_ref();
        let pod_cidrs = spec.into_iter().flat_map(|spec| {
            let all = spec.pod_cidrs.iter().flatten();
            all.chain(spec.pod_cidr.as_ref())
        });
        Some(Node {
            addresses: addresses
                .filter(|address| address.type_ == "InternalIP")
                .filter_map(|address| address.address.parse().ok())
                .collect(),
            pod_cidr: pod_cidrs.filter_map(|cidr| cidr.parse().ok()).next(),
        })
    }
}

impl Record for Namespace {
    type Object = core::Namespace;

    fn of(_: &core::Namespace) -> Option<Self> {
        Some(Namespace)
    }
}

fn addresses(texts: Option<&[String]>) -> Vec<Ipv4Addr> {
    texts
        .unwrap_or_default()
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name.unwrap_or("TCP") {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}
