//! The write-ahead log: every command, on disk before it is answered.
//!
//! The log is a row of segments, `wal-INDEX`, named for the index of their first command, counted
//! from 1. A frame holds the commands of one batch, synced together (group commit); its index is
//! that of its first command. When a checkpoint is begun the log goes on in a new segment, and
//! when the checkpoint is durable the segments before it are removed.
//!
//! What may go wrong, and what is done:
//!
//! (The room that a segment has for more frames is zeros, which are none.)
//!
//! ```text
//!   a write fails, the disk is full   cut back, and synced so; answered "no space"; goes on
//!   a write fails otherwise           nothing is acknowledged until a restart
//!   a sync fails                      likewise: what it has left on the disk is not known
//!   the power goes in a write         the last frame is torn: cut off when the log is opened
//!   the process goes in a write       the kernel has the frame, the disk perhaps not: so the last
//!                                     frame is written and synced once more before it is served
//!   anything else is not as written   reported, with file and byte; the store does not open
//! ```

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::Error;
use crate::codec::{Decoder, Malformed};
use crate::disk::{Disk, DiskFile, is_full, numbered, write_durably};
use crate::frame::{self, FRAME_HEADER_BYTES, Frame, HEADER_BYTES, Next, Tail};
use crate::mvcc::Command;

/// Room is made in the segment for at least and at most so many bytes at a time: see
/// [`Log::make_room`]. Few in tests, so that they come upon its end.
const ROOM_BYTES: [u64; 2] = if cfg!(test) {
    [2 << 10, 8 << 10]
} else {
    [64 << 10, 4 << 20]
};

/// Room ends where a block of the file system does.
const BLOCK_BYTES: u64 = 4096;

/// The log's last segment, open for appending.
pub struct Log {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    salt: u32,
    /// Bytes of the header and the frames.
    len: u64,
    /// Bytes of the file: zeros follow the frames. None if it cannot be had longer than that.
    room: Option<u64>,
    next_index: u64,
    /// How long the last sync took.
    sync_took: Duration,
    /// Why nothing can be appended any more.
    failed: Option<String>,
}

impl Log {
    /// Makes a new segment whose first command is `index`.
    ///
    /// # Errors
    ///
    /// If it cannot be made durable.
    pub fn create(disk: Arc<dyn Disk>, index: u64) -> io::Result<Self> {
        let salt = crate::random::u64() as u32;
        let name = segment_name(index);
        // Whole under its own name or not there at all: a segment always has its header.
        write_durably(disk.as_ref(), &name, |file| {
            file.write_all_at(&frame::header(salt), 0)
        })?;
        Ok(Self {
            file: disk.open(&name)?,
            disk,
            salt,
            len: HEADER_BYTES as u64,
            room: Some(HEADER_BYTES as u64),
            next_index: index,
            sync_took: Duration::ZERO,
            failed: None,
        })
    }

    /// Bytes of the segment.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The index that the next command will have.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// How long the last sync took.
    pub fn sync_took(&self) -> Duration {
        self.sync_took
    }

    /// Why nothing can be appended any more, if that is so.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Appends a frame of `count` commands and makes it durable.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] if the disk is full: the log is as it was. [`Error::Storage`] if the
    /// disk failed: nothing can be appended any more, for what a failed sync has left on the disk
    /// is not known, and the kernel may say of the next one that all is well.
    pub fn append(&mut self, frame: &mut Frame, count: u64) -> Result<(), Error> {
        self.check()?;
        let bytes = frame.seal(self.salt, self.next_index);
        if let Err(error) = self.file.write_all_at(bytes, self.len) {
            // Synced, lest a crash bring the half frame back once the log goes on elsewhere.
            let restored = self.file.truncate(self.len);
            self.room = self.room.map(|_| self.len);
            return Err(match restored.and_then(|()| self.file.sync()) {
                Ok(()) if is_full(&error) => Error::NoSpace,
                _ => self.fail("write", &error),
            });
        }
        let end = self.len + frame.len() as u64;
        self.make_room(end);
        let begun = Instant::now();
        if let Err(error) = self.file.sync() {
            return Err(self.fail("sync", &error));
        }
        self.sync_took = begun.elapsed();
        self.len = end;
        self.next_index += count;
        Ok(())
    }

    /// Has zeros follow a log that ends at `end`, if the file does so already.
    ///
    /// To sync a file that has become longer, or has bytes where it had none, is to have the file
    /// system write its own journal as well, and to wait for all that others have in it. Over zeros
    /// that are on the disk only the bytes are written: half the time. So they are written ahead,
    /// to be synced with the frame before them; for a longer log more of them, so that a small one
    /// stays small. Where they are not to be had the file grows as it is written, and whatever is
    /// wrong with the disk shows then.
    fn make_room(&mut self, end: u64) {
        if self.room.is_none_or(|room| room >= end) {
            return;
        }
        let [min, max] = ROOM_BYTES;
        let room = (end + end.clamp(min, max)).next_multiple_of(BLOCK_BYTES);
        let zeros = vec![0; (room - end) as usize];
        let written = self.file.write_all_at(&zeros, end);
        if written.is_err() {
            // On a disk that is full, room for the next frames.
            let _as_long_as_it_is = self.file.truncate(end);
        }
        self.room = written.is_ok().then_some(room);
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            None => Ok(()),
            Some(failed) => Err(Error::Storage(failed.clone())),
        }
    }

    fn fail(&mut self, what: &str, error: &io::Error) -> Error {
        let path = self.disk.path().display();
        let failed = format!("cannot {what} the log in {path}: {error}");
        self.failed = Some(failed.clone());
        Error::Storage(failed)
    }

    /// Goes on in a new segment.
    ///
    /// # Errors
    ///
    /// If it cannot be made; the log goes on in the old one. A log that has failed has no way on.
    pub fn rotate(&mut self) -> io::Result<()> {
        self.check().map_err(io::Error::other)?;
        // Two checkpoints with no command between them: the segment is new already.
        if self.len > HEADER_BYTES as u64 {
            let next = Self::create(self.disk.clone(), self.next_index)?;
            std::mem::replace(self, next).close();
        }
        Ok(())
    }

    /// Gives back the room that was not needed. Whoever opens the log would not mind it.
    pub fn close(mut self) {
        if self.failed.is_none() && self.room.is_some_and(|room| room > self.len) {
            let _needless = self.file.truncate(self.len);
        }
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

/// Gives every command from index `next` on to `apply`, in order, and opens the log's end. All of
/// it is durable then, whatever ended the process that wrote it.
///
/// # Errors
///
/// If a file cannot be read, or is damaged anywhere but at the end of the last one.
pub fn replay(
    disk: &Arc<dyn Disk>,
    mut next: u64,
    mut apply: impl FnMut(Command),
) -> Result<Replayed, Error> {
    let mut old_bytes = 0;
    let mut last: Option<Segment> = None;
    for (first, name) in kept_segments(disk.as_ref(), next)? {
        let segment = Segment::read(disk.as_ref(), name, first, &mut next, &mut apply)?;
        if segment.is_empty() && first < next {
            // It was begun, but could not be made durable, so the one before it was gone on with.
            remove(disk.as_ref(), &segment.name)?;
            continue;
        }
        if let Some(before) = last.replace(segment) {
            if before.torn_bytes > 0 {
                return Err(before.corrupt(disk.as_ref(), "it ends in the middle of a batch"));
            }
            old_bytes += before.len;
        }
    }
    let torn_bytes = last.as_ref().map_or(0, |segment| segment.torn_bytes);
    let log = match last {
        None => Log::create(disk.clone(), next)
            .map_err(|error| cannot("create a log in", disk.path(), &error))?,
        Some(segment) => {
            let path = disk.path().join(&segment.name);
            let opened = segment.open(disk.clone());
            opened.map_err(|error| cannot("open", &path, &error))?
        }
    };
    Ok(Replayed {
        log,
        old_bytes,
        torn_bytes,
    })
}

/// The segments that are needed to go on from command `next`; others are removed.
fn kept_segments(disk: &dyn Disk, next: u64) -> Result<Vec<(u64, String)>, Error> {
    let mut segments = segments(disk).map_err(|error| cannot("read", disk.path(), &error))?;
    // A log begins with a segment of that index, and so does what follows a checkpoint.
    let is_new = next == 1 && segments.is_empty();
    if !is_new && !segments.iter().any(|(first, _)| *first == next) {
        let path = disk.path().join(segment_name(next));
        return Err(corrupt(&path, 0, "it is missing"));
    }
    // Segments that the checkpoint covers wholly were being removed when the store stopped.
    while segments.get(1).is_some_and(|(first, _)| *first <= next) {
        remove(disk, &segments.remove(0).1)?;
    }
    Ok(segments)
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), Error> {
    let removed = disk.remove(name);
    removed.map_err(|error| cannot("remove", &disk.path().join(name), &error))
}

/// A segment that was read.
struct Segment {
    name: String,
    salt: u32,
    /// Bytes up to the end of the last whole frame.
    len: u64,
    torn_bytes: u64,
    /// Bytes of zeros behind them, if nothing is torn.
    room_bytes: u64,
    /// The index after that of its last command.
    next_index: u64,
    /// The last whole frame: its index, where it is, its payload.
    last: Option<(u64, u64, Vec<u8>)>,
}

impl Segment {
    fn read(
        disk: &dyn Disk,
        name: String,
        first: u64,
        next: &mut u64,
        apply: &mut impl FnMut(Command),
    ) -> Result<Self, Error> {
        let path = disk.path().join(&name);
        let failed = |error: io::Error| cannot("read", &path, &error);
        if first > *next {
            let what = format!("commands {next} to {} are missing", first - 1);
            return Err(corrupt(&path, 0, &what));
        }
        let mut reader = BufReader::with_capacity(1 << 16, disk.read(&name).map_err(failed)?);
        let salt = frame::read_header(&mut reader).map_err(failed)?;
        let salt = salt.ok_or_else(|| corrupt(&path, 0, "it has no header of this version"))?;
        let mut segment = Self {
            name,
            salt,
            len: HEADER_BYTES as u64,
            torn_bytes: 0,
            room_bytes: 0,
            next_index: first,
            last: None,
        };
        loop {
            match frame::read_frame(&mut reader, salt).map_err(failed)? {
                Next::End => return Ok(segment),
                Next::Frame(at, payload) if at == segment.next_index => {
                    segment
                        .take(payload, next, apply)
                        .map_err(|error| corrupt(&path, segment.len, &error.to_string()))?;
                }
                Next::Frame(at, _) => {
                    let what = format!("command {} is missing, {at} is there", segment.next_index);
                    return Err(corrupt(&path, segment.len, &what));
                }
                Next::Damaged => break,
            }
        }
        let rest = read_from(disk, &segment.name, segment.len).map_err(failed)?;
        if rest.iter().all(|byte| *byte == 0) {
            segment.room_bytes = rest.len() as u64;
            return Ok(segment);
        }
        let what = match frame::tail(&rest, segment.len, salt, segment.next_index) {
            Tail::Torn => {
                segment.torn_bytes = rest.len() as u64;
                return Ok(segment);
            }
            Tail::Damaged => "the batch there was whole once, and is not any more",
            Tail::Followed => "the batch there is damaged, and whole ones follow it",
        };
        Err(corrupt(&path, segment.len, what))
    }

    fn is_empty(&self) -> bool {
        self.last.is_none() && self.torn_bytes == 0
    }

    /// Takes the next frame's commands.
    fn take(
        &mut self,
        payload: Vec<u8>,
        next: &mut u64,
        apply: &mut impl FnMut(Command),
    ) -> Result<(), Malformed> {
        let index = self.next_index;
        let mut decoder = Decoder::new(&payload);
        while !decoder.is_empty() {
            let command = decoder.command()?;
            // A segment that the checkpoint covers in part is read from its beginning.
            if self.next_index == *next {
                apply(command);
                *next += 1;
            }
            self.next_index += 1;
        }
        let at = self.len;
        self.len += (FRAME_HEADER_BYTES + payload.len()) as u64;
        self.last = Some((index, at, payload));
        Ok(())
    }

    /// Opens the segment for appending.
    fn open(self, disk: Arc<dyn Disk>) -> io::Result<Log> {
        let mut file = disk.open(&self.name)?;
        if self.torn_bytes > 0 {
            file.truncate(self.len)?;
        }
        // It was read, but perhaps from the kernel's memory only: whoever wrote it may have died
        // before the sync, or may have been told that the sync failed. Syncing what the kernel
        // holds to be written already would do nothing, so it is written again. Those before it
        // were synced before it was begun.
        if let Some((index, at, payload)) = self.last {
            let mut frame = Frame::default();
            frame.clear().extend_from_slice(&payload);
            file.write_all_at(frame.seal(self.salt, index), at)?;
        }
        file.sync()?;
        Ok(Log {
            disk,
            file,
            salt: self.salt,
            len: self.len,
            room: Some(self.len + self.room_bytes),
            next_index: self.next_index,
            sync_took: Duration::ZERO,
            failed: None,
        })
    }

    fn corrupt(&self, disk: &dyn Disk, what: &str) -> Error {
        corrupt(&disk.path().join(&self.name), self.len, what)
    }
}

fn read_from(disk: &dyn Disk, name: &str, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = disk.read(name)?;
    io::copy(&mut file.by_ref().take(offset), &mut io::sink())?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest)?;
    Ok(rest)
}

/// The log's segments with the index of their first command, in order.
///
/// # Errors
///
/// If the directory cannot be read.
pub fn segments(disk: &dyn Disk) -> io::Result<Vec<(u64, String)>> {
    numbered(disk, "wal-")
}

fn segment_name(index: u64) -> String {
    format!("wal-{index:016x}")
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
