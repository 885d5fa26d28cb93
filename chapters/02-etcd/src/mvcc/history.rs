//! The history: every change since the last compaction, in order.

use std::collections::VecDeque;

use super::Version;
use crate::api::Revision;

/// Changes of a chunk. One long buffer would be copied as a whole when it is full, and the write
/// that fills it would wait for that.
const CHUNK_CHANGES: usize = 1024;

/// The versions that were made, as they were made.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// None is empty; all but the first and the last are full.
    chunks: VecDeque<VecDeque<Version>>,
}

impl History {
    /// Adds a change, of the same revision as the last one or of a later one.
    pub fn push_back(&mut self, change: Version) {
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_CHANGES => chunk.push_back(change),
            _ => self.chunks.push_back(VecDeque::from([change])),
        }
    }

    /// The last change.
    pub fn back(&self) -> Option<&Version> {
        self.chunks.back().and_then(VecDeque::back)
    }

    /// Takes the first change.
    pub fn pop_front(&mut self) -> Option<Version> {
        let chunk = self.chunks.front_mut()?;
        let change = chunk.pop_front();
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        change
    }

    /// The change with so many before it.
    pub fn get(&self, at: usize) -> Option<&Version> {
        let first = self.chunks.front()?;
        match at.checked_sub(first.len()) {
            None => first.get(at),
            Some(rest) => self
                .chunks
                .get(1 + rest / CHUNK_CHANGES)?
                .get(rest % CHUNK_CHANGES),
        }
    }

    /// The changes of revision `from` and later, in order.
    pub fn since(&self, from: Revision) -> impl Iterator<Item = &Version> {
        let before = |version: &Version| version.mod_revision < from;
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.back().is_some_and(before));
        let first = self.chunks.get(chunk);
        let at = first.map_or(0, |first| first.partition_point(before));
        self.chunks.range(chunk..).flatten().skip(at)
    }
}
