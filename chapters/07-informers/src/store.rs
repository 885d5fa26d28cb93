//! The copy: objects by key, and indices that find them by anything else.
//!
//! Upstream: `cache.Store`, `cache.Indexer` and the typed listers over them
//! (`client-go/tools/cache/thread_safe_store.go`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::{Object, key_of};

/// Under which values an index finds an object: the uid of its owner, its node, …
pub type IndexFn<K> = fn(&K) -> Vec<String>;

/// Objects by key, shared between an informer that writes and everyone who reads.
pub struct Store<K> {
    inner: Arc<RwLock<Inner<K>>>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Store {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<K> {
    /// Sorted, so that what is listed comes in the same order every time.
    objects: BTreeMap<String, Arc<K>>,
    indices: HashMap<&'static str, Index<K>>,
}

struct Index<K> {
    values_of: IndexFn<K>,
    keys: HashMap<String, BTreeSet<String>>,
}

impl<K: Object> Default for Store<K> {
    fn default() -> Self {
        Store::with_indices(&[])
    }
}

impl<K: Object> Store<K> {
    /// An empty store with these indices.
    pub fn with_indices(indices: &[(&'static str, IndexFn<K>)]) -> Self {
        let indices = indices
            .iter()
            .map(|&(name, values_of)| {
                (
                    name,
                    Index {
                        values_of,
                        keys: HashMap::new(),
                    },
                )
            })
            .collect();
        Store {
            inner: Arc::new(RwLock::new(Inner {
                objects: BTreeMap::new(),
                indices,
            })),
        }
    }

    /// The object of a key (`namespace/name`).
    pub fn get(&self, key: &str) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    /// All objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let start = format!("{namespace}/");
        // '0' follows '/': the end of everything that starts with "namespace/".
        let end = format!("{namespace}0");
        self.read()
            .objects
            .range(start..end)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// All objects that an index has under a value.
    ///
    /// # Panics
    /// If the store was made without that index: a slip of the programmer's.
    pub fn by_index(&self, index: &str, value: &str) -> Vec<Arc<K>> {
        let inner = self.read();
        let index = inner
            .indices
            .get(index)
            .expect("the index was named when the store was made");
        let keys = index.keys.get(value).into_iter().flatten();
        keys.filter_map(|key| inner.objects.get(key).cloned())
            .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an object in; returns the one that it replaces.
    pub fn insert(&self, object: Arc<K>) -> Option<Arc<K>> {
        let key = key_of(object.as_ref());
        let mut inner = self
            .inner
            .write()
            .expect("no writer panics while it holds the lock");
        let old = inner.objects.insert(key.clone(), object.clone());
        for index in inner.indices.values_mut() {
            index.remove(&key, old.as_deref());
            for value in (index.values_of)(&object) {
                index.keys.entry(value).or_default().insert(key.clone());
            }
        }
        old
    }

    /// Takes an object out.
    pub fn remove(&self, key: &str) -> Option<Arc<K>> {
        let mut inner = self
            .inner
            .write()
            .expect("no writer panics while it holds the lock");
        let old = inner.objects.remove(key);
        for index in inner.indices.values_mut() {
            index.remove(key, old.as_deref());
        }
        old
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        self.read().objects.keys().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<K>> {
        self.inner
            .read()
            .expect("no writer panics while it holds the lock")
    }
}

impl<K> Index<K> {
    fn remove(&mut self, key: &str, old: Option<&K>) {
        for value in old.map(self.values_of).unwrap_or_default() {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}
