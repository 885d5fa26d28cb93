//! The form of every file of the store: a header, then checksummed frames.
//!
//! ```text
//!   header   magic (8)   salt (4)   crc of both (4)
//!   frame    len (4)   index (8)   crc (4)   payload (len)      repeated
//! ```
//!
//! A frame is written with one call and synced before the next is begun, so a crash can only
//! damage the last one. That is how a torn tail is told from corruption: damage with a whole
//! frame of the same file anywhere behind it was not done by a crash. The salt, random for each
//! file, starts every checksum, so that bytes of another file (an old one whose blocks were
//! reused, a value that holds a copy of a log) never pass for a frame of this one.

use std::io::{self, Read};

use crate::crc::crc32c;

const MAGIC: &[u8; 8] = b"WKSTORE1";

/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 16;

/// Bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 16;

/// A file's header.
pub fn header(salt: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32c(0, &header[..12]);
    header[12..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The salt of a file with this header; none if it is no header.
pub fn salt(header: &[u8; HEADER_BYTES]) -> Option<u32> {
    let (body, crc) = header.split_at(12);
    let whole = body.starts_with(MAGIC) && crc == crc32c(0, body).to_le_bytes();
    whole.then(|| u32::from_le_bytes(body[8..].try_into().expect("four bytes are left")))
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
        let crc = checksum(salt, &self.bytes[..12], &self.bytes[FRAME_HEADER_BYTES..]);
        self.bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        &self.bytes
    }
}

fn checksum(salt: u32, head: &[u8], payload: &[u8]) -> u32 {
    crc32c(crc32c(salt, head), payload)
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
    let Some((len, index, crc)) = parse_head(&head) else {
        return Ok(Next::Damaged);
    };
    // Grows as bytes are there: a damaged length reserves nothing.
    let mut payload = Vec::new();
    reader.take(u64::from(len)).read_to_end(&mut payload)?;
    if payload.len() == len as usize && crc == checksum(salt, &head[..12], &payload) {
        return Ok(Next::Frame(index, payload));
    }
    Ok(Next::Damaged)
}

/// Whether a whole frame with an index above `after` lies anywhere in `bytes`.
pub fn holds_frame(bytes: &[u8], salt: u32, after: u64) -> bool {
    (0..bytes.len()).any(|at| {
        let rest = &bytes[at..];
        let Some((len, index, crc)) = parse_head(rest) else {
            return false;
        };
        let Some(payload) = rest[FRAME_HEADER_BYTES..].get(..len as usize) else {
            return false;
        };
        // Cheap questions first: almost every offset fails the second one.
        index > after
            && index - after <= bytes.len() as u64
            && crc == checksum(salt, &rest[..12], payload)
    })
}

fn parse_head(bytes: &[u8]) -> Option<(u32, u64, u32)> {
    let head = bytes.get(..FRAME_HEADER_BYTES)?;
    let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let index = u64::from_le_bytes(head[4..12].try_into().expect("eight bytes"));
    Some((u32_at(0), index, u32_at(12)))
}
