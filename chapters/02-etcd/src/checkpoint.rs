//! Checkpoints: the whole store in one file, so that the log before it can go.
//!
//! `checkpoint-INDEX` is the store just before the command of that index. It is written beside
//! the running store, which goes on meanwhile, from a snapshot in slices; under another name until
//! it is whole and durable. So disk and restart time are bounded by what the store
//! holds, not by how often it was written.

use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::api::Error;
use crate::codec::{self, Decoder};
use crate::disk::{Disk, numbered, write_durably};
use crate::frame::{self, FRAME_HEADER_BYTES, Frame, HEADER_BYTES, Next};
use crate::log::{cannot, corrupt, segments};
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
pub fn write(
    disk: &dyn Disk,
    index: u64,
    slices: impl Iterator<Item = Vec<Item>>,
) -> io::Result<u64> {
    let mut written = 0;
    write_durably(disk, &format!("{PREFIX}{index:016x}"), |file| {
        write_items(slices, |bytes| {
            file.write_all_at(bytes, written)?;
            written += bytes.len() as u64;
            Ok(())
        })
    })?;
    Ok(written)
}

/// Gives what a checkpoint of a snapshot's slices is made of to `append`, piece by piece.
///
/// # Errors
///
/// Those of `append`.
pub fn write_items(
    slices: impl Iterator<Item = Vec<Item>>,
    mut append: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let salt = crate::random::u64() as u32;
    append(&frame::header(salt))?;
    let mut frame = Frame::default();
    frame.clear();
    let mut number = 1;
    for item in slices.flatten() {
        codec::encode_item(&item, frame.payload());
        if frame.len() >= FRAME_BYTES {
            append(frame.seal(salt, number))?;
            number += 1;
            frame.clear();
        }
    }
    append(frame.seal(salt, number))
}

/// Removes what the checkpoint before command `index` makes needless.
///
/// # Errors
///
/// If a file cannot be removed; that can be tried again.
pub fn remove_older(disk: &dyn Disk, index: u64) -> io::Result<()> {
    let segments = segments(disk)?
        .into_iter()
        .filter(|(first, _)| *first < index);
    let checkpoints = numbered(disk, PREFIX)?
        .into_iter()
        .filter(|(at, _)| *at < index);
    for (_, name) in segments.chain(checkpoints) {
        disk.remove(&name)?;
    }
    disk.sync()
}

/// The store of the latest checkpoint, the index of the first command that is not in it, and its
/// size. Without one: an empty store, and command 1.
///
/// # Errors
///
/// If it cannot be read or is damaged. An older one is no way out: the log that leads on from it
/// is gone.
pub fn read(disk: &dyn Disk) -> Result<(Mvcc, u64, u64), Error> {
    let found = numbered(disk, PREFIX).map_err(|error| cannot("read", disk.path(), &error))?;
    let Some((index, name)) = found.last() else {
        return Ok((Mvcc::default(), 1, 0));
    };
    let path = &disk.path().join(name);
    let file = disk
        .read(name)
        .map_err(|error| cannot("read", path, &error))?;
    let (mvcc, bytes) = read_items(BufReader::with_capacity(FRAME_BYTES, file), path)?;
    Ok((mvcc, *index, bytes))
}

/// Reads a checkpoint, to the reader's end: the store, and how many bytes it took. `path` is for
/// what there is to say.
///
/// # Errors
///
/// If it cannot be read or is damaged.
pub fn read_items(mut reader: impl Read, path: &Path) -> Result<(Mvcc, u64), Error> {
    let failed = |error: io::Error| cannot("read", path, &error);
    let salt = frame::read_header(&mut reader).map_err(failed)?;
    let salt = salt.ok_or_else(|| corrupt(path, 0, "it has no header of this version"))?;

    let mut bytes = HEADER_BYTES as u64;
    let mut restore = Restore::default();
    for number in 1.. {
        match frame::read_frame(&mut reader, salt).map_err(failed)? {
            Next::Frame(at, payload) if at == number => {
                let mut decoder = Decoder::new(&payload);
                while !decoder.is_empty() {
                    let item = decoder.item();
                    restore.push(item.map_err(|error| corrupt(path, bytes, &error.to_string()))?);
                }
                bytes += (FRAME_HEADER_BYTES + payload.len()) as u64;
            }
            Next::End => break,
            _ => {
                let what = format!("its frame {number} is not whole");
                return Err(corrupt(path, bytes, &what));
            }
        }
    }
    let mvcc = restore
        .finish()
        .ok_or_else(|| corrupt(path, bytes, "it is not complete"))?;
    Ok((mvcc, bytes))
}
