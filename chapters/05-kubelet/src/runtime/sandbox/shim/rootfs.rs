//! A container's file system, built in its own mount namespace: overlay, `/proc`, `/sys`, `/dev`,
//! volumes; then `pivot_root` into it.
//!
//! Every path inside the container is resolved by the kernel with the container's root as `/`
//! (`openat2` with `RESOLVE_IN_ROOT`): an image that makes `/etc` a symlink to the node's cannot
//! have a file mounted there.
//!
//! Upstream: runc `libcontainer/rootfs_linux.go`.

mod masks;
mod overlay;
mod system;
mod trees;

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{fchdir, pivot_root};

use super::super::spec::ContainerSpec;
use super::super::sys;
use super::propagation;
use super::users::Users;
use crate::runtime::{Mount, Propagation};
use overlay::mount_overlay;
use trees::{attach, clone, copy, map, put};

/// What failed, and why.
pub type SetupResult<T> = Result<T, String>;

/// For `map_err`: says what failed.
pub fn doing<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

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

fn mount_fs(kind: &str, target: &Path, flags: MountFlags, options: &str) -> rustix::io::Result<()> {
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    mount(kind, target, kind, flags, options.as_c_str())
}

/// The root of a container that is being built.
struct Root<'a> {
    fd: OwnedFd,
    users: Option<Users<'a>>,
}

impl Root<'_> {
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

/// A path to what an open descriptor refers to, for calls that want one.
pub fn through(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}
