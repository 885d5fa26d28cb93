//! The watch cache: every stored object, and the last changes of each resource, in memory.
//!
//! One task follows the store and keeps all resources at one revision. Lists read the objects;
//! watches read the window of recent changes at their own pace, each with a cursor:
//!
//! ```text
//! window of pods    [ 41 put a ] [ 44 put b ] [ 45 delete a ] [ 52 put c ]      revision 57
//!          floor 40 ^            ^ a slow watcher's cursor                ^ the others'
//! ```
//!
//! So a watcher has no buffer of its own, however slow it is: it is woken when there is more, and
//! when its cursor falls below the floor it is told to list anew (410 `Expired`). The bytes of an
//! object are those of the store, shared; beside them the cache keeps only what selectors ask for.
//!
//! Upstream: `apiserver/pkg/storage/cacher`.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use etcd::api::{EventKind, KeyRange, KeyValue, Revision, WatchBatch};
use serde_json::Value;
use tokio::sync::watch;

use super::codec::Codec;
use super::glimpse::Wanted;
use super::keys;
use crate::protobuf;
use crate::resources::{self, Catalog, Custom, Definition, Resource, Served};
use crate::selectors;
use crate::status::ApiError;

/// How many changes of a resource are kept for watches that resume.
const WINDOW: usize = 1000;

/// An object as the cache has it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `{namespace}/{name}`, or `{name}`
    pub key: Arc<str>,
    /// The stored form, shared with the store.
    pub stored: Bytes,
    /// Its `resourceVersion`.
    pub revision: Revision,
    /// What label selectors look at.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// What field selectors look at.
    pub fields: Vec<(Cow<'static, str>, String)>,
    /// Its fields in protobuf, once somebody has asked for them.
    protobuf: OnceLock<Bytes>,
}

impl Entry {
    /// Reads what selectors need out of a stored object.
    pub fn new(resource: &Resource, key: &str, kv: &KeyValue) -> Entry {
        Entry::of(resource, key, kv, &parse(kv))
    }

    fn of(resource: &Resource, key: &str, kv: &KeyValue, object: &Value) -> Entry {
        let labels = object["metadata"]["labels"].as_object();
        let labels = labels.into_iter().flatten();
        Entry {
            key: key.into(),
            stored: kv.value.clone(),
            revision: kv.mod_revision,
            labels: labels
                .map(|(key, value)| {
                    (
                        key.as_str().into(),
                        value.as_str().unwrap_or_default().into(),
                    )
                })
                .collect(),
            fields: selectors::selectable_fields(resource, object),
            protobuf: OnceLock::new(),
        }
    }

    /// Its fields in protobuf: made by whoever asks first, for all who ask after.
    ///
    /// # Errors
    /// 500 if what is stored cannot be read, or the kind has no such form.
    pub fn protobuf(&self, slot: &Slot) -> Result<Bytes, ApiError> {
        if let Some(fields) = self.protobuf.get() {
            return Ok(fields.clone());
        }
        let resource = slot.resource();
        let mut served = Vec::with_capacity(self.stored.len() + 64);
        slot.codec.serve(&mut served, &self.stored, self.revision);
        let fields = protobuf::message_of_json(resource.schema, &served)
            .map_err(|error| ApiError::internal(error.to_string()))?
            .ok_or_else(|| ApiError::internal(format!("{} has no protobuf form", resource.kind)))?;
        // It is kept, and so are no more bytes than it has.
        let fields = Bytes::from(fields.into_boxed_slice());
        Ok(self.protobuf.get_or_init(|| fields).clone())
    }

    /// Its namespace, empty where it has none.
    pub fn namespace(&self) -> &str {
        self.key
            .split_once('/')
            .map_or("", |(namespace, _)| namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
}

fn parse(kv: &KeyValue) -> Value {
    serde_json::from_slice(&kv.value).unwrap_or_default()
}

/// Somebody who keeps something of his own in step with the cache, such as the roles.
pub trait Observer {
    /// There is a new or changed object: what the cache has read of it, and all of it, which may
    /// have to be read yet.
    fn set(&self, resource: &Resource, glimpse: &Value, whole: &dyn Fn() -> Value);
    /// An object is gone.
    fn remove(&self, resource: &Resource, namespace: &str, name: &str);
}

/// A change of an object.
#[derive(Debug)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// The object after it; the last of it, at the revision of its end, where `deleted`.
    pub entry: Arc<Entry>,
    /// The object before it.
    pub previous: Option<Arc<Entry>>,
    /// It is gone.
    pub deleted: bool,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Arc<str>, Arc<Entry>>,
    window: VecDeque<Arc<Change>>,
    /// All changes after this revision are in the window.
    floor: Revision,
}

/// The cache of one stored resource.
#[derive(Debug)]
pub struct Slot {
    /// Which, in the version that is stored.
    pub served: Served,
    /// Its bytes.
    pub codec: Codec,
    /// `/registry/pods/`
    pub prefix: String,
    /// What is read of each object.
    wanted: Wanted,
    content: Arc<Content>,
}

/// What a slot holds. It outlives a change of a custom resource's definition.
#[derive(Debug)]
struct Content {
    state: RwLock<State>,
    changed: watch::Sender<Revision>,
}

impl Slot {
    fn new(served: Served) -> Slot {
        let content = Content {
            state: RwLock::default(),
            changed: watch::Sender::new(0),
        };
        Slot::with(served, Arc::new(content))
    }

    fn with(served: Served, content: Arc<Content>) -> Slot {
        let resource = served.resource();
        Slot {
            codec: Codec::new(&resource),
            prefix: keys::prefix(&resource),
            wanted: Wanted::of(&resource),
            content,
            served,
        }
    }

    /// The resource, in the version that is stored.
    pub fn resource(&self) -> Resource<'_> {
        self.served.resource()
    }

    /// Whether it holds the objects of a resource, in whichever version.
    fn holds(&self, resource: &Resource) -> bool {
        let (group, plural) = self.served.name();
        plural == resource.plural && group == resource.group
    }

    /// Whether its objects define others.
    pub fn holds_definitions(&self) -> bool {
        self.served.name().1 == "customresourcedefinitions"
    }

    /// Fills it with what the store had at a revision.
    pub(super) fn fill(&self, revision: Revision, kvs: &[KeyValue]) {
        let entries = kvs.iter().filter_map(|kv| {
            let key = std::str::from_utf8(&kv.key).ok()?;
            let key = key.strip_prefix(self.prefix.as_str())?;
            let entry = Entry::of(&self.resource(), key, kv, &self.wanted.of_kv(kv));
            let entry = Arc::new(entry);
            Some((entry.key.clone(), entry))
        });
        let mut state = self.write();
        state.objects = entries.collect();
        state.window.clear();
        state.floor = revision;
    }

    /// Looks anew at what selectors look at: the definition has changed.
    fn reread(&self) {
        let resource = self.resource();
        for entry in self.write().objects.values_mut() {
            let object = self.wanted.read(&entry.stored);
            *entry = Arc::new(Entry {
                fields: selectors::selectable_fields(&resource, &object),
                ..Entry::clone(entry)
            });
        }
    }

    /// The objects of a namespace, or all where it is empty, in the order of their keys; those
    /// after `after`, if given.
    pub fn objects(&self, namespace: &str, after: Option<&str>) -> Vec<Arc<Entry>> {
        let within = if namespace.is_empty() {
            String::new()
        } else {
            format!("{namespace}/")
        };
        let start = match after {
            Some(key) => Bound::Excluded(key),
            None => Bound::Included(within.as_str()),
        };
        let state = self.read();
        let objects = state.objects.range::<str, _>((start, Bound::Unbounded));
        objects
            .take_while(|(key, _)| key.starts_with(&within))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.read().objects.get(key).cloned()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes after a revision, up to and with another: what comes later may not have been
    /// taken in whole yet.
    ///
    /// # Errors
    /// 410 if some of them are no longer kept.
    pub fn changes(
        &self,
        revision: Revision,
        until: Revision,
    ) -> Result<Vec<Arc<Change>>, ApiError> {
        // ANCHOR: exercise-03.18
        let state = self.read();
        if revision < state.floor {
            return Err(ApiError::gone(format!(
                "too old resource version: {revision} ({})",
                state.floor
            )));
        }
        let start = state
            .window
            .partition_point(|change| change.revision <= revision);
        let end = state
            .window
            .partition_point(|change| change.revision <= until)
            .max(start);
        Ok(state.window.range(start..end).cloned().collect())
        // ANCHOR_END: exercise-03.18
    }

    /// The revision of the last change that was taken in: who waited for a write to be in the cache
    /// finds it here.
    pub fn last_change(&self) -> Revision {
        let state = self.read();
        let last = state.window.back();
        last.map_or(state.floor, |change| change.revision)
    }

    /// Wakes at changes.
    pub fn subscribe(&self) -> watch::Receiver<Revision> {
        self.content.changed.subscribe()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        let state = self.content.state.read();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        let state = self.content.state.write();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, kv: &KeyValue, key: &str, observer: &dyn Observer) {
        let glimpse = self.wanted.of_kv(kv);
        let entry = Arc::new(Entry::of(&self.resource(), key, kv, &glimpse));
        self.write().objects.insert(entry.key.clone(), entry);
        observer.set(&self.resource(), &glimpse, &|| parse(kv));
    }

    fn apply(&self, kind: EventKind, kv: &KeyValue, key: &str, observer: &dyn Observer) {
        match kind {
            EventKind::Put => {
                let glimpse = self.wanted.of_kv(kv);
                let entry = Arc::new(Entry::of(&self.resource(), key, kv, &glimpse));
                observer.set(&self.resource(), &glimpse, &|| parse(kv));
                let mut state = self.write();
                let previous = state.objects.insert(entry.key.clone(), entry.clone());
                state.push(Change {
                    revision: kv.mod_revision,
                    entry,
                    previous,
                    deleted: false,
                });
            }
            EventKind::Delete => {
                let mut state = self.write();
                let Some(previous) = state.objects.remove(key) else {
                    return;
                };
                observer.remove(&self.resource(), previous.namespace(), previous.name());
                let last = Entry {
                    revision: kv.mod_revision,
                    // It tells the revision.
                    protobuf: OnceLock::new(),
                    ..Entry::clone(&previous)
                };
                state.push(Change {
                    revision: kv.mod_revision,
                    entry: Arc::new(last),
                    previous: Some(previous),
                    deleted: true,
                });
            }
        }
    }
}

impl State {
    fn push(&mut self, change: Change) {
        if self.window.len() == WINDOW {
            self.floor = self
                .window
                .pop_front()
                .map_or(self.floor, |oldest| oldest.revision);
        }
        self.window.push_back(Arc::new(change));
    }
}

/// The caches of all stored resources, at one revision.
#[derive(Debug)]
pub struct Cache {
    contents: RwLock<Arc<Contents>>,
    revision: watch::Sender<Revision>,
}

/// What is about to be served.
#[derive(Debug, Default)]
pub(super) struct Defined {
    customs: Vec<Arc<Custom>>,
    slots: Vec<Arc<Slot>>,
    /// Those whose objects have to be loaded.
    pub(super) new: Vec<Arc<Slot>>,
}

/// What is served, and where it is held: replaced as a whole.
#[derive(Debug)]
struct Contents {
    catalog: Arc<Catalog>,
    slots: Vec<Arc<Slot>>,
}

impl Default for Cache {
    fn default() -> Cache {
        let stored = resources::all()
            .filter(|resource| resource.is_stored() && keys::stored_as(resource) == **resource);
        let slot = |resource| Arc::new(Slot::new(Served::BuiltIn(resource)));
        let contents = Contents {
            catalog: Arc::default(),
            slots: stored.map(slot).collect(),
        };
        Cache {
            contents: RwLock::new(Arc::new(contents)),
            revision: watch::Sender::new(0),
        }
    }
}

impl Cache {
    fn contents(&self) -> Arc<Contents> {
        let contents = self.contents.read();
        contents.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.contents().catalog.clone()
    }

    /// The cache of a resource, or of the one whose storage it shares.
    pub fn slot(&self, resource: &Resource) -> Option<Arc<Slot>> {
        let stored = keys::stored_as(resource);
        let contents = self.contents();
        contents
            .slots
            .iter()
            .find(|slot| slot.holds(&stored))
            .cloned()
    }

    /// All of them.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        self.contents().slots.clone()
    }

    /// The revision that has been reached: whatever happened up to it can be read.
    pub fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Wakes when a revision is reached.
    pub fn subscribe(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Waits until a revision has been reached.
    pub async fn reached(&self, revision: Revision) {
        if self.revision() < revision {
            let mut reached = self.revision.subscribe();
            // Cannot fail: the sender lives in `self`.
            let _ = reached.wait_for(|now| *now >= revision).await;
        }
    }

    /// Fills the cache with what the store had at a revision.
    pub fn load(&self, revision: Revision, kvs: &[KeyValue], observer: &dyn Observer) {
        let contents = self.contents();
        for kv in kvs {
            if let Some((slot, key)) = contents.place(&kv.key) {
                slot.load(kv, key, observer);
            }
        }
        for slot in &contents.slots {
            slot.write().floor = revision;
        }
        self.revision.send_replace(revision);
    }

    /// Takes in what the store tells, without saying so yet; answers with the slots that changed.
    pub fn apply(&self, batch: &WatchBatch, observer: &dyn Observer) -> Vec<Arc<Slot>> {
        let contents = self.contents();
        let mut touched: Vec<Arc<Slot>> = Vec::new();
        for event in &batch.events {
            if let Some((slot, key)) = contents.place(&event.kv.key) {
                slot.apply(event.kind, &event.kv, key, observer);
                if !touched.iter().any(|other| Arc::ptr_eq(other, slot)) {
                    touched.push(slot.clone());
                }
            }
        }
        touched
    }

    /// Says that a revision has been reached.
    pub fn reach(&self, revision: Revision, touched: &[Arc<Slot>]) {
        // First the changes, then the revision: who sees the revision sees all changes up to it.
        self.revision.send_replace(revision);
        for slot in touched {
            slot.content.changed.send_replace(revision);
        }
    }

    /// Serves what the definitions define from now on, and no more; answers with the slots that are
    /// new, whose objects have yet to be loaded before [`Cache::publish`].
    pub(super) fn define(&self, definitions: &[Value]) -> Defined {
        let now = self.contents();
        let mut defined = Defined::default();
        for definition in definitions {
            let versions = Definition::versions_of(definition);
            let storage = versions
                .iter()
                .find(|custom| custom.version == custom.definition.storage_version);
            let Some(storage) = storage.cloned() else {
                continue;
            };
            let served = Served::Custom(storage);
            let old = now.slots.iter().find(|slot| slot.holds(&served.resource()));
            let slot = match old {
                // Nothing has changed but its status.
                Some(old)
                    if old
                        .served
                        .custom()
                        .is_some_and(|old| old.definition.is_like(&versions[0].definition)) =>
                {
                    defined
                        .customs
                        .extend(now.catalog.versions_of(&old.resource()));
                    defined.slots.push(old.clone());
                    continue;
                }
                Some(old) => Arc::new(Slot::with(served, old.content.clone())),
                None => {
                    let slot = Arc::new(Slot::new(served));
                    defined.new.push(slot.clone());
                    slot
                }
            };
            slot.reread();
            defined.slots.push(slot);
            defined.customs.extend(versions);
        }
        defined
    }

    /// What is defined takes the place of what was; who watches what has changed is sent away.
    pub(super) fn publish(&self, defined: Defined) {
        let served = defined.customs.into_iter().filter(|custom| custom.served);
        let catalog = Arc::new(Catalog::new(served.collect()));
        let mut contents = self
            .contents
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = contents
            .slots
            .iter()
            .filter(|slot| slot.served.custom().is_some());
        for slot in old.filter(|old| !defined.slots.iter().any(|new| Arc::ptr_eq(new, old))) {
            if let Some(custom) = slot.served.custom() {
                custom.definition.retired.cancel();
            }
        }
        let built_in = contents
            .slots
            .iter()
            .filter(|slot| slot.served.custom().is_none());
        let slots = built_in.cloned().chain(defined.slots).collect();
        *contents = Arc::new(Contents { catalog, slots });
    }

    /// Makes places for the objects of what is defined in the store.
    pub(super) fn load_definitions(&self, kvs: &[KeyValue]) {
        let contents = self.contents();
        let definitions = kvs.iter().filter(|kv| {
            let place = contents.place(&kv.key);
            place.is_some_and(|(slot, _)| slot.holds_definitions())
        });
        let definitions: Vec<Value> = definitions.map(parse).collect();
        self.publish(self.define(&definitions));
    }

    /// Where the object of a key of the store is: its slot, and its key there.
    pub(super) fn place<'k>(&self, key: &'k [u8]) -> Option<(Arc<Slot>, &'k str)> {
        let contents = self.contents();
        let (slot, key) = contents.place(key)?;
        Some((slot.clone(), key))
    }
}

impl Contents {
    fn place<'k>(&self, key: &'k [u8]) -> Option<(&Arc<Slot>, &'k str)> {
        let key = std::str::from_utf8(key).ok()?;
        let mut slots = self.slots.iter();
        slots.find_map(|slot| Some((slot, key.strip_prefix(slot.prefix.as_str())?)))
    }
}

/// The keys that the cache follows.
pub fn everything() -> KeyRange {
    // '0' is the byte after '/'.
    KeyRange::Span(
        Bytes::from_static(b"/registry/"),
        Bytes::from_static(b"/registry0"),
    )
}
