//! Backups: the store as one file, for `etcdctl snapshot save`, and the way back.
//!
//! ```text
//!   magic (8)   length (8)   a checkpoint (length)   zeros up to a multiple of 512   SHA-256 (32)
//! ```
//!
//! `etcdctl` refuses a file that is not blocks of 512 bytes and a checksum: etcd's are pages of a
//! database. What is in the blocks it does not ask, and here it is a checkpoint; so
//! `etcdctl snapshot status` and an etcd cannot read it, and `etcd restore` cannot read theirs.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::api::Error;
use crate::checkpoint;
use crate::disk::{Directory, Disk};
use crate::log::{cannot, corrupt};
use crate::mvcc::{Mvcc, Snapshot};
use crate::store::Shared;

const MAGIC: &[u8; 8] = b"WKBACKUP";

const HEADER_BYTES: usize = 16;

const BLOCK_BYTES: u64 = 512;

const SHA_BYTES: usize = 32;

/// Keys that are read in one go, for which the store is locked.
const SLICE_KEYS: usize = 1000;

/// Bytes of the file that are given on together, as in etcd.
const CHUNK_BYTES: usize = 32 * 1024;

/// A backup to be written: the store as it was when this was made.
pub struct Backup {
    shared: Arc<Shared>,
    /// The same twice: to count its bytes, then to write them.
    snapshots: [Snapshot; 2],
}

impl Backup {
    /// A backup of the store as it is.
    pub fn new(shared: &Arc<Shared>) -> Self {
        let mut state = shared.write();
        let snapshots = [state.snapshot(), state.snapshot()];
        Self {
            shared: shared.clone(),
            snapshots,
        }
    }

    /// Gives the file on in pieces, each with the bytes that come after it, not counting the
    /// checksum, which is the last piece. Ends early if `send` says so.
    pub fn write(self, send: impl FnMut(Vec<u8>, u64) -> io::Result<()>) -> io::Result<()> {
        let Self { shared, snapshots } = self;
        let slices = snapshots.map(|mut snapshot| {
            let shared = shared.clone();
            std::iter::from_fn(move || snapshot.next_slice(&shared.read(), SLICE_KEYS))
        });
        let [counted, written] = slices;
        let mut len = 0;
        checkpoint::write_items(counted, |bytes| {
            len += bytes.len() as u64;
            Ok(())
        })?;
        let blocks = (len + HEADER_BYTES as u64).div_ceil(BLOCK_BYTES) * BLOCK_BYTES;

        let mut out = Chunks {
            chunk: Vec::with_capacity(CHUNK_BYTES),
            left: blocks,
            sha: Sha256::new(),
            send,
        };
        out.append(MAGIC)?;
        out.append(&len.to_le_bytes())?;
        checkpoint::write_items(written, |bytes| out.append(bytes))?;
        let padding = blocks - len - HEADER_BYTES as u64;
        out.append(&[0; BLOCK_BYTES as usize][..padding as usize])?;
        out.flush()?;
        let Chunks { sha, mut send, .. } = out;
        send(sha.finalize().to_vec(), 0)
    }
}

/// A file on its way, of which one piece is there.
struct Chunks<S> {
    chunk: Vec<u8>,
    left: u64,
    sha: Sha256,
    send: S,
}

impl<S: FnMut(Vec<u8>, u64) -> io::Result<()>> Chunks<S> {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (taken, rest) = bytes.split_at(bytes.len().min(room));
            self.chunk.extend_from_slice(taken);
            bytes = rest;
            if self.chunk.len() == CHUNK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.sha.update(&self.chunk);
        self.left -= self.chunk.len() as u64;
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        (self.send)(chunk, self.left)
    }
}

/// Makes a store in `dir`, which must not be one yet, of a backup.
///
/// # Errors
///
/// If the file is not a whole backup, or `dir` holds something, or the disk fails.
pub fn restore(file: &Path, dir: &Path) -> Result<(), Error> {
    let mut mvcc = read(file)?;
    let disk = Directory::create(dir).map_err(|error| cannot("create", dir, &error))?;
    let names = disk.names().map_err(|error| cannot("read", dir, &error))?;
    if !names.is_empty() {
        return Err(Error::Storage(format!("{} is not empty", dir.display())));
    }
    let mut snapshot = mvcc.snapshot();
    let slices = std::iter::from_fn(|| snapshot.next_slice(&mvcc, SLICE_KEYS));
    let written = checkpoint::write(&disk, 1, slices);
    written.map_err(|error| cannot("write a checkpoint in", dir, &error))?;
    Ok(())
}

fn read(path: &Path) -> Result<Mvcc, Error> {
    let failed = |error: io::Error| cannot("read", path, &error);
    let not_one = |what: &str| corrupt(path, 0, what);
    let open = || File::open(path).map(BufReader::new).map_err(failed);
    let bytes = path.metadata().map_err(failed)?.len();
    let blocks = bytes.saturating_sub(SHA_BYTES as u64);
    if blocks == 0 || blocks % BLOCK_BYTES != 0 {
        return Err(not_one("it does not end in a checksum"));
    }

    // All of it is looked at before any of it is believed.
    let mut reader = open()?;
    let mut sha = Sha256::new();
    io::copy(&mut reader.by_ref().take(blocks), &mut sha).map_err(failed)?;
    let mut expected = [0; SHA_BYTES];
    reader.read_exact(&mut expected).map_err(failed)?;
    if sha.finalize()[..] != expected {
        return Err(not_one("its checksum is not that of its content"));
    }

    let mut reader = open()?;
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).map_err(failed)?;
    let (magic, len) = header.split_at(8);
    if magic != MAGIC {
        return Err(not_one("it is no backup of this store"));
    }
    let len = u64::from_le_bytes(len.try_into().expect("eight bytes are left"));
    let (mvcc, _bytes) = checkpoint::read_items(reader.take(len), path)?;
    Ok(mvcc)
}
