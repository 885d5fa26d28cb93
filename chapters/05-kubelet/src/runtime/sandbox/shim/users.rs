//! A pod's own users (`hostUsers: false`): a user namespace, and who is who in it.
//!
//! ```text
//!  node's users   0 … 65535        131072 … 196607
//!                 │                │
//!  the shim, the root's files      what the pod's processes are: 0 … 65535 in the pod
//! ```
//!
//! The shim stays the node's root, and so does each container until its root is built: only then
//! does it enter the namespace, as the last step but for its capabilities. The pod's network, IPC
//! and host name belong to the namespace from the start, so that a capability in the pod counts
//! for them; its mounts, as the node's root made them, are copied for the namespace, which locks
//! every one of them.
//!
//! Files stay who they belong to on disk. A mount that is mapped shows them as the pod's: user 0 on
//! disk is user 0 in the pod.
//!
//! Upstream: runc `libcontainer/nsenter`, `rootfs_linux.go` (idmapped mounts); Linux
//! `Documentation/filesystems/idmappings.rst`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, pidfd_open, set_dumpable_behavior};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
    move_into_thread_name_spaces, set_thread_gid, set_thread_groups, set_thread_uid,
};

use super::super::sys;
use super::process::reap;
use super::rootfs::{SetupResult, doing};
use crate::runtime::UserRange;

/// The first kernel whose tmpfs can be mapped, which volumes are. Upstream:
/// `pkg/util/kernel/constants.go`.
const KERNEL_MIN: (u32, u32) = (6, 3);

/// The users of a pod.
#[derive(Debug, Clone, Copy)]
pub struct Users<'a> {
    /// Their namespace.
    pub namespace: BorrowedFd<'a>,
    /// Which of the node's they are.
    pub range: UserRange,
}

impl Users<'_> {
    /// Who that user or group of the pod is on the node.
    pub fn on_node(&self, id: u32) -> u32 {
        self.range.host_id + id
    }

    /// Makes this process one of the namespace, its root. What it may do on the node is over.
    pub fn enter(&self) -> SetupResult<()> {
        let steps = || -> io::Result<()> {
            // A process of the pod that may trace others must not take over one that still has in
            // memory what only the node knows.
            set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
            move_into_link_name_space(self.namespace, Some(LinkNameSpaceType::User))?;
            set_thread_groups(&[])?;
            set_thread_gid(rustix::process::Gid::ROOT)?;
            Ok(set_thread_uid(rustix::process::Uid::ROOT)?)
        };
        steps().map_err(doing("entering the pod's user namespace"))
    }

    /// Makes a file or folder that the pod's root owns, wherever it is: a mount that is mapped takes
    /// none from the node's root, who is nobody there.
    pub fn own(&self, make: impl FnOnce() -> rustix::io::Result<()>) -> io::Result<()> {
        let root = self.on_node(0);
        sys::set_file_owner(root, root)?;
        let made = make();
        sys::set_file_owner(0, 0)?;
        Ok(made?)
    }

    /// Makes a mount, in no place yet, show its files as the pod's.
    pub fn map(&self, mount: impl AsFd) -> io::Result<()> {
        sys::set_mount_users(mount, self.namespace)
    }
}

/// Makes a user namespace, and in it the other namespaces that are asked for; this process moves
/// to these, and stays who it is.
pub fn unshare(range: UserRange, namespaces: UnshareFlags) -> SetupResult<OwnedFd> {
    let (gate, far_gate) = pipe_with(PipeFlags::CLOEXEC).map_err(doing("making a pipe"))?;
    let what = "making the pod's user namespace";
    let Some(pid) = sys::fork(UnshareFlags::NEWUSER | namespaces).map_err(doing(what))? else {
        // Its namespaces are all that this process is for: it ends when the pipe does.
        drop(far_gate);
        let _ = rustix::io::read(&gate, &mut [0; 1]);
        sys::exit_now(0);
    };
    let taken = take(pid, range, namespaces).map_err(doing(what));
    drop(far_gate);
    reap(pid);
    taken
}

/// Says who is who in a new process's user namespace, and moves to its other namespaces.
fn take(pid: Pid, range: UserRange, namespaces: UnshareFlags) -> io::Result<OwnedFd> {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let UserRange { host_id, length } = range;
    let map = format!("0 {host_id} {length}");
    std::fs::write(format!("{process}/uid_map"), &map)?;
    std::fs::write(format!("{process}/gid_map"), &map)?;
    let users = File::open(format!("{process}/ns/user"))?;
    let mut others = ThreadNameSpaceType::empty();
    for (flag, kind) in [
        (UnshareFlags::NEWNET, ThreadNameSpaceType::NETWORK),
        (
            UnshareFlags::NEWIPC,
            ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
        ),
        (
            UnshareFlags::NEWUTS,
            ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
        ),
    ] {
        others.set(kind, namespaces.contains(flag));
    }
    if !others.is_empty() {
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        move_into_thread_name_spaces(process.as_fd(), others)?;
    }
    Ok(users.into())
}

/// Whether pods can have users of their own: whether the kernel maps what is in these folders,
/// which is where all that a pod sees comes from.
pub fn probe(folders: &[&Path]) -> SetupResult<()> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    if kernel(&release).is_none_or(|version| version < KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        return Err(format!("Linux {release} is older than {major}.{minor}"));
    }
    let range = UserRange {
        host_id: crate::decide::users::IDS_PER_POD,
        length: crate::decide::users::IDS_PER_POD,
    };
    let namespace = unshare(range, UnshareFlags::empty())?;
    let users = Users {
        namespace: namespace.as_fd(),
        range,
    };
    for folder in folders {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let what = || format!("mapping {}", folder.display());
        let tree = open_tree(CWD, *folder, flags).map_err(doing(what()))?;
        users.map(tree).map_err(doing(what()))?;
    }
    Ok(())
}

/// `6.12.3-arch` is `(6, 12)`.
fn kernel(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_as_numbers() {
        assert_eq!(kernel("6.12.3-arch1"), Some((6, 12)));
        assert_eq!(kernel("5.4.0-generic"), Some((5, 4)));
        assert_eq!(kernel("6.3-rc1"), Some((6, 3)));
        assert_eq!(kernel("mine"), None);
    }
}
