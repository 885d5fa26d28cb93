//! The store's handle: writes go through one writer, reads come straight from memory.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, LockResult, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
    TryLockError,
};
#[cfg(feature = "grpc")]
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use crate::api::{
    Alarm, DeleteRangeRequest, DeleteRangeResponse, Error, KeyRange, LeaseId, LeaseStatus,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseOp, Revision,
    TxnRequest, TxnResponse, WatchRequest,
};
#[cfg(feature = "grpc")]
use crate::backup::Backup;
use crate::counts::Counts;
use crate::deadlines::Deadlines;
use crate::disk::{Directory, Disk, remove_unfinished};
use crate::log::{Replayed, cannot};
#[cfg(feature = "grpc")]
use crate::mvcc::Version;
use crate::mvcc::{self, Applied, Command, Mvcc, Selection};
use crate::queue::{Answer, Pending, Queue};
use crate::watch::{Watcher, Watchers, Watches};
use crate::writer::Writer;
use crate::{checkpoint, log, random};

/// Most writes that wait for the disk at a time; who comes after them waits to be let in.
const WRITES_WAITING: usize = 4096;

/// A disk whose syncs take longer than this is left to the writer's thread: whoever else waited
/// for it would keep the tasks of its own thread waiting.
const SHORT_SYNC: Duration = Duration::from_millis(1);

/// Changes that are swept in one go, while nobody reads or writes, for some 0.3 ms with a million
/// keys; and the pause until the next, in which everybody does. (etcd's are 1000 and 10 ms.)
const SWEEP_CHANGES: usize = 256;
const SWEEP_PAUSE: Duration = Duration::from_millis(1);

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// A checkpoint is made when the log is longer than this and than the last checkpoint, in
    /// bytes.
    pub checkpoint_bytes: u64,
    /// What the store may hold, in bytes; if it would hold more, [`Alarm::NoSpace`] is raised.
    pub quota_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 8 * 1024 * 1024,
            quota_bytes: None,
        }
    }
}

/// An open store. Clones are the same store; dropping the last one closes it.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer, the readers and the watchers share.
pub struct Shared {
    /// What is durable, and nothing else.
    state: RwLock<Mvcc>,
    /// Locked after `state`, where both are.
    watchers: Mutex<Watchers>,
    deadlines: Mutex<Deadlines>,
    /// Who holds it writes. Locked before all others; none before the store is open and after.
    writer: Mutex<Option<Writer>>,
    /// The writes that wait for that.
    pub queue: Queue,
    /// Nanoseconds that a sync took of late.
    sync_nanos: AtomicU64,
    disk_bytes: AtomicU64,
    /// What was done.
    pub counts: Counts,
    stored_bytes: AtomicU64,
    quota_bytes: Option<u64>,
    closed: OnceLock<()>,
}

impl Shared {
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
    fn flush(&self) {
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

fn closed() -> Error {
    Error::Storage("the store is closed".to_owned())
}

impl Store {
    /// Opens the store in `dir`, or makes one there.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if another process has it open, if the disk fails, or if a file is
    /// damaged anywhere but at the log's end, where a crash leaves it.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let directory = Directory::create(dir).map_err(|error| cannot("create", dir, &error))?;
        Self::open_on(Arc::new(directory), options)
    }

    /// Opens the store on `disk`, or makes one there.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self, Error> {
        let lock = lock(disk.as_ref())?;
        // A process may have died between giving a file its name and making that durable. What is
        // found here is built upon, so it has to stay.
        let named = disk.sync().and_then(|()| remove_unfinished(disk.as_ref()));
        named.map_err(|error| cannot("open", disk.path(), &error))?;
        let (mut mvcc, index, checkpoint_bytes) = checkpoint::read(disk.as_ref())?;
        let Replayed {
            log,
            old_bytes,
            torn_bytes,
        } = log::replay(&disk, index, |command| {
            // Refused then, refused now: the answer was given long ago.
            let _answer = mvcc.apply(&command);
        })?;
        mvcc.sweep(usize::MAX);
        if torn_bytes > 0 {
            tracing::warn!(
                torn_bytes,
                "the log ended in a batch that was not finished; cut off"
            );
        }
        tracing::debug!(
            revision = mvcc.revision(),
            next_index = log.next_index(),
            "store opened"
        );

        let now = Instant::now();
        let mut deadlines = Deadlines::default();
        for (id, ttl_seconds) in mvcc.leases() {
            deadlines.start(id, ttl_seconds, now);
        }
        let queue = Queue::default();
        queue.set_expiry(deadlines.next());
        let stored_bytes = mvcc.stored_bytes();
        let shared = Arc::new(Shared {
            state: RwLock::new(mvcc),
            watchers: Mutex::default(),
            deadlines: Mutex::new(deadlines),
            writer: Mutex::new(None),
            queue,
            sync_nanos: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(checkpoint_bytes + old_bytes + log.len()),
            counts: Counts::default(),
            stored_bytes: AtomicU64::new(stored_bytes),
            quota_bytes: options.quota_bytes,
            closed: OnceLock::new(),
        });
        shared.counts.applied.add(log.next_index() - 1);
        let writer = Writer::new(
            shared.clone(),
            disk,
            log,
            options,
            checkpoint_bytes,
            old_bytes,
        );
        *shared.writer.lock().expect("nobody has it yet") = Some(writer);
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("etcd-writer".to_owned())
            .spawn(move || {
                Writer::run(&of_thread);
                drop(lock);
            })
            .map_err(|error| Error::Storage(format!("cannot start the writer: {error}")))?;
        let handle = Handle {
            shared,
            permits: Arc::new(Semaphore::new(WRITES_WAITING)),
            thread: Some(thread),
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// A copy of the whole store.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Mvcc {
        self.handle.shared.read().clone()
    }

    /// The revision of the last write.
    pub fn revision(&self) -> Revision {
        self.handle.shared.read().revision()
    }

    /// The oldest revision that can still be read; 0 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.handle.shared.read().compact_revision()
    }

    /// Why nothing can be written any more, if that is so.
    pub fn failure(&self) -> Option<String> {
        match self.handle.shared.writer.try_lock() {
            Ok(writer) => writer.as_ref()?.failure().map(str::to_owned),
            // Who has it writes.
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => Some("a write has panicked".to_owned()),
        }
    }

    /// What the store has done since it was opened.
    pub fn counts(&self) -> &Counts {
        &self.handle.shared.counts
    }

    /// How many keys exist.
    pub fn keys(&self) -> u64 {
        let mut all = RangeRequest::new(KeyRange::From(Bytes::new()));
        all.count_only = true;
        let counted = self.handle.shared.read().range(&all);
        counted.map_or(0, |counted| counted.count.unsigned_abs())
    }

    /// How many watches there are, in how many groups, and how many have something to tell.
    pub fn watch_counts(&self) -> (usize, usize, usize) {
        let watchers = self.handle.shared.watchers();
        let (all, groups) = watchers.count();
        (all, groups, watchers.behind())
    }

    /// How many writes wait.
    pub fn writes_waiting(&self) -> usize {
        self.handle.shared.queue.len()
    }

    /// Bytes that the store takes on disk.
    pub fn size_bytes(&self) -> u64 {
        self.handle.shared.disk_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that what it holds takes, without what only waits to be tidied up on disk.
    pub fn stored_bytes(&self) -> u64 {
        self.handle.shared.stored_bytes.load(Ordering::Relaxed)
    }

    /// The alarms that are raised.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.handle.shared.read().alarms().collect()
    }

    /// Raises an alarm, or lowers it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`] and [`Error::Storage`].
    pub async fn set_alarm(&self, alarm: Alarm, is_raised: bool) -> Result<(), Error> {
        let command = Command::Alarm { alarm, is_raised };
        self.submit(command).await.map(|_| ())
    }

    /// Writes a checkpoint now, which brings what the store takes on disk down to what it holds.
    /// Writes wait meanwhile; it blocks the thread.
    ///
    /// # Errors
    ///
    /// If the disk fails, or is full.
    pub fn checkpoint(&self) -> Result<(), Error> {
        let mut writer = self.handle.shared.writer().map_err(|_panicked| closed())?;
        writer.as_mut().ok_or_else(closed)?.checkpoint()
    }

    /// A backup of the store as it is now.
    #[cfg(feature = "grpc")]
    pub(crate) fn backup(&self) -> Backup {
        Backup::new(&self.handle.shared)
    }

    /// The changes that make the store as of `revision` (0 is now), as far as they are kept, in
    /// order, and that revision.
    ///
    /// # Errors
    ///
    /// As [`Store::range`].
    #[cfg(feature = "grpc")]
    pub(crate) fn changes_to(&self, revision: Revision) -> Result<(Vec<Version>, Revision), Error> {
        let state = self.handle.shared.read();
        let revision = match revision {
            ..=0 => state.revision(),
            revision => revision,
        };
        Ok((state.changes_to(revision)?, revision))
    }

    /// Reads a range, from memory. What is read is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] and [`Error::FutureRevision`] for a revision that is not to be had.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.handle.shared.counts.ranges.add(1);
        self.handle.shared.read().range(request)
    }

    /// Reads a range, and has `answer` made of what is found in its place. Writes wait for that.
    ///
    /// # Errors
    ///
    /// As [`Store::range`].
    pub fn range_with<A>(
        &self,
        request: &RangeRequest,
        answer: impl FnOnce(&Selection<'_>) -> A,
    ) -> Result<A, Error> {
        self.handle.shared.counts.ranges.add(1);
        let state = self.handle.shared.read();
        state.select(request).map(|found| answer(&found))
    }

    /// Compares, then writes, as one revision. Once this answers, the write survives any crash.
    ///
    /// Dropping the future does not undo the write.
    ///
    /// # Errors
    ///
    /// The request's own, of which the store is as it was, or [`Error::NoSpace`] and
    /// [`Error::Storage`].
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        if mvcc::is_read_only(&request) {
            return self.read_txn(&request);
        }
        // What is malformed whatever the store holds need not wait for the disk, nor be logged.
        mvcc::check_txn(&request)?;
        let command = Command::Txn(request);
        self.check_quota(&command)?;
        match self.submit(command).await? {
            Applied::Txn(response) => Ok(response),
            Applied::Done => unreachable!("a transaction is answered as one"),
        }
    }

    fn read_txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        let response = self.handle.shared.read().read_txn(request)?;
        self.handle.shared.counts.txn(request, &response);
        Ok(response)
    }

    /// Writes a key.
    ///
    /// # Errors
    ///
    /// As [`Store::txn`].
    pub async fn put(&self, request: PutRequest) -> Result<PutResponse, Error> {
        match self.single(RequestOp::Put(request)).await? {
            ResponseOp::Put(response) => Ok(response),
            _ => unreachable!("a put is answered as one"),
        }
    }

    /// Deletes keys.
    ///
    /// # Errors
    ///
    /// As [`Store::txn`].
    pub async fn delete_range(
        &self,
        request: DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        match self.single(RequestOp::DeleteRange(request)).await? {
            ResponseOp::DeleteRange(response) => Ok(response),
            _ => unreachable!("a deletion is answered as one"),
        }
    }

    async fn single(&self, op: RequestOp) -> Result<ResponseOp, Error> {
        let mut response = self.txn(op.into()).await?;
        Ok(response.responses.pop().expect("one step, one answer"))
    }

    /// Hears of changes, from history and then as they happen, with no gap and none told twice.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if the revision to begin at is no longer kept.
    pub fn watch(&self, request: WatchRequest) -> Result<Watcher, Error> {
        Watcher::new(self.handle.shared.clone(), request)
    }

    /// Many watches with one reader.
    pub fn watches(&self) -> Watches {
        Watches::new(self.handle.shared.clone())
    }

    /// Forgets what only revisions before `revision` can see. Once this answers nobody sees it any
    /// more; its memory is freed bit by bit (see [`Store::sweep`]).
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if that is done already, [`Error::FutureRevision`].
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.submit(Command::Compact(revision)).await.map(|_| ())
    }

    /// Waits until what was compacted is out of memory, too, but for what a checkpoint that is
    /// being written still needs.
    pub async fn sweep(&self) {
        let shared = self.handle.shared.clone();
        let swept = tokio::task::spawn_blocking(move || shared.sweep());
        swept.await.expect("a sweep does not panic");
    }

    /// Makes a lease and returns its id. An `id` of 0 lets the store choose one.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseExists`], or a time that is too long.
    pub async fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> Result<LeaseId, Error> {
        self.check_quota(&Command::LeaseGrant { id, ttl_seconds })?;
        loop {
            let choice = if id == 0 {
                (random::u64() >> 1) as i64
            } else {
                id
            };
            match self
                .submit(Command::LeaseGrant {
                    id: choice,
                    ttl_seconds,
                })
                .await
            {
                Err(Error::LeaseExists) if id == 0 => continue,
                answer => return answer.map(|_| choice),
            }
        }
    }

    /// Ends a lease and deletes the keys that hang on it.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseNotFound`].
    pub async fn lease_revoke(&self, id: LeaseId) -> Result<(), Error> {
        self.submit(Command::LeaseRevoke(id)).await.map(|_| ())
    }

    /// Makes a lease last its whole time again, and returns that in seconds. As in etcd this is
    /// not logged: after a restart every lease lasts its whole time.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseNotFound`], also if its time is up.
    pub fn lease_keep_alive(&self, id: LeaseId) -> Result<i64, Error> {
        let shared = &self.handle.shared;
        let ttl_seconds = shared
            .read()
            .lease(id)
            .map(|(ttl, _)| ttl)
            .ok_or(Error::LeaseNotFound)?;
        if !shared.deadlines().renew(id, ttl_seconds, Instant::now()) {
            return Err(Error::LeaseNotFound);
        }
        shared.counts.leases_renewed.add(1);
        Ok(ttl_seconds)
    }

    /// A lease as it stands.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseNotFound`].
    pub fn lease_time_to_live(&self, id: LeaseId) -> Result<LeaseStatus, Error> {
        let shared = &self.handle.shared;
        let (granted_ttl_seconds, keys) = {
            let state = shared.read();
            let (ttl, keys) = state.lease(id).ok_or(Error::LeaseNotFound)?;
            (ttl, keys.map(Bytes::copy_from_slice).collect())
        };
        let deadline = shared.deadlines().end(id).ok_or(Error::LeaseNotFound)?;
        let left = deadline.saturating_duration_since(Instant::now());
        Ok(LeaseStatus {
            id,
            granted_ttl_seconds,
            // Whole ones, as in etcd: a lease just granted for 60 s has 59.
            ttl_seconds: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            keys,
        })
    }

    /// All leases.
    pub fn leases(&self) -> Vec<LeaseId> {
        self.handle
            .shared
            .read()
            .leases()
            .map(|(id, _)| id)
            .collect()
    }

    /// Has a command written.
    pub(crate) async fn submit(&self, command: Command) -> Result<Applied, Error> {
        let permit = self
            .handle
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        self.enqueue(
            command,
            Box::new(move |applied| {
                drop(permit);
                let _gave_up = answer.send(applied);
                None
            }),
        );
        self.flush();
        answered.await.map_err(|_| closed())?
    }

    /// As [`Store::txn`] for who cannot wait: `answer` is given the outcome, now or on another
    /// thread. Writes are begun by the next [`Store::flush`].
    #[cfg(feature = "grpc")]
    pub(crate) fn begin_txn(
        &self,
        request: TxnRequest,
        answer: impl FnOnce(Result<TxnResponse, Error>) -> Option<Waker> + Send + 'static,
    ) {
        if mvcc::is_read_only(&request) {
            let outcome = self.read_txn(&request);
            answer(outcome).into_iter().for_each(Waker::wake);
            return;
        }
        let checked = mvcc::check_txn(&request);
        let command = Command::Txn(request);
        if let Err(error) = checked.and_then(|()| self.check_quota(&command)) {
            answer(Err(error)).into_iter().for_each(Waker::wake);
            return;
        }
        let answer = |applied: Result<Applied, Error>| match applied {
            Ok(Applied::Txn(response)) => answer(Ok(response)),
            Ok(Applied::Done) => unreachable!("a transaction is answered as one"),
            Err(error) => answer(Err(error)),
        };
        self.enqueue(command, Box::new(answer));
    }

    /// Whether there is room for a write. If not, the alarm is raised before it is refused.
    fn check_quota(&self, command: &Command) -> Result<(), Error> {
        let Some(quota_bytes) = self.handle.shared.quota_bytes else {
            return Ok(());
        };
        let cost = mvcc::cost(command);
        if cost == 0 || self.stored_bytes() + cost < quota_bytes {
            return Ok(());
        }
        if !self.alarms().contains(&Alarm::NoSpace) {
            tracing::warn!(quota_bytes, "the store has reached its quota");
            let alarm = Pending {
                command: Command::Alarm {
                    alarm: Alarm::NoSpace,
                    is_raised: true,
                },
                answer: None,
            };
            self.handle.shared.queue.push(alarm);
            self.flush();
        }
        Err(Error::NoSpace)
    }

    /// Adds a write to those that wait. They are written at the next [`Store::flush`], so that
    /// who brings many at once has them written with one sync. There is no bound on how many
    /// wait: who calls this has one of its own.
    pub(crate) fn enqueue(&self, command: Command, answer: Answer) {
        let answer = Some(answer);
        self.handle.shared.queue.push(Pending { command, answer });
    }

    /// Has the writes written that wait.
    pub(crate) fn flush(&self) {
        self.handle.shared.flush();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The thread ends when it has written what waits; then the directory is free for the
        // next one.
        self.shared.queue.close();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
        self.shared.close();
    }
}

/// Locks the directory for as long as what is returned lives, also against other processes.
fn lock(disk: &dyn Disk) -> Result<Box<dyn Send>, Error> {
    match disk.lock() {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(Error::Storage(format!(
            "{} is in use by another process",
            disk.path().display()
        ))),
        Err(error) => Err(cannot("lock", disk.path(), &error)),
    }
}
