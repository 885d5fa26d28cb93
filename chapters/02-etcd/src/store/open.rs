//! From the disk to an open store: checkpoint, log, writer.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Handle, Options, Shared, Store};
use crate::api::Error;
use crate::disk::{Directory, Disk, remove_unfinished};
use crate::log::{Replayed, cannot};
use crate::writer::Writer;
use crate::{checkpoint, log};

/// Most writes that wait for the disk at a time; who comes after them waits to be let in.
const WRITES_WAITING: usize = 4096;

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

        let disk_bytes = checkpoint_bytes + old_bytes + log.len();
        let shared = Arc::new(Shared::new(mvcc, disk_bytes, options.quota_bytes));
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
