//! A layer's tar, unpacked the way overlay wants it, wherever its paths try to lead.
//!
//! Every path is resolved by the kernel with the layer's folder as `/` (`openat2` with
//! `RESOLVE_IN_ROOT`), since a layer may put a symlink first and a file behind it next. `..` is
//! refused altogether. A file that the layer deletes from those below it becomes overlay's
//! whiteout.
//!
//! Upstream: OCI image-spec `layer.md`; containerd `pkg/archive/tar.go`.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
    chmodat, chownat, linkat, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tar::EntryType;

use super::store::ImageStore;

/// A layer that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its folder's name in the store.
    pub name: String,
    /// `sha256:…` of the tar.
    pub diff_id: String,
    /// Bytes of its files.
    pub size_bytes: u64,
}

/// The folder's name of a layer: the beginning of its diff id, since overlay's mount options have
/// room for 4095 bytes in all.
pub fn layer_name(diff_id: &str) -> String {
    diff_id
        .trim_start_matches("sha256:")
        .chars()
        .take(32)
        .collect()
}

/// Unpacks a layer, gzipped or not, into the store.
///
/// # Errors
/// When it is no tar, or leads out of its folder, or is not what its diff id says it is.
pub fn unpack_layer(
    store: &ImageStore,
    layer: impl Read,
    expected_diff_id: Option<&str>,
) -> io::Result<Layer> {
    let temporary = store.temporary();
    std::fs::create_dir(&temporary)?;
    let unpacked = unpack_hashed(layer, &temporary).and_then(|(diff_id, size_bytes)| {
        if expected_diff_id.is_some_and(|expected| expected != diff_id) {
            return Err(invalid(format!(
                "a layer's content is {diff_id}, not what it should be"
            )));
        }
        let name = layer_name(&diff_id);
        match std::fs::rename(&temporary, store.layers_dir().join(&name)) {
            Ok(()) => {}
            // Somebody else has just unpacked the same.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(error),
        }
        Ok(Layer {
            name,
            diff_id,
            size_bytes,
        })
    });
    let _ = std::fs::remove_dir_all(&temporary);
    unpacked
}

fn unpack_hashed(layer: impl Read, dir: &Path) -> io::Result<(String, u64)> {
    let mut tar = Hashed {
        inner: decompressed(layer)?,
        hash: Sha256::new(),
    };
    let size = unpack_tar(&mut tar, dir, true)?;
    // The tar's end is before the stream's, and the digest is over all of it.
    io::copy(&mut tar, &mut io::sink())?;
    Ok((format!("sha256:{:x}", tar.hash.finalize()), size))
}

/// The stream itself, or what it was before gzip.
pub fn decompressed<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut stream = io::BufReader::with_capacity(64 << 10, stream);
    let start = io::BufRead::fill_buf(&mut stream)?;
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(invalid("zstd layers are not supported".into()));
    }
    let is_gzip = start.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(stream))
    } else {
        Box::new(stream)
    })
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.hash.update(&buffer[..len]);
        Ok(len)
    }
}

/// Unpacks a tar into a folder, as a layer (with whiteouts) or as it is; the bytes of its files.
///
/// # Errors
/// When it is no tar or leads out of the folder.
pub fn unpack_tar(tar: impl Read, dir: &Path, is_layer: bool) -> io::Result<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(dir, flags, Mode::empty())?;
    let mut unpacker = Unpacker {
        root,
        dir_times: Vec::new(),
        size: 0,
        is_layer,
    };
    for entry in tar::Archive::new(tar).entries()? {
        unpacker.unpack(&mut entry?)?;
    }
    unpacker.finish()
}

struct Unpacker {
    root: OwnedFd,
    /// Folders' times, set at the end: each file put into one changes it.
    dir_times: Vec<(PathBuf, i64)>,
    size: u64,
    is_layer: bool,
}

impl Unpacker {
    fn unpack<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let path = clean(&entry.path()?)?;
        let Some(name) = path.file_name() else {
            return Ok(());
        };
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = self.open_dir(parent_path)?;
        if self.is_layer && self.whiteout(&parent, name)? {
            return Ok(());
        }
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            let made = mkdirat(&parent, name, Mode::from_raw_mode(0o755));
            match made {
                // Known already, from this layer: it gets new attributes only.
                Err(Errno::EXIST) if is_dir(&parent, name) => {}
                Err(Errno::EXIST) => {
                    unlinkat(&parent, name, AtFlags::empty())?;
                    mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                }
                made => made?,
            }
            self.dir_times.push((path.clone(), mtime(entry)));
        } else {
            remove(&parent, name)?;
            if !self.make_file(entry, kind, &parent, name)? {
                return Ok(());
            }
        }
        set_attributes(entry, kind, &parent, name)
    }

    /// Makes what is no folder; whether there is something to give attributes to.
    fn make_file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        kind: EntryType,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> io::Result<bool> {
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
                self.size += io::copy(entry, &mut std::fs::File::from(file))?;
            }
            EntryType::Symlink => {
                let target = entry
                    .link_name()?
                    .ok_or_else(|| invalid("a link to nothing".into()))?;
                symlinkat(&*target, parent, name)?;
            }
            EntryType::Link => {
                let target = entry
                    .link_name()?
                    .ok_or_else(|| invalid("a link to nothing".into()))?;
                let target = clean(&target)?;
                let from = self.open_dir(target.parent().unwrap_or(Path::new("")))?;
                let file = target
                    .file_name()
                    .ok_or_else(|| invalid("a link to /".into()))?;
                linkat(&from, file, parent, name, AtFlags::empty())?;
                return Ok(false);
            }
            EntryType::Fifo => {
                mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            }
            // Devices: the container gets its own, and an ordinary user may not make any.
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Deletions are written as files with a special name.
    fn whiteout(&self, parent: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        let Some(hidden) = name.to_str().and_then(|name| name.strip_prefix(".wh.")) else {
            return Ok(false);
        };
        if matches!(hidden, "" | "." | "..") {
            return Err(invalid(format!("the whiteout {name:?} deletes no file")));
        }
        if hidden == ".wh..opq" {
            // Through a path: a descriptor opened for its path alone has no attributes.
            rustix::fs::setxattr(
                through(parent),
                "user.overlay.opaque",
                b"y",
                XattrFlags::empty(),
            )?;
        } else if !hidden.starts_with(".wh.") {
            remove(parent, OsStr::new(hidden))?;
            mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)?;
        }
        Ok(true)
    }

    /// A folder of the layer, made with its parents if it is not there.
    fn open_dir(&self, path: &Path) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path == Path::new("") {
            Path::new(".")
        } else {
            path
        };
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT) => {
                let name = path
                    .file_name()
                    .ok_or_else(|| io::Error::from(Errno::NOENT))?;
                let parent = self.open_dir(path.parent().unwrap_or(Path::new("")))?;
                mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                Ok(openat2(&self.root, path, flags, Mode::empty(), resolve)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn finish(self) -> io::Result<u64> {
        for (path, mtime) in &self.dir_times {
            if let Ok(dir) = self.open_dir(path) {
                set_times(dir.as_fd(), OsStr::new(""), *mtime, AtFlags::EMPTY_PATH);
            }
        }
        Ok(self.size)
    }
}

/// A path of an archive, relative to its root.
fn clean(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(invalid(format!(
                    "the path {path:?} leads out of the archive"
                )));
            }
        }
    }
    Ok(clean)
}

fn is_dir(parent: &OwnedFd, name: &OsStr) -> bool {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Removes what a later entry of the same layer replaces.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => std::fs::remove_dir_all(through(parent).join(name)),
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_attributes<R: Read>(
    entry: &tar::Entry<'_, R>,
    kind: EntryType,
    parent: &OwnedFd,
    name: &OsStr,
) -> io::Result<()> {
    let header = entry.header();
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    let (uid, gid) = (id(header.uid()), id(header.gid()));
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW) {
        // An owner who does not exist in this user namespace: the file stays ours.
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    if kind != EntryType::Symlink {
        // Behind the owner, since a change of that takes the set-user-id bit away.
        let mode = header.mode().unwrap_or(0o755) & 0o7777;
        chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    set_times(
        parent.as_fd(),
        name,
        mtime(entry),
        AtFlags::SYMLINK_NOFOLLOW,
    );
    Ok(())
}

fn mtime<R: Read>(entry: &tar::Entry<'_, R>) -> i64 {
    entry
        .header()
        .mtime()
        .ok()
        .and_then(|time| i64::try_from(time).ok())
        .unwrap_or(0)
}

/// A time that cannot be set is no reason to refuse an image.
fn set_times(dir: impl AsFd, name: &OsStr, mtime: i64, flags: AtFlags) {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let _ = utimensat(dir, name, &times, flags);
}

fn through(fd: &OwnedFd) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
