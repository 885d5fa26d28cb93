//! Who watches ranges of keys: the watchers of a key are found at the cost of those there are.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use bytes::Bytes;

use super::Id;
use crate::api::KeyRange;

/// The line of all keys, cut wherever a watched range begins or ends,
/// with each piece's watchers.
///
/// ```text
///   a ranges [a, m)   b ranges [c, z)       ""     "a"    "c"      "m"    "z"
///                                            └ none ┴ a ── ┴ a, b ── ┴ b ── ┴ none
/// ```
#[derive(Debug, Default)]
pub struct Segments {
    /// From where a piece starts to who watches it. Before the first one nobody does.
    pieces: BTreeMap<Bytes, Vec<Id>>,
}

impl Segments {
    /// Who watches a range that holds `key`, the oldest first.
    pub fn at(&self, key: &[u8]) -> &[Id] {
        self.pieces
            .range::<[u8], _>((Unbounded, Included(key)))
            .next_back()
            .map_or(&[], |(_, ids)| ids.as_slice())
    }

    /// Adds a watcher of a range.
    pub fn add(&mut self, range: &KeyRange, id: Id) {
        let Some((start, end)) = bounds(range) else {
            return;
        };
        self.cut(&start);
        if let Some(end) = &end {
            self.cut(end);
        }
        self.each_piece(&start, end.as_ref(), |ids| ids.push(id));
    }

    /// Removes it.
    pub fn remove(&mut self, range: &KeyRange, id: Id) {
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

    fn each_piece(&mut self, start: &Bytes, end: Option<&Bytes>, f: impl FnMut(&mut Vec<Id>)) {
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
            let mut model: Vec<(Id, KeyRange)> = Vec::new();
            for (id, (range, index, remove)) in steps.into_iter().enumerate() {
                if remove && !model.is_empty() {
                    let (id, range) = model.remove(index.index(model.len()));
                    segments.remove(&range, id);
                } else {
                    let id = id as Id;
                    segments.add(&range, id);
                    model.push((id, range));
                }
                for key in &keys {
                    let key = Bytes::from(key.clone());
                    let expect: Vec<Id> =
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
