//! Trees of mounts: copied, mapped to a pod's users, put in their place.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::super::super::sys;
use super::super::users::Users;

/// Mounts a copy of the tree at `source` on what `target` refers to.
pub(super) fn attach(
    source: &Path,
    target: &OwnedFd,
    read_only: bool,
    users: Option<Users<'_>>,
) -> io::Result<()> {
    let tree = clone(source)?;
    sys::set_mount_private(&tree, read_only)?;
    map(&tree, read_only, users)?;
    put(&tree, target)
}

/// Shows files as the pod's, if it has users of its own. A file system that cannot do this (an
/// overlay, as images are) is shown as it is where it cannot be written: its files belong to nobody
/// then, and are read as others may.
pub(super) fn map(tree: &OwnedFd, read_only: bool, users: Option<Users<'_>>) -> io::Result<()> {
    let Some(users) = users else { return Ok(()) };
    match users.map(tree) {
        Err(error) if read_only && error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        mapped => mapped,
    }
}

/// A copy of a tree of mounts, in no place yet, that has nothing to do with the tree any more.
pub(super) fn copy(source: &Path) -> io::Result<OwnedFd> {
    let tree = clone(source)?;
    sys::set_mount_private(&tree, false)?;
    Ok(tree)
}

/// A copy of a tree of mounts, in no place yet: peers of what they are copies of.
pub(super) fn clone(source: &Path) -> io::Result<OwnedFd> {
    // Recursive always: the kernel does not let a user namespace take a mount apart from those
    // that cover parts of it.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, source, flags)?)
}

pub(super) fn put(tree: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", target, "", flags)?)
}
