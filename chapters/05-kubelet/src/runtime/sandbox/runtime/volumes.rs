//! Images as volumes: their layers on top of each other, without one that could be written.
//!
//! Left out: what a built-in image borrows of the machine (`/usr` and the like) is not shown.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use rustix::process::chdir;
use rustix::thread::UnshareFlags;
use sha2::{Digest, Sha256};

use super::super::sys;
use super::other;
use crate::runtime::images::{ImageRecord, ImageStore};
use crate::runtime::{Result, RuntimeError};

/// Mounts an image on a folder. Idempotent.
pub(super) fn mount_image(images: &ImageStore, image_id: &str, target: &Path) -> Result<()> {
    let missing = || RuntimeError::NotFound(format!("image {image_id:?}"));
    let image = images.find(image_id)?.ok_or_else(missing)?;
    if is_mounted(target).map_err(other)? {
        return Ok(());
    }
    images.hold(&holder(target), &image).map_err(other)?;
    let layers_dir = images.layers_dir();
    // On a thread with a working directory of its own, which the layers' names are relative to:
    // a mount's options may have 4095 bytes.
    let mounted = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::unshare(UnshareFlags::FS)?;
            chdir(&layers_dir)?;
            mount_layers(&image, target)
        });
        thread.join().expect("the thread does not panic")
    });
    mounted.map_err(|error| {
        images.release(&holder(target));
        other(format!("mounting image {image_id}: {error}"))
    })
}

/// Undoes [`mount_image`]. Idempotent.
pub(super) fn unmount_image(images: &ImageStore, target: &Path) {
    // An error means that it is not mounted.
    let _ = unmount(target, UnmountFlags::DETACH);
    images.release(&holder(target));
}

fn mount_layers(image: &ImageRecord, target: &Path) -> io::Result<()> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    match image.layers.as_slice() {
        [] => Err(io::Error::other("the image has no layers")),
        // An overlay wants two at least.
        [layer] => {
            mount_bind(layer.as_str(), target)?;
            Ok(mount_remount(target, quiet | MountFlags::BIND, c"")?)
        }
        layers => {
            let options = CString::new(format!("lowerdir={},userxattr", layers.join(":")))?;
            Ok(mount(
                "overlay",
                target,
                "overlay",
                quiet,
                options.as_c_str(),
            )?)
        }
    }
}

/// Whether something is mounted there: a bind mount has its parent's device, so the mount's own
/// number has to tell.
fn is_mounted(target: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let mount_id = |path: &Path| {
        let stat = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?;
        io::Result::Ok(stat.stx_mnt_id)
    };
    let parent = target.parent().unwrap_or(target);
    Ok(mount_id(target)? != mount_id(parent)?)
}

/// The name under which a folder stands on an image.
fn holder(target: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = Sha256::digest(target.as_os_str().as_bytes());
    let hex = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("volume-{}", hex.collect::<String>())
}
