//! Claims get volumes, and volumes that lose their claim are kept or given up.
//!
//! ```text
//!   claim    Pending ──── a volume suits it ────► Bound ─── the volume is gone ───► Lost
//!   volume   Pending ─► Available ─► Bound ─── the claim is gone ───► Released ─► (Failed)
//! ```
//!
//! A binding is four writes: volume, its status, claim, its status, in this order, so that
//! whoever is interrupted goes on where it was. One worker does them all: two would race for the
//! same volume, and one of them would lose. A write that meets a newer object is a conflict, and
//! is tried again from what is there then.
//!
//! [`plan`] decides, with the crate `volume-binding`, which the scheduler uses as well: it
//! chooses the volume itself for a claim that waits for its first consumer.
//!
//! Left out: making volumes (a claim of a class with an external provisioner is marked for it, as
//! upstream), and emptying or deleting what is on them: a volume with such a policy is `Failed`
//! when it is released, as upstream's `local` volumes are. Upstream would delete a `hostPath`
//! below `/tmp` and run a pod to empty others.
//!
//! Upstream: `pkg/controller/volume/persistentvolume`.

pub mod plan;
pub mod protection;

use std::time::Duration;

use informers::key_of;
use informers::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, PersistentVolumeStatus,
    Pod,
};
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use volume_binding::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, bind_to_claim, claim_phase, volume_name, volume_phase,
    volume_spec,
};

use crate::context::{BY_CLAIM, Context, Outcome, SharedInformers};
use crate::error::{Error, ignore_not_found};
use crate::recorder::Recorder;
use plan::{ClaimStep, News, VolumeStep, World};

/// How soon what waits is looked at again, and what it waits for is told again. Upstream: flag
/// `--pvclaimbinder-sync-period`.
const SYNC_PERIOD: Duration = Duration::from_secs(15);

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// By namespace and name.
    Claim(String),
    /// By name.
    Volume(String),
}

/// Index function: the claim that a volume names.
pub fn index_by_claim(volume: &PersistentVolume) -> Vec<String> {
    let named = volume_spec(volume).claim_ref.iter();
    named
        .map(|named| {
            let (namespace, name) = (named.namespace.as_deref(), named.name.as_deref());
            claim_key(namespace.unwrap_or_default(), name.unwrap_or_default())
        })
        .collect()
}

/// Index function: the claims that a pod names.
pub fn index_pods_by_claim(pod: &Pod) -> Vec<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims
        .map(|source| claim_key(&namespace, &source.claim_name))
        .collect()
}

fn claim_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Adds the controller's handlers and returns what starts it.
pub fn register(informers: &mut SharedInformers) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<Key> = WorkQueue::default();
    let (volumes, claims) = (queue.clone(), informers.persistent_volume_claims.store());
    informers.persistent_volumes.on_event(move |event| {
        let volume = event.object();
        volumes.add(Key::Volume(volume.name_any()));
        for key in index_by_claim(volume) {
            volumes.add(Key::Claim(key));
        }
        // It may be what others wait for.
        for claim in claims.list() {
            if claim_phase(&claim) != "Bound" || volume_name(&claim) == volume.name_any() {
                volumes.add(Key::Claim(key_of(claim.as_ref())));
            }
        }
    });
    let (queue_of_claims, volumes) = (queue.clone(), informers.persistent_volumes.store());
    informers.persistent_volume_claims.on_event(move |event| {
        let claim = event.object();
        let key = key_of(claim.as_ref());
        for volume in volumes.by_index(BY_CLAIM, &key) {
            queue_of_claims.add(Key::Volume(volume.name_any()));
        }
        queue_of_claims.add(Key::Claim(key));
    });
    let (classes, claims) = (queue.clone(), informers.persistent_volume_claims.store());
    informers.storage_classes.on_event(move |_| {
        for claim in claims.list() {
            if claim_phase(&claim) != "Bound" {
                classes.add(Key::Claim(key_of(claim.as_ref())));
            }
        }
    });
    move |context| {
        context.work("persistent-volume-binder", &queue, 1, |context, key| {
            Box::pin(async move {
                match &key {
                    Key::Claim(key) => sync_claim(&context, key).await,
                    Key::Volume(name) => sync_volume(&context, name).await,
                }
            })
        });
    }
}

fn recorder(context: &Context) -> Recorder {
    context.recorder.named("persistentvolume-controller")
}

fn tell<K: kube::Resource<DynamicType = ()>>(context: &Context, object: &K, news: News) {
    if news.is_warning {
        recorder(context).warning(object, news.reason, news.message);
    } else {
        recorder(context).normal(object, news.reason, news.message);
    }
}

async fn sync_claim(context: &Context, key: &str) -> Outcome {
    let stores = &context.stores;
    let Some(claim) = stores.persistent_volume_claims.get(key) else {
        return Ok(None);
    };
    let volumes = stores.persistent_volumes.list();
    let classes = stores.storage_classes.list();
    let pods = stores.pods.by_index(BY_CLAIM, key).into_iter();
    let has_no_node = |pod: &Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
        node.is_none_or(String::is_empty)
    };
    let mut unscheduled: Vec<String> = pods
        .filter(|pod| has_no_node(pod))
        .map(|pod| pod.name_any())
        .collect();
    unscheduled.sort();
    let world = World {
        volumes: volumes.iter().map(AsRef::as_ref).collect(),
        classes: classes.iter().map(AsRef::as_ref).collect(),
        unscheduled,
    };
    match plan::claim_step(&claim, &world) {
        ClaimStep::Bind(volume) => bind(context, volume, &claim).await,
        ClaimStep::TakeClass(class) => {
            let mut claim = PersistentVolumeClaim::clone(&claim);
            claim.spec.get_or_insert_default().storage_class_name = Some(class);
            replace_claim(context, &claim).await?;
            Ok(None)
        }
        ClaimStep::Provision(provisioner, news) => {
            ask_for_volume(context, &claim, &provisioner).await?;
            news.into_iter()
                .for_each(|news| tell(context, claim.as_ref(), news));
            Ok(Some(SYNC_PERIOD))
        }
        ClaimStep::Wait(news) => {
            news.into_iter()
                .for_each(|news| tell(context, claim.as_ref(), news));
            set_claim_phase(context, &claim, "Pending", None).await?;
            Ok(Some(SYNC_PERIOD))
        }
        ClaimStep::Lose(news) => {
            if claim_phase(&claim) != "Lost" {
                set_claim_phase(context, &claim, "Lost", None).await?;
                tell(context, claim.as_ref(), news);
            }
            Ok(None)
        }
    }
}

/// Marks a claim for who makes volumes.
async fn ask_for_volume(
    context: &Context,
    claim: &PersistentVolumeClaim,
    provisioner: &str,
) -> Result<(), Error> {
    let mut marked = claim.clone();
    for mark in [
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
    ] {
        let annotations = marked.annotations_mut();
        annotations.insert(mark.to_owned(), provisioner.to_owned());
    }
    if marked != *claim {
        replace_claim(context, &marked).await?;
    }
    Ok(())
}

async fn bind(
    context: &Context,
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Outcome {
    let volume = match bind_to_claim(volume, claim) {
        Some(bound) => replace_volume(context, &bound).await?,
        None => volume.clone(),
    };
    let volume = set_volume_phase(context, &volume, "Bound", None).await?;
    let mut bound = claim.clone();
    let name = volume.name_any();
    let by_us = volume_name(claim) != name;
    bound.spec.get_or_insert_default().volume_name = Some(name);
    let annotations = bound.annotations_mut();
    if by_us {
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
    if bound != *claim {
        bound = replace_claim(context, &bound).await?;
        tracing::info!(claim = key_of(claim), volume = volume.name_any(), "bound");
    }
    set_claim_phase(context, &bound, "Bound", Some(&volume)).await?;
    Ok(None)
}

async fn sync_volume(context: &Context, name: &str) -> Outcome {
    let Some(volume) = context.stores.persistent_volumes.get(name) else {
        return Ok(None);
    };
    let key = index_by_claim(&volume).into_iter().next();
    let claim = key
        .as_ref()
        .and_then(|key| context.stores.persistent_volume_claims.get(key));
    match plan::volume_step(&volume, claim.as_deref()) {
        VolumeStep::Phase(phase) => {
            set_volume_phase(context, &volume, phase, None).await?;
        }
        VolumeStep::LeaveToClaim => {}
        VolumeStep::Unbind => {
            let volume = replace_volume(context, &plan::unbound(&volume)).await?;
            set_volume_phase(context, &volume, "Available", None).await?;
        }
        VolumeStep::Release => {
            // The copy may lag behind: that the claim is gone only the API knows.
            if !claim_exists(context, &volume).await? {
                release(context, &volume).await?;
            }
        }
    }
    Ok(None)
}

async fn claim_exists(context: &Context, volume: &PersistentVolume) -> Result<bool, Error> {
    let Some(named) = &volume_spec(volume).claim_ref else {
        return Ok(false);
    };
    let namespace = named.namespace.as_deref().unwrap_or_default();
    let api = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), namespace);
    let claim = api
        .get_opt(named.name.as_deref().unwrap_or_default())
        .await?;
    Ok(claim.is_some_and(|claim| claim.metadata.uid == named.uid))
}

async fn release(context: &Context, volume: &PersistentVolume) -> Result<(), Error> {
    let volume = if volume_phase(volume) == "Failed" {
        volume.clone()
    } else {
        set_volume_phase(context, volume, "Released", None).await?
    };
    if let Some(news) = plan::reclaim(&volume) {
        set_volume_phase(context, &volume, "Failed", Some(news.message.clone())).await?;
        tell(context, &volume, news);
    }
    Ok(())
}

async fn replace_volume(
    context: &Context,
    volume: &PersistentVolume,
) -> Result<PersistentVolume, Error> {
    let api = Api::<PersistentVolume>::all(context.client.clone());
    let name = volume.name_any();
    Ok(api.replace(&name, &PostParams::default(), volume).await?)
}

async fn replace_claim(
    context: &Context,
    claim: &PersistentVolumeClaim,
) -> Result<PersistentVolumeClaim, Error> {
    let namespace = claim.namespace().unwrap_or_default();
    let api = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), &namespace);
    let name = claim.name_any();
    Ok(api.replace(&name, &PostParams::default(), claim).await?)
}

/// Writes a volume's phase, if it has another.
async fn set_volume_phase(
    context: &Context,
    volume: &PersistentVolume,
    phase: &str,
    message: Option<String>,
) -> Result<PersistentVolume, Error> {
    if volume_phase(volume) == phase {
        return Ok(volume.clone());
    }
    let mut changed = volume.clone();
    let before = changed.status.take().unwrap_or_default();
    changed.status = Some(PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        message,
        ..before
    });
    let api = Api::<PersistentVolume>::all(context.client.clone());
    let name = volume.name_any();
    let options = PostParams::default();
    let written = api.replace_status(&name, &options, &changed).await;
    Ok(ignore_not_found(written)?.unwrap_or(changed))
}

/// Writes a claim's phase and what it has of the volume, if that is new.
async fn set_claim_phase(
    context: &Context,
    claim: &PersistentVolumeClaim,
    phase: &str,
    volume: Option<&PersistentVolume>,
) -> Result<(), Error> {
    let before = claim.status.clone().unwrap_or_default();
    let status = PersistentVolumeClaimStatus {
        phase: Some(phase.to_owned()),
        access_modes: volume.and_then(|volume| volume_spec(volume).access_modes.clone()),
        capacity: volume.and_then(|volume| volume_spec(volume).capacity.clone()),
        ..before.clone()
    };
    if status == before {
        return Ok(());
    }
    let mut changed = claim.clone();
    changed.status = Some(status);
    let namespace = claim.namespace().unwrap_or_default();
    let api = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), &namespace);
    let name = claim.name_any();
    let options = PostParams::default();
    let written = api.replace_status(&name, &options, &changed).await;
    ignore_not_found(written)?;
    Ok(())
}
