//! Garbage collection: what is owned goes with its last owner.
//!
//! It watches the metadata of every resource that can be deleted, keeps the [`graph`] of owners,
//! and asks the API before it deletes anything: a store that lags must never cost an object that
//! still has an owner. Upstream: `pkg/controller/garbagecollector/garbagecollector.go`.
//!
//! Resources are found at the start, and again whenever a CustomResourceDefinition has come, changed
//! or gone. (Upstream looks every thirty seconds.)

pub mod graph;
mod resources;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use informers::list_watch::MetadataListerWatcher;
use informers::reflector::Reflector;
use informers::shared_informer::{Event, SharedInformer};
use informers::work_queue::WorkQueue;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{
    Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::context::{Context, Outcome};
use crate::discovery::{self, Deletable};
use crate::error::{Error, ignore_not_found, is_conflict};
use graph::{FOREGROUND, Graph, Identity, Node, ORPHAN, OwnerState, Verdict, Work};
use resources::Resources;

/// Workers that look at objects at the same time.
const WORKERS: usize = 5;
/// Wait before the resources are asked for again while the API is not up.
const DISCOVERY_RETRY: Duration = Duration::from_millis(250);

/// What the workers share.
#[derive(Default)]
struct Collector {
    resources: Mutex<Resources>,
    graph: Mutex<Graph>,
    queue: WorkQueue<Work>,
    /// A definition of custom resources has come, changed or gone.
    redefined: Notify,
}

/// Starts the collector.
pub fn start(context: &Context) {
    let context = context.clone();
    let tasks = context.tasks.clone();
    tasks.spawn(async move {
        let collector = Arc::new(Collector::default());
        let Some(synced) = collector.find(&context).await else {
            return;
        };
        // The graph has to be whole: an object whose owner has not been listed yet must not look
        // like garbage. (The API would be asked, but for nothing.)
        for mut synced in synced {
            // An informer that is gone was shut down, and so are we.
            let _ = synced.wait_for(|synced| *synced).await;
        }
        let (queue, workers) = (collector.queue.clone(), collector.clone());
        context.work(
            "garbage-collector",
            &queue,
            WORKERS,
            move |context, work| {
                let collector = workers.clone();
                Box::pin(async move { collector.handle(&context, work).await })
            },
        );
        let shutdown = &context.shutdown;
        while let Some(()) = shutdown
            .run_until_cancelled(collector.redefined.notified())
            .await
        {
            collector.find(&context).await;
        }
    });
}

/// Asks until the API answers; `None` if told to stop first. Events own nothing and are too many.
async fn discover(context: &Context) -> Option<Vec<Deletable>> {
    loop {
        match discovery::deletable(&context.client, false).await {
            Ok(mut resources) => {
                resources.retain(|deletable| deletable.resource.plural != "events");
                return Some(resources);
            }
            Err(error) => tracing::debug!(%error, "the resources are not known yet"),
        }
        context
            .shutdown
            .run_until_cancelled(tokio::time::sleep(DISCOVERY_RETRY))
            .await?;
    }
}

impl Collector {
    /// Watches what is served and not watched yet, and leaves what is no longer served. Answers
    /// with what tells that a new one is listed; `None` if told to stop.
    async fn find(self: &Arc<Self>, context: &Context) -> Option<Vec<watch::Receiver<bool>>> {
        let served = discover(context).await?;
        let (gone, new) = self.resources().replace(served, &context.shutdown);
        for number in gone {
            let work = self.graph().forget(number);
            work.into_iter().for_each(|work| self.queue.add(work));
        }
        let watched = new.into_iter().map(|(number, resource, stop)| {
            let mut informer = SharedInformer::new(&[]).with_transform(keep_ownership);
            let collector = self.clone();
            let is_definition = resource.plural == "customresourcedefinitions";
            informer.on_event(move |event| {
                collector.take_in(number, event);
                if is_definition {
                    collector.redefined.notify_one();
                }
            });
            let synced = informer.synced();
            let api = Api::<DynamicObject>::all_with(context.client.clone(), &resource);
            let reflector = Reflector::new(MetadataListerWatcher::new(api));
            context.tasks.spawn(informer.run(reflector, stop));
            synced
        });
        Some(watched.collect())
    }

    fn take_in(&self, resource: usize, event: &Event<'_, PartialObjectMeta<DynamicObject>>) {
        let meta = &event.object().metadata;
        let uid = meta.uid.clone().unwrap_or_default();
        let work = match event {
            Event::Deleted(_) => self.graph().remove(&uid),
            Event::Added(_) | Event::Updated(..) => {
                let mut work = Vec::new();
                // The name was taken over by another object between two lists.
                if let Event::Updated(old, _) = event
                    && old.metadata.uid != meta.uid
                {
                    work.extend(
                        self.graph()
                            .remove(old.metadata.uid.as_deref().unwrap_or("")),
                    );
                }
                let identity = Identity {
                    resource,
                    namespace: meta.namespace.clone().unwrap_or_default(),
                    name: meta.name.clone().unwrap_or_default(),
                };
                work.extend(self.graph().observe(identity, meta));
                work
            }
        };
        work.into_iter().for_each(|work| self.queue.add(work));
    }

    async fn handle(&self, context: &Context, work: Work) -> Outcome {
        match work {
            Work::AttemptDelete(uid) => self.attempt_delete(context, &uid).await?,
            Work::Orphan(uid) => self.orphan_dependents(context, &uid).await?,
        }
        Ok(None)
    }

    async fn attempt_delete(&self, context: &Context, uid: &str) -> Result<(), Error> {
        let Some(node) = self.graph().get(uid).cloned() else {
            return Ok(());
        };
        let Some(api) = self.api(context, &node.identity) else {
            return Ok(());
        };
        let live = ignore_not_found(api.get_metadata(&node.identity.name).await)?;
        let Some(live) = live.filter(|live| live.metadata.uid.as_deref() == Some(uid)) else {
            let work = self.graph().remove(uid);
            work.into_iter().for_each(|work| self.queue.add(work));
            return Ok(());
        };
        let meta = live.metadata;
        if meta.deletion_timestamp.is_some() {
            return self.help_foreground_deletion(&api, uid, &meta).await;
        }
        let mut owners = Vec::new();
        for owner in meta.owner_references.iter().flatten() {
            owners.push((
                owner.uid.clone(),
                self.owner_state(context, &node, owner).await?,
            ));
        }
        let has_dependents = !self.graph().dependents(uid).is_empty();
        let verdict = graph::judge(&node, &owners, has_dependents);
        let mut its_owners = meta.owner_references.iter().flatten();
        let blocks = its_owners.any(|owner| owner.block_owner_deletion == Some(true));
        if verdict == Verdict::DeleteForeground && blocks && self.graph().closes_circle(uid) {
            // Nobody in a circle could go first. The event of this change brings us here again.
            return unblock_owners(&api, &meta).await;
        }
        self.carry_out(&api, uid, &meta, verdict).await
    }

    async fn carry_out(
        &self,
        api: &Api<DynamicObject>,
        uid: &str,
        meta: &ObjectMeta,
        verdict: Verdict,
    ) -> Result<(), Error> {
        let policy = match verdict {
            Verdict::Keep => return Ok(()),
            Verdict::DropOwners(uids) => return drop_owners(api, meta, &uids).await,
            Verdict::DeleteForeground => PropagationPolicy::Foreground,
            Verdict::DeleteOrphan => PropagationPolicy::Orphan,
            Verdict::DeleteBackground => PropagationPolicy::Background,
        };
        // The version is part of the bargain: an owner added meanwhile saves the object.
        let preconditions = Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: meta.resource_version.clone(),
        };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        tracing::debug!(name = meta.name, ?params.propagation_policy, "collecting");
        ignore_not_found(
            api.delete(meta.name.as_deref().unwrap_or(""), &params)
                .await,
        )?;
        Ok(())
    }

    /// An object that waits for its dependents: asks for them, or lets it go if none blocks it.
    async fn help_foreground_deletion(
        &self,
        api: &Api<DynamicObject>,
        uid: &str,
        meta: &ObjectMeta,
    ) -> Result<(), Error> {
        if !meta
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == FOREGROUND)
        {
            return Ok(());
        }
        if !self.graph().is_blocked(uid) {
            return remove_finalizer(api, meta, FOREGROUND).await;
        }
        let dependents = self.graph().dependents(uid);
        dependents.into_iter().for_each(|(uid, dependent)| {
            if !dependent.deleting {
                self.queue.add(Work::AttemptDelete(uid));
            }
        });
        Ok(())
    }

    async fn orphan_dependents(&self, context: &Context, uid: &str) -> Result<(), Error> {
        let Some(node) = self.graph().get(uid).cloned() else {
            return Ok(());
        };
        let dependents = self.graph().dependents(uid);
        for (dependent_uid, dependent) in dependents {
            let Some(api) = self.api(context, &dependent.identity) else {
                continue;
            };
            let live = ignore_not_found(api.get_metadata(&dependent.identity.name).await)?;
            if let Some(live) = live
                && live.metadata.uid.as_deref() == Some(&dependent_uid)
            {
                drop_owners(&api, &live.metadata, &[uid.to_owned()]).await?;
            }
        }
        let Some(api) = self.api(context, &node.identity) else {
            return Ok(());
        };
        match ignore_not_found(api.get_metadata(&node.identity.name).await)? {
            Some(live) if live.metadata.uid.as_deref() == Some(uid) => {
                remove_finalizer(&api, &live.metadata, ORPHAN).await
            }
            _ => Ok(()),
        }
    }

    /// How an owner stands: by the graph if it knows it, else by the API.
    async fn owner_state(
        &self,
        context: &Context,
        dependent: &Node,
        owner: &OwnerReference,
    ) -> Result<OwnerState, Error> {
        if let Some(known) = self.graph().get(&owner.uid) {
            let waits = known.deleting && known.foreground;
            return Ok(if waits {
                OwnerState::Waiting
            } else {
                OwnerState::Solid
            });
        }
        let group = owner
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let served = self.resources().of_kind(group, &owner.kind);
        // An owner of a kind that is not served cannot be shown to be gone.
        let Some(resource) = served else {
            return Ok(OwnerState::Solid);
        };
        let identity = Identity {
            resource,
            namespace: dependent.identity.namespace.clone(),
            name: owner.name.clone(),
        };
        let Some(api) = self.api(context, &identity) else {
            return Ok(OwnerState::Solid);
        };
        let live = api.get_metadata(&owner.name).await;
        // A namespaced owner of a cluster-wide object cannot be: the path is not found either.
        Ok(match ignore_not_found(live)? {
            Some(live) if live.metadata.uid.as_ref() == Some(&owner.uid) => OwnerState::Solid,
            _ => OwnerState::Dangling,
        })
    }

    /// The way to an object; none where its kind is no longer served.
    fn api(&self, context: &Context, identity: &Identity) -> Option<Api<DynamicObject>> {
        let resources = self.resources();
        let Deletable {
            resource,
            namespaced,
        } = resources.get(identity.resource)?;
        let client = context.client.clone();
        Some(if !namespaced || identity.namespace.is_empty() {
            Api::all_with(client, resource)
        } else {
            Api::namespaced_with(client, &identity.namespace, resource)
        })
    }

    fn resources(&self) -> MutexGuard<'_, Resources> {
        self.resources.lock().expect("no holder of the lock panics")
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().expect("no holder of the lock panics")
    }
}

/// All that the graph needs of an object; the rest would cost memory for every object there is.
fn keep_ownership(object: &mut PartialObjectMeta<DynamicObject>) {
    let meta = std::mem::take(&mut object.metadata);
    object.types = None;
    object.metadata = ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        owner_references: meta.owner_references,
        finalizers: meta.finalizers,
        deletion_timestamp: meta.deletion_timestamp,
        ..ObjectMeta::default()
    };
}

async fn drop_owners(
    api: &Api<DynamicObject>,
    meta: &ObjectMeta,
    uids: &[String],
) -> Result<(), Error> {
    let owners = meta.owner_references.iter().flatten();
    let left: Vec<_> = owners.filter(|owner| !uids.contains(&owner.uid)).collect();
    patch_meta(api, meta, json!({"ownerReferences": left})).await
}

/// Has no owner wait for the object any longer.
async fn unblock_owners(api: &Api<DynamicObject>, meta: &ObjectMeta) -> Result<(), Error> {
    let mut owners = meta.owner_references.clone().unwrap_or_default();
    for owner in &mut owners {
        owner.block_owner_deletion = Some(false);
    }
    patch_meta(api, meta, json!({"ownerReferences": owners})).await
}

async fn remove_finalizer(
    api: &Api<DynamicObject>,
    meta: &ObjectMeta,
    finalizer: &str,
) -> Result<(), Error> {
    let finalizers = meta.finalizers.iter().flatten();
    let left: Vec<_> = finalizers.filter(|name| *name != finalizer).collect();
    patch_meta(api, meta, json!({"finalizers": left})).await
}

/// Patches metadata at exactly the version that was read.
async fn patch_meta(
    api: &Api<DynamicObject>,
    meta: &ObjectMeta,
    mut change: Value,
) -> Result<(), Error> {
    change["uid"] = json!(meta.uid);
    change["resourceVersion"] = json!(meta.resource_version);
    let patch = Patch::Merge(json!({"metadata": change}));
    let name = meta.name.as_deref().unwrap_or("");
    match api
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await
    {
        Err(error) if is_conflict(&error) => Err(Error::Invalid("it changed meanwhile".into())),
        result => Ok(ignore_not_found(result).map(drop)?),
    }
}
