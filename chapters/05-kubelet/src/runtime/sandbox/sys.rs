//! The system calls that no safe wrapper offers. The only unsafe code of the sandbox.
//!
//! All of them are for the shim, which is one thread: what a `fork` in a program with threads
//! may not do (allocate, lock) its children may.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use tokio::io::unix::AsyncFd;

use super::seccomp::{Instruction, Program};

/// Moves this process to new namespaces.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only `FILES` can take something from another thread, and nobody asks for it.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Makes a child process, in new namespaces if asked; `None` is the child.
///
/// The C library's `fork` is passed by because it takes no flags; its hooks are for threads.
pub fn fork(namespaces: UnshareFlags) -> io::Result<Option<Pid>> {
    debug_assert!(!namespaces.intersects(UnshareFlags::FILES | UnshareFlags::FS));
    let flags = libc::c_long::from(namespaces.bits()) | libc::c_long::from(libc::SIGCHLD);
    // SAFETY: without CLONE_VM the child has memory of its own, and a stack of null means that it
    // goes on using its copy of this one. The process is one thread (see the module's comment).
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(pid) {
        Ok(0) => Ok(None),
        Ok(pid) if pid > 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once: nothing that its parent's copy of the memory had in mind for the
/// end of the program is run.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: does not return, touches no memory.
    unsafe { libc::_exit(code) }
}

/// Holds back SIGCHLD and returns a file descriptor that tells of it instead.
pub fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by `sigemptyset` before it is read; the descriptor that
    // `signalfd` returns is new and owned by nobody else.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

/// Gives every signal its default meaning and holds none back, as a new program expects.
pub fn reset_signals() {
    // SAFETY: `SIG_DFL` runs no code of ours; numbers that may not be changed are refused.
    unsafe {
        for number in 1..=64 {
            libc::signal(number, libc::SIG_DFL);
        }
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Kills all processes that this one may kill, but itself: as the first of a process namespace,
/// all of it.
pub fn kill_all_others() -> io::Result<()> {
    debug_assert!(rustix::process::getpid() == Pid::INIT);
    // SAFETY: takes numbers only.
    let result = unsafe { libc::kill(-1, libc::SIGKILL) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes these this process's stdin, stdout and stderr.
pub fn set_stdio(streams: [BorrowedFd<'_>; 3]) -> io::Result<()> {
    for (number, stream) in (0..).zip(streams) {
        // SAFETY: replaces the standard streams of a process that is about to become another
        // program; nothing of ours owns those three numbers.
        if unsafe { libc::dup2(stream.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Marks all file descriptors from `first` on to be closed by `exec`.
pub fn close_on_exec_from(first: u32) {
    // SAFETY: takes numbers only. A kernel that does not know it leaves the flags that each
    // descriptor was opened with, and all of ours are opened close-on-exec.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
}

/// Gives this process a seccomp filter, for good.
pub fn set_filter(program: &Program) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .instructions
        .iter()
        .map(|&Instruction(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let description = libc::sock_fprog {
        len: filter.len().try_into().map_err(too_long)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, of the length that it is told, and checks it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            program.flags,
            &raw const description,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has this process make files as that user and group, who may do what it may itself.
pub fn set_file_owner(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
    }
    // A user who is not root loses what root may do with files.
    let mut held = rustix::thread::capabilities(None)?;
    held.effective = held.permitted;
    Ok(rustix::thread::set_capabilities(None, held)?)
}

/// Makes a mount read-only, with all that is mounted below it if asked.
pub fn set_mount_read_only(mount: impl AsFd, recursive: bool) -> io::Result<()> {
    set_mount(mount, libc::MOUNT_ATTR_RDONLY, 0, recursive)
}

/// Lets a mount, and all below it, see what is mounted on its peers, and these not what is mounted
/// on it.
pub fn set_mount_slave(mount: impl AsFd) -> io::Result<()> {
    set_mount(mount, 0, libc::MS_SLAVE, true)
}

/// Ends that a mount, and all below it, hears of others and others of it; makes all of it
/// read-only if asked.
pub fn set_mount_private(mount: impl AsFd, read_only: bool) -> io::Result<()> {
    let attributes = if read_only {
        libc::MOUNT_ATTR_RDONLY
    } else {
        0
    };
    set_mount(mount, attributes, libc::MS_PRIVATE, true)
}

/// Makes a mount, which nobody has used yet, show its files as those of a user namespace. Not what
/// is mounted below it: that may be of a kind that cannot.
pub fn set_mount_users(mount: impl AsFd, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let userns_fd = u64::try_from(namespace.as_raw_fd());
    let userns_fd = userns_fd.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd,
    };
    mount_setattr(mount, &attributes, false)
}

fn set_mount(mount: impl AsFd, attr_set: u64, propagation: u64, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set,
        attr_clr: 0,
        propagation,
        userns_fd: 0,
    };
    mount_setattr(mount, &attributes, recursive)
}

fn mount_setattr(
    mount: impl AsFd,
    attributes: &libc::mount_attr,
    recursive: bool,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a constant, and the kernel reads as many bytes of `attributes` as it is
    // told there are.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Watches a descriptor for readiness; for the kubelet, not for the shim.
pub fn async_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is the same descriptor from its making to its drop, which is what
    // tokio asks of what it watches.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}
