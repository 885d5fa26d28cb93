//! Keeps a number of pods alike. Upstream: `pkg/controller/replicaset/replica_set.go`.
//!
//! [`plan`] decides; this file gathers the pods that count, carries the plan out and writes the
//! status. Pods belong to the ReplicaSet that is their controller; one that fits the selector and
//! has no controller is adopted, and one that no longer fits is let go.
//!
//! ReplicationControllers, the elders of ReplicaSets, want the same and say it a little differently:
//! [`replicated`] is what both have in common.

pub mod expectations;
pub mod plan;
pub mod replicated;

use std::sync::Arc;
use std::time::Duration;

use informers::key_of;
use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, PostParams};

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found, is_conflict};
use crate::owners::{controller_of, selects};
use crate::pod_control::{claim_pods, create_pods, delete_pods, pod_from_template};
use crate::pods;
use expectations::Expectations;
use plan::Plan;
pub use replicated::Replicated;

/// Workers that look at objects of a kind at the same time.
const WORKERS: usize = 5;

/// Adds the handlers of the controller of a kind and returns what starts it.
pub fn register<K: Replicated>(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<K> {
    let queue = WorkQueue::default();
    let expectations = Expectations::default();

    let objects = queue.clone();
    let informer = K::informer(informers);
    informer.on_event(move |event| objects.add(key_of(event.object().as_ref())));
    let (pods, store, seen) = (queue.clone(), informer.store(), expectations.clone());
    informers.pods.on_event(move |event| {
        for key in keys_of_pod(event, &store, &seen) {
            pods.add(key);
        }
    });

    move |context| {
        context.work(K::COMPONENT, &queue, WORKERS, move |context, key| {
            let expectations = expectations.clone();
            Box::pin(async move { reconcile::<K>(&context, &expectations, &key).await })
        });
    }
}

/// The objects of a kind that a pod's change concerns.
fn keys_of_pod<K: Replicated>(
    event: &Event<'_, Pod>,
    store: &informers::store::Store<K>,
    expectations: &Expectations,
) -> Vec<String> {
    let pod = event.object();
    let owner_key = |pod: &Pod| {
        let owner = controller_of(pod).filter(|owner| owner.kind == K::KIND)?;
        Some(informers::join_key(
            &pod.namespace().unwrap_or_default(),
            &owner.name,
        ))
    };
    let key = owner_key(pod);
    if let Some(key) = &key {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        match event {
            Event::Added(_) => expectations.creation_observed(key),
            Event::Deleted(_) => expectations.deletion_observed(key, uid),
            Event::Updated(..) => {}
        }
        if pod.metadata.deletion_timestamp.is_some() {
            expectations.deletion_observed(key, uid);
        }
    }
    let mut keys: Vec<String> = key.into_iter().collect();
    if let Event::Updated(old, _) = event {
        keys.extend(owner_key(old).filter(|old_key| keys.first() != Some(old_key)));
    }
    if controller_of(pod.as_ref()).is_none() {
        // An orphan: whoever selects it may want it.
        let namespace = pod.namespace().unwrap_or_default();
        keys.extend(
            store
                .in_namespace(&namespace)
                .iter()
                .filter(|object| {
                    let selector = object.selector();
                    selects(selector.as_deref(), pod.metadata.labels.as_ref())
                })
                .map(|object| key_of(object.as_ref())),
        );
    }
    keys
}

async fn reconcile<K: Replicated>(
    context: &Context,
    expectations: &Expectations,
    key: &str,
) -> Outcome {
    let Some(object) = K::store(&context.stores).get(key) else {
        expectations.forget(key);
        return Ok(None);
    };
    let replica_set = object.as_replica_set();
    let now = Timestamp::now();
    let selector = object.selector();
    let owned = claim_pods(context, object.as_ref(), selector.as_deref(), None).await?;
    let active: Vec<Arc<Pod>> = owned
        .iter()
        .filter(|pod| pods::is_active(pod))
        .cloned()
        .collect();
    let terminating = owned
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_some() && !pods::is_terminal(pod))
        .count();
    let replicas = replica_set
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);

    let mut failure = None;
    if replica_set.metadata.deletion_timestamp.is_none() && expectations.satisfied(key) {
        match plan::plan(replicas.max(0) as usize, &active, now) {
            Plan::Keep => {}
            Plan::Create(count) => {
                let template = replica_set.spec.as_ref();
                let template = template.and_then(|spec| spec.template.clone());
                let pod = pod_from_template(object.as_ref(), template.unwrap_or_default());
                let pods = vec![pod; count];
                let owner = object.as_ref();
                failure = create_pods(context, K::COMPONENT, expectations, key, owner, &pods)
                    .await
                    .map(|error| ("FailedCreate", error));
            }
            Plan::Delete(surplus) => {
                let owner = object.as_ref();
                failure = delete_pods(context, K::COMPONENT, expectations, key, owner, &surplus)
                    .await
                    .map(|error| ("FailedDelete", error));
            }
        }
    }
    let told = failure
        .as_ref()
        .map(|(reason, error)| (*reason, error.to_string()));
    let status = plan::status(&replica_set, &active, terminating, told.as_ref(), now);
    write_status(context, object.as_ref(), status).await?;
    match failure {
        Some((_, error)) => Err(error),
        None => Ok(next_availability(&replica_set, &active, now)),
    }
}

async fn write_status<K: Replicated>(
    context: &Context,
    object: &K,
    status: ReplicaSetStatus,
) -> Result<(), Error> {
    let mut updated = object.clone();
    if !updated.set_status(status) {
        return Ok(());
    }
    let namespace = object.namespace().unwrap_or_default();
    let api = Api::<K>::namespaced(context.client.clone(), &namespace);
    match api
        .replace_status(&object.name_any(), &PostParams::default(), &updated)
        .await
    {
        // A newer version is on its way to the store, and this key will be looked at again then.
        Err(error) if is_conflict(&error) => Ok(()),
        result => Ok(ignore_not_found(result).map(drop)?),
    }
}

/// When the next pod will have been ready for long enough to count as available.
fn next_availability(
    replica_set: &ReplicaSet,
    active: &[Arc<Pod>],
    now: Timestamp,
) -> Option<Duration> {
    let min_ready_seconds = replica_set
        .spec
        .as_ref()
        .and_then(|spec| spec.min_ready_seconds)
        .filter(|s| *s > 0)?;
    active
        .iter()
        .filter_map(|pod| pods::available_at(pod, min_ready_seconds))
        .filter(|at| *at > now)
        .min()
        .and_then(|at| Duration::try_from(at.duration_since(now)).ok())
}
