//! Links: what `ip link` shows and changes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::message::{Message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, Received, attributes, u32_at};
use crate::{Error, Netlink, Result};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;

const AF_BRIDGE: u8 = 7;
const IFF_UP: u32 = 1;

/// Bytes of `struct ifinfomsg`.
const IFINFOMSG_LEN: usize = 16;

/// Longest name of a link, without the zero that ends it.
pub const NAME_LEN_MAX: usize = 15;

/// A link as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// `eth0`.
    pub name: String,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Largest packet.
    pub mtu: u32,
    /// Index of the bridge that it is a port of.
    pub master: Option<u32>,
    /// Hardware address, empty for a link that has none.
    pub address: Vec<u8>,
}

/// One end of a veth pair that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Its name.
    pub name: &'a str,
    /// The network namespace it is put in; the socket's own if none is given.
    pub netns: Option<BorrowedFd<'a>>,
}

/// `struct ifinfomsg` for a link, by index (or 0 and a name in the attributes).
fn ifinfomsg(family: u8, index: u32, flags: u32, change: u32) -> [u8; IFINFOMSG_LEN] {
    let mut bytes = [0; IFINFOMSG_LEN];
    bytes[0] = family;
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

impl Netlink {
    /// Makes a link that needs no more than a kind: `bridge`, `dummy`. It is down.
    ///
    /// # Errors
    /// [`Error::Refused`]; `EEXIST` if the name is taken.
    pub fn add_link(&mut self, name: &str, kind: &str) -> Result<()> {
        let message = |flags| {
            Message::new(RTM_NEWLINK, flags | NLM_F_CREATE | NLM_F_EXCL)
                .fixed(&ifinfomsg(0, 0, 0, 0))
                .attr_str(IFLA_IFNAME, name)
                .nested(IFLA_LINKINFO, |m| m.attr(IFLA_INFO_KIND, kind.as_bytes()))
        };
        self.request(message, || format!("add {kind} {name}"))
    }

    /// Makes a bridge. It is down.
    ///
    /// # Errors
    /// [`Error::Refused`]; `EEXIST` if the name is taken.
    pub fn add_bridge(&mut self, name: &str) -> Result<()> {
        self.add_link(name, "bridge")
    }

    /// Makes a pair of links, each the other's far end, in up to two namespaces. Both are down.
    ///
    /// # Errors
    /// [`Error::Refused`]; `EEXIST` if a name is taken.
    pub fn add_veth(&mut self, end: VethEnd<'_>, peer: VethEnd<'_>, mtu: u32) -> Result<()> {
        let describe = |message: Message, end: &VethEnd<'_>| {
            let message = message
                .attr_str(IFLA_IFNAME, end.name)
                .attr_u32(IFLA_MTU, mtu);
            match end.netns {
                Some(fd) => message.attr_u32(IFLA_NET_NS_FD, fd.as_raw_fd().cast_unsigned()),
                None => message,
            }
        };
        let message = |flags| {
            let header = ifinfomsg(0, 0, 0, 0);
            let message =
                Message::new(RTM_NEWLINK, flags | NLM_F_CREATE | NLM_F_EXCL).fixed(&header);
            describe(message, &end).nested(IFLA_LINKINFO, |m| {
                m.attr(IFLA_INFO_KIND, b"veth").nested(IFLA_INFO_DATA, |m| {
                    m.nested(VETH_INFO_PEER, |m| describe(m.fixed(&header), &peer))
                })
            })
        };
        self.request(message, || {
            format!("add veth {} with peer {}", end.name, peer.name)
        })
    }

    /// Removes a link; the other end of a veth pair goes with it.
    ///
    /// # Errors
    /// [`Error::Refused`]; see [`Error::is_not_found`].
    pub fn delete_link(&mut self, name: &str) -> Result<()> {
        let message = |flags| {
            Message::new(RTM_DELLINK, flags)
                .fixed(&ifinfomsg(0, 0, 0, 0))
                .attr_str(IFLA_IFNAME, name)
        };
        self.request(message, || format!("delete link {name}"))
    }

    /// Brings a link up or down.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_link_up(&mut self, name: &str, up: bool) -> Result<()> {
        let flags = if up { IFF_UP } else { 0 };
        let what = if up { "up" } else { "down" };
        self.change_link(name, flags, IFF_UP, what, |m| m)
    }

    /// Makes a link a port of a bridge (its index), or of none.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_link_master(&mut self, name: &str, bridge: Option<u32>) -> Result<()> {
        self.change_link(name, 0, 0, "master", |m| {
            m.attr_u32(IFLA_MASTER, bridge.unwrap_or(0))
        })
    }

    /// Makes a link a port of a bridge (its index) and brings it up, in one request.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn add_bridge_port(&mut self, name: &str, bridge: u32) -> Result<()> {
        self.change_link(name, IFF_UP, IFF_UP, "master", |m| {
            m.attr_u32(IFLA_MASTER, bridge)
        })
    }

    /// Sets the largest packet of a link.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_link_mtu(&mut self, name: &str, mtu: u32) -> Result<()> {
        self.change_link(name, 0, 0, "mtu", |m| m.attr_u32(IFLA_MTU, mtu))
    }

    /// Sets the hardware address of a link.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_link_address(&mut self, name: &str, address: [u8; 6]) -> Result<()> {
        self.change_link(name, 0, 0, "address", |m| m.attr(IFLA_ADDRESS, &address))
    }

    /// Moves a link to another network namespace, under the same name.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_link_netns(&mut self, name: &str, netns: BorrowedFd<'_>) -> Result<()> {
        let fd = netns.as_fd().as_raw_fd().cast_unsigned();
        self.change_link(name, 0, 0, "netns", |m| m.attr_u32(IFLA_NET_NS_FD, fd))
    }

    /// Renames a link, which must be down.
    ///
    /// # Errors
    /// [`Error::Refused`]; `EEXIST` if the name is taken.
    pub fn rename_link(&mut self, name: &str, new_name: &str) -> Result<()> {
        let index = self.link(name)?.index;
        let message = |flags| {
            Message::new(RTM_NEWLINK, flags)
                .fixed(&ifinfomsg(0, index, 0, 0))
                .attr_str(IFLA_IFNAME, new_name)
        };
        self.request(message, || format!("rename link {name} to {new_name}"))
    }

    /// Lets a bridge send a packet back through the port (an index) that it came from: a pod that
    /// reaches itself through a Service.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn set_hairpin(&mut self, port: u32) -> Result<()> {
        let message = |flags| {
            Message::new(RTM_SETLINK, flags)
                .fixed(&ifinfomsg(AF_BRIDGE, port, 0, 0))
                .nested(IFLA_PROTINFO, |m| m.attr(IFLA_BRPORT_MODE, &[1]))
        };
        self.request(message, || format!("set hairpin of link {port}"))
    }

    /// The link of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Refused`].
    pub fn link(&mut self, name: &str) -> Result<Link> {
        let message = Message::new(RTM_GETLINK, crate::message::NLM_F_ACK)
            .fixed(&ifinfomsg(0, 0, 0, 0))
            .attr_str(IFLA_IFNAME, name);
        let mut found = None;
        let asked = self.dump(
            message,
            || format!("get link {name}"),
            |m| found = parse_link(m),
        );
        match asked {
            Ok(()) => found.ok_or(Error::Malformed),
            Err(error) if error.is_not_found() => Err(Error::NotFound(format!("link {name}"))),
            Err(error) => Err(error),
        }
    }

    /// All links of the namespace.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let message = Message::new(RTM_GETLINK, NLM_F_DUMP).fixed(&ifinfomsg(0, 0, 0, 0));
        let mut links = Vec::new();
        self.dump(
            message,
            || "list links".into(),
            |m| links.extend(parse_link(m)),
        )?;
        Ok(links)
    }

    fn change_link(
        &mut self,
        name: &str,
        flags: u32,
        change: u32,
        what: &str,
        fill: impl FnOnce(Message) -> Message,
    ) -> Result<()> {
        let message = |acknowledge| {
            let message =
                Message::new(RTM_NEWLINK, acknowledge).fixed(&ifinfomsg(0, 0, flags, change));
            fill(message.attr_str(IFLA_IFNAME, name))
        };
        self.request(message, || format!("set {what} of link {name}"))
    }
}

fn parse_link(message: Received<'_>) -> Option<Link> {
    if message.kind != RTM_NEWLINK {
        return None;
    }
    let mut link = Link {
        index: u32_at(message.payload, 4)?,
        name: String::new(),
        up: u32_at(message.payload, 8)? & IFF_UP != 0,
        mtu: 0,
        master: None,
        address: Vec::new(),
    };
    for (kind, value) in attributes(message.payload.get(IFINFOMSG_LEN..)?) {
        match kind {
            IFLA_IFNAME => {
                link.name = String::from_utf8_lossy(value)
                    .trim_end_matches('\0')
                    .to_string();
            }
            IFLA_MTU => link.mtu = u32_at(value, 0)?,
            IFLA_MASTER => link.master = u32_at(value, 0),
            IFLA_ADDRESS => link.address = value.to_vec(),
            _ => {}
        }
    }
    Some(link)
}
