//! The store's handle: writes go through one writer, reads come straight from memory.
//!
//! | file | what it has |
//! | --- | --- |
//! | `open` | from the disk to an open store |
//! | here | what it is asked: reads, writes, watches, compaction |
//! | `lease` | leases |
//! | `submit` | how a write is handed to the writer |
//! | `state` | how the store is, and what an operator does to it |
//! | `shared` | what the writer, the readers and the watchers share |

mod lease;
mod open;
mod shared;
mod state;
mod submit;

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::Semaphore;

use crate::api::{
    DeleteRangeRequest, DeleteRangeResponse, Error, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, ResponseOp, Revision, TxnRequest, TxnResponse, WatchRequest,
};
use crate::mvcc::{self, Applied, Command, Selection};
use crate::watch::{Watcher, Watches};

pub use shared::Shared;

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// A checkpoint is made when the log is longer than this and than the last checkpoint, in
    /// bytes.
    pub checkpoint_bytes: u64,
    /// What the store may hold, in bytes; if it would hold more,
    /// [`NoSpace`](crate::api::Alarm::NoSpace) is raised.
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

fn closed() -> Error {
    Error::Storage("the store is closed".to_owned())
}

impl Store {
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
