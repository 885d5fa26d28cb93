//! The write-ahead log: every command, on disk before it is answered.
//!
//! The log is a row of segments, `wal-INDEX`, named for the index of their first command, counted
//! from 1. A frame holds the commands of one batch, synced together (group commit); its index is
//! that of its first command. When a checkpoint is begun the log goes on in a new segment, and
//! when the checkpoint is durable the segments before it are removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::api::Error;
use crate::codec::Decoder;
use crate::frame::{self, Frame, HEADER_BYTES, Next};
use crate::mvcc::Command;

/// What the log needs of a file; tests give one that fails.
pub trait LogFile: Send {
    /// Appends all of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes; the next append goes there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

impl LogFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(|_| ())
    }
}

/// The log's last segment, open for appending.
pub struct Log {
    dir: PathBuf,
    file: Box<dyn LogFile>,
    salt: u32,
    len: u64,
    next_index: u64,
    /// Why nothing can be appended any more.
    failed: Option<String>,
}

impl Log {
    /// Makes a new segment whose first command is `index`.
    ///
    /// # Errors
    ///
    /// If it cannot be made durable.
    pub fn create(dir: &Path, index: u64) -> io::Result<Self> {
        let salt = crate::random::u64() as u32;
        let path = dir.join(segment_name(index));
        // Whole under its own name or not there at all: a segment always has its header.
        write_durably(&path, |file| file.write_all(&frame::header(salt)))?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok(Self::with_file(
            dir,
            Box::new(file),
            salt,
            HEADER_BYTES as u64,
            index,
        ))
    }

    /// A log that appends to `file`, which is `len` bytes long.
    pub fn with_file(
        dir: &Path,
        file: Box<dyn LogFile>,
        salt: u32,
        len: u64,
        next_index: u64,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            file,
            salt,
            len,
            next_index,
            failed: None,
        }
    }

    /// Bytes of the segment.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The index that the next command will have.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Appends a frame of `count` commands and makes it durable.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the disk is full: the log is as it was. [`Error::Storage`] if the
    /// disk failed: nothing can be appended any more, for what a failed sync has left on the disk
    /// is not known, and the kernel may say of the next one that all is well.
    pub fn append(&mut self, frame: &mut Frame, count: u64) -> Result<(), Error> {
        if let Some(failed) = &self.failed {
            return Err(Error::Storage(failed.clone()));
        }
        if let Err(error) = self.file.append(frame.seal(self.salt, self.next_index)) {
            let restored = self.file.truncate(self.len);
            return Err(match restored {
                Ok(()) if is_full(&error) => Error::NoSpace,
                _ => self.fail("write", &error),
            });
        }
        if let Err(error) = self.file.sync() {
            return Err(self.fail("sync", &error));
        }
        self.len += frame.len() as u64;
        self.next_index += count;
        Ok(())
    }

    fn fail(&mut self, what: &str, error: &io::Error) -> Error {
        let failed = format!("cannot {what} the log in {}: {error}", self.dir.display());
        self.failed = Some(failed.clone());
        Error::Storage(failed)
    }

    /// Goes on in a new segment.
    ///
    /// # Errors
    ///
    /// If it cannot be made; the log goes on in the old one.
    pub fn rotate(&mut self) -> io::Result<()> {
        // Two checkpoints with no command between them: the segment is new already.
        if self.len > HEADER_BYTES as u64 {
            *self = Self::create(&self.dir, self.next_index)?;
        }
        Ok(())
    }
}

/// What replaying the log gives.
pub struct Replayed {
    /// The log, to be appended to.
    pub log: Log,
    /// Bytes of the segments before its last one.
    pub old_bytes: u64,
    /// Bytes of an unfinished batch that were cut off; nobody was told that it was written.
    pub torn_bytes: u64,
}

/// Gives every command from index `next` on to `apply`, in order, and opens the log's end.
///
/// # Errors
///
/// If a file cannot be read, or is damaged anywhere but at the end of the last one.
pub fn replay(
    dir: &Path,
    mut next: u64,
    mut apply: impl FnMut(Command),
) -> Result<Replayed, Error> {
    let mut segments = segments(dir).map_err(|error| cannot("read", dir, &error))?;
    // Segments that the checkpoint covers wholly were being removed when the store stopped.
    while segments.get(1).is_some_and(|(first, _)| *first <= next) {
        let (_, path) = segments.remove(0);
        fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
    }
    let Some((last, before)) = segments.split_last() else {
        let log = Log::create(dir, next).map_err(|error| cannot("create a log in", dir, &error))?;
        return Ok(Replayed {
            log,
            old_bytes: 0,
            torn_bytes: 0,
        });
    };
    let mut old_bytes = 0;
    for (first, path) in before {
        let end = read_segment(path, *first, &mut next, &mut apply)?;
        if end.torn_bytes > 0 {
            return Err(corrupt(path, end.len, "it ends in the middle of a batch"));
        }
        old_bytes += end.len;
    }
    let (first, path) = last;
    let end = read_segment(path, *first, &mut next, &mut apply)?;
    let open = || -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        if end.torn_bytes > 0 {
            file.set_len(end.len)?;
            file.sync_all()?;
        }
        Ok(Box::new(file))
    };
    let file = open().map_err(|error| cannot("open", path, &error))?;
    let log = Log::with_file(dir, file, end.salt, end.len, next);
    Ok(Replayed {
        log,
        old_bytes,
        torn_bytes: end.torn_bytes,
    })
}

struct SegmentEnd {
    salt: u32,
    /// Bytes up to the end of the last whole frame.
    len: u64,
    torn_bytes: u64,
}

fn read_segment(
    path: &Path,
    first: u64,
    next: &mut u64,
    apply: &mut impl FnMut(Command),
) -> Result<SegmentEnd, Error> {
    let failed = |error: io::Error| cannot("read", path, &error);
    if first > *next {
        return Err(corrupt(
            path,
            0,
            &format!("commands {next} to {} are missing", first - 1),
        ));
    }
    let file = File::open(path).map_err(failed)?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).map_err(failed)?;
    let salt = frame::salt(&header).ok_or_else(|| corrupt(path, 0, "it has no header"))?;

    let mut end = SegmentEnd {
        salt,
        len: HEADER_BYTES as u64,
        torn_bytes: 0,
    };
    let mut index = first;
    loop {
        match frame::read_frame(&mut reader, salt).map_err(failed)? {
            Next::End => return Ok(end),
            Next::Frame(at, payload) if at == index => {
                let mut decoder = Decoder::new(&payload);
                while !decoder.is_empty() {
                    let command = decoder
                        .command()
                        .map_err(|error| corrupt(path, end.len, &error.to_string()))?;
                    // A segment that the checkpoint covers in part is read from its beginning.
                    if index == *next {
                        apply(command);
                        *next += 1;
                    }
                    index += 1;
                }
                end.len += (frame::FRAME_HEADER_BYTES + payload.len()) as u64;
            }
            Next::Frame(at, _) => {
                let what = format!("command {index} is missing, {at} is there");
                return Err(corrupt(path, end.len, &what));
            }
            Next::Damaged => break,
        }
    }
    let rest = read_from(path, end.len).map_err(failed)?;
    // The damaged frame itself may be hit by a changed index alone, so look behind its start.
    if frame::holds_frame(rest.get(1..).unwrap_or_default(), salt, index) {
        return Err(corrupt(
            path,
            end.len,
            "the batch there is damaged, and whole ones follow it",
        ));
    }
    end.torn_bytes = rest.len() as u64;
    Ok(end)
}

fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    Ok(rest)
}

/// The segments in `dir` with the index of their first command, in order.
pub fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    numbered(dir, "wal-")
}

/// The files in `dir` named `prefix` and a number, in its order.
pub fn numbered(dir: &Path, prefix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix(prefix)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn segment_name(index: u64) -> String {
    format!("wal-{index:016x}")
}

/// Writes a file so that it is at `path` whole and durable, or not at all.
pub fn write_durably(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let written = (|| {
        let mut file = File::create(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_dir(
            path.parent()
                .expect("a file of the store is in its directory"),
        )
    })();
    if written.is_err() {
        let _may_not_be_there = fs::remove_file(&temporary);
    }
    written
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The error of a file that cannot be used.
pub fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Storage(format!("cannot {what} {}: {error}", path.display()))
}

/// The error of a file that is not what was written.
pub fn corrupt(path: &Path, offset: u64, what: &str) -> Error {
    Error::Storage(format!(
        "{} is damaged at byte {offset}: {what}",
        path.display()
    ))
}
