//! The kubelet's end of a shim's socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::RecvFlags;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;

use super::protocol::{self, Reply, Request};
use super::sys;
use crate::runtime::{Result, RuntimeError};

/// A connection that carries one request.
pub struct Connection {
    socket: AsyncFd<OwnedFd>,
}

impl Connection {
    /// Connects to the shim of the sandbox in that folder.
    ///
    /// # Errors
    /// As `connect(2)`: nobody listens when the shim is gone.
    pub fn open(sandbox_dir: &Path) -> io::Result<Self> {
        let socket = protocol::connect_in(sandbox_dir)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Connection {
            socket: sys::async_fd(socket)?,
        })
    }

    /// Sends the request.
    ///
    /// # Errors
    /// As `sendmsg(2)`; `ArgumentListTooLong` for a command that does not fit a packet.
    pub fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        protocol::send(self.socket.get_ref().as_fd(), request, fds)
    }

    /// The next message; `None` when the shim has closed.
    ///
    /// # Errors
    /// As `recvmsg(2)`.
    pub async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.socket.readable().await?;
            let received = ready
                .try_io(|socket| protocol::receive(socket.get_ref().as_fd(), RecvFlags::DONTWAIT));
            match received {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }
}

/// Asks a shim for one thing.
///
/// # Errors
/// [`RuntimeError::Other`] with the shim's reason, or [`RuntimeError::NotFound`] when it is gone.
pub async fn call(sandbox_dir: &Path, request: Request) -> Result<Vec<OwnedFd>> {
    let (_, _, fds) = open(sandbox_dir, request, &[]).await?;
    Ok(fds)
}

/// Asks a shim for something, and keeps the connection.
///
/// # Errors
/// As [`call`].
pub async fn open(
    sandbox_dir: &Path,
    request: Request,
    fds: &[BorrowedFd<'_>],
) -> Result<(Connection, Reply, Vec<OwnedFd>)> {
    let gone = |_| RuntimeError::NotFound("sandbox".into());
    let connection = Connection::open(sandbox_dir).map_err(gone)?;
    connection
        .send(&request, fds)
        .map_err(|error| RuntimeError::Other(error.to_string()))?;
    match connection.receive().await {
        Ok(Some((Reply::Failed { message }, _))) => Err(RuntimeError::Other(message)),
        Ok(Some((reply, fds))) => Ok((connection, reply, fds)),
        Ok(None) => Err(RuntimeError::NotFound("sandbox".into())),
        Err(error) => Err(RuntimeError::Other(format!("shim: {error}"))),
    }
}
