//! Checkpoints: the whole store in one file, so that the log before it can go.
//!
//! `checkpoint-INDEX` is the store just before the command of that index. It is written beside
//! the running store, which goes on meanwhile, from a snapshot in slices; under another name until
//! it is whole and durable. So disk and restart time are bounded by what the store
//! holds, not by how often it was written.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::api::Error;
use crate::codec::{self, Decoder};
use crate::frame::{self, Frame, HEADER_BYTES, Next};
use crate::log::{cannot, corrupt, numbered, segments, sync_dir, write_durably};
use crate::mvcc::{Item, Mvcc, Restore};

const PREFIX: &str = "checkpoint-";

/// A frame is closed when it is this long.
const FRAME_BYTES: usize = 64 * 1024;

/// Writes the checkpoint before command `index`, a snapshot's slices, and returns its size in
/// bytes.
///
/// # Errors
///
/// If it cannot be made durable; then it is not there.
pub fn write(dir: &Path, index: u64, slices: impl Iterator<Item = Vec<Item>>) -> io::Result<u64> {
    let path = dir.join(format!("{PREFIX}{index:016x}"));
    write_durably(&path, |file| {
        let salt = crate::random::u64() as u32;
        let mut out = BufWriter::with_capacity(FRAME_BYTES, file);
        out.write_all(&frame::header(salt))?;
        let mut frame = Frame::default();
        frame.clear();
        let mut number = 1;
        for item in slices.flatten() {
            codec::encode_item(&item, frame.payload());
            if frame.len() >= FRAME_BYTES {
                out.write_all(frame.seal(salt, number))?;
                number += 1;
                frame.clear();
            }
        }
        out.write_all(frame.seal(salt, number))?;
        out.flush()
    })?;
    path.metadata().map(|metadata| metadata.len())
}

/// Removes what the checkpoint before command `index` makes needless.
///
/// # Errors
///
/// If a file cannot be removed; that can be tried again.
pub fn remove_older(dir: &Path, index: u64) -> io::Result<()> {
    let segments = segments(dir)?
        .into_iter()
        .filter(|(first, _)| *first < index);
    let checkpoints = numbered(dir, PREFIX)?
        .into_iter()
        .filter(|(at, _)| *at < index);
    for (_, path) in segments.chain(checkpoints) {
        fs::remove_file(path)?;
    }
    sync_dir(dir)
}

/// The store of the latest checkpoint, the index of the first command that is not in it, and its
/// size. Without one: an empty store, and command 1.
///
/// # Errors
///
/// If it cannot be read or is damaged. An older one is no way out: the log that leads on from it
/// is gone.
pub fn read(dir: &Path) -> Result<(Mvcc, u64, u64), Error> {
    let found = numbered(dir, PREFIX).map_err(|error| cannot("read", dir, &error))?;
    let Some((index, path)) = found.last() else {
        return Ok((Mvcc::default(), 1, 0));
    };
    let failed = |error: io::Error| cannot("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::with_capacity(FRAME_BYTES, file);
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).map_err(failed)?;
    let salt = frame::salt(&header).ok_or_else(|| corrupt(path, 0, "it has no header"))?;

    let mut restore = Restore::default();
    for number in 1.. {
        match frame::read_frame(&mut reader, salt).map_err(failed)? {
            Next::Frame(at, payload) if at == number => {
                let mut decoder = Decoder::new(&payload);
                while !decoder.is_empty() {
                    let item = decoder.item();
                    restore.push(item.map_err(|error| corrupt(path, 0, &error.to_string()))?);
                }
            }
            Next::End => break,
            _ => {
                return Err(corrupt(
                    path,
                    0,
                    &format!("its frame {number} is not whole"),
                ));
            }
        }
    }
    let mvcc = restore
        .finish()
        .ok_or_else(|| corrupt(path, bytes, "it is not complete"))?;
    Ok((mvcc, *index, bytes))
}
