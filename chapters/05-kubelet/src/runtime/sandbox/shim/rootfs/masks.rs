//! What a container does not see of the machine, though it is in `/proc` and `/sys`.

use std::path::Path;

use rustix::fs::{AtFlags, FileType, statat};
use rustix::mount::MountFlags;

use super::trees::attach;
use super::{Root, SetupResult, doing, mount_fs, through};

/// Paths that tell of, or change, the whole machine. Upstream: `defaultMaskedPaths` and
/// `defaultReadonlyPaths` of containerd and `pkg/securitycontext/util.go`.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

impl Root<'_> {
    /// Hides or freezes what shows or changes the whole machine.
    pub(super) fn mask(&self) -> SetupResult<()> {
        let dev_null = Path::new("/dev/null");
        for path in MASKED_PATHS {
            let Ok(target) = self.open(path) else {
                continue;
            };
            let stat = statat(&target, "", AtFlags::EMPTY_PATH).map_err(doing(path))?;
            if FileType::from_raw_mode(stat.st_mode).is_dir() {
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
                mount_fs("tmpfs", &through(&target), flags, "size=0k,nr_inodes=2")
                    .map_err(doing(format!("masking {path}")))?;
            } else {
                attach(dev_null, &target, false, None).map_err(doing(format!("masking {path}")))?;
            }
        }
        for path in READ_ONLY_PATHS {
            let Ok(target) = self.open(path) else {
                continue;
            };
            attach(&through(&target), &target, true, None)
                .map_err(doing(format!("making {path} read-only")))?;
        }
        Ok(())
    }
}
