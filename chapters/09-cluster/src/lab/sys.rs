//! The few system calls of the lab that Rust cannot check, each with why it is sound.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, FdFlags};
pub use rustix::thread::UnshareFlags;

/// Moves the calling thread into fresh namespaces of its own.
///
/// # Errors
/// What `unshare(2)` says: `EPERM` or `ENOSPC` where user namespaces are switched off or used up.
pub fn unshare(namespaces: UnshareFlags) -> Result<(), Errno> {
    assert!(
        !namespaces.contains(UnshareFlags::FILES),
        "descriptors stay shared between threads"
    );
    // SAFETY: only CLONE_FILES can make a descriptor mean different things to different threads,
    // and it was just ruled out; namespaces change no memory of this process.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}

/// Says whether children of this process are to inherit the descriptor `fd` under its number.
///
/// # Errors
/// `EBADF` when no such descriptor is open.
pub fn set_inherited(fd: RawFd, inherited: bool) -> Result<(), Errno> {
    // SAFETY: the borrow ends with this function; a number that is not open is answered with
    // EBADF by the kernel, and no other part of the lab closes descriptors by number.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_setfd(
        fd,
        if inherited {
            FdFlags::empty()
        } else {
            FdFlags::CLOEXEC
        },
    )
}

/// The network namespace of the calling thread, held open.
///
/// # Errors
/// When `/proc` is not there.
pub fn network_namespace() -> std::io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}
