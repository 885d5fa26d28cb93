//! Files that change all at once: a symlink to a folder is swapped.
//!
//! ```text
//! volume/
//!   ..2026_11_22_22_01_34.123456789/    what is shown now
//!     key
//!   ..data -> ..2026_11_22_22_01_34.123456789      renamed over the old one: the swap
//!   key    -> ..data/key
//! ```
//!
//! Upstream: `pkg/volume/util/atomic_writer.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
    /// The user whose it is; else the kubelet's.
    pub owner: Option<u32>,
}

/// Files by relative path.
pub type Payload = BTreeMap<PathBuf, FileEntry>;

/// Makes the volume's folder show exactly `payload`; `give` gets the folder with new files before
/// they are shown, to make them whose they are to be. Returns whether anything changed.
///
/// # Errors
/// When a path of the payload leads out of the volume, or the disk says no.
pub fn write(
    volume: &Path,
    payload: &Payload,
    now: Timestamp,
    give: impl FnOnce(&Path),
) -> io::Result<bool> {
    for path in payload.keys() {
        check_path(path)?;
    }
    fs::create_dir_all(volume)?;
    fs::set_permissions(volume, fs::Permissions::from_mode(0o777))?;
    let data = volume.join("..data");
    let old = fs::read_link(&data).ok().map(|name| volume.join(name));
    if let Some(old) = &old
        && is_same(old, payload)?
    {
        return Ok(false);
    }

    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let name = format!("{stamp}.{:09}", now.subsec_nanosecond());
    let new = volume.join(&name);
    fs::create_dir(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    for (path, file) in payload {
        let path = new.join(path);
        let parent = path.parent().expect("it is inside the volume");
        fs::create_dir_all(parent)?;
        let mut options = fs::OpenOptions::new();
        let mut handle = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        io::Write::write_all(&mut handle, &file.bytes)?;
        // After the fact, so that no umask interferes.
        handle.set_permissions(fs::Permissions::from_mode(file.mode))?;
        if file.owner.is_some()
            && let Err(error) = std::os::unix::fs::fchown(&handle, file.owner, None)
        {
            // A user that there is not in the node's user namespace: no container can be that
            // user either, so nobody misses the file.
            tracing::debug!(path = %path.display(), %error, "owner not set");
        }
    }

    give(&new);

    let swap = volume.join("..data_tmp");
    let _left_over = fs::remove_file(&swap);
    symlink(&name, &swap)?;
    fs::rename(&swap, &data)?;
    show(volume, payload)?;
    if let Some(old) = old {
        fs::remove_dir_all(old)?;
    }
    Ok(true)
}

/// Links the payload's top-level names, and takes away those of earlier payloads.
fn show(volume: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<_> = payload
        .keys()
        .filter_map(|path| path.iter().next())
        .collect();
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_string_lossy().starts_with("..");
        if !ours && !wanted.contains(name.as_os_str()) && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    for name in wanted {
        match symlink(Path::new("..data").join(name), volume.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn check_path(path: &Path) -> io::Result<()> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let first = path
        .iter()
        .next()
        .map(|name| name.to_string_lossy().into_owned());
    let reserved = first.is_none_or(|name| name.starts_with(".."));
    if !plain || reserved {
        let message = format!("invalid path {}: must be inside the volume", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

fn is_same(shown: &Path, payload: &Payload) -> io::Result<bool> {
    let mut files = Vec::new();
    list_files(shown, Path::new(""), &mut files)?;
    if files.len() != payload.len() {
        return Ok(false);
    }
    for path in files {
        let Some(wanted) = payload.get(&path) else {
            return Ok(false);
        };
        let on_disk = shown.join(&path);
        let mode = fs::metadata(&on_disk)?.permissions().mode() & 0o7777;
        // A volume with an fsGroup has more bits than were asked for.
        if mode & wanted.mode != wanted.mode || fs::read(&on_disk)? != wanted.bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list_files(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list_files(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let entry = |text: &str| FileEntry {
            bytes: text.into(),
            mode: 0o644,
            owner: None,
        };
        files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), entry(text)))
            .collect()
    }

    fn shown(volume: &Path) -> Vec<String> {
        let mut shown = Vec::new();
        for name in fs::read_dir(volume)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
        {
            let name = name.into_string().unwrap();
            if !name.starts_with("..") {
                let content = fs::read_to_string(volume.join(&name)).unwrap_or("folder".into());
                shown.push(format!("{name}={content}"));
            }
        }
        shown.sort();
        shown
    }

    #[test]
    fn swaps_all_files_at_once_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        let (t0, t1) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(1).unwrap());
        let write = |volume: &Path, payload: &Payload, now| write(volume, payload, now, |_| {});
        assert!(write(&volume, &payload(&[("a", "1"), ("d/b", "2")]), t0).unwrap());
        assert_eq!(shown(&volume), ["a=1", "d=folder"]);
        assert!(!write(&volume, &payload(&[("a", "1"), ("d/b", "2")]), t1).unwrap());
        assert!(write(&volume, &payload(&[("a", "3"), ("c", "4")]), t1).unwrap());
        assert_eq!(shown(&volume), ["a=3", "c=4"]);
        // `..data`, the folder it points to, and the two links.
        assert_eq!(fs::read_dir(&volume).unwrap().count(), 4);
    }

    #[test]
    fn is_given_away_before_it_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        let second = |at| Timestamp::from_second(at).unwrap();
        write(&volume, &payload(&[("a", "1")]), second(0), |_| {}).unwrap();
        let mut given = None;
        write(&volume, &payload(&[("a", "2")]), second(1), |new| {
            let text = |path: &Path| fs::read_to_string(path).unwrap();
            given = Some((text(&new.join("a")), text(&volume.join("a"))));
        })
        .unwrap();
        assert_eq!(given, Some(("2".into(), "1".into())));
        assert_eq!(shown(&volume), ["a=2"]);
    }

    #[test]
    fn refuses_paths_that_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/etc/x", "a/../../x", "..data", "..", ""] {
            let now = Timestamp::UNIX_EPOCH;
            let result = write(dir.path(), &payload(&[(path, "")]), now, |_| {});
            assert!(result.is_err(), "{path}");
        }
    }
}
