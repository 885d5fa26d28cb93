//! Network namespaces: making one, and running code in one.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::Result;

/// The namespace of the calling thread.
///
/// # Errors
/// As `open(2)`.
pub fn current() -> Result<OwnedFd> {
    let file = File::open("/proc/thread-self/ns/net");
    file.map(OwnedFd::from)
        .map_err(|error| errno(&error).into())
}

/// A new namespace, empty but for a loopback link that is down. It lives as long as the file
/// descriptor, a process, a mount or another namespace's link holds it.
///
/// # Errors
/// As `unshare(2)`.
pub fn create() -> Result<OwnedFd> {
    on_scratch_thread(|| {
        unshare_network()?;
        current()
    })
}

/// Runs `f` on a thread of its own that is in the namespace. What it opens stays there: sockets,
/// [`crate::Netlink`].
///
/// # Errors
/// As `setns(2)`; the rest is `f`'s own result.
pub fn in_netns<T: Send>(netns: impl AsFd + Sync, f: impl FnOnce() -> T + Send) -> Result<T> {
    let netns = netns.as_fd();
    on_scratch_thread(move || {
        move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
        Ok(f())
    })
}

/// Runs `f` on a thread that ends with it, so that no other code finds itself in a namespace
/// that it did not choose.
fn on_scratch_thread<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| match scope.spawn(f).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Moves the calling thread to a new network namespace.
///
/// # Errors
/// As `unshare(2)`.
#[allow(unsafe_code)]
pub fn unshare_network() -> Result<()> {
    // SAFETY: only `FILES` can break what other threads rely on; file descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

fn errno(error: &std::io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO)
}
