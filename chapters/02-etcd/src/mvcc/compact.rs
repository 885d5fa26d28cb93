//! Compaction: forgetting what only older revisions can see.
//!
//! It is done at once for everyone who asks: what is older is refused from then on. The memory
//! comes back bit by bit, as [`Mvcc::sweep`] goes through the changes up to that revision and
//! drops what each has made needless. So a compaction costs what it drops, however many keys there
//! are, and the writes between two sweeps do not wait for it.
//!
//! It comes back to the allocator, for what is written next; so the process stays as large as what
//! exists and what was written between two compactions have ever been together.

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
                    // What a put supersedes, unless it made the key. (If it made it anew, there is
                    // the deletion before it, a change of its own.)
                    if change.version != 1 {
                        self.index.compact(change.key(), self.sweep.revision);
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{DeleteRangeRequest, KeyRange, PutRequest, RequestOp};
    use crate::mvcc::{Command, Version};
    use bytes::Bytes;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8),
        Delete(u8),
        /// To so many revisions ago, and so many changes swept.
        Compact(Revision, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..6u8).prop_map(Step::Put),
            2 => (0..6u8).prop_map(Step::Delete),
            1 => (0..4i64, 0..9usize).prop_map(|(ago, swept)| Step::Compact(ago, swept)),
        ]
    }

    proptest! {
        /// However far each compaction got: after the last nothing is in memory that cannot be
        /// seen, and with nothing compacted since, nothing more goes.
        #[test]
        fn sweeps_leave_what_can_be_seen(steps in prop::collection::vec(step(), 0..60)) {
            let mut mvcc = Mvcc::default();
            for step in steps {
                let op = match step {
                    Step::Put(key) => RequestOp::Put(PutRequest {
                        key: Bytes::from(vec![b'k', key]),
                        ..PutRequest::default()
                    }),
                    Step::Delete(key) => RequestOp::DeleteRange(DeleteRangeRequest {
                        range: KeyRange::From(vec![b'k', key].into()),
                        prev_kv: false,
                    }),
                    Step::Compact(ago, swept) => {
                        let _may_be_refused = mvcc.apply(&Command::Compact(mvcc.revision - ago));
                        mvcc.sweep(swept);
                        continue;
                    }
                };
                mvcc.apply(&Command::Txn(op.into())).expect("is taken");
            }
            let seen = mvcc.clone();
            prop_assert!(!mvcc.sweep(usize::MAX));
            prop_assert_eq!(&mvcc, &seen);
            for versions in mvcc.index.after(None) {
                let (kept, all) = (versions.kept(mvcc.compact_revision), versions.kept(0));
                prop_assert_eq!(kept.count(), all.count());
            }
            let versions = mvcc.index.after(None).flat_map(|versions| versions.kept(0));
            let bytes: u64 = versions.map(Version::stored_bytes).sum();
            prop_assert_eq!(mvcc.stored_bytes(), bytes);
            let oldest = mvcc.history.since(0).next();
            prop_assert!(oldest.is_none_or(|change| change.mod_revision >= mvcc.compact_revision));
        }
    }
}
