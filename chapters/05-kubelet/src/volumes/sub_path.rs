//! `subPath`: a part of a volume, which must not lead out of it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The path of `sub_path` in a volume, made as a folder if it is not there.
///
/// A container that shares the volume may plant a symlink where the path leads, so what counts
/// is where it leads in the end. Upstream: `pkg/volume/util/subpath`.
///
/// # Errors
/// When it leads out of the volume, or cannot be made.
pub fn resolve(volume: &Path, sub_path: &Path) -> io::Result<PathBuf> {
    let plain = sub_path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !plain {
        return Err(outside(sub_path));
    }
    let root = volume.canonicalize()?;
    let mut at = root.clone();
    for part in sub_path.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        let next = at.join(name);
        at = match next.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !next.is_symlink() => {
                fs::create_dir(&next)?;
                next
            }
            Err(error) => return Err(error),
        };
        if !at.starts_with(&root) {
            return Err(outside(sub_path));
        }
    }
    Ok(at)
}

fn outside(sub_path: &Path) -> io::Error {
    let message = format!("subPath {} is not within the volume", sub_path.display());
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn stays_in_the_volume_whatever_the_volume_holds() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        fs::create_dir(&volume).unwrap();
        symlink("/etc", volume.join("out")).unwrap();
        symlink("inner", volume.join("in")).unwrap();
        fs::create_dir(volume.join("inner")).unwrap();
        assert!(resolve(&volume, Path::new("a/b")).unwrap().is_dir());
        assert!(
            resolve(&volume, Path::new("in/x"))
                .unwrap()
                .ends_with("v/inner/x")
        );
        for path in ["out", "out/x", "../x", "/etc", "a/../.."] {
            assert!(resolve(&volume, Path::new(path)).is_err(), "{path}");
        }
    }
}
