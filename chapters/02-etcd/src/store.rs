//! The store's handle: writes go through one writer, reads come straight from memory.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use crate::api::{
    DeleteRangeRequest, DeleteRangeResponse, Error, LeaseId, LeaseStatus, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, ResponseOp, Revision, TxnRequest, TxnResponse,
    WatchRequest,
};
use crate::log::{Replayed, cannot};
use crate::mvcc::{self, Applied, Command, Mvcc};
use crate::watch::{Watcher, Watchers};
use crate::writer::{Pending, Writer};
use crate::{checkpoint, log, random};

/// Most writes that wait for the disk at a time; who comes after them waits to be let in.
const WRITES_WAITING: usize = 4096;

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// A checkpoint is made when the log is longer than this and than the last checkpoint, in
    /// bytes.
    pub checkpoint_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 8 * 1024 * 1024,
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
    /// None only while the store is being closed.
    commands: Option<mpsc::Sender<Pending>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer, the readers and the watchers share.
pub struct Shared {
    /// What is durable, and nothing else.
    state: RwLock<Mvcc>,
    /// Locked after `state`, where both are.
    watchers: Mutex<Watchers>,
    deadlines: Mutex<HashMap<LeaseId, Instant>>,
    disk_bytes: AtomicU64,
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

    /// When each lease ends unless it is kept alive.
    pub fn deadlines(&self) -> MutexGuard<'_, HashMap<LeaseId, Instant>> {
        self.deadlines
            .lock()
            .expect("no change of the deadlines panics")
    }

    /// Sets the bytes that the store takes on disk.
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Marks the store as closed, for watchers that outlive it.
    pub fn close(&self) {
        let _once = self.closed.set(());
        self.watchers().wake_all();
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
        fs::create_dir_all(dir).map_err(|error| cannot("create", dir, &error))?;
        let lock = lock(dir)?;
        remove_unfinished(dir)?;
        let (mut mvcc, index, checkpoint_bytes) = checkpoint::read(dir)?;
        let Replayed {
            log,
            old_bytes,
            torn_bytes,
        } = log::replay(dir, index, |command| {
            // Refused then, refused now: the answer was given long ago.
            let _answer = mvcc.apply(&command);
        })?;
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
        let deadlines = mvcc
            .leases()
            .map(|(id, ttl)| (id, deadline(now, ttl)))
            .collect();
        let shared = Arc::new(Shared {
            state: RwLock::new(mvcc),
            watchers: Mutex::default(),
            deadlines: Mutex::new(deadlines),
            disk_bytes: AtomicU64::new(checkpoint_bytes + old_bytes + log.len()),
            closed: OnceLock::new(),
        });
        let (commands, receiver) = mpsc::channel();
        let writer = Writer::new(
            shared.clone(),
            receiver,
            dir.to_owned(),
            log,
            options,
            checkpoint_bytes,
            old_bytes,
        );
        let thread = std::thread::Builder::new()
            .name("etcd-writer".to_owned())
            .spawn(move || {
                writer.run();
                drop(lock);
            })
            .map_err(|error| Error::Storage(format!("cannot start the writer: {error}")))?;
        let handle = Handle {
            shared,
            permits: Arc::new(Semaphore::new(WRITES_WAITING)),
            commands: Some(commands),
            writer: Some(thread),
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// The revision of the last write.
    pub fn revision(&self) -> Revision {
        self.handle.shared.read().revision()
    }

    /// The oldest revision that can still be read; 0 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.handle.shared.read().compact_revision()
    }

    /// Bytes that the store takes on disk.
    pub fn size_bytes(&self) -> u64 {
        self.handle.shared.disk_bytes.load(Ordering::Relaxed)
    }

    /// Reads a range, from memory. What is read is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] and [`Error::FutureRevision`] for a revision that is not to be had.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.handle.shared.read().range(request)
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
            return self.handle.shared.read().read_txn(&request);
        }
        // What is malformed whatever the store holds need not wait for the disk, nor be logged.
        mvcc::check_txn(&request)?;
        match self.submit(Command::Txn(request)).await? {
            Applied::Txn(response) => Ok(response),
            Applied::Done => unreachable!("a transaction is answered as one"),
        }
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

    /// Forgets what only revisions before `revision` can see.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if that is done already, [`Error::FutureRevision`].
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.submit(Command::Compact(revision)).await.map(|_| ())
    }

    /// Makes a lease and returns its id. An `id` of 0 lets the store choose one.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseExists`], or a time that is too long.
    pub async fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> Result<LeaseId, Error> {
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
        let now = Instant::now();
        match shared.deadlines().get_mut(&id) {
            Some(at) if *at > now => *at = deadline(now, ttl_seconds),
            _ => return Err(Error::LeaseNotFound),
        }
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
            (ttl, keys.cloned().collect())
        };
        let deadline = *shared.deadlines().get(&id).ok_or(Error::LeaseNotFound)?;
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded, so that a lease just granted for 60 s has 60 s left.
        let ttl_seconds = left.as_secs_f64().round() as i64;
        Ok(LeaseStatus {
            id,
            granted_ttl_seconds,
            ttl_seconds,
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

    async fn submit(&self, command: Command) -> Result<Applied, Error> {
        let permit = self
            .handle
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let commands = self
            .handle
            .commands
            .as_ref()
            .expect("there until the last handle drops");
        commands
            .send(Pending {
                command,
                answer,
                permit,
            })
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The writer ends when there is nobody left to send to it, after it has written what was
        // sent; then the directory is free for the next one.
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            let _panicked = writer.join();
        }
        self.shared.close();
    }
}

/// When a lease of `ttl_seconds` from `now` ends; the longest ones go beyond what a clock holds.
pub fn deadline(now: Instant, ttl_seconds: i64) -> Instant {
    let ttl = Duration::from_secs(ttl_seconds.unsigned_abs());
    now.checked_add(ttl)
        .unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
}

/// Locks the directory for as long as the file is open, also against other processes.
fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(|error| cannot("create", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Storage(format!(
            "{} is in use by another process",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot("lock", &path, &error)),
    }
}

/// Removes files that a crash left half written under a name of their own.
fn remove_unfinished(dir: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(dir).map_err(|error| cannot("read", dir, &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
        }
    }
    Ok(())
}
