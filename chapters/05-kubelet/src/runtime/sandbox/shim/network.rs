//! The pod's place in the node's network: a link to the node's bridge, an address, a default route.
//!
//! ```text
//!   pod's namespace                      node's namespace
//!   eth0 10.244.1.7/32 ───── veth ───── veth1a2b3c ─┐
//!        default via 10.244.1.1                     ├─ cni0 10.244.1.1/24 ── routed to the rest
//!   another pod  eth0 ────── veth ───── veth4d5e6f ─┘
//! ```
//!
//! The pod's address stands alone (`/32`), so all that it sends goes through the node's address
//! and none of it across the bridge. A Service's address is translated where the node routes; an
//! answer that took the short way over the bridge would not be translated back. Upstream's bridge
//! plugin relies on the `br_netfilter` module for that, which a user namespace cannot load.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use netlink::link::VethEnd;
use netlink::route::Route;
use netlink::{Netlink, Result, netns};

use super::super::record::PodNetwork;

/// Connects this process's network namespace to the node's. `node` is a socket of the node's.
pub fn connect(mut node: Netlink, network: &PodNetwork) -> Result<()> {
    let pod_netns = netns::current()?;
    let mut pod = Netlink::open()?;
    let bridge = node.link(&network.bridge)?;
    let host_end = VethEnd {
        name: &network.host_link,
        netns: None,
    };
    let pod_end = VethEnd {
        name: "eth0",
        netns: Some(pod_netns.as_fd()),
    };
    node.add_veth(host_end, pod_end, network.mtu)?;
    node.add_bridge_port(&network.host_link, bridge.index)?;
    let port = node.link(&network.host_link)?;
    node.set_hairpin(port.index)?;

    // An address that belongs to the IP, not to the link: when the IP is given to another pod,
    // what its neighbours remember stays true. The prefix is that of CNI's plugins.
    pod.set_link_address("eth0", hardware_address(network.ip))?;
    pod.set_link_up("lo", true)?;
    pod.set_link_up("eth0", true)?;
    let eth0 = pod.link("eth0")?.index;
    pod.add_address(eth0, network.ip.into(), 32)?;
    let gateway = IpAddr::V4(network.gateway);
    let to_gateway = Route {
        destination: gateway,
        prefix_len: 32,
        gateway: None,
        link: Some(eth0),
    };
    pod.replace_route(&to_gateway)?;
    pod.replace_route(&Route {
        destination: Ipv4Addr::UNSPECIFIED.into(),
        prefix_len: 0,
        gateway: Some(gateway),
        link: Some(eth0),
    })
}

/// The hardware address that goes with an address: `0a:58` and its four bytes.
pub fn hardware_address(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// What pods may do that hosts may not, as containerd has it: listen on low ports and send pings
/// without being root. A kernel that refuses is none the worse for it.
pub fn set_defaults() {
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let _ = std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}
