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

use super::block::{Block, KEYS_MAX};
use super::{Version, Versions};
use crate::api::{KeyRange, Revision};

/// All keys and their versions.
#[derive(Debug, Clone)]
pub struct Index {
    /// From the first key that belongs into a block to that block. The first begins with the
    /// empty key, so that there is one for every key.
    blocks: BTreeMap<Box<[u8]>, Block>,
    /// What all versions take in a checkpoint.
    bytes: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            blocks: BTreeMap::from([(Box::default(), Block::default())]),
            bytes: 0,
        }
    }
}

impl Index {
    /// Bytes that all versions take in a checkpoint.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The versions of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Versions> {
        let (_, block) = self.block(key);
        block.find(key).ok().map(|at| &block.entries()[at])
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
        let (version, before) = match block.find(key) {
            Ok(at) => {
                let current = block.entries()[at].newest();
                let version = make(Some(current).filter(|current| !current.is_deletion()));
                let before = block.push(at, version.clone());
                (version, Some(before))
            }
            Err(at) => {
                let version = make(None);
                if let Some((start, right)) = block.insert(at, Versions::new(version.clone())) {
                    self.blocks.insert(start, right);
                }
                (version, None)
            }
        };
        self.bytes += version.stored_bytes();
        (version, before)
    }

    /// Adds a version of the last key, or of one after it, and returns whether it was one. This is
    /// how an index is filled with keys in order, faster than one by one.
    pub fn push_last(&mut self, version: Version) -> bool {
        let bytes = version.stored_bytes();
        let mut last = self.blocks.last_entry().expect("there is a first block");
        let block = last.get_mut();
        let len = block.entries().len();
        match block.find(version.key()) {
            Ok(at) if at + 1 == len => {
                block.push(at, version);
            }
            Err(at) if at == len => {
                if let Some((start, right)) = block.insert(at, Versions::new(version)) {
                    self.blocks.insert(start, right);
                }
            }
            _ => return false,
        }
        self.bytes += bytes;
        true
    }

    /// The versions of each key in range, in order.
    pub fn range<'a>(&'a self, range: &KeyRange) -> impl Iterator<Item = &'a Versions> + use<'a> {
        let (one, span) = match range {
            KeyRange::One(key) => (self.get(key), None),
            range => (None, Some(self.pieces(range))),
        };
        let span = span.into_iter().flatten();
        one.into_iter().chain(span.flat_map(|(_, piece)| piece))
    }

    /// How many keys of a range exist as of `revision`.
    pub fn count(&self, range: &KeyRange, revision: Revision) -> usize {
        match range {
            KeyRange::One(key) => {
                let found = self.get(key).and_then(|versions| versions.at(revision));
                usize::from(found.is_some())
            }
            range => {
                let pieces = self.pieces(range);
                pieces
                    .map(|(block, piece)| block.count(piece, revision))
                    .sum()
            }
        }
    }

    /// The versions of each key after `after`, in order; of all without one.
    pub fn after(&self, after: Option<&[u8]>) -> impl Iterator<Item = &Versions> {
        let key = after.unwrap_or_default();
        let (start, block) = self.block(key);
        let first = match after {
            Some(after) => match block.find(after) {
                Ok(at) => at + 1,
                Err(at) => at,
            },
            None => 0,
        };
        let others = self.blocks.range::<[u8], _>((Excluded(start), Unbounded));
        block.entries()[first..]
            .iter()
            .chain(others.flat_map(|(_, block)| block.entries()))
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
        let Ok(place) = block.find(key) else {
            return;
        };
        self.bytes -= block.entries()[place].superseded_bytes(at);
        if !block.compact(place, at) && block.entries().len() < KEYS_MAX / 4 {
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
            let keys = [&left, &right].map(|start| self.blocks[start].entries().len());
            if keys.contains(&0) || keys[0] + keys[1] <= KEYS_MAX / 2 {
                let right = self.blocks.remove(&right).expect("was found");
                let left = self.blocks.get_mut(&left).expect("was found");
                left.append(right);
                return;
            }
        }
        let block = self.blocks.get_mut(start).expect("was found");
        block.shrink();
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

    /// The blocks that a range touches, each with those of its keys that are in range. Only the
    /// first and the last are searched for where it begins and ends.
    fn pieces<'a>(
        &'a self,
        range: &KeyRange,
    ) -> impl Iterator<Item = (&'a Block, &'a [Versions])> + use<'a> {
        let (start, end) = (range.start().clone(), range.end());
        let (first, _) = self.block(&start);
        let blocks = self.blocks.range::<[u8], _>((Included(first), Unbounded));
        let mut blocks = blocks.peekable();
        std::iter::from_fn(move || {
            let (from, block) = blocks.next()?;
            let (from, end) = (from.as_ref(), end.as_deref());
            if end.is_some_and(|end| from >= end) {
                return None;
            }
            let next = blocks.peek().map(|(next, _)| next.as_ref());
            let start = Some(start.as_ref()).filter(|start| from < *start);
            let end = end.filter(|end| next.is_none_or(|next| next > *end));
            Some((block, block.piece(start, end)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::KeyValueRef;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8),
        Delete(u8),
        /// Compacts the key to the newest revision.
        Compact(u8),
    }

    /// Keys that differ late, in length, and in nothing but zeros.
    fn key(number: u8) -> Bytes {
        let mut key = vec![b'/', number / 16];
        match number % 16 {
            zeros @ 0..6 => key.resize(key.len() + usize::from(zeros), 0),
            last => key.extend([b"name-".as_slice(), &[last]].concat()),
        }
        key.into()
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => any::<u8>().prop_map(Step::Put),
            2 => any::<u8>().prop_map(Step::Delete),
            3 => any::<u8>().prop_map(Step::Compact),
        ];
        prop::collection::vec(step, 0..400)
    }

    /// The index, the keys that exist, and the revision after so many steps.
    fn run(steps: &[Step]) -> (Index, BTreeSet<Bytes>, Revision) {
        let (mut index, mut model) = (Index::default(), BTreeSet::new());
        for (now, step) in (1..).zip(steps) {
            match *step {
                Step::Put(number) => {
                    let kv = KeyValueRef {
                        key: &key(number),
                        value: b"",
                        create_revision: now,
                        mod_revision: now,
                        version: 1,
                        lease: 0,
                    };
                    index.push(kv.key, |_| Version::put(kv, 0));
                    model.insert(key(number));
                }
                Step::Delete(number) => {
                    let key = key(number);
                    index.push(&key, |_| Version::deletion(&key, now, 0));
                    model.remove(&key);
                }
                Step::Compact(number) => index.compact(&key(number), now),
            }
        }
        (index, model, steps.len() as Revision)
    }

    proptest! {
        /// What is found and counted is what is there, however the blocks are cut.
        #[test]
        fn finds_and_counts_what_a_list_has(steps in steps(), start in any::<u8>(), end in any::<u8>()) {
            let (mut index, model, now) = run(&steps);
            let ranges = [
                KeyRange::One(key(start)),
                KeyRange::Span(key(start), key(end)),
                KeyRange::From(key(start)),
            ];
            for range in &ranges {
                let expect: Vec<&Bytes> = model.iter().filter(|key| range.contains(key)).collect();
                let found: Vec<&[u8]> =
                    index.range(range).filter(|one| one.at(now).is_some()).map(Versions::key).collect();
                prop_assert_eq!(&found, &expect);
                prop_assert_eq!(index.count(range, now), expect.len());
                // In the past it may have been compacted; counting and listing agree.
                for at in (0..now).step_by(13) {
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
            let blocks: Vec<usize> = index.blocks.values().map(|block| block.entries().len()).collect();
            prop_assert_eq!(blocks, [0]);
        }
    }
}
