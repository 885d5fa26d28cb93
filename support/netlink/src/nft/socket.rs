//! The netlink socket that carries batches to the kernel's nf_tables.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
    sockopt,
};

use super::{Op, encode};
use crate::message::{NLMSG_ERROR, messages, u32_at};
use crate::{Error, Result};

/// A socket of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct NftSocket {
    fd: OwnedFd,
}

impl NftSocket {
    /// Opens a socket to nf_tables of this thread's network namespace.
    ///
    /// # Errors
    /// When the kernel has no netfilter netlink.
    pub fn open() -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::RAW;
        let fd = socket_with(
            AddressFamily::NETLINK,
            kind,
            flags,
            Some(netlink::NETFILTER),
        )?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        Ok(NftSocket { fd })
    }

    /// Carries out all of `ops` at once, or none of them.
    ///
    /// # Errors
    /// [`Error::Refused`] with the first operation that the kernel refused.
    pub fn apply(&self, ops: &[Op<'_>]) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        let (batch, owners) = encode(ops);
        self.make_room(batch.len());
        self.send(&batch)?;
        let operation = |sequence: u32| {
            let owner = owners.get(sequence as usize).copied().unwrap_or_default();
            ops[owner].to_string()
        };
        match self.first_error()? {
            Some((sequence, errno)) => Err(Error::Refused {
                what: operation(sequence),
                errno,
            }),
            None => Ok(()),
        }
    }

    /// A batch is one datagram, and has to fit into the socket's buffer with the kernel's
    /// bookkeeping; beyond the machine's usual limit this takes CAP_NET_ADMIN, which who writes
    /// rules has. If it fails, sending says so.
    fn make_room(&self, bytes: usize) {
        let wanted = 2 * bytes + 64 * 1024;
        if sockopt::socket_send_buffer_size(&self.fd).is_ok_and(|size| size >= wanted) {
            return;
        }
        if sockopt::set_socket_send_buffer_size_force(&self.fd, wanted).is_err() {
            let _best_effort = sockopt::set_socket_send_buffer_size(&self.fd, wanted);
        }
    }

    pub(super) fn send(&self, datagram: &[u8]) -> Result<()> {
        Ok(send(&self.fd, datagram, SendFlags::empty()).map(drop)?)
    }

    /// Errors are queued before `send` returns, and success without a request for an
    /// acknowledgement is silence: what can be read now is all there will be.
    fn first_error(&self) -> Result<Option<(u32, Errno)>> {
        let mut first = None;
        while let Some(datagram) = self.receive(RecvFlags::DONTWAIT)? {
            for message in messages(&datagram).filter(|message| message.kind == NLMSG_ERROR) {
                let code = u32_at(message.payload, 0).map_or(0, u32::cast_signed);
                // Behind the code comes the header of the message that failed; its sequence
                // number is 8 bytes into it.
                let failed = u32_at(message.payload, 12).unwrap_or_default();
                if code != 0 && first.is_none() {
                    first = Some((failed, Errno::from_raw_os_error(-code)));
                }
            }
        }
        Ok(first)
    }

    /// One datagram; `None` when there is none and `flags` say not to wait.
    pub(super) fn receive(&self, flags: RecvFlags) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match recv(&self.fd, buffer.as_mut_slice(), flags) {
                Ok((_, length)) => {
                    buffer.truncate(length);
                    return Ok(Some(buffer));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
