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

/// What a file of a volume holds; `None` if there is no such file.
///
/// # Errors
/// When the path leads out of the volume, or to what is no file, or to more than `bytes_max`.
pub fn read_file(volume: &Path, sub_path: &Path, bytes_max: u64) -> io::Result<Option<String>> {
    let path = match volume.join(sub_path).canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        path => path?,
    };
    if !path.starts_with(volume.canonicalize()?) {
        return Err(outside(sub_path));
    }
    // Anything else than a file might never end.
    let meta = fs::metadata(&path)?;
    if !meta.is_file() || meta.len() > bytes_max {
        let message = format!("{} is no file of reasonable size", sub_path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut fs::File::open(&path)?, &mut text)?;
    Ok(Some(text))
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

    #[test]
    fn reads_files_of_the_volume_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("env"), "A='x'").unwrap();
        fs::write(dir.path().join("secret"), "no").unwrap();
        symlink("../secret", volume.join("out")).unwrap();
        let read = |path: &str, most: u64| read_file(&volume, Path::new(path), most);
        assert_eq!(read("env", 10).unwrap().as_deref(), Some("A='x'"));
        assert_eq!(read("none", 10).unwrap(), None);
        assert!(read("env", 1).is_err());
        for path in ["out", ".", "../secret"] {
            assert!(read(path, 10).is_err(), "{path}");
        }
    }
}
