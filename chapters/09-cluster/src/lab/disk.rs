//! Whether the disk has room for nodes: a kubelet whose disk is nearly full takes no pods.

use std::path::Path;

use super::Error;

/// A node with less of its disk free has `DiskPressure`. Upstream's kubelet keeps a tenth of a disk,
/// which is its machine's; a lab is a guest on a reader's, whose disk may well be that full: an
/// amount is left, so that a pod cannot fill it. (kind leaves nothing.)
const RESERVE_BYTES: u64 = 1 << 30;
/// Likewise of its inodes.
const RESERVE_INODES: u64 = 10_000;

/// What a lab's kubelets leave free, as their flag `--eviction-hard` has it. Memory: the default.
pub fn eviction_hard() -> String {
    format!(
        "memory.available<100Mi,nodefs.available<{RESERVE_BYTES},nodefs.inodesFree<{RESERVE_INODES}"
    )
}

/// What helps.
pub const FIX: &str = "free some, or set WORKSHOP_HOME to a folder with more";

/// What there is of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    available_bytes: u64,
    inodes_free: u64,
    /// 0 where the file system makes them as it needs them.
    inodes: u64,
}

impl Disk {
    /// The disk that a folder is on, or will be. `None` if that cannot be told.
    pub fn of(folder: &Path) -> Option<Disk> {
        let mut above = folder.ancestors();
        let there = above.find(|dir| dir.exists()).unwrap_or(Path::new("/"));
        let space = rustix::fs::statvfs(there).ok()?;
        Some(Disk {
            available_bytes: space.f_bavail * space.f_frsize,
            inodes_free: space.f_favail,
            inodes: space.f_files,
        })
    }

    /// Bytes that are free.
    pub fn available_bytes(&self) -> u64 {
        self.available_bytes
    }

    /// Why nodes on this disk would have `DiskPressure`; `None` if they would not.
    pub fn shortage(&self) -> Option<String> {
        let (free, least) = (self.available_bytes >> 20, RESERVE_BYTES >> 20);
        if self.available_bytes < RESERVE_BYTES {
            return Some(format!(
                "{free} MiB of the disk are free, and below {least} MiB a node has DiskPressure and \
                 takes no pods"
            ));
        }
        // A file system that makes inodes as it needs them says that it has none.
        let short = self.inodes > 0 && self.inodes_free < RESERVE_INODES;
        short.then(|| {
            format!(
                "{} of the disk's inodes are free, and below {RESERVE_INODES} a node has \
                 DiskPressure and takes no pods",
                self.inodes_free
            )
        })
    }
}

/// Refuses a lab whose nodes would take no pods: it would never be up.
///
/// # Errors
/// What is missing, and what helps.
pub fn has_room(folder: &Path) -> Result<(), Error> {
    match Disk::of(folder).and_then(|disk| disk.shortage()) {
        Some(shortage) => Err(Error::Machine(format!(
            "{}: {shortage}: {FIX}",
            folder.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(available: u64, inodes_free: u64, inodes: u64, expected: Option<&str>) {
        let disk = Disk {
            available_bytes: available << 20,
            inodes_free,
            inodes,
        };
        let said = disk.shortage();
        match expected {
            Some(part) => assert!(
                said.as_ref().is_some_and(|it| it.contains(part)),
                "{said:?}"
            ),
            None => assert_eq!(said, None),
        }
    }

    #[test]
    fn pressure_is_told_before_the_nodes_have_it() {
        check(5000, 50_000, 60_000, None);
        check(1024, 10_000, 2_000_000, None);
        check(1023, 50_000, 60_000, Some("1023 MiB of the disk are free"));
        check(5000, 9_999, 60_000, Some("9999 of the disk's inodes"));
        check(5000, 0, 0, None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above() {
        assert_eq!(
            Disk::of(Path::new("/no/such/folder")).map(|disk| disk.inodes),
            Disk::of(Path::new("/")).map(|disk| disk.inodes)
        );
    }
}
