//! nftables as data: a table is a value, its text and its netlink messages are two views of it.
//!
//! ```text
//!   Table ──Display──▶ what `nft list table` prints      (snapshots, `proxy rules`)
//!     │
//!     ├─replace(new)──▶ Vec<Op> ──encode──▶ one netlink batch: the kernel takes all of it or none
//!     └─delta(old, new)▶ Vec<Op>
//! ```
//!
//! Only what a Service proxy needs is modelled: the `ip` family, sets and verdict maps of exact
//! keys, a dozen statements. The one thing nftables has over iptables for this use is that a map
//! element is added in constant time, so a change of one Service costs one Service: [`delta`]
//! names just the chains and elements that differ.
//!
//! Kernel interface: `include/uapi/linux/netfilter/nf_tables.h`. Left out: IPv6, intervals,
//! counters, and reading a ruleset back.

mod attr;
mod batch;
mod conntrack;
mod display;
mod encode;
mod program;
mod socket;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub use batch::{Op, delta, replace};
pub use conntrack::Flow;
pub use encode::encode;
pub use socket::NftSocket;

/// A table of family `ip`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its name; everything in it lives and dies with it.
    pub name: String,
    /// Sets and maps by name.
    pub sets: BTreeMap<String, Set>,
    /// Chains by name.
    pub chains: BTreeMap<String, Chain>,
}

/// A list of rules, reached by a verdict or, with a hook, by the packets themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// Where packets enter it; `None` for a chain that others jump to.
    pub hook: Option<Hook>,
    /// Its rules, first to last.
    pub rules: Vec<Rule>,
}

/// Where a base chain hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: ChainKind,
    /// The place in a packet's way.
    pub point: HookPoint,
    /// Order among the chains of one place; lower is earlier.
    pub priority: i32,
}

/// What a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of each connection; the rest follow its translation.
    Nat,
}

/// A place in a packet's way through the network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// Arrived, not yet routed.
    Prerouting,
    /// Routed to this namespace.
    Input,
    /// Routed to somewhere else.
    Forward,
    /// Made here.
    Output,
    /// About to leave.
    Postrouting,
}

/// A set, or a map from keys to verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The fields that make up a key.
    pub key: Vec<Field>,
    /// What it holds and who fills it.
    pub kind: SetKind,
    /// What we put there; `None` as verdict in all but a verdict map.
    pub elements: BTreeMap<Key, Option<Verdict>>,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// Keys alone.
    Plain,
    /// Keys, each with a verdict.
    VerdictMap,
    /// Keys that rules add ([`Statement::Update`]) and time removes.
    Dynamic {
        /// Seconds that a key stays after its last update.
        timeout_seconds: u32,
        /// How many keys fit.
        size: u32,
    },
}

/// A field of a packet that a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `ip saddr`
    SourceAddress,
    /// `ip daddr`
    DestinationAddress,
    /// `meta l4proto`
    Protocol,
    /// `th dport`
    DestinationPort,
}

/// A key: one value for each field of its set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub Vec<Value>);

/// One value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// An address.
    Address(Ipv4Addr),
    /// A transport protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// 6
    Tcp,
    /// 17
    Udp,
    /// 132
    Sctp,
}

/// An IPv4 network, `10.244.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// Its first address.
    pub address: Ipv4Addr,
    /// Length of the prefix in bits, 0 to 32.
    pub prefix: u8,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Dropped without a word.
    Drop,
    /// On with the rule after the one that jumped here.
    Return,
    /// Through that chain, and back.
    Jump(String),
    /// Through that chain, not back.
    Goto(String),
}

/// Statements that are carried out left to right until one does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(pub Vec<Statement>);

/// A match or an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The source lies in the network (`ip saddr 10.0.0.0/8`), or does not (`!=`).
    Source {
        /// The network.
        network: Network,
        /// Whether it must lie inside.
        inside: bool,
    },
    /// The destination is this address.
    Destination(Ipv4Addr),
    /// The destination lies in the network.
    DestinationIn(Network),
    /// The destination is an address of this namespace.
    DestinationIsLocal,
    /// The transport protocol is this one.
    L4Protocol(Protocol),
    /// First packet of a connection.
    NewConnection,
    /// The source is an address of this namespace.
    SourceIsLocal,
    /// One of these bits of the mark is set.
    Marked(u32),
    /// Sets these bits of the mark, leaves the others.
    Mark(u32),
    /// The field is in the set.
    InSet(Field, String),
    /// Adds the source to a dynamic set, or renews its time there.
    Update(String),
    /// Looks the fields up in a verdict map and does what it says; on without a match.
    Vmap(Vec<Field>, String),
    /// One of these verdicts, all equally likely.
    Random(Vec<Verdict>),
    /// Sends the connection to this address and port.
    Dnat(Ipv4Addr, u16),
    /// Gives the connection the outgoing interface's address as source, at a random port.
    Masquerade,
    /// Answers with ICMP port unreachable (a TCP client sees "connection refused").
    Reject,
    /// Ends or diverts.
    Verdict(Verdict),
}

impl Protocol {
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl Network {
    /// The netmask.
    pub fn mask(self) -> Ipv4Addr {
        let bits = u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0);
        Ipv4Addr::from_bits(bits)
    }

    /// Whether the address lies inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let mask = self.mask().to_bits();
        address.to_bits() & mask == self.address.to_bits() & mask
    }
}

impl std::str::FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an IPv4 network such as 10.244.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= 32)
            .ok_or_else(wrong)?;
        let network = Network { address, prefix };
        let first = Ipv4Addr::from_bits(address.to_bits() & network.mask().to_bits());
        Ok(Network {
            address: first,
            prefix,
        })
    }
}

impl Verdict {
    /// The chain it leads to.
    pub fn chain(&self) -> Option<&str> {
        match self {
            Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain),
            Verdict::Drop | Verdict::Return => None,
        }
    }
}
