//! All watchers, as the writer sees them: a hundred bytes each.
//!
//! Most watchers watch one key or a whole prefix. Those of a prefix are few, and are found by
//! [`Segments`]. Those of one key can be very many, so they are kept small: a slot in one long
//! vector, with the key in it, found by the key's hash; watchers of the same key are chained from
//! slot to slot.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use slab::Slab;
use tokio::sync::Notify;

use super::Id;
use super::segments::Segments;
use crate::api::{KeyRange, Revision, WatchRequest};
use crate::mvcc::Version;

/// The end of a chain.
const NONE: Id = Id::MAX;

/// One watcher.
#[derive(Debug)]
pub struct Slot {
    /// Which keys.
    range: Range,
    /// Events of earlier revisions are not for it.
    pub start_revision: Revision,
    /// The first revision with a change that was not read yet; 0 is none.
    pub pending: Revision,
    /// What its group calls it.
    pub name: i64,
    /// Whose bell to ring.
    group: u32,
    /// Its neighbours in the chain of its key.
    next: Id,
    previous: Id,
    /// With the key as it was.
    pub prev_kv: bool,
    /// Without puts.
    pub no_put: bool,
    /// Without deletions.
    pub no_delete: bool,
}

/// The keys of a watcher; smaller than a [`KeyRange`] where there is but one.
#[derive(Debug)]
enum Range {
    One(Box<[u8]>),
    Many(Box<KeyRange>),
}

impl Slot {
    /// Whether a key is one that it watches.
    pub fn watches(&self, key: &[u8]) -> bool {
        match &self.range {
            Range::One(one) => **one == *key,
            Range::Many(range) => range.contains(key),
        }
    }

    fn one_key(&self) -> Option<&[u8]> {
        match &self.range {
            Range::One(key) => Some(key),
            Range::Many(_) => None,
        }
    }
}

/// Watchers that are read together, and have one bell.
#[derive(Debug, Default)]
struct Group {
    bell: Arc<Notify>,
    /// Those with something to read.
    ready: VecDeque<Id>,
}

/// All watchers.
#[derive(Debug, Default)]
pub struct Watchers {
    slots: Slab<Slot>,
    groups: Slab<Group>,
    /// The first watcher of each key.
    keys: HashTable<Id>,
    hasher: RandomState,
    segments: Segments,
}

impl Watchers {
    /// How many there are, and in how many groups.
    pub fn count(&self) -> (usize, usize) {
        (self.slots.len(), self.groups.len())
    }

    /// How many have something to read.
    pub fn behind(&self) -> usize {
        self.groups.iter().map(|(_, group)| group.ready.len()).sum()
    }

    /// Makes a group; its bell is rung when there is something to read.
    pub fn add_group(&mut self) -> (u32, Arc<Notify>) {
        let group = Group::default();
        let bell = group.bell.clone();
        (id(self.groups.insert(group)), bell)
    }

    /// Removes a group with its watchers.
    pub fn remove_group(&mut self, group: u32, watchers: impl Iterator<Item = Id>) {
        // Each would be looked for here.
        self.groups[group as usize].ready.clear();
        watchers.for_each(|watcher| self.remove(watcher));
        self.groups.remove(group as usize);
    }

    /// Adds a watcher that hears of changes from now on, and of all from `pending` on if that is
    /// not 0.
    pub fn add(&mut self, group: u32, name: i64, request: WatchRequest, pending: Revision) -> Id {
        let range = match &request.range {
            KeyRange::One(key) => Range::One(key.as_ref().into()),
            range => Range::Many(Box::new(range.clone())),
        };
        let slot = Slot {
            range,
            start_revision: request.start_revision,
            pending: 0,
            name,
            group,
            next: NONE,
            previous: NONE,
            prev_kv: request.prev_kv,
            no_put: request.no_put,
            no_delete: request.no_delete,
        };
        let added = id(self.slots.insert(slot));
        match &request.range {
            KeyRange::One(_) => self.link(added),
            range => self.segments.add(range, added),
        }
        if pending > 0 {
            ring(&mut self.slots, &mut self.groups, added, pending);
        }
        added
    }

    /// Removes a watcher.
    pub fn remove(&mut self, watcher: Id) {
        if matches!(self.slots[watcher as usize].range, Range::One(_)) {
            self.unlink(watcher);
        }
        let slot = self.slots.remove(watcher as usize);
        if let Range::Many(range) = &slot.range {
            self.segments.remove(range, watcher);
        }
        if slot.pending > 0 {
            self.groups[slot.group as usize]
                .ready
                .retain(|other| *other != watcher);
        }
    }

    /// Puts a watcher at the head of its key's chain.
    fn link(&mut self, added: Id) {
        let key = self.slots[added as usize].one_key().unwrap_or_default();
        let hash = self.hasher.hash_one(key);
        let slots = &self.slots;
        let is_same = |other: &Id| slots[*other as usize].one_key() == Some(key);
        let rehash = |other: &Id| {
            self.hasher
                .hash_one(slots[*other as usize].one_key().unwrap_or_default())
        };
        match self.keys.entry(hash, is_same, rehash) {
            hashbrown::hash_table::Entry::Occupied(mut entry) => {
                let head = std::mem::replace(entry.get_mut(), added);
                self.slots[added as usize].next = head;
                self.slots[head as usize].previous = added;
            }
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(added);
            }
        }
    }

    /// Takes a watcher out of its key's chain.
    fn unlink(&mut self, watcher: Id) {
        let slot = &self.slots[watcher as usize];
        let (next, previous) = (slot.next, slot.previous);
        if previous == NONE {
            let hash = self.hasher.hash_one(slot.one_key().unwrap_or_default());
            if let Ok(mut entry) = self.keys.find_entry(hash, |head| *head == watcher) {
                if next == NONE {
                    entry.remove();
                } else {
                    *entry.get_mut() = next;
                }
            }
        } else {
            self.slots[previous as usize].next = next;
        }
        if next != NONE {
            self.slots[next as usize].previous = previous;
        }
    }

    /// Tells those concerned of a change.
    pub fn dispatch(&mut self, change: &Version) {
        let Self {
            slots,
            groups,
            keys,
            hasher,
            segments,
        } = self;
        if !keys.is_empty() {
            let hash = hasher.hash_one(change.key());
            let head = keys.find(hash, |id| {
                slots[*id as usize].one_key() == Some(change.key())
            });
            let mut next = head.copied().unwrap_or(NONE);
            while next != NONE {
                ring(slots, groups, next, change.mod_revision);
                next = slots[next as usize].next;
            }
        }
        for id in segments.at(change.key()) {
            ring(slots, groups, *id, change.mod_revision);
        }
    }

    /// A watcher of a group that has something to read; it will be told of again only if more
    /// comes, or [`Watchers::put_back`].
    pub fn take_ready(&mut self, group: u32) -> Option<(Id, &mut Slot)> {
        let id = self.groups[group as usize].ready.pop_front()?;
        Some((id, &mut self.slots[id as usize]))
    }

    /// Has a watcher read again, after the others of its group, from `pending` on.
    pub fn put_back(&mut self, watcher: Id, pending: Revision) {
        let slot = &mut self.slots[watcher as usize];
        slot.pending = pending;
        self.groups[slot.group as usize].ready.push_back(watcher);
    }

    /// Whether any of a group has something to read.
    pub fn is_ready(&self, group: u32) -> bool {
        !self.groups[group as usize].ready.is_empty()
    }

    /// Wakes everyone, to see that the store is closed.
    pub fn wake_all(&self) {
        self.groups
            .iter()
            .for_each(|(_, group)| group.bell.notify_one());
    }
}

/// Tells a watcher that there is a change of `revision`.
fn ring(slots: &mut Slab<Slot>, groups: &mut Slab<Group>, id: Id, revision: Revision) {
    let slot = &mut slots[id as usize];
    // Changes come in order: what is pending already is not later than this one. Setting it and
    // taking it are both done under the store's lock.
    if slot.pending == 0 {
        slot.pending = revision;
        let group = &mut groups[slot.group as usize];
        group.ready.push_back(id);
        if group.ready.len() == 1 {
            group.bell.notify_one();
        }
    }
}

fn id(key: usize) -> Id {
    Id::try_from(key).expect("four billion watchers take more memory than there is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::KeyValueRef;

    fn watch(watchers: &mut Watchers, group: u32, key: &'static str) -> Id {
        let request = WatchRequest {
            range: KeyRange::One(key.into()),
            start_revision: 1,
            prev_kv: false,
            no_put: false,
            no_delete: false,
        };
        watchers.add(group, 0, request, 0)
    }

    fn heard(watchers: &mut Watchers, group: u32, key: &str) -> Vec<Id> {
        let kv = KeyValueRef {
            key: key.as_bytes(),
            value: b"",
            create_revision: 2,
            mod_revision: 2,
            version: 1,
            lease: 0,
        };
        watchers.dispatch(&Version::put(kv, 0));
        let mut ids = Vec::new();
        while let Some((id, slot)) = watchers.take_ready(group) {
            slot.pending = 0;
            ids.push(id);
        }
        ids.sort_unstable();
        ids
    }

    #[test]
    fn watchers_of_one_key_come_and_go() {
        let mut watchers = Watchers::default();
        let (group, _bell) = watchers.add_group();
        let ids: Vec<Id> = (0..5).map(|_| watch(&mut watchers, group, "a")).collect();
        let other = watch(&mut watchers, group, "b");
        assert_eq!(heard(&mut watchers, group, "a"), ids);
        // The chain's last, its middle, and its head.
        for (gone, left) in [(0, vec![1, 2, 3, 4]), (2, vec![1, 3, 4]), (4, vec![1, 3])] {
            watchers.remove(ids[gone]);
            let left: Vec<Id> = left.into_iter().map(|at: usize| ids[at]).collect();
            assert_eq!(heard(&mut watchers, group, "a"), left);
        }
        assert_eq!(heard(&mut watchers, group, "b"), [other]);
        watchers.remove(ids[1]);
        watchers.remove(ids[3]);
        assert!(heard(&mut watchers, group, "a").is_empty());
        watchers.remove_group(group, [other].into_iter());
        assert!(watchers.keys.is_empty());
        assert_eq!(watchers.count(), (0, 0));
    }

    #[test]
    fn a_slot_is_small() {
        assert!(size_of::<Slot>() <= 64, "{} bytes", size_of::<Slot>());
    }
}
