//! The etcd members' network: what separate machines would have.
//!
//! ```text
//!   control plane's node ────────────────────────────────────────────
//!     apiserver ──► bridge etcd0 172.31.0.1/24
//!                     │            │            │
//!   ┌─ etcd-1 ────────┴─┐ ┌─ etcd-2┴───────┐ ┌──┴──── etcd-3 ────┐
//!   │ eth0 172.31.0.11  │ │ … .12          │ │ … .13             │
//!   └───────────────────┘ └────────────────┘ └───────────────────┘
//! ```
//!
//! Each member has a network namespace and a cable to the node's bridge. What is told to one of them
//! alone, a [`partition`](super::partition), is told in its namespace: it holds for a member that is
//! killed and started again, and goes with the node.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink::link::VethEnd;
use netlink::{Netlink, netns};

/// The node's address on the members' network.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
const PREFIX_LEN: u8 = 24;
const BRIDGE: &str = "etcd0";
const MTU: u32 = 1500;
/// The last number of the address of a member, less the member's own.
const OFFSET: u8 = 10;

/// The address of a member, by its number.
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, OFFSET + number)
}

/// The networks of a node's members: empty on a node that has none.
#[derive(Default)]
pub struct MemberNetwork {
    namespaces: BTreeMap<Ipv4Addr, OwnedFd>,
}

impl MemberNetwork {
    /// The namespace of the member with this address; made when it is asked for first. To be called
    /// by a thread that is in the node's namespace.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn namespace(&mut self, address: Ipv4Addr) -> netlink::Result<BorrowedFd<'_>> {
        let namespace: &OwnedFd = match self.namespaces.entry(address) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => place.insert(connect(address)?),
        };
        Ok(namespace.as_fd())
    }
}

/// Makes a namespace with a cable to the bridge.
fn connect(address: Ipv4Addr) -> netlink::Result<OwnedFd> {
    let mut socket = Netlink::open()?;
    let bridge = bridge(&mut socket)?;
    let namespace = netns::create()?;
    let port = format!("etcd-{}", address.octets()[3] - OFFSET);
    socket.add_veth(
        VethEnd {
            name: &port,
            netns: None,
        },
        VethEnd {
            name: "eth0",
            netns: Some(namespace.as_fd()),
        },
        MTU,
    )?;
    socket.add_bridge_port(&port, bridge)?;
    netns::in_netns(&namespace, || {
        let mut socket = Netlink::open()?;
        socket.set_link_up("lo", true)?;
        let link = socket.link("eth0")?.index;
        socket.add_address(link, IpAddr::V4(address), PREFIX_LEN)?;
        socket.set_link_up("eth0", true)
    })??;
    Ok(namespace)
}

/// The bridge on the node; its index.
fn bridge(socket: &mut Netlink) -> netlink::Result<u32> {
    match socket.add_bridge(BRIDGE) {
        Err(error) if error.is_exists() => return Ok(socket.link(BRIDGE)?.index),
        made => made?,
    }
    let bridge = socket.link(BRIDGE)?.index;
    socket.add_address(bridge, IpAddr::V4(GATEWAY), PREFIX_LEN)?;
    socket.set_link_up(BRIDGE, true)?;
    Ok(bridge)
}
