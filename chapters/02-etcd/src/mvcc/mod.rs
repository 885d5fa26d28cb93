//! The core of the store: every key's versions, by revision, with no IO and no clock.
//!
//! ```text
//!   index (by key)                          history (by revision)
//!   /a  → [2: put v1] [5: put v2]           2: /a
//!   /b  → [3: put v1] [4: deleted]          3: /b
//!   /c  → [5: put v1]                       4: /b
//!                                           5: /a, /c      one transaction
//! ```
//!
//! A write never changes a version: it appends one, stamped with the next [`Revision`]. So the
//! store as of any revision can still be read (each key's last version not after it), and a
//! watcher is a cursor into the history and nothing more. Both go back to the last compaction,
//! which drops what only older revisions can see.
//!
//! A [`Version`] is one piece of memory with its key and its value, made when a write is applied.
//! Index and history hold pointers to it, a reader gets another: nothing is copied again.
//!
//! All writes are [`Command`]s, and [`Mvcc::apply`] is a function of the state and the command:
//! the same commands in the same order make the same store. That is why the log on disk holds
//! commands and why opening a store is nothing but applying them again. (In upstream's etcd the
//! same property lets Raft replicate it.)
//!
//! One invariant carries the layout: **a key changes at most once per revision**. [`txn`] refuses
//! a transaction that would put a key twice, as etcd does, so a key's version is found by its
//! revision alone.
//!
//! Read on with `txn`, then `version`, `versions` and `index` for how it is held in memory, then
//! `compact` and [`snapshot`](Snapshot) for how it is forgotten and how it gets to disk without
//! stopping the writes.

mod alarm;
mod block;
mod check;
mod compact;
mod history;
mod index;
mod lease;
mod range;
mod snapshot;
mod txn;
mod version;
mod versions;

pub use alarm::cost;
pub use check::{check_txn, is_read_only};
pub use lease::{TTL_SECONDS_MAX, TTL_SECONDS_MIN};
pub use range::Selection;
pub use snapshot::{Item, Restore, Snapshot};
pub use version::{Head, Version};

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::api::{
    Alarm, Error, Event, EventKind, KeyRange, KeyValue, LeaseId, Revision, TxnRequest, TxnResponse,
};
use compact::Sweep;
use history::History;
use index::Index;
use lease::Lease;
use versions::Versions;

/// A write, as it is logged and applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A transaction; a single put or deletion is one of one step.
    Txn(TxnRequest),
    /// Forget what only revisions before this one can see.
    Compact(Revision),
    /// Make a lease.
    LeaseGrant {
        /// Its id, never 0 here: whoever asks for any id has been given one before this is logged.
        id: LeaseId,
        /// How long it lasts without a keep-alive.
        ttl_seconds: i64,
    },
    /// End a lease and delete the keys that hang on it.
    LeaseRevoke(LeaseId),
    /// Raise an alarm, or say that its cause is gone.
    Alarm {
        /// Which.
        alarm: Alarm,
        /// Raise it.
        is_raised: bool,
    },
}

/// What applying a [`Command`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// To a transaction.
    Txn(TxnResponse),
    /// To all else.
    Done,
}

/// All versions of all keys since the last compaction.
#[derive(Debug, Clone)]
pub struct Mvcc {
    revision: Revision,
    compact_revision: Revision,
    index: Index,
    history: History,
    leases: BTreeMap<LeaseId, Lease>,
    alarms: BTreeSet<Alarm>,
    sweep: Sweep,
}

impl Default for Mvcc {
    fn default() -> Self {
        Self {
            // As in etcd: revision 1 is the empty store, so 0 can mean "now".
            revision: 1,
            // As in etcd: so the first compaction may be one to 0, which drops nothing.
            compact_revision: -1,
            index: Index::default(),
            history: History::default(),
            leases: BTreeMap::new(),
            alarms: BTreeSet::new(),
            sweep: Sweep::default(),
        }
    }
}

impl Mvcc {
    /// The revision of the last write; 1 for a store that never had one.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can still be read; -1 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.compact_revision
    }

    /// Bytes that all versions take in a checkpoint, about.
    pub fn stored_bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// Applies a write. A write that is refused changes nothing.
    ///
    /// # Errors
    ///
    /// What etcd answers to the same request: a malformed one, a lease or a revision that is not.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, Error> {
        self.check_alarms(command)?;
        match command {
            Command::Txn(txn) => self.txn(txn).map(Applied::Txn),
            Command::Compact(revision) => self.compact(*revision).map(|()| Applied::Done),
            Command::LeaseGrant { id, ttl_seconds } => {
                self.lease_grant(*id, *ttl_seconds).map(|()| Applied::Done)
            }
            Command::LeaseRevoke(id) => self.lease_revoke(*id).map(|()| Applied::Done),
            Command::Alarm { alarm, is_raised } => {
                self.set_alarm(*alarm, *is_raised);
                Ok(Applied::Done)
            }
        }
    }

    /// The changes of revision `from` and later, in order.
    pub fn changes(&self, from: Revision) -> impl Iterator<Item = &Version> {
        self.history.since(from)
    }

    /// A change as a watcher hears it, with the key before it if that is asked for and known.
    pub fn event(&self, change: &Version, with_prev_kv: bool) -> Event {
        let before = change.mod_revision - 1;
        let prev_kv = if with_prev_kv && before >= self.compact_revision {
            let versions = self.index.get(change.key());
            versions
                .and_then(|versions| versions.at(before))
                .and_then(Version::key_value)
        } else {
            None
        };
        match change.key_value() {
            Some(kv) => Event {
                kind: EventKind::Put,
                kv,
                prev_kv,
            },
            None => {
                let kv = KeyValue {
                    key: Bytes::copy_from_slice(change.key()),
                    mod_revision: change.mod_revision,
                    ..KeyValue::default()
                };
                Event {
                    kind: EventKind::Delete,
                    kv,
                    prev_kv,
                }
            }
        }
    }

    /// The keys in range that exist as of `revision`, in order.
    fn live<'a>(
        &'a self,
        range: &KeyRange,
        revision: Revision,
    ) -> impl Iterator<Item = &'a Version> + use<'a> {
        self.index
            .range(range)
            .filter_map(move |versions| versions.at(revision))
    }

    /// The key as it is now.
    fn current(&self, key: &[u8]) -> Option<&Version> {
        self.index
            .get(key)
            .map(Versions::newest)
            .filter(|newest| !newest.is_deletion())
    }

    /// Gives a key the version that `make` makes of its current one and the number of changes
    /// before it in its transaction. Returns what was current.
    fn append(
        &mut self,
        key: &[u8],
        revision: Revision,
        make: impl FnOnce(Option<&Version>, u32) -> Version,
    ) -> Option<Version> {
        self.revision = revision;
        let sub = match self.history.back() {
            Some(last) if last.mod_revision == revision => last.sub + 1,
            _ => 0,
        };
        let (version, before) = self.index.push(key, |current| make(current, sub));
        let before = before.filter(|before| !before.is_deletion());
        let lease_before = before.as_ref().map_or(0, |before| before.lease);
        if lease_before != version.lease {
            self.lease_detach(lease_before, key);
        }
        self.lease_attach(&version);
        self.history.push_back(version);
        before
    }
}
