//! The writer: takes the waiting writes, makes them durable together, applies them, rings the
//! watchers, answers.
//!
//! ```text
//!   waiting   a b c          d e f g            h
//!   writer    [log+sync][apply, answer a b c]   [log+sync][apply, answer d e f g]   ...
//! ```
//!
//! While one batch is being synced the next one gathers: the slower the disk, the larger the
//! batches (group commit). Nothing is applied before it is synced, so nobody reads or is told of
//! what a crash could take back.
//!
//! Who holds the writer's lock writes. That is its thread, when there is much to do; but a write
//! that finds the writer idle is written by whoever brought it (see [`Handle::flush`]): to call
//! another thread and be called back takes about as long as a good disk does.
//!
//! [`Handle::flush`]: crate::store

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use crate::api::Error;
use crate::checkpoint;
use crate::codec;
use crate::disk::Disk;
use crate::frame::Frame;
use crate::log::Log;
use crate::mvcc::{Applied, Command, Mvcc, Snapshot, TTL_SECONDS_MIN};
use crate::queue::{Answer, Call, Pending};
use crate::store::{Options, Shared};

/// A batch is closed when it is this long.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A batch has at most this many commands, so that the first need not wait for very many.
const BATCH_COMMANDS: usize = 1024;

/// Keys of a checkpoint's slice, for which the store is locked: some 0.1 ms.
const SLICE_KEYS: usize = 1000;

/// A lease that could not be ended, because the disk is full, is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// The state of who writes.
pub struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    log: Log,
    frame: Frame,
    checkpoint_bytes_min: u64,
    checkpoint_bytes: u64,
    /// Bytes of the segments that the running checkpoint will make needless.
    old_log_bytes: u64,
    /// The log's length at which a checkpoint is due.
    checkpoint_due: u64,
    /// Where the running checkpoint's end is told, and its size, if it was written.
    checkpointing: Option<Receiver<Option<u64>>>,
}

impl Writer {
    /// A writer that goes on where `log` ends.
    pub fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        log: Log,
        options: Options,
        checkpoint_bytes: u64,
        old_log_bytes: u64,
    ) -> Self {
        let checkpoint_due = checkpoint_bytes.max(options.checkpoint_bytes);
        Self {
            shared,
            disk,
            log,
            frame: Frame::default(),
            checkpoint_bytes_min: options.checkpoint_bytes,
            checkpoint_bytes,
            old_log_bytes,
            // Old segments at the start mean that a checkpoint was not finished: it is due.
            checkpoint_due: if old_log_bytes > 0 { 0 } else { checkpoint_due },
            checkpointing: None,
        }
    }

    /// Why nothing can be written any more, if that is so.
    pub fn failure(&self) -> Option<&str> {
        self.log.failed()
    }

    /// The writer's thread: writes what nobody else does, until the store is closed.
    pub fn run(shared: &Shared) {
        while shared.queue.wait() == Call::Work {
            match shared.writer() {
                Ok(mut writer) => {
                    let writer = writer.as_mut().expect("there until this thread takes it");
                    writer.end_leases();
                    writer.write();
                }
                // Who waits for an answer is told that the store is closed.
                Err(_panicked) => {
                    drop(shared.queue.take());
                    shared.queue.set_expiry(None);
                }
            }
        }
        let writer = shared.writer().ok().and_then(|mut writer| writer.take());
        let Some(writer) = writer else { return };
        if let Some(checkpointing) = &writer.checkpointing {
            let _not_needed_to_reopen = checkpointing.recv();
        }
        writer.log.close();
    }

    /// Writes all that waits.
    pub fn write(&mut self) {
        let mut waiting = self.shared.queue.take().into_iter();
        while !waiting.as_slice().is_empty() {
            self.frame.clear();
            let mut batch = Vec::with_capacity(waiting.len().min(BATCH_COMMANDS));
            for pending in waiting.by_ref() {
                codec::encode_command(&pending.command, self.frame.payload());
                batch.push(pending);
                if batch.len() >= BATCH_COMMANDS || self.frame.len() >= BATCH_BYTES {
                    break;
                }
            }
            self.commit(batch);
        }
        self.checkpoint_if_due();
    }

    /// Has the leases ended whose time is up.
    fn end_leases(&mut self) {
        let mut deadlines = self.shared.deadlines();
        for id in deadlines.ended(Instant::now(), BATCH_COMMANDS) {
            self.shared.queue.push(Pending {
                command: Command::LeaseRevoke(id),
                answer: None,
            });
        }
        self.shared.queue.set_expiry(deadlines.next());
    }

    /// Makes a batch durable, applies it, tells.
    fn commit(&mut self, batch: Vec<Pending>) {
        let mut answers: Vec<(Answer, _)> = Vec::with_capacity(batch.len());
        // ANCHOR: exercise-02.7
        if let Err(error) = self.log.append(&mut self.frame, batch.len() as u64) {
            tracing::error!(%error, writes = batch.len(), "writes were not stored");
            self.refuse(batch, &error);
            return;
        }
        self.stored(batch.len());
        {
            let shared = self.shared.clone();
            let mut state = shared.write();
            let before = state.revision();
            for pending in batch {
                let applied = self.apply(&mut state, &pending);
                answers.extend(pending.answer.map(|answer| (answer, applied)));
            }
            shared.set_stored_bytes(state.stored_bytes());
            let mut watchers = shared.watchers();
            state
                .changes(before + 1)
                .for_each(|change| watchers.dispatch(change));
        }
        // ANCHOR_END: exercise-02.7
        self.set_disk_bytes();
        let told = answers
            .into_iter()
            .filter_map(|(answer, applied)| answer(applied));
        // Woken when all are told: who is woken for one answer takes those of the others along.
        let wakers: Vec<_> = told.collect();
        wakers.into_iter().for_each(|waker| waker.wake());
    }

    /// Notes that a batch of `commands` was synced.
    fn stored(&self, commands: usize) {
        let counts = &self.shared.counts;
        counts.log_bytes.add(self.frame.len() as u64);
        counts.applied.add(commands as u64);
        self.shared.synced(self.log.sync_took());
    }

    /// Applies a command; keeps the leases' clock, and counts.
    fn apply(&mut self, state: &mut Mvcc, pending: &Pending) -> Result<Applied, Error> {
        let command = &pending.command;
        let lease_keys = keys_of_ended_lease(state, command);
        let applied = state.apply(command)?;
        self.follow_lease(command);
        let counts = &self.shared.counts;
        counts.applied(command, &applied, lease_keys);
        // Nobody waits for it: the store ends a lease itself.
        if pending.answer.is_none() {
            counts.leases_expired.add(1);
        }
        Ok(applied)
    }

    /// Tells that a batch was not written.
    fn refuse(&mut self, batch: Vec<Pending>, error: &Error) {
        self.shared.counts.failed.add(batch.len() as u64);
        let again = Instant::now() + RETRY;
        for Pending { command, answer } in batch {
            match (answer, command) {
                (Some(answer), _) => {
                    let waker = answer(Err(error.clone()));
                    waker.into_iter().for_each(|waker| waker.wake());
                }
                // A full disk must not become a busy loop.
                (None, Command::LeaseRevoke(id)) => {
                    self.shared.deadlines().retry(id, again);
                    self.shared.queue.expire_by(again);
                }
                (None, _) => {}
            }
        }
    }

    /// Keeps the clock of a lease that was made or has ended.
    fn follow_lease(&mut self, command: &Command) {
        match command {
            Command::LeaseGrant { id, ttl_seconds } => {
                let ttl_seconds = (*ttl_seconds).max(TTL_SECONDS_MIN);
                let at = self
                    .shared
                    .deadlines()
                    .start(*id, ttl_seconds, Instant::now());
                self.shared.queue.expire_by(at);
            }
            Command::LeaseRevoke(id) => self.shared.deadlines().stop(*id),
            Command::Compact(_) => self.sweep(),
            Command::Txn(_) | Command::Alarm { .. } => {}
        }
    }

    /// Frees what was compacted away, in a thread of its own: writes go on meanwhile.
    fn sweep(&self) {
        let shared = self.shared.clone();
        let work = move || shared.sweep();
        let thread = std::thread::Builder::new().name("etcd-sweep".to_owned());
        if let Err(error) = thread.spawn(work) {
            tracing::warn!(%error, "cannot free what was compacted; the next compaction will");
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
        // Every command before `index` is in it, and no other.
        let snapshot = self.shared.write().snapshot();
        let (disk, shared) = (self.disk.clone(), self.shared.clone());
        let work = move || write_checkpoint(disk.as_ref(), index, snapshot, &shared);
        match self.disk.beside(Box::new(work)) {
            Ok(begun) => self.checkpointing = Some(begun),
            Err(error) => tracing::warn!(%error, "cannot begin a checkpoint; the log goes on"),
        }
    }

    fn finish_checkpoint(&mut self) {
        let Some(done) = &self.checkpointing else {
            return;
        };
        let finished = done.try_recv();
        if finished != Err(TryRecvError::Empty) {
            self.checkpoint_finished(finished.ok().flatten());
        }
    }

    /// Writes a checkpoint and waits for it; nothing else is written meanwhile.
    ///
    /// # Errors
    ///
    /// If it could not be written: the log goes on.
    pub fn checkpoint(&mut self) -> Result<(), Error> {
        // One that is running may be of long ago.
        if let Some(running) = &self.checkpointing {
            let finished = running.recv();
            self.checkpoint_finished(finished.ok().flatten());
        }
        self.checkpoint_due = 0;
        self.checkpoint_if_due();
        let begun = self.checkpointing.as_ref().map(Receiver::recv);
        let finished = begun.and_then(Result::ok).flatten();
        self.checkpoint_finished(finished);
        match finished {
            Some(_bytes) => Ok(()),
            None => Err(Error::Storage("a checkpoint was not written".to_owned())),
        }
    }

    /// The running checkpoint has come to its end, or to nothing.
    fn checkpoint_finished(&mut self, bytes: Option<u64>) {
        self.checkpointing = None;
        if let Some(bytes) = bytes {
            self.checkpoint_bytes = bytes;
            self.old_log_bytes = 0;
            self.checkpoint_due = bytes.max(self.checkpoint_bytes_min);
            self.set_disk_bytes();
        }
    }
}

/// How many keys go with the lease that a command ends.
fn keys_of_ended_lease(state: &Mvcc, command: &Command) -> usize {
    match command {
        Command::LeaseRevoke(id) => state.lease(*id).map_or(0, |(_, keys)| keys.count()),
        _ => 0,
    }
}

/// Writes a checkpoint and removes what it replaces; its size in bytes, if it was written. The
/// store is locked for each slice only.
fn write_checkpoint(
    disk: &dyn Disk,
    index: u64,
    mut snapshot: Snapshot,
    shared: &Shared,
) -> Option<u64> {
    let begun = Instant::now();
    let slices = std::iter::from_fn(|| snapshot.next_slice(&shared.read(), SLICE_KEYS));
    let written = checkpoint::write(disk, index, slices);
    // What was compacted meanwhile has been kept for it.
    drop(snapshot);
    shared.sweep();
    match written {
        Ok(bytes) => {
            shared.counts.checkpoints.observe(begun.elapsed());
            if let Err(error) = checkpoint::remove_older(disk, index) {
                tracing::warn!(%error, "cannot remove what a checkpoint replaced");
            }
            Some(bytes)
        }
        Err(error) => {
            tracing::warn!(%error, "cannot write a checkpoint; the log goes on");
            None
        }
    }
}
