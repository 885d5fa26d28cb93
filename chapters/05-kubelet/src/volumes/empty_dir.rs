//! `emptyDir`: a folder, or a tmpfs, that lives as long as its pod.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::mount::MountFlags;

/// Makes the folder, any user's to write. Returns whether it is new: what the pod did in it since
/// is the pod's own affair. Upstream: `pkg/volume/emptydir`.
///
/// # Errors
/// As `mkdir(2)` and `mount(2)`.
pub fn make(path: &Path, in_memory: bool, size_bytes: Option<i64>) -> io::Result<bool> {
    let is_new = !path.exists();
    fs::create_dir_all(path)?;
    if is_new {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
    }
    if !in_memory || is_mount_point(path) {
        return Ok(is_new);
    }
    let options = match size_bytes {
        Some(bytes) if bytes > 0 => format!("mode=0777,size={bytes}"),
        _ => "mode=0777".to_owned(),
    };
    let options = std::ffi::CString::new(options).expect("no NUL inside");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())?;
    Ok(true)
}

/// The size of a volume in memory: the least of its own limit, what its pod's containers may use
/// together, and what the node has for pods. Upstream: `calculateEmptyDirMemorySize`.
pub fn memory_size(
    size_limit: Option<i64>,
    pod_limit: Option<i64>,
    allocatable: Option<i64>,
) -> Option<i64> {
    let limits = [size_limit, pod_limit, allocatable];
    limits
        .into_iter()
        .flatten()
        .filter(|limit| *limit > 0)
        .min()
}

/// Whether something is mounted there.
pub fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(path) != path.parent().and_then(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_new_once_and_any_user_s_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubernetes.io~empty-dir/cache");
        assert!(make(&path, false, None).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o777);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(!make(&path, false, None).unwrap());
        assert_eq!(mode(&path), 0o750);
    }

    #[test]
    fn memory_is_bounded_by_the_least() {
        assert_eq!(memory_size(None, None, None), None);
        assert_eq!(memory_size(Some(0), None, Some(10)), Some(10));
        assert_eq!(memory_size(Some(20), None, Some(10)), Some(10));
        assert_eq!(memory_size(Some(5), Some(7), Some(10)), Some(5));
        assert_eq!(memory_size(None, Some(7), Some(10)), Some(7));
    }
}
