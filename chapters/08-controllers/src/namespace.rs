//! Empties a namespace that is being deleted, then lets it go.
//!
//! Upstream: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use informers::key_of;
use informers::work_queue::WorkQueue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use serde_json::json;

use crate::context::{Context, Outcome, SharedInformers};
use crate::discovery::{self, Deletable};
use crate::error::{Error, ignore_not_found, is_conflict};

/// The finalizer in `spec.finalizers` that this controller answers for.
const FINALIZER: &str = "kubernetes";
/// How long to wait for what is still there, when nothing says that it went.
const CONTENT_WAIT: Duration = Duration::from_millis(500);

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let namespaces = queue.clone();
    informers.namespaces.on_event(move |event| {
        if event.object().metadata.deletion_timestamp.is_some() {
            namespaces.add(key_of(event.object().as_ref()));
        }
    });
    // Pods are the last to go: when one has, its namespace may be empty.
    let (pods, store) = (queue.clone(), informers.namespaces.store());
    informers.pods.on_event(move |event| {
        if let informers::shared_informer::Event::Deleted(pod) = event {
            let name = pod.namespace().unwrap_or_default();
            let namespace = store.get(&name);
            if namespace.is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()) {
                pods.add(name);
            }
        }
    });
    move |context| {
        context.work("namespace", &queue, 2, |context, name| {
            Box::pin(async move { reconcile(&context, &name).await })
        });
    }
}

/// What is left in a namespace.
#[derive(Debug, Default)]
struct Remaining {
    /// Objects by resource.
    objects: BTreeMap<String, usize>,
    /// Objects that wait for a finalizer.
    finalizers: BTreeMap<String, usize>,
    /// What could not be listed or deleted.
    failures: Vec<String>,
}

async fn reconcile(context: &Context, name: &str) -> Outcome {
    let Some(namespace) = context.stores.namespaces.get(name) else {
        return Ok(None);
    };
    let finalizers = namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.clone())
        .unwrap_or_default();
    if namespace.metadata.deletion_timestamp.is_none()
        || !finalizers.iter().any(|finalizer| finalizer == FINALIZER)
    {
        return Ok(None);
    }
    let remaining = empty(context, name).await?;
    if !remaining.objects.is_empty() || !remaining.failures.is_empty() {
        write_conditions(context, &namespace, &remaining).await?;
        return Ok(Some(CONTENT_WAIT));
    }
    finalize(context, &namespace).await?;
    Ok(None)
}

/// Deletes everything in the namespace; returns what is there afterwards.
async fn empty(context: &Context, name: &str) -> Result<Remaining, Error> {
    let mut remaining = Remaining::default();
    for Deletable { resource, .. } in discovery::deletable(&context.client, true).await? {
        if let Err(error) = empty_of(context, name, &resource, &mut remaining).await {
            remaining
                .failures
                .push(format!("{}: {error}", qualified(&resource)));
        }
    }
    Ok(remaining)
}

async fn empty_of(
    context: &Context,
    namespace: &str,
    resource: &ApiResource,
    remaining: &mut Remaining,
) -> Result<(), kube::Error> {
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), namespace, resource);
    let everything = ListParams::default();
    if api.list_metadata(&everything).await?.items.is_empty() {
        return Ok(());
    }
    let background = DeleteParams::background();
    ignore_not_found(api.delete_collection(&background, &everything).await)?;
    for object in api.list_metadata(&everything).await?.items {
        *remaining.objects.entry(qualified(resource)).or_default() += 1;
        for finalizer in object.metadata.finalizers.into_iter().flatten() {
            *remaining.finalizers.entry(finalizer).or_default() += 1;
        }
    }
    Ok(())
}

/// `pods.`, as the conditions name resources.
fn qualified(resource: &ApiResource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

async fn finalize(context: &Context, namespace: &Namespace) -> Result<(), Error> {
    let mut updated = namespace.clone();
    if let Some(finalizers) = updated
        .spec
        .as_mut()
        .and_then(|spec| spec.finalizers.as_mut())
    {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    let api = Api::<Namespace>::all(context.client.clone());
    let name = namespace.name_any();
    let finalized = api
        .replace_subresource("finalize", &name, &PostParams::default(), &updated)
        .await;
    match finalized {
        // A newer version is on its way to the store, and this key will be looked at again then.
        Err(error) if is_conflict(&error) => Ok(()),
        result => Ok(ignore_not_found(result).map(drop)?),
    }
}

async fn write_conditions(
    context: &Context,
    namespace: &Namespace,
    remaining: &Remaining,
) -> Result<(), Error> {
    let conditions = conditions(namespace, remaining, Timestamp::now());
    let before = namespace
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone());
    if before.as_ref() == Some(&conditions) {
        return Ok(());
    }
    let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
    let api = Api::<Namespace>::all(context.client.clone());
    let written = api
        .patch_status(&namespace.name_any(), &PatchParams::default(), &patch)
        .await;
    ignore_not_found(written)?;
    Ok(())
}

/// Upstream: `namespaceConditionUpdater` in `status_condition_utils.go`.
fn conditions(
    namespace: &Namespace,
    remaining: &Remaining,
    now: Timestamp,
) -> Vec<NamespaceCondition> {
    let counted = |counts: &BTreeMap<String, usize>, what: &str| {
        let parts: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{name} {what} {count} resource instances"))
            .collect();
        parts.join(", ")
    };
    let failed = !remaining.failures.is_empty();
    let facts = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionContentFailure",
            failed.then(|| {
                (
                    "ContentDeletionFailed",
                    format!(
                        "Failed to delete all resource types, {} remaining: {}",
                        remaining.failures.len(),
                        remaining.failures.join(", ")
                    ),
                )
            }),
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
        (
            "NamespaceContentRemaining",
            (!remaining.objects.is_empty()).then(|| {
                (
                    "SomeResourcesRemain",
                    format!(
                        "Some resources are remaining: {}",
                        counted(&remaining.objects, "has")
                    ),
                )
            }),
            "ContentRemoved",
            "All content successfully removed".to_owned(),
        ),
        (
            "NamespaceFinalizersRemaining",
            (!remaining.finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!(
                        "Some content in the namespace has finalizers remaining: {}",
                        counted(&remaining.finalizers, "in")
                    ),
                )
            }),
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        ),
    ];
    let before = namespace
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    facts
        .into_iter()
        .map(|(type_, trouble, fine_reason, fine_message)| {
            let (status, reason, message) = match trouble {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", fine_reason, fine_message),
            };
            let known = before
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == type_ && condition.status == status);
            NamespaceCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: match known {
                    Some(condition) => condition.last_transition_time.clone(),
                    None => Some(Time(now)),
                },
            }
        })
        .collect()
}
