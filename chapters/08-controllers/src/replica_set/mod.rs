//! Keeps a number of pods alike. Upstream: `pkg/controller/replicaset/replica_set.go`.
//!
//! [`plan`] decides; this file gathers the pods that count, carries the plan out and writes the
//! status. Pods belong to the ReplicaSet that is their controller; one that fits the selector and
//! has no controller is adopted, and one that no longer fits is let go.

pub mod expectations;
pub mod plan;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use informers::key_of;
use informers::shared_informer::Event;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use crate::context::{BY_CONTROLLER, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found, is_conflict};
use crate::owners::{controller_of, controller_reference, selects};
use crate::pods;
use expectations::Expectations;
use plan::Plan;

/// Workers that look at ReplicaSets at the same time.
const WORKERS: usize = 5;

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue = WorkQueue::default();
    let expectations = Expectations::default();

    let replica_sets = queue.clone();
    informers
        .replica_sets
        .on_event(move |event| replica_sets.add(key_of(event.object().as_ref())));
    let (pods, store, seen) = (
        queue.clone(),
        informers.replica_sets.store(),
        expectations.clone(),
    );
    informers.pods.on_event(move |event| {
        for key in keys_of_pod(event, &store, &seen) {
            pods.add(key);
        }
    });

    move |context| {
        context.work("replicaset", &queue, WORKERS, move |context, key| {
            let expectations = expectations.clone();
            Box::pin(async move { reconcile(&context, &expectations, &key).await })
        });
    }
}

/// The ReplicaSets that a pod's change concerns.
fn keys_of_pod(
    event: &Event<'_, Pod>,
    store: &informers::store::Store<ReplicaSet>,
    expectations: &Expectations,
) -> Vec<String> {
    let pod = event.object();
    let owner_key = |pod: &Pod| {
        let owner = controller_of(pod).filter(|owner| owner.kind == "ReplicaSet")?;
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
                .filter(|set| {
                    let selector = set.spec.as_ref().map(|spec| &spec.selector);
                    selects(selector, pod.metadata.labels.as_ref())
                })
                .map(|set| key_of(set.as_ref())),
        );
    }
    keys
}

async fn reconcile(context: &Context, expectations: &Expectations, key: &str) -> Outcome {
    let Some(replica_set) = context.stores.replica_sets.get(key) else {
        expectations.forget(key);
        return Ok(None);
    };
    let now = Timestamp::now();
    let owned = claim_pods(context, &replica_set).await?;
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
                failure = create_pods(context, expectations, key, &replica_set, count)
                    .await
                    .map(|error| ("FailedCreate", error));
            }
            Plan::Delete(surplus) => {
                failure = delete_pods(context, expectations, key, &replica_set, &surplus)
                    .await
                    .map(|error| ("FailedDelete", error));
            }
        }
    }
    let told = failure
        .as_ref()
        .map(|(reason, error)| (*reason, error.to_string()));
    write_status(
        context,
        &replica_set,
        &active,
        terminating,
        told.as_ref(),
        now,
    )
    .await?;
    match failure {
        Some((_, error)) => Err(error),
        None => Ok(next_availability(&replica_set, &active, now)),
    }
}

/// The pods of a ReplicaSet: those that it controls and still selects, and orphans that it
/// adopts. Upstream: `PodControllerRefManager.ClaimPods`.
async fn claim_pods(context: &Context, replica_set: &ReplicaSet) -> Result<Vec<Arc<Pod>>, Error> {
    let uid = replica_set.metadata.uid.as_deref().unwrap_or_default();
    let namespace = replica_set.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let selector = replica_set.spec.as_ref().map(|spec| &spec.selector);
    let is_selected = |pod: &Pod| selects(selector, pod.metadata.labels.as_ref());

    let mut claimed = Vec::new();
    for pod in context.stores.pods.by_index(BY_CONTROLLER, uid) {
        if is_selected(&pod) {
            claimed.push(pod);
        } else if replica_set.metadata.deletion_timestamp.is_none() {
            let patch = json!({"metadata": {
                "uid": pod.metadata.uid,
                "ownerReferences": [{"$patch": "delete", "uid": uid}],
            }});
            let patch = Patch::Strategic(patch);
            let released = api
                .patch(&pod.name_any(), &PatchParams::default(), &patch)
                .await;
            ignore_not_found(released)?;
        }
    }
    if replica_set.metadata.deletion_timestamp.is_some() {
        return Ok(claimed);
    }
    for pod in context.stores.pods.in_namespace(&namespace) {
        let orphan = controller_of(pod.as_ref()).is_none();
        if !orphan || !is_selected(&pod) || !pods::is_active(&pod) {
            continue;
        }
        let patch = json!({"metadata": {
            "uid": pod.metadata.uid,
            "ownerReferences": [controller_reference(replica_set)],
        }});
        let adopted = api
            .patch(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Strategic(patch),
            )
            .await;
        if let Some(pod) = ignore_not_found(adopted)? {
            claimed.push(Arc::new(pod));
        }
    }
    Ok(claimed)
}

/// Makes pods in batches that double, so that a quota or a bad template fails once, not a
/// thousand times. Upstream: `slowStartBatch`.
async fn create_pods(
    context: &Context,
    expectations: &Expectations,
    key: &str,
    replica_set: &ReplicaSet,
    count: usize,
) -> Option<Error> {
    let recorder = context.recorder.named("replicaset-controller");
    let namespace = replica_set.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let pod = pod_from_template(replica_set);
    expectations.expect_creations(key, count);
    let (mut made, mut batch) = (0, 1);
    while made < count {
        let size = batch.min(count - made);
        let post = PostParams::default();
        let results = join_all((0..size).map(|_| api.create(&post, &pod))).await;
        let mut failure = None;
        for result in results {
            match result {
                Ok(pod) => {
                    let message = format!("Created pod: {}", pod.name_any());
                    recorder.normal(replica_set, "SuccessfulCreate", message);
                }
                Err(error) => {
                    expectations.creation_observed(key);
                    let message = match &error {
                        kube::Error::Api(status) => status.message.clone(),
                        other => other.to_string(),
                    };
                    recorder.warning(
                        replica_set,
                        "FailedCreate",
                        format!("Error creating: {message}"),
                    );
                    failure = Some(match error {
                        kube::Error::Api(_) => Error::Invalid(message),
                        other => Error::Api(other),
                    });
                }
            }
        }
        made += size;
        if failure.is_some() {
            // The rest was never asked for.
            for _ in made..count {
                expectations.creation_observed(key);
            }
            return failure;
        }
        batch *= 2;
    }
    None
}

/// Upstream: `GetPodFromTemplate`.
fn pod_from_template(replica_set: &ReplicaSet) -> Pod {
    let template = replica_set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.clone());
    let template = template.unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", replica_set.name_any())),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(replica_set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

async fn delete_pods(
    context: &Context,
    expectations: &Expectations,
    key: &str,
    replica_set: &ReplicaSet,
    surplus: &[Arc<Pod>],
) -> Option<Error> {
    let recorder = context.recorder.named("replicaset-controller");
    let namespace = replica_set.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    expectations.expect_deletions(
        key,
        surplus.iter().filter_map(|pod| pod.metadata.uid.clone()),
    );
    let deletions = surplus.iter().map(|pod| {
        let uid = pod.metadata.uid.clone();
        let preconditions = Preconditions {
            uid,
            resource_version: None,
        };
        let params = DeleteParams::default().preconditions(preconditions);
        let api = &api;
        async move { (pod, api.delete(&pod.name_any(), &params).await) }
    });
    let mut failure = None;
    for (pod, result) in join_all(deletions).await {
        match ignore_not_found(result) {
            Ok(_) => {
                let message = format!("Deleted pod: {}", pod.name_any());
                recorder.normal(replica_set, "SuccessfulDelete", message);
            }
            Err(error) => {
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                expectations.deletion_observed(key, uid);
                let message = format!("Error deleting: {error}");
                recorder.warning(replica_set, "FailedDelete", message);
                failure = Some(Error::Api(error));
            }
        }
    }
    failure
}

async fn write_status(
    context: &Context,
    replica_set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<&(&'static str, String)>,
    now: Timestamp,
) -> Result<(), Error> {
    let status = plan::status(replica_set, active, terminating, failure, now);
    if replica_set.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let namespace = replica_set.namespace().unwrap_or_default();
    let api = Api::<ReplicaSet>::namespaced(context.client.clone(), &namespace);
    let mut updated = replica_set.clone();
    updated.status = Some(status);
    match api
        .replace_status(&replica_set.name_any(), &PostParams::default(), &updated)
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
