//! How many objects there are of the kinds that quotas count.
//!
//! Upstream watches every resource there is for this. Here a kind is watched, its metadata alone,
//! from when the first quota names it until the last one does not: a cluster without quotas pays
//! nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use informers::list_watch::MetadataListerWatcher;
use informers::reflector::Reflector;
use informers::shared_informer::{Event, SharedInformer};
use informers::store::Store;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use quota_usage::Kind;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Replenish;
use crate::context::Context;
use crate::discovery;
use crate::error::Error;

type Meta = PartialObjectMeta<DynamicObject>;

/// What is watched.
pub struct Monitors {
    replenish: Replenish,
    /// By group and plural; none where the kind was not served when it was asked for.
    watched: Mutex<BTreeMap<(String, String), Option<Monitor>>>,
}

#[derive(Clone)]
struct Monitor {
    store: Store<Meta>,
    synced: watch::Receiver<bool>,
    /// Ends the watch when nobody has the monitor any more.
    _stop: std::sync::Arc<DropGuard>,
}

fn key_of_kind(kind: Kind<'_>) -> (String, String) {
    (kind.group.to_owned(), kind.plural.to_owned())
}

impl Monitors {
    /// Watches nothing yet; `replenish` hears of what goes.
    pub fn new(replenish: Replenish) -> Self {
        Monitors {
            replenish,
            watched: Mutex::default(),
        }
    }

    /// How many objects of a kind a namespace has; none if no such kind is served.
    ///
    /// # Errors
    /// If the API does not say what it serves.
    pub async fn count(
        &self,
        context: &Context,
        kind: Kind<'_>,
        namespace: &str,
    ) -> Result<Option<usize>, Error> {
        let known = self.watched().get(&key_of_kind(kind)).cloned().flatten();
        let monitor = match known {
            Some(monitor) => Some(monitor),
            None => self.find(context, kind).await?,
        };
        let Some(mut monitor) = monitor else {
            return Ok(None);
        };
        // An informer that is gone was shut down: half a list is no count.
        let is_synced = monitor.synced.wait_for(|synced| *synced).await.is_ok();
        let count = || monitor.store.in_namespace(namespace).len();
        Ok(is_synced.then(count))
    }

    /// Whether a kind was asked for that is not served.
    pub fn lacks(&self, kind: Kind<'_>) -> bool {
        matches!(self.watched().get(&key_of_kind(kind)), Some(None))
    }

    /// Ends the watches of all other kinds.
    pub fn keep_only<'a>(&self, kinds: impl Iterator<Item = Kind<'a>>) {
        let wanted: std::collections::BTreeSet<_> = kinds.map(key_of_kind).collect();
        self.watched().retain(|kind, _| wanted.contains(kind));
    }

    /// Starts to watch a kind, if it is served.
    async fn find(&self, context: &Context, kind: Kind<'_>) -> Result<Option<Monitor>, Error> {
        let served = discovery::deletable(&context.client, true).await?;
        let mut watched = self.watched();
        let place = watched.entry(key_of_kind(kind)).or_default();
        if place.is_none() {
            let is_it = |it: &&discovery::Deletable| {
                it.resource.group == kind.group && it.resource.plural == kind.plural
            };
            let found = served.iter().find(is_it);
            *place = found.map(|it| self.watch(context, kind, &it.resource));
        }
        Ok(place.clone())
    }

    fn watch(
        &self,
        context: &Context,
        kind: Kind<'_>,
        resource: &kube::api::ApiResource,
    ) -> Monitor {
        let mut informer = SharedInformer::new(&[]).with_transform(keep_names);
        let (replenish, (group, plural)) = (self.replenish.clone(), key_of_kind(kind));
        informer.on_event(move |event| {
            if let Event::Deleted(object) = event {
                let (group, plural) = (group.as_str(), plural.as_str());
                replenish.of_whom_it_concerns(Kind { group, plural }, object.as_ref());
            }
        });
        let (store, synced) = (informer.store(), informer.synced());
        let stop: CancellationToken = context.shutdown.child_token();
        let api = Api::<DynamicObject>::all_with(context.client.clone(), resource);
        let reflector = Reflector::new(MetadataListerWatcher::new(api));
        context.tasks.spawn(informer.run(reflector, stop.clone()));
        Monitor {
            store,
            synced,
            _stop: std::sync::Arc::new(stop.drop_guard()),
        }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<(String, String), Option<Monitor>>> {
        self.watched.lock().expect("no holder of the lock panics")
    }
}

/// Who they are is all that counting needs.
fn keep_names(object: &mut Meta) {
    let meta = std::mem::take(&mut object.metadata);
    object.types = None;
    object.metadata = ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        resource_version: meta.resource_version,
        ..ObjectMeta::default()
    };
}
