//! Compaction: forgetting what only older revisions can see.

use super::Mvcc;
use crate::api::{Error, Revision};

impl Mvcc {
    /// Makes `at` the oldest revision that can be read and watched from.
    pub(super) fn compact(&mut self, at: Revision) -> Result<(), Error> {
        if at <= self.compact_revision {
            return Err(Error::Compacted {
                compact_revision: self.compact_revision,
            });
        }
        if at > self.revision {
            return Err(Error::FutureRevision);
        }
        self.compact_revision = at;
        self.changes
            .drain(..self.changes.partition_point(|change| change.revision < at));
        self.changes.shrink_to(self.changes.len() * 2);
        self.keys.retain(|_, versions| {
            // Of the versions up to `at` only the last can still be seen. If it is a deletion
            // there is nothing to see, but one at `at` itself is still a watcher's event.
            let after = versions.partition_point(|version| version.mod_revision <= at);
            let mut drop = after.saturating_sub(1);
            if after > 0 && versions[drop].value.is_none() && versions[drop].mod_revision < at {
                drop = after;
            }
            if drop > 0 {
                versions.drain(..drop);
                versions.shrink_to(versions.len() * 2);
            }
            !versions.is_empty()
        });
        Ok(())
    }
}
