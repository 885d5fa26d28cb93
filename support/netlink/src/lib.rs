//! Links, addresses, routes and nftables over netlink, without the `ip` and `nft` programs.
//!
//! Netlink is how a Linux program talks to the kernel's network stack: a datagram socket, requests
//! and replies made of a fixed header and a tail of typed attributes, and an error number for an
//! answer. This crate is the small part of it that a node needs:
//!
//! | module | what it speaks of | kernel header |
//! | --- | --- | --- |
//! | [`message`] | the wire: headers, attributes, nesting | `linux/netlink.h` |
//! | [`socket`] | send, receive, acknowledge, dump | `linux/netlink.h` |
//! | [`link`] | bridges, veth pairs, up, MTU, namespaces | `linux/if_link.h` |
//! | [`addr`] | addresses of a link | `linux/if_addr.h` |
//! | [`route`] | routes of a namespace | `linux/rtnetlink.h` |
//! | [`nft`] | nftables tables as data, and connection tracking | `linux/netfilter/nf_tables.h` |
//! | [`netns`] | network namespaces, and running code in one | `setns(2)` |
//!
//! All of it is synchronous: a request is answered by the kernel before `sendmsg` returns, so
//! there is nothing to wait for.
//!
//! A netlink socket belongs to the network namespace of the thread that opened it, and stays there
//! whatever that thread does later. That is how one process builds both ends of a veth pair: it
//! opens a socket, moves to a new namespace, and opens a second one.
//!
//! Left out: neighbours, rules, traffic control, notifications. Upstream leaves this work to CNI
//! plugins (`containernetworking/plugins`) and the Go package `vishvananda/netlink`.

pub mod addr;
pub mod link;
pub mod message;
pub mod netns;
pub mod nft;
pub mod route;
pub mod socket;

pub use message::Message;
pub use socket::Netlink;

use rustix::io::Errno;

/// Why the kernel did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket itself failed.
    #[error("netlink socket: {0}")]
    Socket(#[from] Errno),
    /// The kernel refused a request.
    #[error("{what}: {errno}")]
    Refused {
        /// What was asked for, as a person would say it.
        what: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// What was asked about is not there.
    #[error("{0} not found")]
    NotFound(String),
    /// A reply that cannot be read.
    #[error("malformed netlink reply")]
    Malformed,
}

impl Error {
    /// The kernel's error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Socket(errno) | Error::Refused { errno, .. } => Some(*errno),
            Error::NotFound(_) | Error::Malformed => None,
        }
    }

    /// The thing to be made is there already.
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EXIST)
    }

    /// The thing to be changed or removed is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound(_))
            || matches!(
                self.errno(),
                Some(Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL)
            )
    }
}

/// Result of a request to the kernel.
pub type Result<T> = std::result::Result<T, Error>;
