//! What every root has: `/proc`, `/sys`, `/dev`, and its control groups.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, chmodat, mknodat, symlinkat};
use rustix::mount::MountFlags;

use super::super::super::spec::ContainerSpec;
use super::{Root, SetupResult, doing};

/// The node's devices that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

impl Root<'_> {
    pub(super) fn mount_system(&self, privileged: bool) -> SetupResult<()> {
        let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if self.mount_at("proc", "/proc", quiet, "").is_err() {
            // In a container whose own /proc is masked the kernel refuses a new one. The outer
            // one then has to do: it shows processes of the outer namespace.
            self.bind(Path::new("/proc"), Path::new("/proc"), false)?;
        }
        let sys_flags = if privileged {
            quiet
        } else {
            quiet | MountFlags::RDONLY
        };
        if self.mount_at("sysfs", "/sys", sys_flags, "").is_err() {
            self.bind(Path::new("/sys"), Path::new("/sys"), true)?;
        }
        if privileged {
            return self.bind(Path::new("/dev"), Path::new("/dev"), false);
        }
        let flags = MountFlags::NOSUID | MountFlags::STRICTATIME;
        let root = self.on_node(0);
        let options = format!("mode=755,size=65536k,uid={root},gid={root}");
        self.mount_at("tmpfs", "/dev", flags, &options)
            .map_err(doing("/dev"))?;
        let dev = self.open("/dev").map_err(doing("opening /dev"))?;
        for device in DEVICES {
            let path = PathBuf::from("/dev").join(device);
            // Root of a user namespace may make no devices, but show those of the node.
            if make_device(&path, &dev, device).is_err() {
                self.bind(&path, &path, false)?;
            }
        }
        for (link, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            symlinkat(target, &dev, link).map_err(doing(format!("making /dev/{link}")))?;
        }
        let pts_flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        let pts = "newinstance,ptmxmode=0666,mode=0620";
        // Group 5 is `tty` nearly everywhere, and may not exist in a small user namespace.
        let tty = self.on_node(5);
        self.mount_at("devpts", "/dev/pts", pts_flags, &format!("{pts},gid={tty}"))
            .or_else(|_| self.mount_at("devpts", "/dev/pts", pts_flags, pts))
            .map_err(doing("/dev/pts"))?;
        // Message queues are a part of the kernel that may be left out.
        let _ = self.mount_at("mqueue", "/dev/mqueue", quiet, "");
        Ok(())
    }

    /// Shows the container its own control groups, as if there were no others.
    pub(super) fn mount_cgroups(&self, spec: &ContainerSpec) -> SetupResult<()> {
        let mount = Path::new("/sys/fs/cgroup");
        let read_only = !spec.privileged;
        match spec.cgroups.as_slice() {
            [] => Ok(()),
            [group] if group.join("cgroup.controllers").exists() => {
                self.bind(group, mount, read_only)
            }
            groups => {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                self.mount_at("tmpfs", "/sys/fs/cgroup", flags, "mode=755,size=64k")?;
                for group in groups {
                    // The hierarchy's own folder says which controllers it is for.
                    let hierarchy = group.strip_prefix(mount).ok();
                    let name = hierarchy.and_then(|path| path.iter().next());
                    let name = name.ok_or_else(|| format!("{} is no group", group.display()))?;
                    self.bind(group, &mount.join(name), read_only)?;
                }
                Ok(())
            }
        }
    }
}

/// Makes a device like the node's, for everybody.
fn make_device(like: &Path, dev: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let device = rustix::fs::stat(like)?.st_rdev;
    let mode = Mode::from_raw_mode(0o666);
    mknodat(dev, name, FileType::CharacterDevice, mode, device)?;
    // Whatever the mask of this process is.
    chmodat(dev, name, mode, AtFlags::empty())
}
