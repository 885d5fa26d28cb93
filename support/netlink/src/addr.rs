//! Addresses: what `ip address` shows and changes.

use std::net::IpAddr;

use crate::message::{
    Message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, Received, attributes, u32_at,
};
use crate::{Netlink, Result};

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const IFA_F_NODAD: u8 = 0x02;

/// Bytes of `struct ifaddrmsg`.
const IFADDRMSG_LEN: usize = 8;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Number of the link.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Bits of its network.
    pub prefix_len: u8,
}

/// `AF_INET` or `AF_INET6`, and the address's bytes.
pub(crate) fn family_and_bytes(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    }
}

/// The address that four or sixteen bytes spell.
pub(crate) fn ip_from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

impl Netlink {
    /// Gives a link (its index) an address; no error if it has it already.
    ///
    /// # Errors
    /// [`crate::Error::Refused`].
    pub fn add_address(&mut self, index: u32, ip: IpAddr, prefix_len: u8) -> Result<()> {
        let message = |flags| {
            let message = address_message(
                RTM_NEWADDR,
                flags | NLM_F_CREATE | NLM_F_REPLACE,
                index,
                ip,
                prefix_len,
            );
            match broadcast(ip, prefix_len) {
                Some(broadcast) => message.attr(IFA_BROADCAST, &broadcast),
                None => message,
            }
        };
        self.request(message, || {
            format!("add address {ip}/{prefix_len} to link {index}")
        })
    }

    /// Takes an address from a link (its index).
    ///
    /// # Errors
    /// [`crate::Error::Refused`]; see [`crate::Error::is_not_found`].
    pub fn delete_address(&mut self, index: u32, ip: IpAddr, prefix_len: u8) -> Result<()> {
        let message = |flags| address_message(RTM_DELADDR, flags, index, ip, prefix_len);
        self.request(message, || {
            format!("delete address {ip}/{prefix_len} of link {index}")
        })
    }

    /// All addresses of the namespace.
    ///
    /// # Errors
    /// [`crate::Error::Refused`].
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        let message = Message::new(RTM_GETADDR, NLM_F_DUMP).fixed(&[0; IFADDRMSG_LEN]);
        let mut addresses = Vec::new();
        self.dump(
            message,
            || "list addresses".into(),
            |m| addresses.extend(parse(m)),
        )?;
        Ok(addresses)
    }
}

fn address_message(kind: u16, flags: u16, index: u32, ip: IpAddr, prefix_len: u8) -> Message {
    let (family, bytes) = family_and_bytes(ip);
    // Without duplicate detection: nobody else hands out this network's addresses, and an IPv6
    // address would be of no use for the second that the detection takes.
    let own_flags = if family == 10 { IFA_F_NODAD } else { 0 };
    let mut fixed = [family, prefix_len, own_flags, 0, 0, 0, 0, 0];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    Message::new(kind, flags)
        .fixed(&fixed)
        .attr(IFA_LOCAL, &bytes)
        .attr(IFA_ADDRESS, &bytes)
}

fn broadcast(ip: IpAddr, prefix_len: u8) -> Option<[u8; 4]> {
    match ip {
        IpAddr::V4(ip) if prefix_len < 31 => {
            Some((u32::from(ip) | (u32::MAX >> prefix_len)).to_be_bytes())
        }
        _ => None,
    }
}

fn parse(message: Received<'_>) -> Option<Address> {
    if message.kind != RTM_NEWADDR {
        return None;
    }
    let prefix_len = *message.payload.get(1)?;
    let index = u32_at(message.payload, 4)?;
    let attrs: Vec<_> = attributes(message.payload.get(IFADDRMSG_LEN..)?).collect();
    let of_kind = |wanted| {
        attrs
            .iter()
            .find(|(kind, _)| *kind == wanted)
            .map(|(_, v)| *v)
    };
    // On a point-to-point link IFA_ADDRESS is the far end's; IFA_LOCAL is missing for IPv6.
    let ip = ip_from_bytes(of_kind(IFA_LOCAL).or_else(|| of_kind(IFA_ADDRESS))?)?;
    Some(Address {
        index,
        ip,
        prefix_len,
    })
}
