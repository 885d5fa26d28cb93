//! Whether the disk has room for nodes: a kubelet whose disk is nearly full takes no pods.

use std::path::Path;

use super::Error;

/// A node with less of its disk free has `DiskPressure`. The kubelet's default, and upstream's:
/// `nodefs.available<10%`.
const FREE_PERCENT_MIN: u64 = 10;
/// Likewise of its inodes: `nodefs.inodesFree<5%`.
const INODES_FREE_PERCENT_MIN: u64 = 5;

/// What helps.
pub const FIX: &str = "free some, or set WORKSHOP_HOME to a folder with more";

/// What there is of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    available_bytes: u64,
    capacity_bytes: u64,
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
            capacity_bytes: space.f_blocks * space.f_frsize,
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
        let percent = |part: u64, of: u64| part * 100 / of.max(1);
        let bytes_min = self.capacity_bytes / 100 * FREE_PERCENT_MIN;
        if self.available_bytes < bytes_min {
            let free = percent(self.available_bytes, self.capacity_bytes);
            let mebibytes = (bytes_min - self.available_bytes).div_ceil(1 << 20);
            return Some(format!(
                "{free} % of the disk is free, and below {FREE_PERCENT_MIN} % a node has \
                 DiskPressure and takes no pods ({mebibytes} MiB are missing)"
            ));
        }
        let inodes_min = self.inodes / 100 * INODES_FREE_PERCENT_MIN;
        (self.inodes_free < inodes_min).then(|| {
            let free = percent(self.inodes_free, self.inodes);
            format!(
                "{free} % of the disk's inodes are free, and below {INODES_FREE_PERCENT_MIN} % a \
                 node has DiskPressure and takes no pods"
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
            capacity_bytes: 1000 << 20,
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
        check(500, 500, 1000, None);
        check(100, 500, 1000, None);
        check(99, 500, 1000, Some("9 % of the disk is free"));
        check(40, 500, 1000, Some("(60 MiB are missing)"));
        check(500, 40, 1000, Some("4 % of the disk's inodes are free"));
        check(500, 0, 0, None);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above() {
        assert_eq!(
            Disk::of(Path::new("/no/such/folder")).map(|disk| disk.capacity_bytes),
            Disk::of(Path::new("/")).map(|disk| disk.capacity_bytes)
        );
    }
}
