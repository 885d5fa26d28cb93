//! What the writer, the readers and the watchers share, and the order in which it is locked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    LockResult, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::{Duration, Instant};

use super::closed;
use crate::api::Error;
use crate::counts::Counts;
use crate::deadlines::Deadlines;
use crate::mvcc::Mvcc;
use crate::queue::Queue;
use crate::watch::Watchers;
use crate::writer::Writer;

/// A disk whose syncs take longer than this is left to the writer's thread: whoever else waited
/// for it would keep the tasks of its own thread waiting.
const SHORT_SYNC: Duration = Duration::from_millis(1);

/// Changes that are swept in one go, while nobody reads or writes, for some 0.3 ms with a million
/// keys; and the pause until the next, in which everybody does. (etcd's are 1000 and 10 ms.)
const SWEEP_CHANGES: usize = 256;
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// What the writer, the readers and the watchers share.
pub struct Shared {
    /// What is durable, and nothing else.
    state: RwLock<Mvcc>,
    /// Locked after `state`, where both are.
    watchers: Mutex<Watchers>,
    deadlines: Mutex<Deadlines>,
    /// Who holds it writes. Locked before all others; none before the store is open and after.
    pub(super) writer: Mutex<Option<Writer>>,
    /// The writes that wait for that.
    pub queue: Queue,
    /// Nanoseconds that a sync took of late.
    sync_nanos: AtomicU64,
    pub(super) disk_bytes: AtomicU64,
    /// What was done.
    pub counts: Counts,
    pub(super) stored_bytes: AtomicU64,
    pub(super) quota_bytes: Option<u64>,
    closed: OnceLock<()>,
}

impl Shared {
    /// What there is once the disk was read; nobody writes yet.
    pub(super) fn new(mvcc: Mvcc, disk_bytes: u64, quota_bytes: Option<u64>) -> Self {
        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        for (id, ttl_seconds) in mvcc.leases() {
            deadlines.start(id, ttl_seconds, now);
        }
        let queue = Queue::default();
        queue.set_expiry(deadlines.next());
        Self {
            stored_bytes: AtomicU64::new(mvcc.stored_bytes()),
            state: RwLock::new(mvcc),
            watchers: Mutex::default(),
            deadlines: Mutex::new(deadlines),
            writer: Mutex::new(None),
            queue,
            sync_nanos: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(disk_bytes),
            counts: Counts::default(),
            quota_bytes,
            closed: OnceLock::new(),
        }
    }

    /// The store, to read. As nothing is done while it is held but reading memory, the writer is
    /// never held up for long.
    pub fn read(&self) -> RwLockReadGuard<'_, Mvcc> {
        self.state.read().expect("no write to the state panics")
    }

    /// The store, for the writer.
    pub fn write(&self) -> RwLockWriteGuard<'_, Mvcc> {
        self.state.write().expect("no write to the state panics")
    }

    /// The watchers.
    pub fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers
            .lock()
            .expect("no change of the watchers panics")
    }

    /// Ends a group of watches. It is dropped while its reader panics, too, and then the watchers
    /// are perhaps half changed: they are left alone, as a second panic would end the process.
    pub fn end_watches(&self, group: u32, watches: impl Iterator<Item = u32>) {
        if let Ok(mut watchers) = self.watchers.lock() {
            watchers.remove_group(group, watches);
        }
    }

    /// When each lease ends unless it is kept alive.
    pub fn deadlines(&self) -> MutexGuard<'_, Deadlines> {
        self.deadlines
            .lock()
            .expect("no change of the deadlines panics")
    }

    /// The writer, to write; waits until nobody else does. An error once a write has panicked,
    /// after which what is in memory is not known to be what is on disk.
    pub fn writer(&self) -> LockResult<MutexGuard<'_, Option<Writer>>> {
        self.writer.lock()
    }

    /// Writes what waits, if nobody writes already and the disk is quick; else the writer's thread
    /// will.
    pub(super) fn flush(&self) {
        let is_quick = self.sync_nanos.load(Ordering::Relaxed) < SHORT_SYNC.as_nanos() as u64;
        if is_quick && let Ok(mut writer) = self.writer.try_lock() {
            writer.iter_mut().for_each(Writer::write);
        }
        self.queue.call();
    }

    /// Remembers how long syncs take, the last few counting most.
    pub fn synced(&self, took: Duration) {
        self.counts.syncs.observe(took);
        let before = self.sync_nanos.load(Ordering::Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 8);
        self.sync_nanos
            .store(before - before / 8 + took / 8, Ordering::Relaxed);
    }

    /// Frees what a compaction left, in slices: writes go on between them.
    pub fn sweep(&self) {
        let more = || {
            let mut state = self.write();
            let more = state.sweep(SWEEP_CHANGES);
            self.set_stored_bytes(state.stored_bytes());
            more
        };
        while self.check_open().is_ok() && more() {
            std::thread::sleep(SWEEP_PAUSE);
        }
    }

    /// Sets the bytes that the store holds, while it is locked.
    pub fn set_stored_bytes(&self, bytes: u64) {
        self.stored_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Sets the bytes that the store takes on disk.
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Marks the store as closed, for watchers that outlive it.
    pub fn close(&self) {
        let _once = self.closed.set(());
        // Also while somebody panics: see `end_watches`.
        if let Ok(watchers) = self.watchers.lock() {
            watchers.wake_all();
        }
    }

    /// An error once the store is closed.
    pub fn check_open(&self) -> Result<(), Error> {
        match self.closed.get() {
            None => Ok(()),
            Some(()) => Err(closed()),
        }
    }
}
