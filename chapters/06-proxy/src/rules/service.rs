//! The chains of one port: where its traffic comes in, how it is balanced, where it ends.
//!
//! | chain | what it does | when there is one |
//! | --- | --- | --- |
//! | `service-…` | picks any endpoint | almost always |
//! | `local-…` | picks an endpoint of this node | with a `Local` traffic policy |
//! | `external-…` | decides what clients from outside get | node ports, external addresses |
//! | `firewall-…` | lets only source ranges in | load balancers that have them |
//! | `endpoint-…__address/port` | sends the connection there | for each endpoint |

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use netlink::nft::{Field, Key, Network, SetKind, Statement, Table, Value, Verdict};

use super::Inputs;
use super::endpoints::Port;
use super::skeleton::{
    CLUSTER_IPS, MARK_CHAIN, NODE_PORT_MAP, REFUSE_CHAIN, SERVICE_MAP, UNSERVED_MAP, chain,
    empty_set, jump,
};
use crate::model::ServicePort;

/// Writes the chains and elements of one port of a Service into `table`.
pub(super) fn write(table: &mut Table, inputs: &Inputs<'_>, port: &Port<'_>) {
    Writer {
        table,
        inputs,
        port,
    }
    .write();
}

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
        let mark = jump(MARK_CHAIN);
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
            let mark = jump(MARK_CHAIN);
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
            let mark = jump(MARK_CHAIN);
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
