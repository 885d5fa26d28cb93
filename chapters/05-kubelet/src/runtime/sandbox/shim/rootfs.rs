//! A container's file system, built in its own mount namespace: overlay, `/proc`, `/sys`, `/dev`,
//! volumes; then `pivot_root` into it.
//!
//! Every path inside the container is resolved by the kernel with the container's root as `/`
//! (`openat2` with `RESOLVE_IN_ROOT`): an image that makes `/etc` a symlink to the node's cannot
//! have a file mounted there.
//!
//! Upstream: runc `libcontainer/rootfs_linux.go`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, chmodat, mkdirat, mknodat, openat, openat2,
    statat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{fchdir, pivot_root};

use super::super::spec::{ContainerSpec, RootSpec};
use super::super::sys;
use super::propagation;
use super::users::Users;
use crate::runtime::{Mount, Propagation};

/// What failed, and why.
pub type SetupResult<T> = Result<T, String>;

/// For `map_err`: says what failed.
pub fn doing<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

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

/// The node's devices that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What a root is built of that the spec does not say.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Folder of the pod's sandbox: `etc`, `shm`. In the container's own mount namespace its root
    /// covers `shm`, the one mount that is surely there.
    pub sandbox: &'a Path,
    /// Folder of the container: `upper`, `work`.
    pub container: &'a Path,
}

/// Builds the container's root and makes it `/`. The caller is in a mount namespace of its own.
/// `users` are the pod's own: what belongs to the node's users is shown as theirs.
pub fn enter(
    spec: &ContainerSpec,
    folders: Folders<'_>,
    users: Option<Users<'_>>,
) -> SetupResult<()> {
    let place = folders.sandbox.join("shm");
    let shm = copy(&place).map_err(doing("copying /dev/shm"))?;
    // What is mounted there from here on stays in this namespace (see `propagation`).
    mount_change(&place, MountPropagationFlags::PRIVATE)
        .map_err(doing("making the root's place private"))?;
    let root = Root {
        fd: mount_overlay(&spec.root, folders.container, &place, users)?,
        users,
    };
    root.mount_system(spec.privileged)?;
    let target = root.mount_point(Path::new("/dev/shm"), true)?;
    put(&shm, &target).map_err(doing("/dev/shm"))?;
    root.mount_cgroups(spec)?;
    for path in &spec.root.host_paths {
        root.bind_files(path, path, true)?;
    }
    for (name, path) in [
        ("hosts", "/etc/hosts"),
        ("hostname", "/etc/hostname"),
        ("resolv.conf", "/etc/resolv.conf"),
    ] {
        if !spec
            .mounts
            .iter()
            .any(|mount| mount.container_path == Path::new(path))
        {
            root.bind_files(
                &folders.sandbox.join("etc").join(name),
                Path::new(path),
                false,
            )?;
        }
    }
    for mount in &spec.mounts {
        root.place(mount)?;
    }
    if !spec.privileged && !spec.unmasked_proc {
        root.mask()?;
    }
    // While the root can still be written.
    root.mount_point(&spec.cwd, true)?;
    root.pivot()?;
    if spec.root.read_only {
        let fd = open_path(Path::new("/")).map_err(doing("opening /"))?;
        sys::set_mount_read_only(fd, false).map_err(doing("making / read-only"))?;
    }
    Ok(())
}

fn open_path(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Mounts the image's layers with the container's own on top; returns the mount's root.
fn mount_overlay(
    root: &RootSpec,
    container: &Path,
    target: &Path,
    users: Option<Users<'_>>,
) -> SetupResult<OwnedFd> {
    create_writable(container, users)?;
    let upper = open_path(container).map_err(doing("opening the container's folder"))?;
    let layers = match users {
        None => root.layers_dir.as_path(),
        Some(users) => {
            // Where the root will be, and below it: what an overlay is made of has to have a place.
            let place = open_path(target).map_err(doing("opening the root's place"))?;
            show_layers(&root.layers_dir, &place, users)
                .map_err(doing("mapping the image's files to the pod's users"))?;
            target
        }
    };
    rustix::process::chdir(layers).map_err(doing("opening the image's layers"))?;
    match overlay(root, &upper, target) {
        Ok(()) => {}
        // The node's folder is on a file system that cannot be a writable layer, such as another
        // overlay: the layer is held in memory then, as long as the container lives.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => {
            mount_fs("tmpfs", target, MountFlags::NODEV, "mode=0755")
                .map_err(doing("mounting a tmpfs for the writable layer"))?;
            create_writable(target, users)?;
            let upper = open_path(target).map_err(doing("opening the writable layer"))?;
            overlay(root, &upper, target).map_err(doing("mounting the root overlay"))?;
        }
        Err(error) => return Err(doing("mounting the root overlay")(error)),
    }
    open_path(target).map_err(doing("opening the root"))
}

/// The folders of a writable layer. It begins empty, so the pod's root can own it on disk, too.
fn create_writable(folder: &Path, users: Option<Users<'_>>) -> SetupResult<()> {
    for dir in ["upper", "work"] {
        let path = folder.join(dir);
        create_dir(&path).map_err(doing(format!("making {dir}")))?;
        if let Some(users) = users {
            let root = Some(users.on_node(0));
            chown(&path, root, root).map_err(doing(format!("giving {dir} to the pod")))?;
        }
    }
    Ok(())
}

/// Mounts the image's layers on `place`, as the pod's users see them.
fn show_layers(layers: &Path, place: &OwnedFd, users: Users<'_>) -> io::Result<()> {
    let tree = copy(layers)?;
    users.map(&tree)?;
    put(&tree, place)
}

/// A mount's options may have 4095 bytes, and no `:` or `,` in a path: the lower layers are named
/// relative to this process's folder, and the upper one through an open descriptor.
fn overlay(root: &RootSpec, upper: &OwnedFd, target: &Path) -> rustix::io::Result<()> {
    let fd = upper.as_raw_fd();
    let options = format!(
        "lowerdir={},upperdir=/proc/self/fd/{fd}/upper,workdir=/proc/self/fd/{fd}/work,userxattr",
        root.layers.join(":"),
    );
    mount_fs("overlay", target, MountFlags::empty(), &options)
}

fn mount_fs(kind: &str, target: &Path, flags: MountFlags, options: &str) -> rustix::io::Result<()> {
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    mount(kind, target, kind, flags, options.as_c_str())
}

fn create_dir(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The root of a container that is being built.
struct Root<'a> {
    fd: OwnedFd,
    users: Option<Users<'a>>,
}

impl Root<'_> {
    fn mount_system(&self, privileged: bool) -> SetupResult<()> {
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
    fn mount_cgroups(&self, spec: &ContainerSpec) -> SetupResult<()> {
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

    /// Hides or freezes what shows or changes the whole machine.
    fn mask(&self) -> SetupResult<()> {
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

    fn mount_at(
        &self,
        kind: &str,
        path: &str,
        flags: MountFlags,
        options: &str,
    ) -> SetupResult<()> {
        let target = self.mount_point(Path::new(path), true)?;
        mount_fs(kind, &through(&target), flags, options)
            .map_err(doing(format!("mounting {kind} on {path}")))
    }

    /// Who that user or group of the container is on the node.
    fn on_node(&self, id: u32) -> u32 {
        self.users.map_or(id, |users| users.on_node(id))
    }

    /// Shows what the kernel has at a path of the node, and what is mounted below it, in the
    /// container.
    fn bind(&self, source: &Path, path: &Path, read_only: bool) -> SetupResult<()> {
        self.bind_as(source, path, read_only, None)
    }

    /// The same for files, which belong to users: to the pod's, if it has its own.
    fn bind_files(&self, source: &Path, path: &Path, read_only: bool) -> SetupResult<()> {
        self.bind_as(source, path, read_only, self.users)
    }

    fn bind_as(
        &self,
        source: &Path,
        path: &Path,
        read_only: bool,
        users: Option<Users<'_>>,
    ) -> SetupResult<()> {
        let what = || format!("mounting {} on {}", source.display(), path.display());
        let is_dir = std::fs::metadata(source).map_err(doing(what()))?.is_dir();
        let target = self.mount_point(path, is_dir)?;
        attach(source, &target, read_only, users).map_err(doing(what()))
    }

    /// Shows what a pod's mount asks for. Read-only it is by itself, and what is mounted below it
    /// only if that is asked for, too.
    fn place(&self, mount: &Mount) -> SetupResult<()> {
        let (source, path) = (&mount.host_path, &mount.container_path);
        let what = || format!("mounting {} on {}", source.display(), path.display());
        let is_dir = std::fs::metadata(source).map_err(doing(what()))?.is_dir();
        let target = self.mount_point(path, is_dir)?;
        let tree = if mount.propagation == Propagation::None {
            let tree = copy(source).map_err(doing(what()))?;
            map(&tree, mount.read_only, self.users).map_err(doing(what()))?;
            put(&tree, &target).map_err(doing(what()))?;
            tree
        } else {
            propagation::check(mount)?;
            if let Some(users) = self.users {
                // Mapped before it has a place, or it would be in use.
                let tree = clone(source).map_err(doing(what()))?;
                users.map(&tree).map_err(doing(what()))?;
                put(&tree, &target).map_err(doing(what()))?;
            } else {
                propagation::place(mount, &target)?;
            }
            self.open(path).map_err(doing(what()))?
        };
        if mount.propagation == Propagation::HostToContainer {
            sys::set_mount_slave(&tree).map_err(doing(what()))?;
        }
        if mount.read_only {
            let recursive = mount.recursive_read_only;
            sys::set_mount_read_only(&tree, recursive).map_err(doing(what()))?;
        }
        Ok(())
    }

    fn open(&self, path: impl AsRef<Path>) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(
            &self.fd,
            path.as_ref(),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    }

    /// The file or folder at a path in the container, made with its parents if it is not there.
    fn mount_point(&self, path: &Path, is_dir: bool) -> SetupResult<OwnedFd> {
        let what = || format!("making the mount point {}", path.display());
        match self.open(path) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(doing(what())(error)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(format!("{}: not a path that can be mounted on", what()));
        };
        let parent = self.mount_point(parent, true)?;
        let make = || match is_dir {
            true => mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            false => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
        };
        match self.users {
            Some(users) => users.own(make).map_err(doing(what()))?,
            None => make().map_err(doing(what()))?,
        }
        self.open(path).map_err(doing(what()))
    }

    /// Makes this root `/` and lets go of the old one.
    fn pivot(self) -> SetupResult<()> {
        let steps = || {
            let old = open_path(Path::new("/"))?;
            fchdir(&self.fd)?;
            // With one path for both, the old root ends up mounted over the new one.
            pivot_root(".", ".")?;
            fchdir(&old)?;
            // Else the node would lose its mounts, too.
            mount_change(
                ".",
                MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
            )?;
            unmount(".", UnmountFlags::DETACH)?;
            rustix::process::chdir("/")
        };
        steps().map_err(doing("changing the root"))
    }
}

/// Mounts a copy of the tree at `source` on what `target` refers to.
fn attach(
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
fn map(tree: &OwnedFd, read_only: bool, users: Option<Users<'_>>) -> io::Result<()> {
    let Some(users) = users else { return Ok(()) };
    match users.map(tree) {
        Err(error) if read_only && error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        mapped => mapped,
    }
}

/// A copy of a tree of mounts, in no place yet, that has nothing to do with the tree any more.
fn copy(source: &Path) -> io::Result<OwnedFd> {
    let tree = clone(source)?;
    sys::set_mount_private(&tree, false)?;
    Ok(tree)
}

/// A copy of a tree of mounts, in no place yet: peers of what they are copies of.
fn clone(source: &Path) -> io::Result<OwnedFd> {
    // Recursive always: the kernel does not let a user namespace take a mount apart from those
    // that cover parts of it.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, source, flags)?)
}

fn put(tree: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", target, "", flags)?)
}

/// Makes a device like the node's, for everybody.
fn make_device(like: &Path, dev: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let device = rustix::fs::stat(like)?.st_rdev;
    let mode = Mode::from_raw_mode(0o666);
    mknodat(dev, name, FileType::CharacterDevice, mode, device)?;
    // Whatever the mask of this process is.
    chmodat(dev, name, mode, AtFlags::empty())
}

/// A path to what an open descriptor refers to, for calls that want one.
pub fn through(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
