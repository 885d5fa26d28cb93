//! A block of the index: neighbouring keys, with their versions.
//!
//! To look a key up must not mean to look at the versions on the way: each is somewhere else in
//! memory, and to fetch one takes longer than all the rest of the search. So a block knows what all
//! its keys begin with, and has the four bytes that come next of each: these are searched, and what
//! is then looked at is, nearly always, what was looked for.

use std::cmp::Ordering;

use super::{Version, Versions};
use crate::api::Revision;

/// Most keys of a block. Few in tests, so that they come upon cuts and merges.
pub const KEYS_MAX: usize = if cfg!(test) { 8 } else { 128 };

/// Neighbouring keys.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// What all keys begin with.
    prefix: Box<[u8]>,
    /// The bytes of each key after that, as a number: a greater key has no smaller one.
    tags: Vec<u32>,
    entries: Vec<Versions>,
    /// Keys whose newest version is no deletion.
    live: usize,
    /// No version of these keys is newer.
    revision: Revision,
}

impl Block {
    /// The keys with their versions.
    pub fn entries(&self) -> &[Versions] {
        &self.entries
    }

    /// Where a key is, or where it would have to be.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let (start, rest) = key.split_at(key.len().min(self.prefix.len()));
        match start.cmp(&self.prefix) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.entries.len()),
            Ordering::Equal => {}
        }
        let tag = tag(rest);
        let first = self.tags.partition_point(|other| *other < tag);
        let same = self.tags[first..].partition_point(|other| *other == tag);
        self.entries[first..first + same]
            .binary_search_by(|versions| versions.key().cmp(key))
            .map(|at| first + at)
            .map_err(|at| first + at)
    }

    /// The keys from `start` to before `end`; without these, from the first and to the last.
    pub fn piece(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> &[Versions] {
        let place = |key| self.find(key).unwrap_or_else(|place| place);
        let end = end.map_or(self.entries.len(), place);
        let start = start.map_or(0, place);
        &self.entries[start.min(end)..end]
    }

    /// How many of its keys, or of those in a piece of it, exist as of `revision`.
    pub fn count(&self, piece: &[Versions], revision: Revision) -> usize {
        if piece.len() == self.entries.len() && self.revision <= revision {
            return self.live;
        }
        let live = |versions: &&Versions| versions.at(revision).is_some();
        piece.iter().filter(live).count()
    }

    /// Adds a version to a key that is here and returns the one before it.
    pub fn push(&mut self, at: usize, version: Version) -> Version {
        let was_live = !self.entries[at].newest().is_deletion();
        self.live += usize::from(!version.is_deletion());
        self.live -= usize::from(was_live);
        self.revision = self.revision.max(version.mod_revision);
        self.entries[at].push(version)
    }

    /// Adds a key. A block that is full is cut in two; returns the second, and its first key.
    pub fn insert(&mut self, at: usize, versions: Versions) -> Option<(Box<[u8]>, Self)> {
        if self.entries.len() < KEYS_MAX {
            self.insert_with_room(at, versions);
            return None;
        }
        // Keys that come in order fill a block to the end and begin the next.
        let middle = if at == KEYS_MAX { at } else { KEYS_MAX / 2 };
        let mut right = Self {
            entries: self.entries.split_off(middle),
            revision: self.revision,
            ..Self::default()
        };
        right.describe();
        self.describe();
        if at < middle {
            self.insert_with_room(at, versions);
        } else {
            right.insert_with_room(at - middle, versions);
        }
        Some((right.entries[0].key().into(), right))
    }

    fn insert_with_room(&mut self, at: usize, versions: Versions) {
        let key = versions.key();
        let fits = !self.entries.is_empty() && key.starts_with(&self.prefix);
        if fits {
            self.tags.insert(at, tag(&key[self.prefix.len()..]));
        }
        self.live += usize::from(!versions.newest().is_deletion());
        self.revision = self.revision.max(versions.newest().mod_revision);
        self.entries.insert(at, versions);
        if !fits {
            self.describe();
        }
    }

    /// Forgets what a compaction to `revision` forgets of a key; false if that was all of it, and
    /// the key is gone.
    pub fn compact(&mut self, at: usize, revision: Revision) -> bool {
        if self.entries[at].compact(revision) {
            return true;
        }
        // The last of a key's versions can go only if it is a deletion: it does not count as live.
        self.entries.remove(at);
        self.tags.remove(at);
        false
    }

    /// Adds the keys of the block behind this one.
    pub fn append(&mut self, mut right: Self) {
        self.entries.append(&mut right.entries);
        self.revision = self.revision.max(right.revision);
        self.describe();
    }

    /// Gives back the room of keys that are gone.
    pub fn shrink(&mut self) {
        self.entries.shrink_to(self.entries.len() * 2);
        self.tags.shrink_to(self.entries.len() * 2);
    }

    /// Sets what is known of the keys, from the keys.
    fn describe(&mut self) {
        let (first, last) = match &self.entries[..] {
            [] => (&[][..], &[][..]),
            [one] => (one.key(), one.key()),
            [first, .., last] => (first.key(), last.key()),
        };
        // What the first and the last of sorted keys share, all share.
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        self.prefix = first[..shared].into();
        self.tags.clear();
        let tags = self.entries.iter().map(|entry| tag(&entry.key()[shared..]));
        self.tags.extend(tags);
        let live = |entry: &&Versions| !entry.newest().is_deletion();
        self.live = self.entries.iter().filter(live).count();
    }
}

/// The first four bytes, as a number; of fewer as if zeros came next.
fn tag(bytes: &[u8]) -> u32 {
    let mut tag = [0; 4];
    let len = bytes.len().min(4);
    tag[..len].copy_from_slice(&bytes[..len]);
    u32::from_be_bytes(tag)
}
