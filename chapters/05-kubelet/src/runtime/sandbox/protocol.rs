//! What the kubelet and a pod's shim say to each other: JSON and file descriptors, one message a
//! packet, over a `SOCK_SEQPACKET` socket in the pod's folder. One connection carries one request;
//! those that last (watch, exec, attach) end with their connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    bind, connect, listen, recv, recvmsg, sendmsg, socket_with,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::record::{Exit, SOCKET_FILE};

/// Longest message. The kernel's own limit for a packet (`net.core.wmem_max`) is near.
pub const MESSAGE_LEN_MAX: usize = 200 << 10;
/// Most file descriptors of a message: stdin, stdout, stderr.
const FDS_MAX: usize = 3;

/// What the kubelet asks a shim.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Tell me what runs, then of each end: [`Reply::Ready`], [`Reply::Exited`]….
    Watch,
    /// Start a container whose record is on disk: [`Reply::Done`] or [`Reply::Failed`].
    Start {
        /// Its id.
        container_id: String,
    },
    /// Send a signal to a container's first process: [`Reply::Done`] whether it lives or not.
    Signal {
        /// Its id.
        container_id: String,
        /// The signal's number.
        signal: i32,
    },
    /// Run a command in a container, with the three streams that come along, or with a terminal
    /// that [`Reply::Started`] brings: then [`Reply::ProcessExited`]. It is killed when the
    /// connection ends first.
    Exec {
        /// Id of the container.
        container_id: String,
        /// Program and arguments.
        command: Vec<String>,
        /// Give it a terminal.
        tty: bool,
    },
    /// Copy the container's output to the streams that come along; [`Reply::Started`] brings its
    /// stdin, or its terminal: then [`Reply::ProcessExited`].
    Attach {
        /// Id of the container.
        container_id: String,
        /// Bring its stdin.
        stdin: bool,
        /// A stream for its stdout comes along.
        stdout: bool,
        /// A stream for its stderr comes along, behind that for stdout.
        stderr: bool,
    },
    /// Bring a TCP socket of the pod's network: IPv4, then IPv6 ([`Reply::Done`]).
    Sockets,
    /// Forget an ended container: [`Reply::Done`].
    Remove {
        /// Its id.
        container_id: String,
    },
    /// Kill all that runs, and end: [`Reply::Done`].
    Stop,
}

/// What a shim answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The sandbox is up, and these containers run in it.
    Ready {
        /// Their ids.
        running: Vec<String>,
    },
    /// It is done.
    Done,
    /// It could not be done.
    Failed {
        /// Why.
        message: String,
    },
    /// The process runs; its stdin or terminal may come along.
    Started,
    /// The process has ended.
    ProcessExited {
        /// The code, or 128 + the signal's number.
        code: i32,
    },
    /// A container has ended.
    Exited {
        /// Its id.
        container_id: String,
        /// How.
        exit: Exit,
    },
}

/// The address of a pod's socket. A socket's path may have 107 bytes, which a folder deep in a
/// home easily exceeds: it is named through an open descriptor of its folder instead.
fn socket_address(dir: &Path) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(dir, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", fd.as_raw_fd());
    Ok((fd, SocketAddrUnix::new(path)?))
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Makes the socket that a pod's shim will listen on. The caller hands it to the shim, and may
/// connect at once.
pub fn listen_in(dir: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (_dir, address) = socket_address(dir)?;
    bind(&socket, &address)?;
    listen(&socket, 64)?;
    Ok(socket)
}

/// Connects to a pod's shim.
pub fn connect_in(dir: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    let (_dir, address) = socket_address(dir)?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// Sends a message with file descriptors. Does not wait: a peer that lets its buffer fill is gone.
pub fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(io::Error::new(
            io::ErrorKind::ArgumentListTooLong,
            "argument list too long",
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags)?;
    Ok(())
}

/// Receives a message with its file descriptors; `None` when the peer has closed.
pub fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    flags: RecvFlags,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    // Most are short: room for the longest would be memory to clear for nothing.
    let peek = flags | RecvFlags::PEEK | RecvFlags::TRUNC;
    let (_, len) = recv(&socket, &mut [0; 0], peek)?;
    if len > MESSAGE_LEN_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut bytes = vec![0; len.max(1)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        flags,
    )?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(Some((
        serde_json::from_slice(&bytes[..received.bytes])?,
        fds,
    )))
}
