//! How the store is, and what an operator does to it.

use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::{Store, closed};
use crate::api::{Alarm, Error, KeyRange, RangeRequest, Revision};
#[cfg(feature = "grpc")]
use crate::backup::Backup;
use crate::counts::Counts;
use crate::mvcc::Command;
#[cfg(test)]
use crate::mvcc::Mvcc;
#[cfg(feature = "grpc")]
use crate::mvcc::Version;

impl Store {
    /// A copy of the whole store.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Mvcc {
        self.handle.shared.read().clone()
    }

    /// The revision of the last write.
    pub fn revision(&self) -> Revision {
        self.handle.shared.read().revision()
    }

    /// The oldest revision that can still be read; -1 before the first compaction.
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
}
