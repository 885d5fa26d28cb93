//! Watches: a watcher is a cursor into the history, and a bell that rings when there is more.
//!
//! A server that sends each change to a queue per watcher must decide what to do when a queue is
//! full. Here there are no queues. A change that a watcher wishes to hear of only sets its
//! `pending` revision, if that is not set, and rings; the watcher, when it gets to it, reads the
//! history from there. So a slow watcher costs no memory and misses nothing, one that asks for a
//! past revision is no special case, and many changes are read as one batch. The one thing that
//! can happen to it is that a compaction forgets what it has not read: [`Error::Compacted`].
//!
//! Which watchers a change concerns is asked of [`Segments`], at the cost of those it concerns.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLockReadGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::api::{Error, EventKind, KeyRange, Revision, WatchBatch, WatchRequest};
use crate::mvcc::{Mvcc, Version};
use crate::store::Shared;

/// Most events in a batch, give or take the last revision's.
const BATCH_EVENTS: usize = 1000;

/// Most changes looked at in one go while the store is locked against writing.
const SCAN_CHANGES: usize = 10_000;

/// One watcher, as the writer sees it.
#[derive(Debug, Default)]
struct Slot {
    /// The first revision with a change that was not read yet; 0 is none.
    pending: AtomicI64,
    bell: Notify,
}

/// All watchers, by the keys they watch.
#[derive(Debug, Default)]
pub struct Watchers {
    next_id: u64,
    slots: HashMap<u64, Arc<Slot>>,
    segments: Segments,
}

impl Watchers {
    fn add(&mut self, range: &KeyRange, slot: Arc<Slot>) -> u64 {
        self.next_id += 1;
        self.slots.insert(self.next_id, slot);
        self.segments.add(range, self.next_id);
        self.next_id
    }

    fn remove(&mut self, range: &KeyRange, id: u64) {
        self.slots.remove(&id);
        self.segments.remove(range, id);
    }

    /// Tells those concerned of a change.
    pub fn dispatch(&self, change: &Version) {
        for id in self.segments.at(change.key()) {
            let slot = &self.slots[id];
            // Changes come in order: what is pending already is not later than this one. Setting
            // it and taking it are both done under the store's lock.
            if slot.pending.load(Ordering::Relaxed) == 0 {
                slot.pending.store(change.mod_revision, Ordering::Relaxed);
                slot.bell.notify_one();
            }
        }
    }

    /// Wakes everyone, to see that the store is closed.
    pub fn wake_all(&self) {
        self.slots.values().for_each(|slot| slot.bell.notify_one());
    }
}

/// Who watches which keys: the line of all keys, cut wherever a watched range begins or ends,
/// with each piece's watchers.
///
/// ```text
///   a ranges [a, m)   b ranges [c, z)       ""     "a"    "c"      "m"    "z"
///                                            └ none ┴ a ── ┴ a, b ── ┴ b ── ┴ none
/// ```
#[derive(Debug, Default)]
struct Segments {
    /// From where a piece starts to who watches it. Before the first one nobody does.
    pieces: BTreeMap<Bytes, Vec<u64>>,
}

impl Segments {
    fn at(&self, key: &[u8]) -> &[u64] {
        self.pieces
            .range::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .map_or(&[], |(_, ids)| ids.as_slice())
    }

    fn add(&mut self, range: &KeyRange, id: u64) {
        let Some((start, end)) = bounds(range) else {
            return;
        };
        self.cut(&start);
        if let Some(end) = &end {
            self.cut(end);
        }
        self.each_piece(&start, end.as_ref(), |ids| ids.push(id));
    }

    fn remove(&mut self, range: &KeyRange, id: u64) {
        let Some((start, end)) = bounds(range) else {
            return;
        };
        self.each_piece(&start, end.as_ref(), |ids| ids.retain(|other| *other != id));
        self.heal(&start);
        if let Some(end) = &end {
            self.heal(end);
        }
    }

    fn cut(&mut self, at: &Bytes) {
        if !self.pieces.contains_key(at) {
            let ids = self.at(at).to_vec();
            self.pieces.insert(at.clone(), ids);
        }
    }

    /// Undoes a cut that no longer parts anything. Ids are in order of age in every piece, so
    /// the same watchers are the same list.
    fn heal(&mut self, at: &Bytes) {
        let before = self.pieces.range::<Bytes, _>(..at).next_back();
        let before = before.map_or(&[][..], |(_, ids)| ids.as_slice());
        if self.pieces.get(at).is_some_and(|ids| ids == before) {
            self.pieces.remove(at);
        }
    }

    fn each_piece(&mut self, start: &Bytes, end: Option<&Bytes>, f: impl FnMut(&mut Vec<u64>)) {
        let end = end.map_or(Unbounded, Excluded);
        self.pieces
            .range_mut::<Bytes, _>((Included(start), end))
            .map(|(_, ids)| ids)
            .for_each(f);
    }
}

/// The ends of a range; none for one that holds no key.
fn bounds(range: &KeyRange) -> Option<(Bytes, Option<Bytes>)> {
    let (start, end) = (range.start().clone(), range.end());
    match &end {
        Some(end) if *end <= start => None,
        _ => Some((start, end)),
    }
}

/// A watch. Dropping it ends it.
pub struct Watcher {
    shared: Arc<Shared>,
    request: WatchRequest,
    slot: Arc<Slot>,
    id: u64,
}

impl Watcher {
    pub(crate) fn new(shared: Arc<Shared>, mut request: WatchRequest) -> Result<Self, Error> {
        let slot = Arc::new(Slot::default());
        let id = {
            // Nothing is written while this is held: no change falls between what is read from
            // the history and what is rung for.
            let state = shared.read();
            if request.start_revision <= 0 {
                request.start_revision = state.revision() + 1;
            }
            check_kept(&state, request.start_revision)?;
            if request.start_revision <= state.revision() {
                slot.pending
                    .store(request.start_revision, Ordering::Relaxed);
            }
            shared.watchers().add(&request.range, slot.clone())
        };
        Ok(Self {
            shared,
            request,
            slot,
            id,
        })
    }

    /// The next changes, in order: one or more revisions, each whole.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Compacted`] if changes that were not read yet were forgotten;
    /// [`Error::Storage`] once the store is closed.
    pub async fn recv(&mut self) -> Result<WatchBatch, Error> {
        loop {
            if let Some(batch) = self.read()? {
                return Ok(batch);
            }
            if self.slot.pending.load(Ordering::Relaxed) == 0 {
                self.shared.check_open()?;
                self.slot.bell.notified().await;
            }
        }
    }

    /// The revision up to which everything has been told, if nothing waits to be read.
    pub fn progress(&self) -> Option<Revision> {
        let state = self.shared.read();
        (self.slot.pending.load(Ordering::Relaxed) == 0).then(|| state.revision())
    }

    /// Reads what is pending, or a part of it; none if that was nothing to be told.
    fn read(&self) -> Result<Option<WatchBatch>, Error> {
        let state: RwLockReadGuard<'_, Mvcc> = self.shared.read();
        let from = self.slot.pending.load(Ordering::Relaxed);
        if from == 0 {
            return Ok(None);
        }
        check_kept(&state, from)?;
        let mut events = Vec::new();
        let mut revision = state.revision();
        let mut rest = 0;
        let mut last = 0;
        for (scanned, change) in state.changes(from).enumerate() {
            let full = events.len() >= BATCH_EVENTS || scanned >= SCAN_CHANGES;
            if full && change.mod_revision != last {
                (revision, rest) = (last, change.mod_revision);
                break;
            }
            last = change.mod_revision;
            // A watch may begin at a revision that is still to come.
            if last >= self.request.start_revision && self.request.range.contains(change.key()) {
                let event = state.event(change, self.request.prev_kv);
                let unwanted = match event.kind {
                    EventKind::Put => self.request.no_put,
                    EventKind::Delete => self.request.no_delete,
                };
                if !unwanted {
                    events.push(event);
                }
            }
        }
        self.slot.pending.store(rest, Ordering::Relaxed);
        Ok((!events.is_empty()).then_some(WatchBatch { revision, events }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.watchers().remove(&self.request.range, self.id);
    }
}

fn check_kept(state: &Mvcc, from: Revision) -> Result<(), Error> {
    match state.compact_revision() {
        compact_revision if from < compact_revision => Err(Error::Compacted { compact_revision }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges() -> impl Strategy<Value = KeyRange> {
        let key = || prop::collection::vec(97..101u8, 0..3).prop_map(Bytes::from);
        prop_oneof![
            key().prop_map(KeyRange::One),
            (key(), key()).prop_map(|(start, end)| KeyRange::Span(start, end)),
            key().prop_map(KeyRange::From),
            key().prop_map(KeyRange::prefix),
        ]
    }

    proptest! {
        /// A key's watchers are those whose range holds it, whoever came and went before; and
        /// when all are gone nothing of them is left.
        #[test]
        fn segments_find_whom_a_scan_finds(
            steps in prop::collection::vec((ranges(), any::<prop::sample::Index>(), any::<bool>()), 1..40),
            keys in prop::collection::vec(prop::collection::vec(97..101u8, 0..3), 1..20),
        ) {
            let mut segments = Segments::default();
            let mut model: Vec<(u64, KeyRange)> = Vec::new();
            for (id, (range, index, remove)) in steps.into_iter().enumerate() {
                if remove && !model.is_empty() {
                    let (id, range) = model.remove(index.index(model.len()));
                    segments.remove(&range, id);
                } else {
                    segments.add(&range, id as u64);
                    model.push((id as u64, range));
                }
                for key in &keys {
                    let key = Bytes::from(key.clone());
                    let expect: Vec<u64> =
                        model.iter().filter(|(_, r)| r.contains(&key)).map(|(id, _)| *id).collect();
                    prop_assert_eq!(segments.at(&key), expect);
                }
            }
            for (id, range) in model {
                segments.remove(&range, id);
            }
            prop_assert!(segments.pieces.is_empty());
        }
    }
}
