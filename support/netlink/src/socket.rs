//! A netlink socket: requests that are acknowledged, dumps that are read to their end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto,
    socket_with,
};

use crate::message::{
    HEADER_LEN, Message, NLM_F_ACK, NLMSG_DONE, NLMSG_ERROR, Received, messages, u32_at,
};
use crate::{Error, Result};

/// Longest datagram that the kernel sends in answer to a dump.
const RECEIVE_LEN: usize = 64 << 10;

/// A socket in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket for links, addresses and routes (`NETLINK_ROUTE`).
    ///
    /// # Errors
    /// As `socket(2)`.
    pub fn open() -> Result<Self> {
        Self::open_protocol(None)
    }

    /// Opens a socket of another netlink family (`NETLINK_NETFILTER`).
    ///
    /// # Errors
    /// As `socket(2)`.
    pub fn open_protocol(protocol: Option<Protocol>) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        Ok(Netlink { fd, sequence: 0 })
    }

    /// A number for the next message, never zero.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends a request and waits for its acknowledgement. `what` names it in the error.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason.
    pub fn request(
        &mut self,
        message: impl FnOnce(u16) -> Message,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        let sequence = self.next_sequence();
        self.send(&message(NLM_F_ACK).encode(sequence))?;
        match self.receive_until_end(sequence, |_| {}) {
            Ok(()) => Ok(()),
            Err(errno) => Err(Error::Refused {
                what: what(),
                errno,
            }),
        }
    }

    /// Sends a request for many things and calls `each` for every one.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason.
    pub fn dump(
        &mut self,
        message: Message,
        what: impl FnOnce() -> String,
        each: impl FnMut(Received<'_>),
    ) -> Result<()> {
        let sequence = self.next_sequence();
        self.send(&message.encode(sequence))?;
        let read = self.receive_until_end(sequence, each);
        read.map_err(|errno| Error::Refused {
            what: what(),
            errno,
        })
    }

    /// Sends encoded messages as one datagram.
    ///
    /// # Errors
    /// As `sendto(2)`.
    pub fn send(&self, datagram: &[u8]) -> Result<()> {
        let kernel = netlink::SocketAddrNetlink::new(0, 0);
        sendto(&self.fd, datagram, SendFlags::empty(), &kernel)?;
        Ok(())
    }

    /// Receives one datagram into `buffer`; its length.
    ///
    /// # Errors
    /// As `recv(2)`; `EMSGSIZE` if the buffer is too small for it.
    pub fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<usize> {
        let capacity = buffer.len();
        let (_, len) = recv(&self.fd, buffer, flags | RecvFlags::TRUNC)?;
        if len > capacity {
            Err(Error::Socket(Errno::MSGSIZE))
        } else {
            Ok(len)
        }
    }

    /// Reads up to the acknowledgement, error or end of dump that answers `sequence`.
    fn receive_until_end(
        &self,
        sequence: u32,
        mut each: impl FnMut(Received<'_>),
    ) -> std::result::Result<(), Errno> {
        let mut buffer = vec![0; RECEIVE_LEN];
        loop {
            let len = match self.receive(&mut buffer, RecvFlags::empty()) {
                Ok(len) => len,
                Err(error) => match error.errno() {
                    Some(Errno::INTR) => continue,
                    errno => return Err(errno.unwrap_or(Errno::IO)),
                },
            };
            for message in messages(&buffer[..len]).filter(|m| m.sequence == sequence) {
                match message.kind {
                    NLMSG_ERROR => return acknowledged(message.payload),
                    NLMSG_DONE => return Ok(()),
                    _ => each(message),
                }
            }
            // A datagram without a whole message answers nothing, and nothing will follow it.
            if len < HEADER_LEN {
                return Err(Errno::BADMSG);
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a `struct nlmsgerr` says: a negated error number, zero for success.
pub fn acknowledged(payload: &[u8]) -> std::result::Result<(), Errno> {
    match u32_at(payload, 0).map(|code| code.cast_signed()) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(code.wrapping_neg())),
        None => Err(Errno::BADMSG),
    }
}
