//! The node's side of the pod network: its bridge, and who has which address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};

use netlink::Netlink;

use super::record::PodNetwork;
use super::shim::hardware_address;
use crate::runtime::host_ports::HostPorts;
use crate::runtime::{Result, RuntimeError};

/// Name of the node's bridge, which CNI's plugins made a habit.
pub const BRIDGE: &str = "cni0";
/// Largest packet of a pod.
const MTU: u32 = 1500;

/// A node's range of pod addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodCidr {
    network: u32,
    prefix_len: u8,
}

impl PodCidr {
    /// Reads `10.244.1.0/24`.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] for anything that is no IPv4 network with room for a pod.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || RuntimeError::Other(format!("{text:?} is not an IPv4 pod CIDR"));
        let (ip, prefix_len) = text.split_once('/').ok_or_else(wrong)?;
        let ip: Ipv4Addr = ip.parse().map_err(|_| wrong())?;
        let prefix_len: u8 = prefix_len.parse().map_err(|_| wrong())?;
        if !(8..=29).contains(&prefix_len) {
            return Err(wrong());
        }
        Ok(PodCidr {
            network: u32::from(ip) & !(u32::MAX >> prefix_len),
            prefix_len,
        })
    }

    /// The node's own address in it, the first.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// Bits of the network.
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    fn last(&self) -> u32 {
        (self.network | (u32::MAX >> self.prefix_len)) - 1
    }
}

/// What a node's runtimes share: its pod addresses and its ports.
#[derive(Debug, Clone, Default)]
pub struct NodeNetwork {
    addresses: Arc<Mutex<Addresses>>,
    /// The node's ports that lead to pods.
    pub host_ports: Arc<HostPorts>,
}

impl NodeNetwork {
    /// Who has which address, for as long as no `await` comes between.
    pub fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().expect("no panics inside")
    }
}

/// Hands out a node's pod addresses. Pure.
///
/// Addresses are given in turn: one that was given back is the last to be given again, so that
/// who still remembers its old pod has time to forget.
#[derive(Debug, Default)]
pub struct Addresses {
    cidr: Option<PodCidr>,
    used: BTreeSet<Ipv4Addr>,
    last: u32,
}

impl Addresses {
    /// Sets the range. Addresses in use stay in use, in it or not.
    pub fn set_cidr(&mut self, cidr: PodCidr) {
        self.cidr = Some(cidr);
    }

    /// The range, once it is known.
    pub fn cidr(&self) -> Option<PodCidr> {
        self.cidr
    }

    /// Takes note of an address that a pod has already.
    pub fn claim(&mut self, ip: Ipv4Addr) {
        self.used.insert(ip);
        self.last = self.last.max(ip.into());
    }

    /// Goes on after an address that was the last to be given.
    pub fn begin_after(&mut self, ip: Ipv4Addr) {
        self.last = ip.into();
    }

    /// Takes an address back.
    pub fn release(&mut self, ip: Ipv4Addr) {
        self.used.remove(&ip);
    }

    /// A free address.
    ///
    /// # Errors
    /// [`RuntimeError::Other`] before the range is known, or when all of it is in use.
    pub fn allocate(&mut self) -> Result<Ipv4Addr> {
        let Some(cidr) = self.cidr else {
            let message = "network is not ready: the node has no pod CIDR yet";
            return Err(RuntimeError::Other(message.into()));
        };
        let (first, last) = (cidr.network + 2, cidr.last());
        let start = if (first..last).contains(&self.last) {
            self.last + 1
        } else {
            first
        };
        let mut in_turn = (start..=last).chain(first..start).map(Ipv4Addr::from);
        let Some(ip) = in_turn.find(|ip| !self.used.contains(ip)) else {
            return Err(RuntimeError::Other(
                "no pod address is free on this node".into(),
            ));
        };
        self.used.insert(ip);
        self.last = ip.into();
        Ok(ip)
    }
}

/// The place in the network of the sandbox with that id.
pub fn pod_network(ip: Ipv4Addr, cidr: PodCidr, sandbox_id: &str) -> PodNetwork {
    PodNetwork {
        ip,
        gateway: cidr.gateway(),
        bridge: BRIDGE.into(),
        host_link: format!("veth{}", &sandbox_id[..8]),
        mtu: MTU,
    }
}

/// Makes the node's bridge, or what is missing of it. Its namespace is the caller's.
///
/// # Errors
/// [`RuntimeError::Other`].
pub fn set_up_bridge(cidr: PodCidr) -> Result<()> {
    let steps = || -> netlink::Result<()> {
        let mut netlink = Netlink::open()?;
        match netlink.add_bridge(BRIDGE) {
            // Left to itself a bridge takes the lowest address of its ports, and changes it as
            // they come and go.
            Ok(()) => netlink.set_link_address(BRIDGE, hardware_address(cidr.gateway()))?,
            Err(error) if error.is_exists() => {}
            Err(error) => return Err(error),
        }
        let bridge = netlink.link(BRIDGE)?;
        for old in netlink.addresses()? {
            let is_ours = old.ip == cidr.gateway() && old.prefix_len == cidr.prefix_len();
            if old.index == bridge.index && old.ip.is_ipv4() && !is_ours {
                netlink.delete_address(old.index, old.ip, old.prefix_len)?;
            }
        }
        netlink.add_address(bridge.index, cidr.gateway().into(), cidr.prefix_len())?;
        netlink.set_link_up(BRIDGE, true)
    };
    steps().map_err(|error| RuntimeError::Other(format!("setting up {BRIDGE}: {error}")))?;
    let sysctl = |name: &str, value: &str| {
        let path = format!("/proc/sys/net/ipv4/{name}");
        std::fs::write(&path, value)
            .map_err(|error| RuntimeError::Other(format!("setting {name}: {error}")))
    };
    sysctl("ip_forward", "1")?;
    // Pods reach each other through the node although they are on one link. Telling them of the
    // shorter way would be telling them wrong (see the shim's network module).
    sysctl("conf/all/send_redirects", "0")?;
    sysctl(&format!("conf/{BRIDGE}/send_redirects"), "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_in_turn() {
        let mut addresses = Addresses::default();
        assert!(
            addresses
                .allocate()
                .unwrap_err()
                .to_string()
                .starts_with("network is not ready")
        );
        addresses.set_cidr(PodCidr::parse("10.244.1.0/29").unwrap());
        let mut take = |n| -> Vec<String> {
            (0..n)
                .filter_map(|_| addresses.allocate().ok())
                .map(|ip| ip.to_string())
                .collect()
        };
        let expected: Vec<String> = (2..=6).map(|n| format!("10.244.1.{n}")).collect();
        assert_eq!(take(9), expected);
        addresses.release("10.244.1.3".parse().unwrap());
        addresses.release("10.244.1.5".parse().unwrap());
        assert_eq!(addresses.allocate().unwrap().to_string(), "10.244.1.3");
        addresses.release("10.244.1.3".parse().unwrap());
        assert_eq!(addresses.allocate().unwrap().to_string(), "10.244.1.5");
    }

    #[test]
    fn pod_cidrs() {
        let cidr = PodCidr::parse("10.244.1.9/24").unwrap();
        assert_eq!(
            (cidr.gateway().to_string(), cidr.prefix_len()),
            ("10.244.1.1".into(), 24)
        );
        for wrong in [
            "",
            "10.244.1.0",
            "10.244.1.0/31",
            "10.244.1.0/x",
            "fd00::/64",
            "1/2/3",
        ] {
            assert!(PodCidr::parse(wrong).is_err(), "{wrong}");
        }
    }
}
