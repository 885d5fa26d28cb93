//! The core of the store: every key's versions, by revision, with no IO and no clock.
//!
//! ```text
//!   keys (ordered)                          changes (by revision)
//!   /a  → [2: put v1] [5: put v2]           2: /a
//!   /b  → [3: put v1] [4: deleted]          3: /b
//!   /c  → [5: put v1]                       4: /b
//!                                           5: /a, /c      one transaction
//! ```
//!
//! A write never changes a version: it appends one, stamped with the next [`Revision`]. So the
//! store as of any revision can still be read (each key's last version not after it), and a
//! watcher is a cursor into `changes` and nothing more. Both go back to the last compaction, which
//! drops what only older revisions can see.
//!
//! All writes are [`Command`]s, and [`Mvcc::apply`] is a function of the state and the command:
//! the same commands in the same order make the same store. That is why the log on disk holds
//! commands and why opening a store is nothing but applying them again. (In upstream's etcd the
//! same property lets Raft replicate it.)
//!
//! One invariant carries the layout: **a key changes at most once per revision**. [`txn`] refuses
//! a transaction that would put a key twice, as etcd does, so a version needs no number within
//! its revision.

mod check;
mod compact;
mod lease;
mod range;
mod snapshot;
mod txn;

pub use check::{check_txn, is_read_only};
pub use lease::TTL_SECONDS_MAX;
pub use snapshot::{Item, Restore};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::api::{
    Error, Event, EventKind, KeyRange, KeyValue, LeaseId, Revision, TxnRequest, TxnResponse,
};

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
}

/// What applying a [`Command`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// To a transaction.
    Txn(TxnResponse),
    /// To all else.
    Done,
}

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    mod_revision: Revision,
    /// None where this version is the key's deletion; then the fields below are 0.
    value: Option<Bytes>,
    create_revision: Revision,
    version: i64,
    lease: LeaseId,
}

/// That a key got a version at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The version's revision.
    pub revision: Revision,
    /// The key.
    pub key: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    ttl_seconds: i64,
    keys: BTreeSet<Bytes>,
}

/// All versions of all keys since the last compaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mvcc {
    revision: Revision,
    compact_revision: Revision,
    /// Versions are in order of revision; a key without versions is not here.
    keys: BTreeMap<Bytes, Vec<Version>>,
    changes: VecDeque<Change>,
    leases: BTreeMap<LeaseId, Lease>,
}

impl Default for Mvcc {
    fn default() -> Self {
        Self {
            // As in etcd: revision 1 is the empty store, so 0 can mean "now".
            revision: 1,
            compact_revision: 0,
            keys: BTreeMap::new(),
            changes: VecDeque::new(),
            leases: BTreeMap::new(),
        }
    }
}

impl Mvcc {
    /// The revision of the last write; 1 for a store that never had one.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can still be read; 0 before the first compaction.
    pub fn compact_revision(&self) -> Revision {
        self.compact_revision
    }

    /// Applies a write. A write that is refused changes nothing.
    ///
    /// # Errors
    ///
    /// What etcd answers to the same request: a malformed one, a lease or a revision that is not.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, Error> {
        match command {
            Command::Txn(txn) => self.txn(txn).map(Applied::Txn),
            Command::Compact(revision) => self.compact(*revision).map(|()| Applied::Done),
            Command::LeaseGrant { id, ttl_seconds } => {
                self.lease_grant(*id, *ttl_seconds).map(|()| Applied::Done)
            }
            Command::LeaseRevoke(id) => self.lease_revoke(*id).map(|()| Applied::Done),
        }
    }

    /// The changes of revision `from` and later, in order.
    pub fn changes(&self, from: Revision) -> impl Iterator<Item = &Change> {
        let first = self
            .changes
            .partition_point(|change| change.revision < from);
        self.changes.range(first..)
    }

    /// A change as a watcher hears it, with the key before it if that is asked for and known.
    pub fn event(&self, change: &Change, with_prev_kv: bool) -> Event {
        let versions = self
            .keys
            .get(&change.key)
            .expect("a change's key has its versions");
        let at = versions
            .binary_search_by_key(&change.revision, |version| version.mod_revision)
            .expect("a change is kept as long as its version");
        let prev_kv = match at.checked_sub(1) {
            Some(before) if with_prev_kv => versions[before].key_value(&change.key),
            _ => None,
        };
        match versions[at].key_value(&change.key) {
            Some(kv) => Event {
                kind: EventKind::Put,
                kv,
                prev_kv,
            },
            None => {
                let kv = KeyValue {
                    key: change.key.clone(),
                    mod_revision: change.revision,
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
    ) -> impl Iterator<Item = (&'a Bytes, &'a Version)> + use<'a> {
        use std::ops::Bound;
        let start = Bound::Included(range.start().clone());
        let end = match range.end() {
            // BTreeMap::range would panic on a span that ends before it begins.
            Some(end) if end <= *range.start() => Bound::Included(range.start().clone()),
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        let empty = matches!(&end, Bound::Included(_));
        self.keys
            .range((start, end))
            .filter(move |_| !empty)
            .filter_map(move |(key, versions)| Some((key, live_at(versions, revision)?)))
    }

    /// The key as it is now.
    fn current(&self, key: &Bytes) -> Option<&Version> {
        self.keys
            .get(key)
            .and_then(|versions| live_at(versions, Revision::MAX))
    }
}

/// The version that is seen at `revision`, unless that is a deletion.
fn live_at(versions: &[Version], revision: Revision) -> Option<&Version> {
    let after = match versions.last() {
        Some(last) if last.mod_revision <= revision => versions.len(),
        _ => versions.partition_point(|version| version.mod_revision <= revision),
    };
    versions[..after]
        .last()
        .filter(|version| version.value.is_some())
}

impl Version {
    /// The key with this version; none for a deletion.
    fn key_value(&self, key: &Bytes) -> Option<KeyValue> {
        Some(KeyValue {
            key: key.clone(),
            value: self.value.clone()?,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            lease: self.lease,
        })
    }
}
