//! The whole store as a sequence of items, and back: what a checkpoint file holds.
//!
//! A snapshot is of one revision and is read in slices, so that writes go on between them. What
//! they add is of later revisions and left out; what a compaction forgets meanwhile is kept until
//! the snapshot is done.

use std::sync::Arc;

use bytes::Bytes;

use super::lease::Lease;
use super::{Mvcc, Version};
use crate::api::{Alarm, Error, KeyRange, LeaseId, Revision};

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The first: where the store stood.
    Start {
        /// Its revision.
        revision: Revision,
        /// The revision it was compacted to.
        compact_revision: Revision,
    },
    /// A lease; its keys are known from their versions.
    Lease {
        /// Its id.
        id: LeaseId,
        /// How long it was granted for.
        ttl_seconds: i64,
    },
    /// An alarm that is raised.
    Alarm(Alarm),
    /// A version of a key. They come by key, and each key's by revision.
    Version(Version),
    /// The last: without it the snapshot is not whole.
    End,
}

/// The store as it was when this was made. While it is there, the store keeps what that needs.
#[derive(Debug)]
pub struct Snapshot {
    pin: Arc<Revision>,
    compact_revision: Revision,
    /// As of the beginning: leases have no versions.
    leases: Vec<(LeaseId, i64)>,
    alarms: Vec<Alarm>,
    next: Next,
}

/// What the next slice begins with.
#[derive(Debug)]
enum Next {
    Start,
    /// The keys after this one, or the first.
    Keys(Option<Box<[u8]>>),
    Nothing,
}

impl Mvcc {
    /// Begins a snapshot of the store as it is.
    pub fn snapshot(&mut self) -> Snapshot {
        let snapshot = Snapshot::of(self);
        self.sweep.pin(&snapshot.pin);
        snapshot
    }

    /// A snapshot in one go.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        let mut snapshot = Snapshot::of(self);
        let slices = std::iter::from_fn(move || snapshot.next_slice(self, usize::MAX));
        slices.flatten()
    }
}

impl Mvcc {
    /// The changes that make the store as of `revision`, in order: what can still be seen at the
    /// last compaction and is not deleted, and all changes since. Of the former, what is no longer
    /// there at `revision` is left out, as it is from etcd's hash, unless nothing is there.
    ///
    /// # Errors
    ///
    /// As [`Mvcc::range`].
    pub fn changes_to(&self, revision: Revision) -> Result<Vec<Version>, Error> {
        self.check_revision(revision)?;
        let all = KeyRange::From(Bytes::new());
        let at = match self.live(&all, revision).next() {
            Some(_) => revision,
            None => self.compact_revision,
        };
        let kept = self.live(&all, at).cloned();
        let is_old = |version: &Version| version.mod_revision <= self.compact_revision;
        let mut changes: Vec<Version> = kept.filter(is_old).collect();
        changes.sort_by_key(|version| (version.mod_revision, version.sub));
        let since = self.changes(self.compact_revision + 1);
        let since = since.take_while(|change| change.mod_revision <= revision);
        changes.extend(since.cloned());
        Ok(changes)
    }
}

/// Stores are equal if nobody can tell them apart, whatever is still to be swept.
impl PartialEq for Mvcc {
    fn eq(&self, other: &Self) -> bool {
        self.leases == other.leases
            && self.items().eq(other.items())
            && self
                .changes(self.compact_revision)
                .eq(other.changes(other.compact_revision))
    }
}

impl Eq for Mvcc {}

impl Snapshot {
    fn of(mvcc: &Mvcc) -> Self {
        Self {
            pin: Arc::new(mvcc.revision),
            compact_revision: mvcc.compact_revision,
            leases: mvcc.leases().collect(),
            alarms: mvcc.alarms().collect(),
            next: Next::Start,
        }
    }

    /// The revision that it is of.
    pub fn revision(&self) -> Revision {
        *self.pin
    }

    /// The next items, of at most so many keys; none after the last.
    pub fn next_slice(&mut self, mvcc: &Mvcc, keys_max: usize) -> Option<Vec<Item>> {
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Start => {
                self.next = Next::Keys(None);
                Some(self.start())
            }
            Next::Keys(after) => Some(self.keys(mvcc, after.as_deref(), keys_max)),
            Next::Nothing => None,
        }
    }

    fn start(&self) -> Vec<Item> {
        let start = Item::Start {
            revision: *self.pin,
            compact_revision: self.compact_revision,
        };
        let leases = self.leases.iter();
        let leases = leases.map(|&(id, ttl_seconds)| Item::Lease { id, ttl_seconds });
        let alarms = self.alarms.iter().copied().map(Item::Alarm);
        let leases = leases.chain(alarms);
        std::iter::once(start).chain(leases).collect()
    }

    fn keys(&mut self, mvcc: &Mvcc, after: Option<&[u8]>, keys_max: usize) -> Vec<Item> {
        let mut items = Vec::new();
        let mut last = None;
        let mut keys = mvcc.index.after(after);
        for versions in keys.by_ref().take(keys_max) {
            let kept = versions.kept(self.compact_revision);
            let kept = kept.take_while(|version| version.mod_revision <= *self.pin);
            items.extend(kept.cloned().map(Item::Version));
            last = Some(versions.key());
        }
        match (keys.next(), last) {
            (Some(_), Some(last)) => self.next = Next::Keys(Some(last.into())),
            _ => items.push(Item::End),
        }
        items
    }
}

/// A store being put together from its items.
#[derive(Debug, Default)]
pub struct Restore {
    mvcc: Mvcc,
    revision: Option<Revision>,
    changes: Vec<Version>,
    unordered: bool,
    whole: bool,
}

impl Restore {
    /// Takes the next item.
    pub fn push(&mut self, item: Item) {
        match item {
            Item::Start {
                revision,
                compact_revision,
            } => {
                self.revision = Some(revision);
                self.mvcc.compact_revision = compact_revision;
            }
            Item::Lease { id, ttl_seconds } => {
                self.mvcc.leases.insert(id, Lease::new(ttl_seconds));
            }
            Item::Alarm(alarm) => self.mvcc.set_alarm(alarm, true),
            Item::Version(version) => {
                // What is older than the compaction is no watcher's business any more; after it,
                // versions and changes are one to one.
                if version.mod_revision >= self.mvcc.compact_revision {
                    self.changes.push(version.clone());
                }
                self.unordered |= !self.mvcc.index.push_last(version);
            }
            Item::End => self.whole = true,
        }
    }

    /// The store, if the items were in order and the first and the last one were among them.
    pub fn finish(mut self) -> Option<Mvcc> {
        self.mvcc.revision = self.revision.filter(|_| self.whole && !self.unordered)?;
        let stamp = |version: &Version| (version.mod_revision, version.sub);
        self.changes.sort_by_cached_key(stamp);
        for version in self.changes {
            self.mvcc.history.push_back(version);
        }
        let newest: Vec<Version> = self
            .mvcc
            .index
            .after(None)
            .map(|versions| versions.newest())
            .filter(|newest| newest.lease != 0)
            .cloned()
            .collect();
        newest
            .iter()
            .for_each(|version| self.mvcc.lease_attach(version));
        Some(self.mvcc)
    }
}
