//! The registry: objects in the store, and the rules by which they come, change and go.
//!
//! A write goes down, an answer and every watch come up:
//!
//! ```text
//!   http handlers      verbs, bodies, answers
//!        │  ▲
//!        ▼  │ lists, watches ┌─────────────┐
//!    registry ◀──────────────│ watch cache │   bytes, labels and fields of every object
//!        │                   └─────────────┘
//!        │ compare and swap        ▲ every change, in order
//!        ▼                         │
//!     etcd::Backend ───────────────┘    in this process, or real etcd members
//! ```
//!
//! * [`write`]: create and update. An update reads the object, changes it and puts it back only if
//!   its revision is still the one read; else it tries again. That loop is all of the optimistic
//!   concurrency that Kubernetes has.
//! * [`delete`]: deletion in steps: grace periods, finalizers, orphans.
//! * [`list`]: lists as of one revision, in pages.
//! * [`cache`]: the watch cache. A reader who wants the latest waits until the cache has reached
//!   the store's revision, so everyone reads their own writes. `glimpse`: what it reads of an
//!   object.
//! * `definitions`, `auto_services`: custom resources come and go, and so do their APIServices.
//! * [`strategy`]: what each kind sets by itself; `rules`, `certificates`: more of that.
//! * `gates`: fields whose feature is switched off.
//! * [`codec`], [`keys`], [`meta`], [`events`], [`scale`]: forms and places.
//! * [`quota`]: what a write is charged for before it is done. `policies`: what clients' own rules
//!   say of it.
//! * [`bootstrap`]: what has to be there from the start; of that, `api_services`, `flowcontrol`,
//!   `rbac`.
//!
//! Upstream: `staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go`.

mod addresses;
mod api_services;
mod auto_services;
pub(crate) mod autoscaling;
pub mod bootstrap;
pub mod cache;
mod certificates;
pub mod codec;
mod definitions;
pub mod delete;
pub mod events;
mod flowcontrol;
mod gates;
mod glimpse;
pub mod keys;
pub mod list;
pub mod lookup;
pub mod meta;
mod policies;
pub mod quota;
mod rbac;
mod rules;
pub mod scale;
pub mod services;
pub mod strategy;
pub mod write;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use etcd::Backend;
use etcd::api::{
    Compare, CompareOp, CompareTarget, DeleteRangeRequest, KeyRange, KeyValue, LeaseId, PutRequest,
    RangeRequest, RequestOp, ResponseOp, Revision, SortOrder, SortTarget, TxnRequest, WatchRequest,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::admission::policy::Policies;
use crate::alloc::ServiceAllocator;
use crate::authz::{self, Authorizer};
use crate::config::Config;
use crate::custom;
use crate::resources::{Catalog, Resource};
use crate::status::{ApiError, Subject};
use crate::trace;
use cache::{Cache, Entry, Observer, Slot};

/// An object's address: resource, namespace (empty where it has none) and name.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Which resource.
    pub resource: &'a Resource<'a>,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: &'a str,
    /// Which namespace, empty for those that have none.
    pub namespace: &'a str,
    /// Which name, empty for a collection.
    pub name: &'a str,
}

impl<'a> Target<'a> {
    /// The object for an error's words.
    pub fn subject(&self) -> Subject<'a> {
        Subject {
            group: self.resource.group,
            resource: self.resource.plural,
            kind: self.resource.kind,
            name: self.name,
        }
    }
}

/// The objects, and everything that keeps them in order.
pub struct Registry {
    /// The store.
    pub store: Backend,
    /// What readers read.
    pub cache: Cache,
    /// Addresses and ports of Services.
    services: Mutex<ServiceAllocator>,
    /// Who may do what: it follows from roles and pods.
    authorizer: RwLock<Authorizer>,
    /// Clients' own rules of admission, and the revision as of which they are these.
    policies: Mutex<(Revision, Arc<Policies>)>,
    /// The server's configuration.
    pub config: Config,
    event_lease: Mutex<Option<(LeaseId, Instant)>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("revision", &self.cache.revision())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Loads everything that is stored into the cache.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn open(store: Backend, config: Config) -> Result<Registry, crate::Error> {
        let cache = Cache::default();
        let all = store.range(range(cache::everything())).await?;
        let authorizer = RwLock::default();
        // First what is defined: then there is a place for the objects.
        cache.load_definitions(&all.kvs);
        cache.load(all.revision, &all.kvs, &authorizer);
        let services = services::allocator(&cache, &config)?;
        Ok(Registry {
            store,
            cache,
            services: Mutex::new(services),
            authorizer,
            policies: Mutex::new((-1, Arc::default())),
            config,
            event_lease: Mutex::default(),
        })
    }

    /// Who may do what, now.
    pub fn authorizer(&self) -> RwLockReadGuard<'_, Authorizer> {
        self.authorizer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the cache at the store's revision until shutdown.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn follow(&self, shutdown: &CancellationToken) -> Result<(), crate::Error> {
        let mut watcher = self.store.watch(WatchRequest {
            // Every key of the store, also such as are none of the server's: so each revision that
            // the store has is one that the watch tells, and the cache reaches.
            range: KeyRange::From(Bytes::new()),
            start_revision: self.cache.revision() + 1,
            prev_kv: false,
            no_put: false,
            no_delete: false,
        })?;
        loop {
            let batch = tokio::select! {
                batch = watcher.recv() => batch?,
                () = shutdown.cancelled() => return Ok(()),
            };
            let touched = self.cache.apply(&batch, &self.authorizer);
            if touched.iter().any(|slot| slot.holds_definitions()) {
                self.follow_definitions(batch.revision).await?;
            }
            self.cache.reach(batch.revision, &touched);
        }
    }

    /// Drops the history that no watch can ask for any more, every five minutes.
    pub async fn compact(&self, shutdown: &CancellationToken) {
        const EVERY: Duration = Duration::from_secs(300);
        let mut keep_from = self.cache.revision();
        let mut kept_from = 0;
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            // What was current at the last round is kept one round longer: pages of a list that
            // began then can still be had.
            if keep_from > kept_from {
                match self.store.compact(keep_from).await {
                    // Or it was before this server began, or by another one of the same store.
                    Ok(()) | Err(etcd::Error::Compacted { .. }) => kept_from = keep_from,
                    Err(error) => tracing::warn!(%error, "the store cannot be compacted"),
                }
            }
            keep_from = self.cache.revision();
        }
    }

    /// Whether the store answers.
    pub async fn is_healthy(&self) -> bool {
        // Upstream: the same read, and the same time for it.
        const TIMEOUT: Duration = Duration::from_secs(2);
        let health = range(KeyRange::One(Bytes::from_static(b"health")));
        let read = tokio::time::timeout(TIMEOUT, self.store.range(health)).await;
        matches!(read, Ok(Ok(_)))
    }

    /// What is served now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.cache.catalog()
    }

    /// The cache of a resource.
    ///
    /// # Errors
    /// 405 if its objects are not stored; 404 if it has just ceased to be served.
    pub fn slot(&self, resource: &Resource) -> Result<Arc<Slot>, ApiError> {
        self.cache
            .slot(resource)
            .ok_or_else(|| match resource.is_stored() {
                true => ApiError::no_such_path(),
                false => ApiError::method_not_allowed(),
            })
    }

    /// Waits until the cache has all that is durable now.
    ///
    /// # Errors
    /// If the store does not say what that is.
    pub async fn latest(&self) -> Result<(), ApiError> {
        let revision = self.store.revision().await?;
        self.cache.reached(revision).await;
        Ok(())
    }

    /// An object as it is now, with its revision.
    pub async fn read(&self, target: &Target<'_>) -> Result<Option<KeyValue>, ApiError> {
        let slot = self.slot(target.resource)?;
        let found = self
            .store
            .range(range(KeyRange::One(key(&slot, target))))
            .await?;
        Ok(found.kvs.into_iter().next())
    }

    /// An object as it is now, parsed.
    ///
    /// # Errors
    /// 404 if there is none.
    pub async fn get(&self, target: &Target<'_>) -> Result<Value, ApiError> {
        let Some(kv) = self.read(target).await? else {
            return Err(ApiError::not_found(target.subject()));
        };
        self.parse(target.resource, &*self.slot(target.resource)?, &kv)
    }

    /// An object as the cache has it, parsed: for those who ask often, and for whom what is being
    /// written at this moment may as well not be there yet.
    ///
    /// # Errors
    /// 404 if there is none.
    pub fn cached(&self, target: &Target<'_>) -> Result<Value, ApiError> {
        let found = self.entry(target)?;
        let entry = found.ok_or_else(|| ApiError::not_found(target.subject()))?;
        let codec = &self.slot(target.resource)?.codec;
        let object = codec.decode(&entry.stored, entry.revision);
        let object = object.map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(match target.resource.custom {
            Some(custom) => custom::present(custom, object),
            None => object,
        })
    }

    /// An object as the cache has it.
    ///
    /// # Errors
    /// If such objects are not stored.
    pub fn entry(&self, target: &Target<'_>) -> Result<Option<Arc<Entry>>, ApiError> {
        let slot = self.slot(target.resource)?;
        Ok(slot.get(&keys::local(target.namespace, target.name)))
    }

    fn parse(&self, resource: &Resource, slot: &Slot, kv: &KeyValue) -> Result<Value, ApiError> {
        let object = slot.codec.decode(&kv.value, kv.mod_revision);
        let object = object.map(|object| match resource.custom {
            // Its definition may have changed since it was written.
            Some(custom) => custom::present(custom, object),
            None => object,
        });
        object.map_err(|error| {
            let key = String::from_utf8_lossy(&kv.key);
            ApiError::internal(format!("stored object {key} cannot be decoded: {error}"))
        })
    }

    /// Puts a key if its revision is still `expected` (0: if it is not there); answers with the
    /// new revision, or none if somebody else was faster.
    async fn put_if(
        &self,
        key: Bytes,
        value: Bytes,
        lease: LeaseId,
        expected: Revision,
    ) -> Result<Option<Revision>, ApiError> {
        let put = PutRequest {
            key: key.clone(),
            value,
            lease,
            ..PutRequest::default()
        };
        self.swap(key, expected, RequestOp::Put(put)).await
    }

    /// Deletes a key if its revision is still `expected`.
    async fn delete_if(
        &self,
        key: Bytes,
        expected: Revision,
    ) -> Result<Option<Revision>, ApiError> {
        let delete = DeleteRangeRequest {
            range: KeyRange::One(key.clone()),
            prev_kv: false,
        };
        self.swap(key, expected, RequestOp::DeleteRange(delete))
            .await
    }

    async fn swap(
        &self,
        key: Bytes,
        expected: Revision,
        then: RequestOp,
    ) -> Result<Option<Revision>, ApiError> {
        let noted = trace::is_noting().then(|| self.write_of(&key, &then));
        let target = CompareTarget::Mod(expected);
        let guard = Compare {
            range: KeyRange::One(key),
            op: CompareOp::Equal,
            target,
        };
        let txn = TxnRequest {
            compare: vec![guard],
            success: vec![then],
            failure: vec![],
        };
        let answer = self.store.txn(txn).await?;
        let revision = match answer.responses.first() {
            Some(ResponseOp::Put(put)) => put.revision,
            Some(ResponseOp::DeleteRange(delete)) => delete.revision,
            _ => answer.revision,
        };
        if !answer.succeeded {
            return Ok(None);
        }
        if let Some(write) = noted.flatten() {
            trace::note(|notes| notes.writes.push(trace::Write { revision, ..write }));
        }
        // Whoever reads next, from the cache or by a role just granted, finds it there.
        self.cache.reached(revision).await;
        Ok(Some(revision))
    }

    /// What a trace says of a write whose revision is not known yet. A deletion has no value: what
    /// it deletes is still in the cache.
    fn write_of(&self, key: &[u8], then: &RequestOp) -> Option<trace::Write> {
        let (slot, key) = self.cache.place(key)?;
        let object = trace::Object::of(&slot.resource(), key);
        let stored = match then {
            RequestOp::Put(put) => put.value.clone(),
            _ => slot.get(key)?.stored.clone(),
        };
        let value: Value = serde_json::from_slice(&stored).unwrap_or_default();
        Some(trace::Write {
            about: trace::record::about(&object, &value),
            object,
            deleted: matches!(then, RequestOp::DeleteRange(_)),
            revision: 0,
        })
    }

    /// The lease that events of this minute hang on, so that they go away together: a lease each
    /// would cost more than the events.
    async fn event_lease(&self) -> Result<LeaseId, ApiError> {
        const SHARED_FOR: Duration = Duration::from_secs(60);
        let lock = || {
            self.event_lease
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((lease, since)) = *lock()
            && since.elapsed() < SHARED_FOR
        {
            return Ok(lease);
        }
        let ttl = self.config.event_ttl + SHARED_FOR;
        let lease = self.store.lease_grant(0, ttl.as_secs() as i64).await?;
        *lock() = Some((lease, Instant::now()));
        Ok(lease)
    }
}

/// The key of an object in the store.
fn key(slot: &Slot, target: &Target) -> Bytes {
    format!(
        "{}{}",
        slot.prefix,
        keys::local(target.namespace, target.name)
    )
    .into()
}

/// A read of a range, as it is now, in the order of keys.
fn range(range: KeyRange) -> RangeRequest {
    RangeRequest {
        range,
        limit: 0,
        revision: 0,
        sort_order: SortOrder::None,
        sort_target: SortTarget::Key,
        keys_only: false,
        count_only: false,
        min_mod_revision: 0,
        max_mod_revision: 0,
        min_create_revision: 0,
        max_create_revision: 0,
    }
}

/// Where an object says whose node it is of, if its kind does.
fn owned<'a>(resource: &Resource, object: &'a Value) -> Option<(&'static str, &'a Value)> {
    let plural = authz::OWNED
        .into_iter()
        .find(|known| *known == resource.plural)?;
    Some((plural, &object["spec"]["nodeName"]))
}

impl Observer for RwLock<Authorizer> {
    fn set(&self, resource: &Resource, glimpse: &Value, whole: &dyn Fn() -> Value) {
        let write = || self.write().unwrap_or_else(PoisonError::into_inner);
        let read = || self.read().unwrap_or_else(PoisonError::into_inner);
        match resource.group {
            // Most changes of a pod are none of what it needs.
            "" if resource.plural == "pods" && read().graph.has_pod(glimpse) => {}
            "" if resource.plural == "pods" => write().graph.set_pod(&whole()),
            "" if resource.plural == "persistentvolumes" => write().graph.set_volume(&whole()),
            "storage.k8s.io" | "resource.k8s.io" => {
                if let Some((plural, node)) = owned(resource, glimpse) {
                    write().graph.set_owned(plural, meta::name(glimpse), node);
                }
            }
            "rbac.authorization.k8s.io" => write().rbac.set(resource.plural, &whole()),
            _ => {}
        }
    }

    fn remove(&self, resource: &Resource, namespace: &str, name: &str) {
        let write = || self.write().unwrap_or_else(PoisonError::into_inner);
        match resource.group {
            "" if resource.plural == "pods" => write().graph.remove_pod(namespace, name),
            "" if resource.plural == "persistentvolumes" => write().graph.remove_volume(name),
            "storage.k8s.io" | "resource.k8s.io" => {
                if let Some((plural, _)) = owned(resource, &Value::Null) {
                    write().graph.remove_owned(plural, name);
                }
            }
            "rbac.authorization.k8s.io" => write().rbac.remove(resource.plural, namespace, name),
            _ => {}
        }
    }
}

impl From<etcd::api::Error> for ApiError {
    fn from(error: etcd::api::Error) -> ApiError {
        match error {
            etcd::api::Error::Compacted { compact_revision } => ApiError::gone(format!(
                "too old resource version: compacted at {compact_revision}"
            )),
            // As upstream: in the store's words, and with no reason, as nobody can act on one.
            etcd::api::Error::Unavailable(message) => ApiError::new(500, "", message),
            other => ApiError::internal(other.to_string()),
        }
    }
}
