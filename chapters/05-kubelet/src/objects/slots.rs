//! The objects of one kind, each with the pods that want to know of its changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event};
use tokio::task::AbortHandle;

use super::Interest;
use crate::{Result, retry};

/// How old what a starting container gets may be, where nothing is watched.
const FRESH: Duration = Duration::from_secs(1);
/// Objects that are not watched and nobody asked for in this time are dropped.
const KEPT: Duration = Duration::from_secs(120);

/// A kind whose objects can be watched one by one, and may say that they never change.
pub trait Watched:
    watches::Watched + kube::Resource<Scope = NamespaceResourceScope> + Sync
{
    /// `immutable: true`
    fn is_immutable(&self) -> bool;
}

impl Watched for ConfigMap {
    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

impl Watched for Secret {
    fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }
}

/// Namespace and name.
type Key = (String, String);

/// Objects by namespace and name.
pub struct Slots<K> {
    client: kube::Client,
    slots: Mutex<HashMap<Key, Slot<K>>>,
}

struct Slot<K> {
    object: Option<Arc<K>>,
    /// When it was last asked for; `None`: not yet.
    read: Option<Instant>,
    /// It is what the API server has: a watch says so, or that it never changes.
    is_current: bool,
    interested: Vec<Arc<Interest>>,
    watch: Option<AbortHandle>,
}

impl<K: Watched> Slots<K> {
    /// None yet.
    pub fn new(client: kube::Client) -> Arc<Slots<K>> {
        Arc::new(Slots {
            client,
            slots: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Slot<K>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object, or `None` if there is none.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(slot) = self.lock().get(&key)
            && (slot.is_current || slot.object.is_some() && slot.is_younger_than(FRESH))
        {
            return Ok(slot.object.clone());
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let object = api.get_opt(name).await?.map(Arc::new);
        let mut slots = self.lock();
        slots.retain(|_, slot| !slot.interested.is_empty() || slot.is_younger_than(KEPT));
        let slot = slots.entry(key).or_insert_with(Slot::empty);
        // The watch may have come to know more meanwhile.
        if !slot.is_current {
            slot.object = object;
            slot.read = Some(Instant::now());
        }
        Ok(slot.object.clone())
    }

    /// Watches an object on behalf of a pod.
    pub fn hold(self: &Arc<Self>, key: &Key, interest: Arc<Interest>) {
        let mut slots = self.lock();
        let slot = slots.entry(key.clone()).or_insert_with(Slot::empty);
        slot.interested.push(interest);
        if slot.watch.is_none() {
            let follow = follow(self.clone(), key.clone());
            slot.watch = Some(tokio::spawn(follow).abort_handle());
        }
    }

    /// A pod is gone; the last one takes the watch with it.
    pub fn release(&self, key: &Key, interest: &Arc<Interest>) {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(key) else {
            return;
        };
        slot.interested
            .retain(|other| !Arc::ptr_eq(other, interest));
        if slot.interested.is_empty() {
            slot.watch.iter().for_each(AbortHandle::abort);
            slots.remove(key);
        }
    }

    /// Takes in what the API server has now, and tells the pods if that is news. Returns whether
    /// there may be more to come.
    fn set(&self, key: &Key, object: Option<K>) -> bool {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(key) else {
            return false;
        };
        let version = |object: &K| object.resource_version();
        let before = slot.object.as_deref().map(version);
        let news = slot.read.is_some() && object.as_ref().map(version) != before;
        let may_change = object.as_ref().is_none_or(|object| !object.is_immutable());
        slot.object = object.map(Arc::new);
        slot.read = Some(Instant::now());
        slot.is_current = true;
        if news {
            slot.interested.iter().for_each(|interest| interest.tell());
        }
        may_change
    }

    /// The watch has been interrupted: what is known may be old.
    fn doubt(&self, key: &Key) {
        if let Some(slot) = self.lock().get_mut(key) {
            slot.is_current = false;
        }
    }
}

impl<K> Slot<K> {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.read.is_some_and(|read| read.elapsed() < age)
    }

    fn empty() -> Slot<K> {
        Slot {
            object: None,
            read: None,
            is_current: false,
            interested: Vec::new(),
            watch: None,
        }
    }
}

/// Keeps a slot up to date until it is aborted, or the object is said to be immutable.
async fn follow<K: Watched>(slots: Arc<Slots<K>>, key: Key) {
    let (namespace, name) = &key;
    let api: Api<K> = Api::namespaced(slots.client.clone(), namespace);
    let config = Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(retry::watch(api, config));
    let mut listed = None;
    while let Some(event) = events.next().await {
        let may_change = match event {
            Event::Init => {
                slots.doubt(&key);
                listed = None;
                true
            }
            Event::InitApply(object) => {
                listed = Some(object);
                true
            }
            Event::InitDone => slots.set(&key, listed.take()),
            Event::Apply(object) => slots.set(&key, Some(object)),
            Event::Delete(_) => slots.set(&key, None),
        };
        if !may_change {
            return;
        }
    }
}
