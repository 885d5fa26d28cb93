//! One copy of a collection for many handlers.
//!
//! Each handler hears every change after the store has it, so a handler that looks at the store
//! never sees less than it was told. Upstream: `cache.SharedIndexInformer`.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Object;
use crate::delta_fifo::{Delta, DeltaFifo};
use crate::reflector::{Change, ChangeSource};
use crate::store::{IndexFn, Store};

/// What a handler hears.
#[derive(Debug)]
pub enum Event<'a, K> {
    /// An object that was not known.
    Added(&'a Arc<K>),
    /// An object that was known, as it was and as it is.
    Updated(&'a Arc<K>, &'a Arc<K>),
    /// An object that is gone, as it was last known.
    Deleted(&'a Arc<K>),
}

impl<K> Event<'_, K> {
    /// The object as it is, or was last.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Event::Added(object) | Event::Updated(_, object) | Event::Deleted(object) => object,
        }
    }
}

type Handler<K> = Box<dyn FnMut(&Event<'_, K>) + Send>;

/// Feeds a [`Store`] from a [`ChangeSource`] and tells handlers.
pub struct SharedInformer<K> {
    store: Store<K>,
    fifo: DeltaFifo<K>,
    handlers: Vec<Handler<K>>,
    transform: fn(&mut K),
    synced: watch::Sender<bool>,
}

impl<K: Object> SharedInformer<K> {
    /// An informer whose store has these indices.
    pub fn new(indices: &[(&'static str, IndexFn<K>)]) -> Self {
        SharedInformer {
            store: Store::with_indices(indices),
            fifo: DeltaFifo::default(),
            handlers: Vec::new(),
            transform: drop_managed_fields,
            synced: watch::Sender::new(false),
        }
    }

    /// Changes what is kept of each object; it replaces the usual transform, which drops
    /// `metadata.managedFields`.
    pub fn with_transform(mut self, transform: fn(&mut K)) -> Self {
        self.transform = transform;
        self
    }

    /// The store, to read from.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Becomes `true` once the first list is in the store and all handlers have heard of it.
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    /// Adds a handler. It must be quick: put a key into a [`crate::work_queue::WorkQueue`].
    pub fn on_event(&mut self, handler: impl FnMut(&Event<'_, K>) + Send + 'static) {
        self.handlers.push(Box::new(handler));
    }

    /// Runs until `shutdown`.
    pub async fn run(mut self, mut source: impl ChangeSource<K>, shutdown: CancellationToken) {
        while let Some(change) = shutdown.run_until_cancelled(source.next()).await {
            self.handle(change);
        }
    }

    /// Takes in one change: the store first, then the handlers.
    pub fn handle(&mut self, change: Change<K>) {
        let first_list = matches!(change, Change::Replaced(_));
        self.fifo.add(change, || self.store.keys());
        while let Some((key, deltas)) = self.fifo.pop() {
            for delta in deltas {
                self.settle(&key, delta);
            }
        }
        if first_list {
            self.synced
                .send_if_modified(|synced| !std::mem::replace(synced, true));
        }
    }

    fn settle(&mut self, key: &str, delta: Delta<K>) {
        match delta {
            Delta::Applied(mut object) => {
                (self.transform)(&mut object);
                let new = Arc::new(object);
                match self.store.insert(new.clone()) {
                    None => self.tell(&Event::Added(&new)),
                    // A relist brings objects that have not changed.
                    Some(old) if same_revision(old.as_ref(), new.as_ref()) => {}
                    Some(old) => self.tell(&Event::Updated(&old, &new)),
                }
            }
            Delta::Deleted(object) => {
                self.store.remove(key);
                self.tell(&Event::Deleted(&Arc::new(object)));
            }
            Delta::Vanished => {
                if let Some(old) = self.store.remove(key) {
                    self.tell(&Event::Deleted(&old));
                }
            }
        }
    }

    fn tell(&mut self, event: &Event<'_, K>) {
        for handler in &mut self.handlers {
            handler(event);
        }
    }
}

fn same_revision<K: Object>(old: &K, new: &K) -> bool {
    old.meta().resource_version.is_some()
        && old.meta().resource_version == new.meta().resource_version
}

/// Managed fields are often half of an object, and no controller reads them.
pub fn drop_managed_fields<K: Object>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}
