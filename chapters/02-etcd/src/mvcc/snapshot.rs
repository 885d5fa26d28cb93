//! The whole store as a sequence of items, and back: what a checkpoint file holds.

use bytes::Bytes;

use super::{Lease, Mvcc, Version};
use crate::api::{LeaseId, Revision};

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
    /// A version of a key. Each key's come in order, and those that are changes come as they
    /// happened.
    Version {
        /// The key.
        key: Bytes,
        /// Revision of the put or deletion.
        mod_revision: Revision,
        /// The value; none for a deletion.
        value: Option<Bytes>,
        /// Revision of the put that made the key.
        create_revision: Revision,
        /// Puts since then.
        version: i64,
        /// The lease it hangs on.
        lease: LeaseId,
    },
    /// The last: without it the snapshot is not whole.
    End,
}

impl Mvcc {
    /// The store, in pieces.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        let start = Item::Start {
            revision: self.revision,
            compact_revision: self.compact_revision,
        };
        let leases = self.leases.iter().map(|(id, lease)| Item::Lease {
            id: *id,
            ttl_seconds: lease.ttl_seconds,
        });
        // Before the compaction's revision a key has at most one version left, which is no
        // watcher's business any more; after it, versions and changes are one to one.
        let old = self.keys.iter().filter_map(|(key, versions)| {
            let first = versions.first()?;
            (first.mod_revision < self.compact_revision).then(|| first.item(key))
        });
        let changed = self.changes.iter().map(|change| {
            let versions = &self.keys[&change.key];
            let at = versions
                .binary_search_by_key(&change.revision, |version| version.mod_revision)
                .expect("a change is kept as long as its version");
            versions[at].item(&change.key)
        });
        std::iter::once(start)
            .chain(leases)
            .chain(old)
            .chain(changed)
            .chain([Item::End])
    }
}

impl Version {
    fn item(&self, key: &Bytes) -> Item {
        Item::Version {
            key: key.clone(),
            mod_revision: self.mod_revision,
            value: self.value.clone(),
            create_revision: self.create_revision,
            version: self.version,
            lease: self.lease,
        }
    }
}

/// A store being put together from its items.
#[derive(Debug, Default)]
pub struct Restore {
    mvcc: Mvcc,
    revision: Option<Revision>,
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
                self.mvcc.leases.insert(
                    id,
                    Lease {
                        ttl_seconds,
                        keys: Default::default(),
                    },
                );
            }
            Item::Version {
                key,
                mod_revision,
                value,
                create_revision,
                version,
                lease,
            } => {
                self.mvcc.append(
                    &key,
                    Version {
                        mod_revision,
                        value,
                        create_revision,
                        version,
                        lease,
                    },
                );
            }
            Item::End => self.whole = true,
        }
    }

    /// The store, if the first and the last item were among those pushed.
    pub fn finish(mut self) -> Option<Mvcc> {
        self.mvcc.revision = self.revision.filter(|_| self.whole)?;
        let compacted = self.mvcc.compact_revision;
        self.mvcc
            .changes
            .retain(|change| change.revision >= compacted);
        for (key, versions) in &self.mvcc.keys {
            let lease = versions.last().map_or(0, |version| version.lease);
            if let Some(lease) = self.mvcc.leases.get_mut(&lease) {
                lease.keys.insert(key.clone());
            }
        }
        Some(self.mvcc)
    }
}
