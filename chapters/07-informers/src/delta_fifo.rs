//! Changes that wait for their handlers, gathered by key, first come first served.
//!
//! A change of a key that already waits joins it instead of queueing again: a handler that is slow
//! sees the key once, with all that happened to it. Upstream: `cache.DeltaFIFO`.

use std::collections::{HashMap, VecDeque};

use crate::reflector::Change;
use crate::{Object, key_of};

/// One thing that happened to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta<K> {
    /// It is there, new or changed.
    Applied(K),
    /// It was seen to go; here is how it was last.
    Deleted(K),
    /// It is missing from a list: it went at some time nobody saw. Upstream:
    /// `DeletedFinalStateUnknown`.
    Vanished,
}

/// The queue.
#[derive(Debug)]
pub struct DeltaFifo<K> {
    order: VecDeque<String>,
    deltas: HashMap<String, Vec<Delta<K>>>,
}

impl<K> Default for DeltaFifo<K> {
    fn default() -> Self {
        DeltaFifo {
            order: VecDeque::new(),
            deltas: HashMap::new(),
        }
    }
}

impl<K: Object> DeltaFifo<K> {
    /// Takes in a change. `known` are the keys that the store holds: those that a replacement
    /// lacks have vanished.
    pub fn add(&mut self, change: Change<K>, known: impl FnOnce() -> Vec<String>) {
        match change {
            Change::Applied(object) => self.push(key_of(&object), Delta::Applied(object)),
            Change::Deleted(object) => self.push(key_of(&object), Delta::Deleted(object)),
            Change::Replaced(objects) => {
                let mut vanished: std::collections::BTreeSet<String> = known()
                    .into_iter()
                    .chain(self.order.iter().cloned())
                    .collect();
                for object in objects {
                    let key = key_of(&object);
                    vanished.remove(&key);
                    self.push(key, Delta::Applied(object));
                }
                for key in vanished {
                    self.push(key, Delta::Vanished);
                }
            }
        }
    }

    /// The key that has waited longest, with all that happened to it, in order.
    pub fn pop(&mut self) -> Option<(String, Vec<Delta<K>>)> {
        let key = self.order.pop_front()?;
        let deltas = self
            .deltas
            .remove(&key)
            .expect("every key in the order has its deltas");
        Some((key, deltas))
    }

    fn push(&mut self, key: String, delta: Delta<K>) {
        match self.deltas.get_mut(&key) {
            Some(deltas) => deltas.push(delta),
            None => {
                self.order.push_back(key.clone());
                self.deltas.insert(key, vec![delta]);
            }
        }
    }
}
