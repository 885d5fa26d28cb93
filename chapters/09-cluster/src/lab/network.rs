//! The lab's network: a bridge in a namespace of its own, and a cable to each node.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};

use netlink::Netlink;
use netlink::link::VethEnd;
use netlink::netns;
use netlink::route::Route;

use super::record::Node;

/// The lab's end of the network, in its own namespace.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// Bits of the lab's network 172.30.0.0/16.
pub const PREFIX_LEN: u8 = 16;
/// veth pairs lose nothing by it, and it is what machines are used to.
const MTU: u32 = 1500;
const BRIDGE: &str = "lab0";

/// The bridge that joins the nodes.
pub struct LabNetwork {
    netns: OwnedFd,
    socket: Netlink,
    bridge: u32,
}

impl LabNetwork {
    /// Makes the namespace with the bridge.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn create() -> netlink::Result<Self> {
        let netns = netns::create()?;
        let (socket, bridge) = netns::in_netns(&netns, || {
            let mut socket = Netlink::open()?;
            socket.set_link_up("lo", true)?;
            socket.add_bridge(BRIDGE)?;
            let bridge = socket.link(BRIDGE)?.index;
            socket.add_address(bridge, IpAddr::V4(GATEWAY), PREFIX_LEN)?;
            socket.set_link_up(BRIDGE, true)?;
            // There is no way out of here, and forwarding is how the kernel says so at once: a
            // node that calls the internet gets "network is unreachable", not silence.
            let _ = std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
            netlink::Result::Ok((socket, bridge))
        })??;
        Ok(Self {
            netns,
            socket,
            bridge,
        })
    }

    /// The namespace of the bridge.
    pub fn netns(&self) -> &OwnedFd {
        &self.netns
    }

    /// Runs a cable to `node`. To be called by a thread that is in the node's namespace.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn join(&mut self, node: &Node) -> netlink::Result<()> {
        let own = netns::current()?;
        let port = format!("node-{}", node.number);
        self.socket.add_veth(
            VethEnd {
                name: &port,
                netns: None,
            },
            VethEnd {
                name: "eth0",
                netns: Some(own.as_fd()),
            },
            MTU,
        )?;
        self.socket.add_bridge_port(&port, self.bridge)?;

        let mut socket = Netlink::open()?;
        socket.set_link_up("lo", true)?;
        let link = socket.link("eth0")?.index;
        socket.add_address(link, IpAddr::V4(node.ip()), PREFIX_LEN)?;
        socket.set_link_up("eth0", true)?;
        // Service addresses are on no link: without a default route a packet to one would be
        // refused before the rules that rewrite it are asked.
        socket.replace_route(&Route {
            destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            prefix_len: 0,
            gateway: Some(IpAddr::V4(GATEWAY)),
            link: None,
        })
    }

    /// Takes the cable of `node` away, if it is there.
    pub fn cut(&mut self, node: &Node) {
        // Gone already when the node's namespace is.
        let _ = self.socket.delete_link(&format!("node-{}", node.number));
    }
}
