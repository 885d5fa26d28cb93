//! All versions of one key.

use super::Version;
use crate::api::Revision;

/// The versions of one key, of which there is always one. Most keys have no other: two words.
#[derive(Debug, Clone)]
pub struct Versions {
    newest: Version,
    /// In order of revision.
    older: Option<Box<Older>>,
}

#[derive(Debug, Clone)]
struct Older(Vec<Version>);

impl Versions {
    /// The versions of a key that was not there.
    pub fn new(version: Version) -> Self {
        Self {
            newest: version,
            older: None,
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.newest.key()
    }

    /// The last version.
    pub fn newest(&self) -> &Version {
        &self.newest
    }

    /// Adds a version and returns the one that it comes after.
    pub fn push(&mut self, version: Version) -> Version {
        let before = std::mem::replace(&mut self.newest, version);
        let older = self
            .older
            .get_or_insert_with(|| Box::new(Older(Vec::new())));
        older.0.push(before.clone());
        before
    }

    /// The version that is seen at `revision`, unless that is a deletion.
    pub fn at(&self, revision: Revision) -> Option<&Version> {
        // ANCHOR: exercise-02.2
        let seen = if self.newest.mod_revision <= revision {
            &self.newest
        } else {
            let older = self.older();
            older[..older.partition_point(|version| version.mod_revision <= revision)].last()?
        };
        (!seen.is_deletion()).then_some(seen)
        // ANCHOR_END: exercise-02.2
    }

    /// The versions that can still be seen or watched after a compaction to `at`.
    pub fn kept(&self, at: Revision) -> impl Iterator<Item = &Version> {
        self.older()
            .iter()
            .chain([&self.newest])
            .skip(self.superseded(at))
    }

    /// Forgets the versions that cannot; false if that is all of them, which are left for the
    /// caller to drop.
    pub fn compact(&mut self, at: Revision) -> bool {
        let superseded = self.superseded(at);
        let Some(older) = &mut self.older else {
            return superseded == 0;
        };
        if superseded > older.0.len() {
            return false;
        }
        older.0.drain(..superseded);
        if older.0.is_empty() {
            self.older = None;
        } else if older.0.len() * 4 < older.0.capacity() {
            older.0.shrink_to(older.0.len() * 2);
        }
        true
    }

    /// How many versions, from the first on, a compaction to `at` forgets.
    fn superseded(&self, at: Revision) -> usize {
        // ANCHOR: exercise-02.5
        let older = self.older();
        let (after, last) = if self.newest.mod_revision <= at {
            (older.len() + 1, Some(&self.newest))
        } else {
            let after = older.partition_point(|version| version.mod_revision <= at);
            (after, older[..after].last())
        };
        // Of the versions up to `at` only the last can still be seen. If it is a deletion there
        // is nothing to see, but one at `at` itself is still a watcher's event.
        match last {
            Some(last) if last.is_deletion() && last.mod_revision < at => after,
            _ => after.saturating_sub(1),
        }
        // ANCHOR_END: exercise-02.5
    }

    /// Bytes of the versions that a compaction to `at` forgets.
    pub fn superseded_bytes(&self, at: Revision) -> u64 {
        let superseded = self.superseded(at);
        let versions = self.older().iter().chain([&self.newest]);
        versions.take(superseded).map(Version::stored_bytes).sum()
    }

    fn older(&self) -> &[Version] {
        self.older.as_ref().map_or(&[], |older| &older.0)
    }
}
