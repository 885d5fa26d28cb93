//! What a root is made of: the image's layers, and the container's own on top.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::super::super::spec::RootSpec;
use super::super::users::Users;
use super::trees::{copy, put};
use super::{SetupResult, doing, mount_fs, open_path};

/// Mounts the image's layers with the container's own on top; returns the mount's root.
pub(super) fn mount_overlay(
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

fn create_dir(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
