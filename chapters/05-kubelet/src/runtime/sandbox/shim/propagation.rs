//! Mounts that go on telling each other what is mounted on them: `mountPropagation`.
//!
//! A new mount namespace begins as a copy of the node's, and a shared mount and its copy are peers:
//! what is mounted on one appears on the other. While a container's root is built that stays so:
//!
//! ```text
//!  the namespace's copy of              while the root is built      afterwards
//!  the pod's /dev/shm                   private: the root's place    gone
//!  everything else                      peers of the node's mounts   slaves, so that the node
//!                                                                    keeps its own; then gone
//!  a volume that propagates             copied to its place at once  a peer, or a slave
//!  another volume                       a copy, made private         private
//! ```
//!
//! At once: a copy without a place hears of nothing, and what another container mounts before it
//! has one would be missing for good.
//!
//! Upstream: runc `libcontainer/rootfs_linux.go` (`rootfsParentMountPrivate`, `pivotRoot`),
//! containerd `pkg/oci/mounts.go`, `ensureShared`.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::mount_bind_recursive;

use super::rootfs::{SetupResult, doing, through};
use crate::runtime::{Mount, Propagation};

/// Whether what is mounted there later can be heard of.
///
/// # Errors
/// When it cannot, in runc's and containerd's words.
pub fn check(mount: &Mount) -> SetupResult<()> {
    let path = &mount.host_path;
    let found = found(path)?;
    if mount.propagation == Propagation::Bidirectional {
        if !found.is_shared {
            return Err(found.is_not(path, "shared"));
        }
    } else if !found.is_shared && !found.is_slave {
        return Err(found.is_not(path, "shared or slave"));
    }
    Ok(())
}

/// Mounts what the node has there, as its peer.
pub fn place(mount: &Mount, target: &OwnedFd) -> SetupResult<()> {
    let path = &mount.host_path;
    mount_bind_recursive(path, through(target))
        .map_err(doing(format!("copying the mounts of {}", path.display())))
}

/// A mount, as `/proc/self/mountinfo` has it.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    mount_point: String,
    is_shared: bool,
    is_slave: bool,
}

impl Found {
    fn is_not(&self, path: &Path, what: &str) -> String {
        let (path, mount_point) = (path.display(), &self.mount_point);
        format!("path \"{path}\" is mounted on \"{mount_point}\" but it is not a {what} mount")
    }
}

/// The mount that a path is on.
fn found(path: &Path) -> SetupResult<Found> {
    let what = || format!("looking for the mount of {}", path.display());
    let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).map_err(doing(what()))?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(doing(what()))?;
    parse(&table, stat.stx_mnt_id).ok_or_else(what)
}

/// A line is: id, parent, device, root, mount point, options, what it propagates to and from, `-`, …
fn parse(table: &str, id: u64) -> Option<Found> {
    let id = id.to_string();
    let mut lines = table.lines().map(|line| line.split(' '));
    let mut fields = lines.find_map(|mut line| (line.next()? == id).then_some(line))?;
    let mount_point = fields.nth(3)?.to_owned();
    let tags: Vec<&str> = fields.skip(1).take_while(|field| *field != "-").collect();
    let tagged = |tag: &str| tags.iter().any(|it| it.starts_with(tag));
    Some(Found {
        mount_point,
        is_shared: tagged("shared:"),
        is_slave: tagged("master:"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_s_table() {
        let table = "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                     22 21 0:5 / /proc rw,nosuid - proc proc rw\n\
                     36 21 98:0 /a /mnt/b rw master:3 propagate_from:2 - ext3 /dev/root rw\n";
        let said = |id| {
            let found = parse(table, id)?;
            Some((found.mount_point, found.is_shared, found.is_slave))
        };
        assert_eq!(said(21), Some(("/".to_owned(), true, false)));
        assert_eq!(said(22), Some(("/proc".to_owned(), false, false)));
        assert_eq!(said(36), Some(("/mnt/b".to_owned(), false, true)));
        assert_eq!(said(2), None);
    }
}
