//! Connections the kernel tracks: which there are, and forgetting one.
//!
//! A translated UDP "connection" lives as long as packets keep coming, so a client that goes on
//! sending from one port to a Service would be sent to a pod that is long gone. Who takes an
//! endpoint away forgets its flows; the next packet is balanced anew.
//!
//! Kernel interface: `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::net::RecvFlags;

use super::NftSocket;
use super::attr::{Header, Writer};
use super::encode::FAMILY_IPV4;
use crate::Result;
use crate::message::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, attributes, messages};

const SUBSYSTEM_CONNTRACK: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;

/// A tracked connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Number of the transport protocol.
    pub protocol: u8,
    /// Where the client sent it: a Service's address.
    pub destination: SocketAddrV4,
    /// Who answers: the endpoint it was translated to.
    pub endpoint: SocketAddrV4,
    /// The kernel's own description of the client's direction, which names the connection.
    original: Vec<u8>,
}

impl NftSocket {
    /// Every tracked IPv4 connection of the socket's network namespace.
    ///
    /// # Errors
    /// When the kernel does not track connections, or the socket fails.
    pub fn flows(&self) -> Result<Vec<Flow>> {
        self.send(&request(GET, NLM_F_DUMP, |_| {}))?;
        let mut flows = Vec::new();
        while let Some(datagram) = self.receive(RecvFlags::empty())? {
            for message in messages(&datagram) {
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return Ok(flows),
                    _ => flows.extend(message.payload.get(4..).and_then(parse)),
                }
            }
        }
        Ok(flows)
    }

    /// Forgets a connection: its next packet makes a new one. One that is gone already is fine.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn forget(&self, flow: &Flow) -> Result<()> {
        self.send(&request(DELETE, 0, |w| {
            w.nested(TUPLE_ORIGINAL, |w| w.raw(&flow.original));
        }))?;
        // The only answer could be that it does not exist.
        while self.receive(RecvFlags::DONTWAIT)?.is_some() {}
        Ok(())
    }
}

fn request(message: u16, flags: u16, body: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let kind = SUBSYSTEM_CONNTRACK << 8 | message;
    let flags = NLM_F_REQUEST | flags;
    let mut writer = Writer::default();
    let header = Header {
        kind,
        flags,
        sequence: 1,
        family: FAMILY_IPV4,
        resource: 0,
    };
    writer.message(header, body);
    writer.finish()
}

fn parse(message: &[u8]) -> Option<Flow> {
    let tuple = |kind| {
        attributes(message)
            .find(|(other, _)| *other == kind)
            .map(|(_, v)| v)
    };
    let original = tuple(TUPLE_ORIGINAL)?;
    let (protocol, _, destination) = ends(original)?;
    let (_, endpoint, _) = ends(tuple(TUPLE_REPLY)?)?;
    Some(Flow {
        protocol,
        destination,
        endpoint,
        original: original.to_vec(),
    })
}

/// Protocol, source and destination of one direction.
fn ends(tuple: &[u8]) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
    let inside = |bytes, kind| -> Option<&[u8]> {
        attributes(bytes)
            .find(|(other, _)| *other == kind)
            .map(|(_, value)| value)
    };
    let (addresses, protocol) = (inside(tuple, 1)?, inside(tuple, 2)?);
    let address = |kind| {
        Some(Ipv4Addr::from(
            <[u8; 4]>::try_from(inside(addresses, kind)?).ok()?,
        ))
    };
    // ICMP has no ports.
    let port = |kind| {
        let bytes = inside(protocol, kind).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u16::from_be_bytes)
    };
    let number = *inside(protocol, 1)?.first()?;
    let source = SocketAddrV4::new(address(1)?, port(2));
    Some((number, source, SocketAddrV4::new(address(2)?, port(3))))
}
