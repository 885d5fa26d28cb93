//! The writer: one thread that takes the waiting writes, makes them durable together, applies
//! them, rings the watchers, answers.
//!
//! ```text
//!   waiting   a b c          d e f g            h
//!   writer    [log+sync][apply, answer a b c]   [log+sync][apply, answer d e f g]   ...
//! ```
//!
//! While one batch is being synced the next one gathers: the slower the disk, the larger the
//! batches (group commit). Nothing is applied before it is synced, so nobody reads or is told of
//! what a crash could take back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::api::Error;
use crate::checkpoint;
use crate::codec;
use crate::frame::Frame;
use crate::log::Log;
use crate::mvcc::{Applied, Command};
use crate::store::{Options, Shared, deadline};

/// A batch is closed when it is this long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A batch has at most this many commands, so that the first need not wait for very many.
const BATCH_COMMANDS: usize = 1024;

/// A write that waits.
pub struct Pending {
    /// What to write.
    pub command: Command,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Applied, Error>>,
    /// The right to wait, given back with the answer.
    pub permit: OwnedSemaphorePermit,
}

/// A command in a batch; the store's own have nobody who waits for them.
struct Entry {
    command: Command,
    answer: Option<(
        oneshot::Sender<Result<Applied, Error>>,
        OwnedSemaphorePermit,
    )>,
}

/// The state of the writer's thread.
pub struct Writer {
    shared: Arc<Shared>,
    commands: Receiver<Pending>,
    dir: PathBuf,
    log: Log,
    frame: Frame,
    /// Not later than the first lease's end; none while there is no lease.
    next_expiry: Option<Instant>,
    checkpoint_bytes_min: u64,
    checkpoint_bytes: u64,
    /// Bytes of the segments that the running checkpoint will make needless.
    old_log_bytes: u64,
    /// The log's length at which a checkpoint is due.
    checkpoint_due: u64,
    checkpointing: Option<JoinHandle<Option<u64>>>,
}

impl Writer {
    /// A writer that goes on where `log` ends.
    pub fn new(
        shared: Arc<Shared>,
        commands: Receiver<Pending>,
        dir: PathBuf,
        log: Log,
        options: Options,
        checkpoint_bytes: u64,
        old_log_bytes: u64,
    ) -> Self {
        let next_expiry = shared.deadlines().values().min().copied();
        let checkpoint_due = checkpoint_bytes.max(options.checkpoint_bytes);
        Self {
            shared,
            commands,
            dir,
            log,
            frame: Frame::default(),
            next_expiry,
            checkpoint_bytes_min: options.checkpoint_bytes,
            checkpoint_bytes,
            old_log_bytes,
            // Old segments at the start mean that a checkpoint was not finished: it is due.
            checkpoint_due: if old_log_bytes > 0 { 0 } else { checkpoint_due },
            checkpointing: None,
        }
    }

    /// Writes until the store is closed.
    pub fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            self.commit(batch);
            self.checkpoint_if_due();
        }
        if let Some(checkpointing) = self.checkpointing.take() {
            let _not_needed_to_reopen = checkpointing.join();
        }
    }

    /// Waits for a command or a lease's end, and takes what is there; none once the store is
    /// closed.
    fn next_batch(&mut self) -> Option<Vec<Entry>> {
        let first = match self.next_expiry {
            None => Some(self.commands.recv().ok()?),
            Some(at) => {
                let timeout = at.saturating_duration_since(Instant::now());
                match self.commands.recv_timeout(timeout) {
                    Ok(pending) => Some(pending),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return None,
                }
            }
        };
        self.frame.clear();
        let mut batch = self.expired();
        let mut next = first;
        while let Some(Pending {
            command,
            answer,
            permit,
        }) = next
        {
            batch.push(Entry {
                command,
                answer: Some((answer, permit)),
            });
            codec::encode_command(&batch[batch.len() - 1].command, self.frame.payload());
            if batch.len() >= BATCH_COMMANDS || self.frame.len() >= BATCH_BYTES {
                break;
            }
            next = self.commands.try_recv().ok();
        }
        Some(batch)
    }

    /// Ends the leases whose time is up.
    fn expired(&mut self) -> Vec<Entry> {
        let now = Instant::now();
        if self.next_expiry.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let deadlines = self.shared.deadlines();
        let mut expired: Vec<i64> = deadlines
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        expired.sort_unstable();
        self.next_expiry = deadlines.values().filter(|at| **at > now).min().copied();
        drop(deadlines);
        let entry = |id| {
            let command = Command::LeaseRevoke(id);
            codec::encode_command(&command, self.frame.payload());
            Entry {
                command,
                answer: None,
            }
        };
        expired.into_iter().map(entry).collect()
    }

    /// Makes a batch durable, applies it, tells.
    fn commit(&mut self, batch: Vec<Entry>) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.log.append(&mut self.frame, batch.len() as u64) {
            tracing::error!(%error, writes = batch.len(), "writes were not stored");
            // Leases that should have ended are tried again with the next batch, but not at once:
            // a full disk must not become a busy loop.
            if batch.iter().any(|entry| entry.answer.is_none()) {
                self.next_expiry = Some(deadline(Instant::now(), 1));
            }
            for (answer, _permit) in batch.into_iter().filter_map(|entry| entry.answer) {
                let _gave_up = answer.send(Err(error.clone()));
            }
            return;
        }
        let mut answers = Vec::with_capacity(batch.len());
        {
            let shared = self.shared.clone();
            let mut state = shared.write();
            let before = state.revision();
            for Entry { command, answer } in batch {
                let applied = state.apply(&command);
                if applied.is_ok() {
                    self.follow_lease(&command);
                }
                answers.extend(answer.map(|(answer, permit)| (answer, permit, applied)));
            }
            let watchers = shared.watchers();
            state
                .changes(before + 1)
                .for_each(|change| watchers.dispatch(change));
        }
        self.set_disk_bytes();
        for (answer, _permit, applied) in answers {
            let _gave_up = answer.send(applied);
        }
    }

    /// Keeps the clock of a lease that was made or has ended.
    fn follow_lease(&mut self, command: &Command) {
        match command {
            Command::LeaseGrant { id, ttl_seconds } => {
                let at = deadline(Instant::now(), (*ttl_seconds).max(1));
                self.shared.deadlines().insert(*id, at);
                self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
            }
            Command::LeaseRevoke(id) => {
                self.shared.deadlines().remove(id);
            }
            Command::Txn(_) | Command::Compact(_) => {}
        }
    }

    fn set_disk_bytes(&self) {
        let bytes = self.checkpoint_bytes + self.old_log_bytes + self.log.len();
        self.shared.set_disk_bytes(bytes);
    }

    /// Begins a checkpoint if the log is long, in a thread of its own: writes go on meanwhile.
    fn checkpoint_if_due(&mut self) {
        self.finish_checkpoint();
        if self.checkpointing.is_some() || self.log.len() < self.checkpoint_due {
            return;
        }
        // Tried again when the log has grown once more, if it comes to nothing.
        self.checkpoint_due = self.log.len() + self.checkpoint_bytes_min;
        let before = self.log.len();
        if let Err(error) = self.log.rotate() {
            tracing::warn!(%error, "cannot begin a checkpoint; the log goes on");
            return;
        }
        self.old_log_bytes += before;
        let index = self.log.next_index();
        // A copy of the index only; keys and values are shared. Every command before `index` is
        // in it, and no other.
        let snapshot = self.shared.read().clone();
        let dir = self.dir.clone();
        let work = move || match checkpoint::write(&dir, index, &snapshot) {
            Ok(bytes) => {
                if let Err(error) = checkpoint::remove_older(&dir, index) {
                    tracing::warn!(%error, "cannot remove what a checkpoint replaced");
                }
                Some(bytes)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write a checkpoint; the log goes on");
                None
            }
        };
        match std::thread::Builder::new()
            .name("etcd-checkpoint".to_owned())
            .spawn(work)
        {
            Ok(thread) => self.checkpointing = Some(thread),
            Err(error) => tracing::warn!(%error, "cannot begin a checkpoint; the log goes on"),
        }
    }

    fn finish_checkpoint(&mut self) {
        if !self
            .checkpointing
            .as_ref()
            .is_some_and(JoinHandle::is_finished)
        {
            return;
        }
        let finished = self
            .checkpointing
            .take()
            .and_then(|thread| thread.join().ok())
            .flatten();
        if let Some(bytes) = finished {
            self.checkpoint_bytes = bytes;
            self.old_log_bytes = 0;
            self.checkpoint_due = bytes.max(self.checkpoint_bytes_min);
            self.set_disk_bytes();
        }
    }
}
