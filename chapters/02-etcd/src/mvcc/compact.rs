//! Compaction: forgetting what only older revisions can see.
//!
//! It is done at once for everyone who asks: what is older is refused from then on. The memory
//! comes back bit by bit, as [`Mvcc::sweep`] goes through the changes up to that revision and
//! drops what each has made needless. So a compaction costs what it drops, however many keys there
//! are, and the writes between two sweeps do not wait for it.

use std::sync::{Arc, Weak};

use super::Mvcc;
use crate::api::{Error, Revision};

/// How far the sweep is.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweep {
    /// What is superseded at this revision goes.
    revision: Revision,
    /// Changes at the history's front that have been looked at and stay: those of `revision`.
    passed: usize,
    /// Revisions that snapshots in the making still have to see.
    pins: Vec<Weak<Revision>>,
}

impl Sweep {
    /// Keeps what is seen at the pinned revision until the pin is dropped.
    pub(super) fn pin(&mut self, pin: &Arc<Revision>) {
        self.pins.push(Arc::downgrade(pin));
    }

    fn pinned(&mut self) -> Option<Revision> {
        self.pins.retain(|pin| pin.strong_count() > 0);
        let pins = self.pins.iter().filter_map(Weak::upgrade);
        pins.map(|pin| *pin).min()
    }
}

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
        Ok(())
    }

    /// Frees what was compacted away, up to `changes_max` changes further, and returns whether
    /// there is more. Nobody can see whether it has been done.
    pub fn sweep(&mut self, changes_max: usize) -> bool {
        let pinned = self.sweep.pinned().unwrap_or(Revision::MAX);
        let revision = self.compact_revision.min(pinned);
        if revision > self.sweep.revision {
            self.sweep.revision = revision;
            self.sweep.passed = 0;
        }
        for _ in 0..changes_max {
            match self.history.get(self.sweep.passed) {
                Some(change) if change.mod_revision <= self.sweep.revision => {
                    self.index.compact(change.key(), self.sweep.revision);
                    if change.mod_revision < self.sweep.revision {
                        self.history.pop_front();
                    } else {
                        self.sweep.passed += 1;
                    }
                }
                _ => return false,
            }
        }
        true
    }
}
