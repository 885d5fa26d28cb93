//! What is in use stays: a finalizer holds a claim while a pod has it, and a volume while a claim
//! does.
//!
//! Upstream: `pkg/controller/volume/pvcprotection`, `pkg/controller/volume/pvprotection`.

use std::fmt::Debug;

use informers::key_of;
use informers::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, ListParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use volume_binding::volume_phase;

use super::index_pods_by_claim;
use crate::context::{BY_CLAIM, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found};

/// Holds claims.
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// Holds volumes.
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// What is done with the finalizer of an object.
#[derive(Debug, PartialEq, Eq)]
enum Finalizer {
    /// It is to be there.
    Add,
    /// It may go, if the object is not in use.
    Check,
    /// It is as it should be.
    Keep,
}

fn finalizer_step<K: Resource>(object: &K, finalizer: &str) -> Finalizer {
    let held = object.finalizers().iter().any(|held| held == finalizer);
    match (object.meta().deletion_timestamp.is_some(), held) {
        (true, true) => Finalizer::Check,
        (false, false) => Finalizer::Add,
        _ => Finalizer::Keep,
    }
}

/// Adds the handlers of both controllers and returns what starts them.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let claims: WorkQueue<String> = WorkQueue::default();
    let volumes: WorkQueue<String> = WorkQueue::default();
    let queue = claims.clone();
    informers
        .persistent_volume_claims
        .on_event(move |event| queue.add(key_of(event.object().as_ref())));
    let (queue, store) = (claims.clone(), informers.persistent_volume_claims.store());
    informers.pods.on_event(move |event| {
        // A pod that went or ended may have been the last that held its claims.
        for key in index_pods_by_claim(event.object()) {
            let is_going =
                |claim: &PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_some();
            if store.get(&key).is_some_and(|claim| is_going(&claim)) {
                queue.add(key);
            }
        }
    });
    let queue = volumes.clone();
    informers
        .persistent_volumes
        .on_event(move |event| queue.add(event.object().name_any()));
    move |context| {
        context.work("pvc-protection", &claims, 1, |context, key| {
            Box::pin(async move { protect_claim(&context, &key).await })
        });
        context.work("pv-protection", &volumes, 1, |context, name| {
            Box::pin(async move { protect_volume(&context, &name).await })
        });
    }
}

async fn protect_claim(context: &Context, key: &str) -> Outcome {
    let Some(claim) = context.stores.persistent_volume_claims.get(key) else {
        return Ok(None);
    };
    let namespace = claim.namespace().unwrap_or_default();
    let api = Api::namespaced(context.client.clone(), &namespace);
    match finalizer_step(claim.as_ref(), CLAIM_FINALIZER) {
        Finalizer::Keep => {}
        Finalizer::Add => write(&api, claim.as_ref(), CLAIM_FINALIZER, true).await?,
        Finalizer::Check => {
            let known = context.stores.pods.by_index(BY_CLAIM, key);
            if known.iter().any(|pod| holds(pod, key)) {
                return Ok(None);
            }
            // The copy may lag behind: a pod that was just bound holds it too.
            let pods = Api::<Pod>::namespaced(context.client.clone(), &namespace);
            let pods = pods.list(&ListParams::default()).await?;
            if !pods.iter().any(|pod| holds(pod, key)) {
                write(&api, claim.as_ref(), CLAIM_FINALIZER, false).await?;
            }
        }
    }
    Ok(None)
}

/// Whether a pod holds a claim. One without a node does not: no kubelet starts a pod with a claim
/// that is going. One that has ended does, as long as it is there.
fn holds(pod: &Pod, key: &str) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    node.is_some_and(|node| !node.is_empty())
        && index_pods_by_claim(pod).iter().any(|claim| claim == key)
}

async fn protect_volume(context: &Context, name: &str) -> Outcome {
    let Some(volume) = context.stores.persistent_volumes.get(name) else {
        return Ok(None);
    };
    let api = Api::all(context.client.clone());
    match finalizer_step(volume.as_ref(), VOLUME_FINALIZER) {
        Finalizer::Check if volume_phase(&volume) != "Bound" => {
            write(&api, volume.as_ref(), VOLUME_FINALIZER, false).await?;
        }
        Finalizer::Add => write(&api, volume.as_ref(), VOLUME_FINALIZER, true).await?,
        _ => {}
    }
    Ok(None)
}

/// Puts the finalizer there, or takes it away.
async fn write<K>(api: &Api<K>, object: &K, finalizer: &str, held: bool) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let mut changed = object.clone();
    if held {
        changed.finalizers_mut().push(finalizer.to_owned());
    } else {
        changed.finalizers_mut().retain(|other| other != finalizer);
    }
    let name = object.name_any();
    let written = api.replace(&name, &PostParams::default(), &changed).await;
    ignore_not_found(written)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_that_goes_waits_for_its_pods() {
        let claim = |deleted: Option<&str>, finalizers: &[&str]| -> PersistentVolumeClaim {
            serde_json::from_value(json!({
                "metadata": {"deletionTimestamp": deleted, "finalizers": finalizers},
            }))
            .unwrap()
        };
        let step = |claim: &PersistentVolumeClaim| finalizer_step(claim, CLAIM_FINALIZER);
        let now = Some("2026-01-01T00:00:00Z");
        assert_eq!(step(&claim(None, &[])), Finalizer::Add);
        assert_eq!(step(&claim(None, &[CLAIM_FINALIZER])), Finalizer::Keep);
        assert_eq!(step(&claim(now, &["other"])), Finalizer::Keep);
        assert_eq!(step(&claim(now, &[CLAIM_FINALIZER])), Finalizer::Check);

        let pod = |node: &str, claim: &str| -> Pod {
            let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": claim}});
            serde_json::from_value(json!({
                "metadata": {"namespace": "ns"},
                "spec": {"nodeName": node, "containers": [], "volumes": [volume]},
                "status": {"phase": "Succeeded"},
            }))
            .unwrap()
        };
        assert!(holds(&pod("n1", "c"), "ns/c"));
        assert!(!holds(&pod("", "c"), "ns/c"));
        assert!(!holds(&pod("n1", "d"), "ns/c"));
    }
}
