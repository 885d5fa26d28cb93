//! The index: all keys in order, each with its versions.
//!
//! ```text
//!   blocks    ""            "/m"          "/t"        from which key on
//!              │             │             │
//!             /a /b … /k    /m /n … /s    /t /u       up to 128 keys, each two pointers
//! ```
//!
//! A search tree of two levels: the standard library's map finds the block, a binary search the
//! key in it. A block knows how many of its keys exist and how old its newest change is, so that
//! counting a range (each page of a list asks how much is left) looks at its blocks, not its keys.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::{Version, Versions};
use crate::api::{KeyRange, Revision};

/// Most keys of a block. Few in tests, so that they come upon cuts and merges.
const BLOCK_KEYS_MAX: usize = if cfg!(test) { 8 } else { 128 };

/// All keys and their versions.
#[derive(Debug, Clone)]
pub struct Index {
    /// From the first key that belongs into a block to that block. The first begins with the
    /// empty key, so that there is one for every key.
    blocks: BTreeMap<Box<[u8]>, Block>,
}

/// Neighbouring keys.
#[derive(Debug, Clone, Default)]
struct Block {
    entries: Vec<Versions>,
    /// Keys whose newest version is no deletion.
    live: usize,
    /// No version of these keys is newer.
    revision: Revision,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::from([(Box::default(), Block::default())]),
        }
    }
}

impl Index {
    /// The versions of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Versions> {
        let (_, block) = self.block(key);
        block.find(key).ok().map(|at| &block.entries[at])
    }

    /// Adds the version that `make` makes of the key as it is now; none if it is not there.
    /// Returns that version, and the one before it.
    pub fn push(
        &mut self,
        key: &[u8],
        make: impl FnOnce(Option<&Version>) -> Version,
    ) -> (Version, Option<Version>) {
        let (_, block) = self
            .blocks
            .range_mut::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .expect("the first block begins before every key");
        match block.find(key) {
            Ok(at) => {
                let current = block.entries[at].newest();
                let was_live = !current.is_deletion();
                let version = make(Some(current).filter(|_| was_live));
                block.live += usize::from(!version.is_deletion());
                block.live -= usize::from(was_live);
                block.revision = version.mod_revision;
                let before = block.entries[at].push(version.clone());
                (version, Some(before))
            }
            Err(at) => {
                let version = make(None);
                if let Some(right) = block.insert(at, Versions::new(version.clone())) {
                    let start = right.entries[0].key().into();
                    self.blocks.insert(start, right);
                }
                (version, None)
            }
        }
    }

    /// Adds a version of the last key, or of one after it, and returns whether it was one. This is
    /// how an index is filled with keys in order, faster than one by one.
    pub fn push_last(&mut self, version: Version) -> bool {
        let mut last = self.blocks.last_entry().expect("there is a first block");
        let block = last.get_mut();
        let order = block
            .entries
            .last()
            .map(|last| version.key().cmp(last.key()));
        if order.is_some_and(|order| order.is_lt()) {
            return false;
        }
        if order.is_some_and(|order| order.is_eq()) {
            let (before, entry) = (block.live, block.entries.len() - 1);
            let was_live = !block.entries[entry].newest().is_deletion();
            block.live = before - usize::from(was_live) + usize::from(!version.is_deletion());
            block.revision = block.revision.max(version.mod_revision);
            block.entries[entry].push(version);
        } else if let Some(right) = block.insert(block.entries.len(), Versions::new(version)) {
            let start = right.entries[0].key().into();
            self.blocks.insert(start, right);
        }
        true
    }

    /// The versions of each key in range, in order.
    pub fn range<'a>(&'a self, range: &KeyRange) -> impl Iterator<Item = &'a Versions> + use<'a> {
        let (one, span) = match range {
            KeyRange::One(key) => (self.get(key), None),
            range => (None, Some(self.pieces(range))),
        };
        let span = span.into_iter().flatten();
        one.into_iter().chain(span.flat_map(|(_, entries)| entries))
    }

    /// How many keys of a range exist as of `revision`.
    pub fn count(&self, range: &KeyRange, revision: Revision) -> usize {
        let live = |entries: &[Versions]| {
            entries
                .iter()
                .filter(|versions| versions.at(revision).is_some())
                .count()
        };
        match range {
            KeyRange::One(key) => self
                .get(key)
                .map_or(0, |one| live(std::slice::from_ref(one))),
            range => self
                .pieces(range)
                .map(|(block, entries)| {
                    let whole = entries.len() == block.entries.len();
                    if whole && block.revision <= revision {
                        block.live
                    } else {
                        live(entries)
                    }
                })
                .sum(),
        }
    }

    /// The versions of each key after `after`, in order; of all without one.
    pub fn after(&self, after: Option<&[u8]>) -> impl Iterator<Item = &Versions> {
        let key = after.unwrap_or_default();
        let (start, block) = self.block(key);
        let first = match after {
            Some(after) => block.entries.partition_point(|entry| entry.key() <= after),
            None => 0,
        };
        let others = self.blocks.range::<[u8], _>((Excluded(start), Unbounded));
        block.entries[first..]
            .iter()
            .chain(others.flat_map(|(_, block)| &block.entries))
    }

    /// Forgets the versions of a key, and the key if nothing is left of it, that cannot be seen
    /// after a compaction to `at`.
    pub fn compact(&mut self, key: &[u8], at: Revision) {
        let (start, block) = self
            .blocks
            .range_mut::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .expect("the first block begins before every key");
        // A key that was changed and deleted may have gone with its first change.
        let Ok(entry) = block.find(key) else {
            return;
        };
        if block.entries[entry].compact(at) {
            return;
        }
        block.entries.remove(entry);
        if block.entries.len() < BLOCK_KEYS_MAX / 4 {
            let start = start.clone();
            self.merge(&start);
        }
    }

    /// Puts a block that has few keys left together with a neighbour, if they fit well.
    fn merge(&mut self, start: &[u8]) {
        let before = self.blocks.range::<[u8], _>((Unbounded, Excluded(start)));
        let before = before.map(|(key, _)| key.clone()).next_back();
        let after = self.blocks.range::<[u8], _>((Excluded(start), Unbounded));
        let after = after.map(|(key, _)| key.clone()).next();
        let pairs = [
            before.map(|before| (before, start.into())),
            after.map(|after| (start.into(), after)),
        ];
        for (left, right) in pairs.into_iter().flatten() {
            let (of_left, of_right) = (
                self.blocks[&left].entries.len(),
                self.blocks[&right].entries.len(),
            );
            let empty = of_left == 0 || of_right == 0;
            if empty || of_left + of_right <= BLOCK_KEYS_MAX / 2 {
                let right = self.blocks.remove(&right).expect("was found");
                let left = self.blocks.get_mut(&left).expect("was found");
                left.append(right);
                return;
            }
        }
        let block = self.blocks.get_mut(start).expect("was found");
        block.entries.shrink_to(block.entries.len() * 2);
    }

    /// The block that a key belongs into, and from which key on it is.
    fn block(&self, key: &[u8]) -> (&[u8], &Block) {
        let (start, block) = self
            .blocks
            .range::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .expect("the first block begins before every key");
        (start, block)
    }

    /// The blocks that a range touches, each with those of its keys that are in range.
    fn pieces<'a>(
        &'a self,
        range: &KeyRange,
    ) -> impl Iterator<Item = (&'a Block, &'a [Versions])> + use<'a> {
        let (start, end) = (range.start().clone(), range.end());
        let (first, _) = self.block(&start);
        let until = end.clone();
        self.blocks
            .range::<[u8], _>((Included(first), Unbounded))
            .take_while(move |(start, _)| until.as_ref().is_none_or(|end| start[..] < end[..]))
            .map(move |(_, block)| (block, block.piece(&start, end.as_deref())))
    }
}

impl Block {
    /// Where a key is, or where it would have to be.
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|versions| versions.key().cmp(key))
    }

    /// The keys from `start` to before `end`.
    fn piece(&self, start: &[u8], end: Option<&[u8]>) -> &[Versions] {
        let first = match self.entries.first() {
            Some(first) if first.key() < start => {
                self.entries.partition_point(|entry| entry.key() < start)
            }
            _ => 0,
        };
        let rest = &self.entries[first..];
        match (rest.last(), end) {
            (Some(last), Some(end)) if last.key() >= end => {
                &rest[..rest.partition_point(|entry| entry.key() < end)]
            }
            _ => rest,
        }
    }

    /// Inserts a key. A block that is full is cut in two; returns the second.
    fn insert(&mut self, at: usize, versions: Versions) -> Option<Self> {
        if self.entries.len() < BLOCK_KEYS_MAX {
            self.live += usize::from(!versions.newest().is_deletion());
            self.revision = self.revision.max(versions.newest().mod_revision);
            self.entries.insert(at, versions);
            return None;
        }
        // Keys that come in order fill a block to the end and begin the next.
        let middle = if at == BLOCK_KEYS_MAX {
            at
        } else {
            BLOCK_KEYS_MAX / 2
        };
        let mut right = Self {
            entries: self.entries.split_off(middle),
            live: 0,
            revision: self.revision,
        };
        right.live = right.count_live();
        self.live -= right.live;
        let none = if at < middle || (at == middle && middle < BLOCK_KEYS_MAX) {
            self.insert(at, versions)
        } else {
            right.insert(at - middle, versions)
        };
        debug_assert!(none.is_none(), "both halves have room");
        Some(right)
    }

    /// Adds the keys of the block behind this one.
    fn append(&mut self, mut right: Self) {
        self.entries.append(&mut right.entries);
        self.live += right.live;
        self.revision = self.revision.max(right.revision);
    }

    fn count_live(&self) -> usize {
        let live = |versions: &&Versions| !versions.newest().is_deletion();
        self.entries.iter().filter(live).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::KeyValueRef;
    use bytes::Bytes;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8),
        Delete(u8),
        /// Compacts the key to the newest revision.
        Compact(u8),
    }

    fn key(number: u8) -> Bytes {
        format!("/{number:03}").into()
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => any::<u8>().prop_map(Step::Put),
            2 => any::<u8>().prop_map(Step::Delete),
            3 => any::<u8>().prop_map(Step::Compact),
        ];
        prop::collection::vec(step, 0..400)
    }

    /// The numbers of the keys that exist at each revision.
    type Model = Vec<Vec<u8>>;

    fn run(steps: &[Step]) -> (Index, Model) {
        let (mut index, mut model) = (Index::default(), vec![Vec::new()]);
        for step in steps {
            let now = model.len() as Revision;
            let mut keys = model.last().expect("has a first").clone();
            match *step {
                Step::Put(number) => {
                    keys.retain(|other| *other != number);
                    keys.push(number);
                    keys.sort_unstable();
                    index.push(&key(number), |_| {
                        let kv = KeyValueRef {
                            key: &key(number),
                            value: b"",
                            create_revision: now,
                            mod_revision: now,
                            version: 1,
                            lease: 0,
                        };
                        Version::put(kv, 0)
                    });
                }
                Step::Delete(number) => {
                    keys.retain(|other| *other != number);
                    index.push(&key(number), |_| Version::deletion(&key(number), now, 0));
                }
                Step::Compact(number) => index.compact(&key(number), now),
            }
            model.push(keys);
        }
        (index, model)
    }

    proptest! {
        /// What is found and counted is what is there, however the blocks are cut.
        #[test]
        fn finds_and_counts_what_a_list_has(steps in steps(), start in any::<u8>(), end in any::<u8>()) {
            let (mut index, model) = run(&steps);
            let ranges = [
                KeyRange::One(key(start)),
                KeyRange::Span(key(start), key(end)),
                KeyRange::From(key(start)),
            ];
            let now = model.len() as Revision - 1;
            for range in &ranges {
                let expect: Vec<Bytes> =
                    model[now as usize].iter().map(|number| key(*number)).filter(|key| range.contains(key)).collect();
                let found: Vec<&[u8]> =
                    index.range(range).filter(|one| one.at(now).is_some()).map(Versions::key).collect();
                prop_assert_eq!(&found, &expect);
                prop_assert_eq!(index.count(range, now), expect.len());
                // In the past it may have been compacted; counting and listing agree.
                for at in 0..now {
                    let listed = index.range(range).filter(|one| one.at(at).is_some()).count();
                    prop_assert_eq!(index.count(range, at), listed);
                }
            }
            // When all that is left is deleted and compacted, nothing is left in memory.
            for number in 0..=u8::MAX {
                index.push(&key(number), |_| Version::deletion(&key(number), now, 0));
            }
            for number in 0..=u8::MAX {
                index.compact(&key(number), now + 1);
            }
            let blocks: Vec<usize> = index.blocks.values().map(|block| block.entries.len()).collect();
            prop_assert_eq!(blocks, [0]);
        }
    }
}
