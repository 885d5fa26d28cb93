//! All that the store asks of a disk: one directory, and the files in it.
//!
//! What a program writes is first in the kernel's memory only. A file's bytes are on the disk
//! once the *file* was synced, its name once the *directory* was; until then a power cut may keep
//! any part of either. So the store makes a file known in four steps: written under another name,
//! synced, renamed, the directory synced ([`write_durably`]).
//!
//! Everything goes through the trait [`Disk`], because a real disk does not fail when a test would
//! like it to. The tests have one in memory that cuts the power at every step (`faults`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};

/// Work that is done beside the writer's; it returns the bytes that it has written.
pub type Work = Box<dyn FnOnce() -> Option<u64> + Send>;

/// A directory.
pub trait Disk: Send + Sync {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    /// Keeps everyone else out for as long as what is returned lives; none if somebody is in.
    fn lock(&self) -> io::Result<Option<Box<dyn Send>>>;
    /// The files' names, in no order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// A file, to read from its beginning.
    fn read(&self, name: &str) -> io::Result<Box<dyn Read>>;
    /// A file, to change.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// A new and empty file, whatever was there.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name; what had that name before is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync(&self) -> io::Result<()>;
    /// Does long work beside the writer's, and sends what it returns.
    fn beside(&self, work: Work) -> io::Result<Receiver<Option<u64>>> {
        let (done, is_done) = mpsc::channel();
        let thread = std::thread::Builder::new().name("etcd-checkpoint".to_owned());
        thread.spawn(move || done.send(work()))?;
        Ok(is_done)
    }
}

/// A file that is open to be changed.
pub trait DiskFile: Send {
    /// Writes `bytes` at byte `at`, or as many of them as fit for now; returns how many.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<usize>;
    /// Makes the file's bytes and length durable. After an error nothing is known of what was
    /// written since the last sync: the kernel forgets what it could not write, and would say of
    /// the next sync that all is well.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Writes all of `bytes` at byte `at`.
    fn write_all_at(&mut self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    at += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes a file so that it is there whole and durable, or not at all. If this fails it may be
/// either, but never a part.
///
/// # Errors
///
/// If the disk fails or is full.
pub fn write_durably(
    disk: &dyn Disk,
    name: &str,
    write: impl FnOnce(&mut dyn DiskFile) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY}");
    let written = (|| {
        let mut file = disk.create(&temporary)?;
        write(file.as_mut())?;
        file.sync()?;
        disk.rename(&temporary, name)?;
        disk.sync()
    })();
    if written.is_err() {
        let _may_not_be_there = disk.remove(&temporary);
    }
    written
}

/// Ends the name of a file that is not whole yet.
const TEMPORARY: &str = ".tmp";

/// Removes the files that a crash left half written.
///
/// # Errors
///
/// If the disk fails.
pub fn remove_unfinished(disk: &dyn Disk) -> io::Result<()> {
    let names = disk.names()?;
    let mut unfinished = names.iter().filter(|name| name.ends_with(TEMPORARY));
    unfinished.try_for_each(|name| disk.remove(name))
}

/// The files named `prefix` and a hexadecimal number, in its order.
///
/// # Errors
///
/// If the directory cannot be read.
pub fn numbered(disk: &dyn Disk, prefix: &str) -> io::Result<Vec<(u64, String)>> {
    let numbered = |name: String| {
        let number = u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?;
        Some((number, name))
    };
    let mut found: Vec<_> = disk.names()?.into_iter().filter_map(numbered).collect();
    found.sort();
    Ok(found)
}

/// Whether a write failed for want of room: then nothing is broken.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// A directory of the machine's.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at `path`, made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let missing = path.ancestors().take_while(|path| !path.exists());
        let missing: Vec<_> = missing.filter(|path| *path != Path::new("")).collect();
        // For nobody else to read, as etcd does.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        for made in missing {
            // A directory, too, has a name that a power cut can take back.
            let parent = match made.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            File::open(parent)?.sync_all()?;
        }
        let path = path.to_owned();
        Ok(Self { path })
    }
}

impl Disk for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send>>> {
        let file = File::create(self.path.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Enough: a changed length counts as data, as the file could not be read without it.
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}
