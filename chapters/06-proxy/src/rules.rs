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

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use netlink::nft::{
    Chain, ChainKind, Field, Hook, HookPoint, Key, Network, Protocol, Rule, Set, SetKind,
    Statement, Table, Value, Verdict,
};

use crate::model::{All, Endpoint, Name, Service, ServicePort, Slice};

/// Name of our table; no rule outside of it is ever touched.
pub const TABLE: &str = "workshop-proxy";

/// The bit of a packet's mark that asks for masquerading; upstream's default too.
const MASQUERADE_MARK: u32 = 0x4000;

const MARK_CHAIN: &str = "mark-for-masquerade";
const REFUSE_CHAIN: &str = "refuse";
const SERVICES_CHAIN: &str = "services";
const UNSERVED_CHAIN: &str = "unserved";
const SERVICE_MAP: &str = "service-addresses";
const NODE_PORT_MAP: &str = "service-node-ports";
const UNSERVED_MAP: &str = "unserved-addresses";
const CLUSTER_IPS: &str = "cluster-ips";
const NODE_ADDRESSES: &str = "node-addresses";

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
    let mut table = skeleton(inputs.node_addresses);
    for port in ports(inputs) {
        Writer {
            table: &mut table,
            inputs,
            port: &port,
        }
        .write();
    }
    table
}

/// For every address and port that takes UDP for a Service: where it may go. A tracked flow to
/// elsewhere is out of date.
pub fn udp_targets(inputs: &Inputs<'_>) -> BTreeMap<SocketAddrV4, BTreeSet<SocketAddrV4>> {
    let mut targets = BTreeMap::new();
    for port in ports(inputs).filter(|port| port.port.protocol == Protocol::Udp) {
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
            targets.entry(address).or_insert_with(|| port.all.clone());
        }
    }
    targets
}

/// One port of one Service, with its endpoints.
struct Port<'a> {
    service: &'a Service,
    port: &'a ServicePort,
    /// `namespace/service/protocol/port`.
    id: String,
    /// Where a connection may go.
    all: BTreeSet<SocketAddrV4>,
    /// Those of this node, for a Service with a `Local` traffic policy.
    local: BTreeSet<SocketAddrV4>,
}

impl<'a> Port<'a> {
    fn external_addresses(&self) -> impl Iterator<Item = &'a Ipv4Addr> + use<'a> {
        self.service
            .external_ips
            .iter()
            .chain(&self.service.load_balancer_ips)
    }
}

/// The ports of all Services that have an address to be reached at.
fn ports<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = Port<'a>> {
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

/// Writes the chains and elements of one port.
struct Writer<'t, 'p> {
    table: &'t mut Table,
    inputs: &'p Inputs<'p>,
    port: &'p Port<'p>,
}

impl Writer<'_, '_> {
    fn write(&mut self) {
        let Port { service, port, .. } = *self.port;
        let cluster_ip = service.cluster_ip.expect("ports() gives none without");
        self.element(CLUSTER_IPS, vec![Value::Address(cluster_ip)], None);
        if self.port.all.is_empty() {
            return self.refuse_external();
        }
        self.endpoint_chains();
        let inside = self.inside(cluster_ip);
        let key = self.address_key(cluster_ip);
        self.element(SERVICE_MAP, key, Some(inside));

        let external = port.node_port.is_some() || self.port.external_addresses().next().is_some();
        if !external {
            return;
        }
        let outside = self.outside(cluster_ip);
        for address in &service.external_ips {
            let key = self.address_key(*address);
            self.element(SERVICE_MAP, key, Some(outside.clone()));
        }
        if let Some(node_port) = port.node_port {
            let key = vec![Value::Protocol(port.protocol), Value::Port(node_port)];
            self.element(NODE_PORT_MAP, key, Some(outside.clone()));
        }
        let balanced = self.only_from_source_ranges(outside);
        for address in &service.load_balancer_ips {
            let key = self.address_key(*address);
            self.element(SERVICE_MAP, key, Some(balanced.clone()));
        }
    }

    /// Without endpoints an external address is refused here; a cluster IP is by being one, and a
    /// node port by the kernel, since nothing listens there.
    fn refuse_external(&mut self) {
        for address in self.port.external_addresses() {
            let key = self.address_key(*address);
            self.element(UNSERVED_MAP, key, Some(Verdict::Goto(REFUSE_CHAIN.into())));
        }
    }

    /// Where traffic to the cluster IP goes.
    fn inside(&mut self, cluster_ip: Ipv4Addr) -> Verdict {
        match self.port.service.internal_local {
            false => self.balance("service", &self.port.all, cluster_ip),
            true if self.port.local.is_empty() => Verdict::Drop,
            true => self.balance("local", &self.port.local, cluster_ip),
        }
    }

    /// Where traffic from outside goes: any endpoint, which hides the client's address as the
    /// reply has to come back through here; or only to one on this node, which keeps it.
    fn outside(&mut self, cluster_ip: Ipv4Addr) -> Verdict {
        let mark = Statement::Verdict(Verdict::Jump(MARK_CHAIN.into()));
        let anywhere = self.balance("service", &self.port.all, cluster_ip);
        let anywhere = Statement::Verdict(anywhere);
        let mut rules = Vec::new();
        if self.port.service.external_local {
            // The cluster's own pods and this node are not "outside": they reach all endpoints.
            if let Some(network) = self.inputs.cluster_cidr {
                let from_pod = Statement::Source {
                    network,
                    inside: true,
                };
                rules.push(vec![from_pod, anywhere.clone()]);
            }
            rules.push(vec![Statement::SourceIsLocal, mark]);
            rules.push(vec![Statement::SourceIsLocal, anywhere]);
            let verdict = match self.port.local.is_empty() {
                true => Verdict::Drop,
                false => self.balance("local", &self.port.local, cluster_ip),
            };
            rules.push(vec![Statement::Verdict(verdict)]);
        } else {
            rules.push(vec![mark]);
            rules.push(vec![anywhere]);
        }
        self.chain("external", rules)
    }

    /// The same as `outside` for clients in the Service's source ranges, nothing for others.
    fn only_from_source_ranges(&mut self, outside: Verdict) -> Verdict {
        let ranges = &self.port.service.source_ranges;
        if ranges.is_empty() || self.port.service.load_balancer_ips.is_empty() {
            return outside;
        }
        let admit = |network: &Network| {
            let source = Statement::Source {
                network: *network,
                inside: true,
            };
            vec![source, Statement::Verdict(outside.clone())]
        };
        let mut rules: Vec<_> = ranges.iter().map(admit).collect();
        rules.push(vec![Statement::Verdict(Verdict::Drop)]);
        self.chain("firewall", rules)
    }

    /// A chain that picks one of `endpoints`: the client's last one with affinity, else any.
    fn balance(
        &mut self,
        kind: &str,
        endpoints: &BTreeSet<SocketAddrV4>,
        cluster_ip: Ipv4Addr,
    ) -> Verdict {
        let mut rules = Vec::new();
        if let Some(network) = self.inputs.cluster_cidr {
            let outsider = Statement::Source {
                network,
                inside: false,
            };
            let mark = Statement::Verdict(Verdict::Jump(MARK_CHAIN.into()));
            rules.push(vec![Statement::Destination(cluster_ip), outsider, mark]);
        }
        let goto = |endpoint| Verdict::Goto(self.endpoint_name("endpoint", endpoint));
        if self.port.service.affinity_seconds.is_some() {
            rules.extend(endpoints.iter().map(|endpoint| {
                let set = self.endpoint_name("affinity", endpoint);
                let known = Statement::InSet(Field::SourceAddress, set);
                vec![known, Statement::Verdict(goto(endpoint))]
            }));
        }
        let mut choices: Vec<_> = endpoints.iter().map(goto).collect();
        rules.push(vec![match choices.len() {
            1 => Statement::Verdict(choices.remove(0)),
            _ => Statement::Random(choices),
        }]);
        self.chain(kind, rules)
    }

    /// A chain for each endpoint that sends a connection there.
    fn endpoint_chains(&mut self) {
        let Port { service, port, .. } = *self.port;
        for endpoint in self.port.all.union(&self.port.local) {
            let own = Network {
                address: *endpoint.ip(),
                prefix: 32,
            };
            let itself = Statement::Source {
                network: own,
                inside: true,
            };
            let mark = Statement::Verdict(Verdict::Jump(MARK_CHAIN.into()));
            let mut rules = vec![vec![itself, mark]];
            if let Some(timeout_seconds) = service.affinity_seconds {
                let set = self.endpoint_name("affinity", endpoint);
                rules.push(vec![Statement::Update(set.clone())]);
                let kind = SetKind::Dynamic {
                    timeout_seconds,
                    size: 65535,
                };
                self.table
                    .sets
                    .insert(set, empty_set(&[Field::SourceAddress], kind));
            }
            rules.push(vec![
                Statement::L4Protocol(port.protocol),
                Statement::Dnat(*endpoint.ip(), endpoint.port()),
            ]);
            let name = self.endpoint_name("endpoint", endpoint);
            self.table.chains.insert(name, chain(None, rules));
        }
    }

    fn chain(&mut self, kind: &str, rules: Vec<Vec<Statement>>) -> Verdict {
        let name = format!("{kind}-{}", self.port.id);
        self.table.chains.insert(name.clone(), chain(None, rules));
        Verdict::Goto(name)
    }

    fn endpoint_name(&self, kind: &str, endpoint: &SocketAddrV4) -> String {
        format!(
            "{kind}-{}__{}/{}",
            self.port.id,
            endpoint.ip(),
            endpoint.port()
        )
    }

    fn address_key(&self, address: Ipv4Addr) -> Vec<Value> {
        let ServicePort { protocol, port, .. } = *self.port.port;
        vec![
            Value::Address(address),
            Value::Protocol(protocol),
            Value::Port(port),
        ]
    }

    /// Where two Services claim one address and port, the first by name has it.
    fn element(&mut self, set: &str, key: Vec<Value>, verdict: Option<Verdict>) {
        let set = self.table.sets.get_mut(set).expect("the skeleton has it");
        set.elements.entry(Key(key)).or_insert(verdict);
    }
}

/// The table without any Service.
fn skeleton(node_addresses: &[Ipv4Addr]) -> Table {
    let address_and_port = [
        Field::DestinationAddress,
        Field::Protocol,
        Field::DestinationPort,
    ];
    let node_port = [Field::Protocol, Field::DestinationPort];
    let mut addresses = empty_set(&[Field::DestinationAddress], SetKind::Plain);
    let keys = node_addresses
        .iter()
        .map(|address| Key(vec![Value::Address(*address)]));
    addresses.elements = keys.map(|key| (key, None)).collect();
    let sets = [
        (
            SERVICE_MAP,
            empty_set(&address_and_port, SetKind::VerdictMap),
        ),
        (NODE_PORT_MAP, empty_set(&node_port, SetKind::VerdictMap)),
        (
            UNSERVED_MAP,
            empty_set(&address_and_port, SetKind::VerdictMap),
        ),
        (
            CLUSTER_IPS,
            empty_set(&[Field::DestinationAddress], SetKind::Plain),
        ),
        (NODE_ADDRESSES, addresses),
    ];

    let to_node = Statement::InSet(Field::DestinationAddress, NODE_ADDRESSES.into());
    let services = vec![
        vec![Statement::Vmap(
            address_and_port.to_vec(),
            SERVICE_MAP.into(),
        )],
        vec![
            to_node,
            Statement::Vmap(node_port.to_vec(), NODE_PORT_MAP.into()),
        ],
    ];
    let to_cluster_ip = Statement::InSet(Field::DestinationAddress, CLUSTER_IPS.into());
    let refuse = Statement::Verdict(Verdict::Goto(REFUSE_CHAIN.into()));
    let unserved = vec![
        vec![to_cluster_ip, refuse],
        vec![Statement::Vmap(
            address_and_port.to_vec(),
            UNSERVED_MAP.into(),
        )],
    ];
    let translate = vec![vec![jump(SERVICES_CHAIN)]];
    let check = vec![vec![Statement::NewConnection, jump(UNSERVED_CHAIN)]];
    let masquerade = vec![vec![
        Statement::Marked(MASQUERADE_MARK),
        Statement::Masquerade,
    ]];
    let nat = ChainKind::Nat;
    let filter = ChainKind::Filter;
    let chains = [
        (
            "prerouting",
            base(nat, HookPoint::Prerouting, -100, translate.clone()),
        ),
        ("output", base(nat, HookPoint::Output, -100, translate)),
        (
            "postrouting",
            base(nat, HookPoint::Postrouting, 100, masquerade),
        ),
        // Both see a packet after its translation.
        (
            "filter-forward",
            base(filter, HookPoint::Forward, -90, check.clone()),
        ),
        ("filter-output", base(filter, HookPoint::Output, -90, check)),
        (SERVICES_CHAIN, chain(None, services)),
        (UNSERVED_CHAIN, chain(None, unserved)),
        (
            MARK_CHAIN,
            chain(None, vec![vec![Statement::Mark(MASQUERADE_MARK)]]),
        ),
        (REFUSE_CHAIN, chain(None, vec![vec![Statement::Reject]])),
    ];
    Table {
        name: TABLE.into(),
        sets: sets
            .into_iter()
            .map(|(name, set)| (name.into(), set))
            .collect(),
        chains: chains
            .into_iter()
            .map(|(name, chain)| (name.into(), chain))
            .collect(),
    }
}

fn empty_set(key: &[Field], kind: SetKind) -> Set {
    Set {
        key: key.to_vec(),
        kind,
        elements: BTreeMap::new(),
    }
}

fn jump(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Jump(chain.into()))
}

fn base(kind: ChainKind, point: HookPoint, priority: i32, rules: Vec<Vec<Statement>>) -> Chain {
    let hook = Hook {
        kind,
        point,
        priority,
    };
    chain(Some(hook), rules)
}

fn chain(hook: Option<Hook>, rules: Vec<Vec<Statement>>) -> Chain {
    Chain {
        hook,
        rules: rules.into_iter().map(Rule).collect(),
    }
}
