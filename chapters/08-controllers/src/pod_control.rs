//! What controllers of pods do to them: claim, create, delete.
//!
//! Upstream: `pkg/controller/controller_ref_manager.go` and `RealPodControl` in
//! `pkg/controller/controller_utils.go`.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::context::{BY_CONTROLLER, Context};
use crate::error::{Error, ignore_not_found};
use crate::owners::{controller_of, controller_reference, selects};
use crate::pods;
use crate::replica_set::expectations::Expectations;

/// A kind whose objects own pods.
pub trait OwnsPods: Resource<DynamicType = (), Scope = NamespaceResourceScope> {}

impl<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>> OwnsPods for K {}

/// The pods of an owner: those that it controls and still selects, and orphans that it adopts,
/// giving them a finalizer if it wants one. Upstream: `PodControllerRefManager.ClaimPods`.
///
/// # Errors
/// If a pod could not be adopted or let go.
pub async fn claim_pods<K: OwnsPods>(
    context: &Context,
    owner: &K,
    selector: Option<&LabelSelector>,
    finalizer: Option<&str>,
) -> Result<Vec<Arc<Pod>>, Error> {
    let uid = owner.meta().uid.as_deref().unwrap_or_default();
    let is_deleted = owner.meta().deletion_timestamp.is_some();
    let namespace = owner.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let is_selected = |pod: &Pod| selects(selector, pod.metadata.labels.as_ref());
    let patch = |mut metadata: serde_json::Value, pod: &Pod| {
        metadata["uid"] = json!(pod.metadata.uid);
        Patch::Strategic(json!({"metadata": metadata}))
    };
    let params = PatchParams::default();

    let mut claimed = Vec::new();
    for pod in context.stores.pods.by_index(BY_CONTROLLER, uid) {
        if is_selected(&pod) {
            claimed.push(pod);
        } else if !is_deleted {
            let mut metadata = json!({"ownerReferences": [{"$patch": "delete", "uid": uid}]});
            if let Some(finalizer) = finalizer {
                metadata["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
            }
            let patch = patch(metadata, &pod);
            ignore_not_found(api.patch(&pod.name_any(), &params, &patch).await)?;
        }
    }
    if is_deleted {
        return Ok(claimed);
    }
    for pod in context.stores.pods.in_namespace(&namespace) {
        let orphan = controller_of(pod.as_ref()).is_none();
        if !orphan || !is_selected(&pod) || !pods::is_active(&pod) {
            continue;
        }
        let mut metadata = json!({"ownerReferences": [controller_reference(owner)]});
        if let Some(finalizer) = finalizer {
            metadata["finalizers"] = json!([finalizer]);
        }
        let patch = patch(metadata, &pod);
        let adopted = api.patch(&pod.name_any(), &params, &patch).await;
        if let Some(pod) = ignore_not_found(adopted)? {
            claimed.push(Arc::new(pod));
        }
    }
    Ok(claimed)
}

/// A pod as its owner's template has it. Upstream: `GetPodFromTemplate`.
pub fn pod_from_template<K: OwnsPods>(owner: &K, template: PodTemplateSpec) -> Pod {
    let meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name_any())),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// Makes pods in batches that double, so that a quota or a bad template fails once, not a
/// thousand times; the failure, if there was one. `component` tells of it. Upstream:
/// `slowStartBatch`.
pub async fn create_pods<K: OwnsPods>(
    context: &Context,
    component: &'static str,
    expectations: &Expectations,
    key: &str,
    owner: &K,
    pods: &[Pod],
) -> Option<Error> {
    let recorder = context.recorder.named(component);
    let namespace = owner.namespace().unwrap_or_default();
    let api = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    expectations.expect_creations(key, pods.len());
    let (mut left, mut batch) = (pods, 1);
    while !left.is_empty() {
        let (now, later) = left.split_at(batch.min(left.len()));
        let post = PostParams::default();
        let results = join_all(now.iter().map(|pod| api.create(&post, pod))).await;
        let mut failure = None;
        for result in results {
            match result {
                Ok(pod) => {
                    let message = format!("Created pod: {}", pod.name_any());
                    recorder.normal(owner, "SuccessfulCreate", message);
                }
                Err(error) => {
                    expectations.creation_observed(key);
                    let message = match &error {
                        kube::Error::Api(status) => status.message.clone(),
                        other => other.to_string(),
                    };
                    let told = format!("Error creating: {message}");
                    recorder.warning(owner, "FailedCreate", told);
                    failure = Some(match error {
                        kube::Error::Api(_) => Error::Invalid(message),
                        other => Error::Api(other),
                    });
                }
            }
        }
        if failure.is_some() {
            // The rest was never asked for.
            later
                .iter()
                .for_each(|_| expectations.creation_observed(key));
            return failure;
        }
        left = later;
        batch *= 2;
    }
    None
}

/// Deletes pods; the last failure, if there was one.
pub async fn delete_pods<K: OwnsPods>(
    context: &Context,
    component: &'static str,
    expectations: &Expectations,
    key: &str,
    owner: &K,
    surplus: &[Arc<Pod>],
) -> Option<Error> {
    let recorder = context.recorder.named(component);
    let namespace = owner.namespace().unwrap_or_default();
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
                recorder.normal(owner, "SuccessfulDelete", message);
            }
            Err(error) => {
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                expectations.deletion_observed(key, uid);
                let message = format!("Error deleting: {error}");
                recorder.warning(owner, "FailedDelete", message);
                failure = Some(Error::Api(error));
            }
        }
    }
    failure
}
