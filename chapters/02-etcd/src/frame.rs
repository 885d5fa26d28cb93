//! The form of every file of the store: a header, then checksummed frames.
//!
//! ```text
//!   header   magic (8)   salt (4)   crc of both (4)
//!   frame    len (4)   index (8)   crc of both (4)   crc of the payload (4)   payload (len)
//!   frame    ...
//! ```
//!
//! A frame is written and synced before the next is begun, so a crash can only damage the last
//! one: a torn tail, that nobody was told was written, and that is cut off. Any other damage has
//! to be reported: cutting that off would lose what was acknowledged. [`tail`] tells them apart:
//!
//! - Damage with a whole frame of the same file behind it was not done by a crash.
//! - A crash leaves a file too short, or zeros where a sector was never written. A disk writes a
//!   sector as a whole, so what is damaged in any other way was whole once.
//!
//! The length has a checksum of its own, lest a damaged one look like a file that is too short.
//! One case is left in doubt: a last frame that is damaged *and* rightly has a sector of zeros in
//! it. (etcd asks the same question of the last record: `isTornEntry` in
//! `server/storage/wal/decoder.go`.)
//!
//! The salt, random for each file, starts every checksum, so that bytes of another file (an old
//! one whose blocks were reused, a value that holds a copy of a log) never pass for a frame of
//! this one.

use std::io::{self, Read};

use crate::crc::crc32c;

const MAGIC: &[u8; 8] = b"WKSTORE2";

/// What a disk writes as a whole.
const SECTOR_BYTES: u64 = 512;

/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 16;

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 20;

/// A file's header.
pub fn header(salt: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32c(0, &header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads a file's header and returns its salt; none if there is no header.
///
/// # Errors
///
/// If reading fails.
pub fn read_header(reader: &mut impl Read) -> io::Result<Option<u32>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    reader.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    let Some((body, crc)) = header.split_at_checked(12) else {
        return Ok(None);
    };
    let whole = body.starts_with(MAGIC) && crc == crc32c(0, body).to_le_bytes();
    Ok(whole.then(|| u32::from_le_bytes(body[8..].try_into().expect("four bytes are left"))))
}

/// A frame with room for its header: fill it with [`Frame::payload`], then [`Frame::seal`] it.
#[derive(Debug, Default)]
pub struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// Empties the frame and lends its payload.
    pub fn clear(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.bytes.resize(FRAME_HEADER_BYTES, 0);
        &mut self.bytes
    }

    /// The payload, to append to.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes of the whole frame.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The frame's bytes, with its header filled in.
    pub fn seal(&mut self, salt: u32, index: u64) -> &[u8] {
        let len = u32::try_from(self.bytes.len() - FRAME_HEADER_BYTES)
            .expect("a batch is limited to far less than 4 GiB");
        self.bytes[..4].copy_from_slice(&len.to_le_bytes());
        self.bytes[4..12].copy_from_slice(&index.to_le_bytes());
        let head_crc = crc32c(salt, &self.bytes[..12]);
        self.bytes[12..16].copy_from_slice(&head_crc.to_le_bytes());
        let payload_crc = crc32c(head_crc, &self.bytes[FRAME_HEADER_BYTES..]);
        self.bytes[16..20].copy_from_slice(&payload_crc.to_le_bytes());
        &self.bytes
    }
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole frame: its index and payload.
    Frame(u64, Vec<u8>),
    /// The file's clean end.
    End,
    /// Something that is no whole frame.
    Damaged,
}

/// Reads the next frame. After [`Next::Damaged`] the reader's place is anywhere.
///
/// # Errors
///
/// If reading fails.
pub fn read_frame(reader: &mut impl Read, salt: u32) -> io::Result<Next> {
    let mut head = Vec::with_capacity(FRAME_HEADER_BYTES);
    reader
        .take(FRAME_HEADER_BYTES as u64)
        .read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(Next::End);
    }
    let Some(head) = Head::parse(&head, salt) else {
        return Ok(Next::Damaged);
    };
    // Grows as bytes are there: a length alone reserves nothing.
    let mut payload = Vec::new();
    reader.take(head.len as u64).read_to_end(&mut payload)?;
    if head.is_of(&payload) {
        return Ok(Next::Frame(head.index, payload));
    }
    Ok(Next::Damaged)
}

/// What a file's end is that begins with no whole frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Tail {
    /// A frame that a crash kept from being written.
    Torn,
    /// A frame that was whole once.
    Damaged,
    /// As before, and a later frame is there to prove it.
    Followed,
}

/// Tells what `rest` is: the end of a file, from byte `at` on, where the whole frame with the
/// index `index` should be.
pub fn tail(rest: &[u8], at: u64, salt: u32, index: u64) -> Tail {
    // ANCHOR: exercise-02.8
    // Its own index may be what is damaged, so look behind its start.
    if holds_frame(rest.get(1..).unwrap_or_default(), salt, index) {
        return Tail::Followed;
    }
    let written = match Head::parse(rest, salt) {
        // Of the head, all that was written is what lies in the same sectors.
        None if rest.len() < FRAME_HEADER_BYTES => return Tail::Torn,
        None => {
            let end = (at + FRAME_HEADER_BYTES as u64).next_multiple_of(SECTOR_BYTES);
            &rest[..rest.len().min((end - at) as usize)]
        }
        Some(head) => match rest.get(..FRAME_HEADER_BYTES + head.len) {
            None => return Tail::Torn,
            Some(frame) => frame,
        },
    };
    if holds_empty_sector(written, at) {
        Tail::Torn
    } else {
        Tail::Damaged
    }
    // ANCHOR_END: exercise-02.8
}

/// Whether a sector's part of `bytes`, which begin at byte `at` of a file, is all zeros.
fn holds_empty_sector(bytes: &[u8], at: u64) -> bool {
    let first = (SECTOR_BYTES - at % SECTOR_BYTES) as usize;
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    let mut parts = std::iter::once(first).chain(rest.chunks(SECTOR_BYTES as usize));
    parts.any(|part| part.iter().all(|byte| *byte == 0))
}

/// Whether a whole frame with an index above `after` lies anywhere in `bytes`.
fn holds_frame(bytes: &[u8], salt: u32, after: u64) -> bool {
    // No head is all zeros, so none begins in the room that a segment ends with.
    let last = bytes.iter().rposition(|byte| *byte != 0);
    (0..=last.unwrap_or_default()).any(|at| {
        let rest = &bytes[at..];
        Head::parse(rest, salt).is_some_and(|head| {
            let payload = rest[FRAME_HEADER_BYTES..].get(..head.len);
            head.index > after && payload.is_some_and(|payload| head.is_of(payload))
        })
    })
}

/// A frame's head.
struct Head {
    len: usize,
    index: u64,
    head_crc: u32,
    payload_crc: u32,
}

impl Head {
    /// The head that `bytes` begin with, if they do and it is whole.
    fn parse(bytes: &[u8], salt: u32) -> Option<Self> {
        let head = bytes.get(..FRAME_HEADER_BYTES)?;
        let u32_at =
            |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let head_crc = u32_at(12);
        (head_crc == crc32c(salt, &head[..12])).then(|| Self {
            len: u32_at(0) as usize,
            index: u64::from_le_bytes(head[4..12].try_into().expect("eight bytes")),
            head_crc,
            payload_crc: u32_at(16),
        })
    }

    /// Whether `payload` is this head's.
    fn is_of(&self, payload: &[u8]) -> bool {
        payload.len() == self.len && self.payload_crc == crc32c(self.head_crc, payload)
    }
}
