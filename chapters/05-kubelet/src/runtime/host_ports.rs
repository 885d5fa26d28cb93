//! Host ports: a port of the node leads to a pod, by an nftables table of the kubelet's own.
//!
//! ```text
//!  from elsewhere ─▶ prerouting ─┐                 ┌─ 172.30.0.3 . tcp . 80 ─┐
//!                                ├─▶ ports ─ vmap ─┤                         ├─▶ pod-10.244.1.5/tcp/8080
//!  from this node ─▶ output ─────┘                 └─ local, tcp . 8080 ─────┘      dnat
//! ```
//!
//! A mapping with a `hostIP` is for that address alone, one without for every address of the node,
//! loopback too. Where a pod calls itself, or somebody calls over loopback, the answer would not
//! come back through the node: there the source is rewritten as well ("masqueraded").
//!
//! The table is a function of the pods that run, and is always written as a whole, in one batch:
//! so a kubelet that starts anew needs to know only its pods. Upstream leaves this to CNI's
//! `portmap` plugin; the guard of loopback addresses is the kubelet's `KUBE-FIREWALL` chain. Left
//! out: IPv6, so a mapping for an IPv6 `hostIP` does nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use netlink::nft::{
    self, Chain, ChainKind, Field, Hook, HookPoint, Key, Network, NftSocket, Op, Rule, Set,
    SetKind, Statement, Table, Value, Verdict,
};

use super::{PortMapping, PortProtocol, Result, RuntimeError};
use crate::runtime::sandbox::node_network::BRIDGE;

/// Name of our table; the proxy has another.
pub const TABLE: &str = "workshop-host-ports";

/// The bit of a packet's mark that asks for masquerading: `portmap`'s.
const MASQUERADE_MARK: u32 = 0x2000;
const PORTS_CHAIN: &str = "ports";
const MARK_CHAIN: &str = "mark-for-masquerade";
const PORT_MAP: &str = "host-ports";
const ADDRESS_MAP: &str = "host-address-ports";
const LOOPBACK: Network = Network {
    address: Ipv4Addr::new(127, 0, 0, 0),
    prefix: 8,
};

/// A pod and the ports of the node that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPorts {
    /// Address of the pod.
    pub ip: Ipv4Addr,
    /// What leads where.
    pub ports: Vec<PortMapping>,
}

/// The host ports of a node's pods.
#[derive(Debug, Default)]
pub struct HostPorts {
    /// By sandbox.
    pods: Mutex<BTreeMap<String, PodPorts>>,
}

impl HostPorts {
    /// Takes up the pods that run already, and takes away what nobody has any more.
    pub fn begin(&self, running: BTreeMap<String, PodPorts>) {
        let mut pods = self.pods.lock().expect("no panics inside");
        pods.extend(running);
        if let Err(error) = write(pods.values()) {
            // A node without nf_tables can have pods that want none of this.
            match pods.is_empty() {
                true => tracing::debug!(%error, "no host ports"),
                false => tracing::warn!(%error, "host ports of running pods are not open"),
            }
        }
    }

    /// Opens the ports of a sandbox.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] when the kernel refuses; then none is open.
    pub fn open(&self, sandbox_id: &str, ip: Ipv4Addr, ports: &[PortMapping]) -> Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let mut pods = self.pods.lock().expect("no panics inside");
        let ports = ports.to_vec();
        pods.insert(sandbox_id.to_owned(), PodPorts { ip, ports });
        let written = write(pods.values());
        if written.is_err() {
            pods.remove(sandbox_id);
        }
        written
    }

    /// Closes the ports of a sandbox, if it has any.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] when the kernel refuses; they are open then.
    pub fn close(&self, sandbox_id: &str) -> Result<()> {
        let mut pods = self.pods.lock().expect("no panics inside");
        let Some(pod) = pods.remove(sandbox_id) else {
            return Ok(());
        };
        let written = write(pods.values());
        if written.is_err() {
            pods.insert(sandbox_id.to_owned(), pod);
        }
        written
    }
}

/// Tells the kernel, in the network namespace of this thread.
///
/// # Errors
/// [`RuntimeError::Other`] with what it said.
pub fn write<'a>(pods: impl Iterator<Item = &'a PodPorts> + Clone) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| RuntimeError::Other(format!("host ports: {error}"));
    let socket = NftSocket::open().map_err(|error| failed(&error))?;
    let is_empty = pods.clone().all(|pod| pod.ports.is_empty());
    if is_empty {
        // The last one closes the door first: the table is what guards it.
        let _no_bridge_yet = route_loopback(false);
        let gone = socket.apply(&[Op::AddTable(TABLE), Op::DeleteTable(TABLE)]);
        return gone.map_err(|error| failed(&error));
    }
    let table = table(pods.clone());
    let written = socket.apply(&nft::replace(&table));
    written.map_err(|error| failed(&error))?;
    route_loopback(true).map_err(|error| failed(&error))?;
    forget_stale_flows(&socket, pods).map_err(|error| failed(&error))
}

/// Whether a packet with a loopback address may cross the bridge, as one to `127.0.0.1` has to
/// that is sent on to a pod.
fn route_loopback(allow: bool) -> std::io::Result<()> {
    let setting = format!("/proc/sys/net/ipv4/conf/{BRIDGE}/route_localnet");
    std::fs::write(setting, if allow { "1" } else { "0" })
}

/// A UDP client that was there before the port was open would go on being sent elsewhere.
fn forget_stale_flows<'a>(
    socket: &NftSocket,
    pods: impl Iterator<Item = &'a PodPorts>,
) -> netlink::Result<()> {
    let udp: BTreeMap<u16, Ipv4Addr> = pods
        .flat_map(|pod| pod.ports.iter().map(|port| (pod.ip, port)))
        .filter(|(_, port)| port.protocol == PortProtocol::Udp)
        .map(|(ip, port)| (port.host_port, ip))
        .collect();
    if udp.is_empty() {
        return Ok(());
    }
    for flow in socket.flows()? {
        let target = udp.get(&flow.destination.port());
        let is_udp = flow.protocol == nft::Protocol::Udp.number();
        if is_udp && target.is_some_and(|ip| flow.endpoint.ip() != ip) {
            socket.forget(&flow)?;
        }
    }
    Ok(())
}

/// The table that opens these ports.
pub fn table<'a>(pods: impl Iterator<Item = &'a PodPorts>) -> Table {
    let by_port = [Field::Protocol, Field::DestinationPort];
    let by_address = [
        Field::DestinationAddress,
        Field::Protocol,
        Field::DestinationPort,
    ];
    let mut ports = BTreeMap::new();
    let mut address_ports = BTreeMap::new();
    let mut chains = base_chains(&by_port, &by_address);
    for pod in pods {
        for mapping in &pod.ports {
            let name = chain_name(pod.ip, mapping);
            let verdict = Some(Verdict::Goto(name.clone()));
            let protocol = Value::Protocol(protocol(mapping.protocol));
            let port = Value::Port(mapping.host_port);
            match address(mapping) {
                Some(Ipv4Addr::UNSPECIFIED) => ports.insert(Key(vec![protocol, port]), verdict),
                Some(address) => {
                    let key = vec![Value::Address(address), protocol, port];
                    address_ports.insert(Key(key), verdict)
                }
                None => continue,
            };
            chains.insert(name, to_pod(pod.ip, mapping));
        }
    }
    let map = |key: &[Field], elements| Set {
        key: key.to_vec(),
        kind: SetKind::VerdictMap,
        elements,
    };
    Table {
        name: TABLE.to_owned(),
        sets: BTreeMap::from([
            (PORT_MAP.to_owned(), map(&by_port, ports)),
            (ADDRESS_MAP.to_owned(), map(&by_address, address_ports)),
        ]),
        chains,
    }
}

/// The chains that are there whatever the ports.
fn base_chains(by_port: &[Field], by_address: &[Field]) -> BTreeMap<String, Chain> {
    use HookPoint::{Input, Output, Postrouting, Prerouting};
    let jump = |chain: &str| Statement::Verdict(Verdict::Jump(chain.to_owned()));
    let from_outside = Statement::Source {
        network: LOOPBACK,
        inside: false,
    };
    let chains = [
        // One address is more than all: it is asked for first.
        (
            PORTS_CHAIN,
            chain(
                None,
                vec![
                    vec![Statement::Vmap(by_address.to_vec(), ADDRESS_MAP.to_owned())],
                    vec![
                        Statement::DestinationIsLocal,
                        Statement::Vmap(by_port.to_vec(), PORT_MAP.to_owned()),
                    ],
                ],
            ),
        ),
        (
            MARK_CHAIN,
            chain(None, vec![vec![Statement::Mark(MASQUERADE_MARK)]]),
        ),
        (
            "prerouting",
            base(ChainKind::Nat, Prerouting, -100, vec![jump(PORTS_CHAIN)]),
        ),
        (
            "output",
            base(ChainKind::Nat, Output, -100, vec![jump(PORTS_CHAIN)]),
        ),
        (
            "postrouting",
            base(
                ChainKind::Nat,
                Postrouting,
                100,
                vec![Statement::Marked(MASQUERADE_MARK), Statement::Masquerade],
            ),
        ),
        // With `route_localnet` a pod could reach what listens on the node's loopback alone.
        (
            "guard-loopback",
            base(
                ChainKind::Filter,
                Input,
                0,
                vec![
                    from_outside,
                    Statement::DestinationIn(LOOPBACK),
                    Statement::NewConnection,
                    Statement::Verdict(Verdict::Drop),
                ],
            ),
        ),
    ];
    chains
        .into_iter()
        .map(|(name, chain)| (name.to_owned(), chain))
        .collect()
}

/// Sends a connection to the pod, and marks one whose answer would take another way.
fn to_pod(ip: Ipv4Addr, mapping: &PortMapping) -> Chain {
    let itself = Network {
        address: ip,
        prefix: 32,
    };
    let marked = |network| {
        let from = Statement::Source {
            network,
            inside: true,
        };
        let mark = Statement::Verdict(Verdict::Jump(MARK_CHAIN.to_owned()));
        vec![from, mark]
    };
    let rules = vec![
        marked(itself),
        marked(LOOPBACK),
        vec![
            Statement::L4Protocol(protocol(mapping.protocol)),
            Statement::Dnat(ip, mapping.container_port),
        ],
    ];
    chain(None, rules)
}

fn chain_name(ip: Ipv4Addr, mapping: &PortMapping) -> String {
    let protocol = protocol(mapping.protocol);
    format!("pod-{ip}/{protocol}/{}", mapping.container_port)
}

/// The address of the node that a mapping is for; unspecified for all, none for IPv6.
fn address(mapping: &PortMapping) -> Option<Ipv4Addr> {
    match mapping.host_ip.as_str() {
        "" => Some(Ipv4Addr::UNSPECIFIED),
        text => text.parse().ok(),
    }
}

fn protocol(protocol: PortProtocol) -> nft::Protocol {
    match protocol {
        PortProtocol::Tcp => nft::Protocol::Tcp,
        PortProtocol::Udp => nft::Protocol::Udp,
        PortProtocol::Sctp => nft::Protocol::Sctp,
    }
}

fn base(kind: ChainKind, point: HookPoint, priority: i32, rule: Vec<Statement>) -> Chain {
    let hook = Hook {
        kind,
        point,
        priority,
    };
    chain(Some(hook), vec![rule])
}

fn chain(hook: Option<Hook>, rules: Vec<Vec<Statement>>) -> Chain {
    let rules = rules.into_iter().map(Rule).collect();
    Chain { hook, rules }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_two_pods() {
        let mapping = |host_port, container_port, protocol, host_ip: &str| PortMapping {
            host_port,
            container_port,
            protocol,
            host_ip: host_ip.to_owned(),
        };
        let pods = [
            PodPorts {
                ip: Ipv4Addr::new(10, 244, 1, 5),
                ports: vec![
                    mapping(80, 8080, PortProtocol::Tcp, ""),
                    mapping(53, 5353, PortProtocol::Udp, "0.0.0.0"),
                ],
            },
            PodPorts {
                ip: Ipv4Addr::new(10, 244, 1, 6),
                ports: vec![
                    mapping(80, 80, PortProtocol::Tcp, "127.0.0.1"),
                    mapping(81, 81, PortProtocol::Tcp, "fd00::1"),
                ],
            },
        ];
        insta::assert_snapshot!(table(pods.iter()));
    }
}
