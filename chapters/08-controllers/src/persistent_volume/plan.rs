//! What a claim and a volume ask for next. Pure.
//!
//! Upstream: `syncUnboundClaim`, `syncBoundClaim` and `syncVolume` of
//! `pkg/controller/volume/persistentvolume/pv_controller.go`.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use volume_binding::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE, Search, capacity, claim_class,
    find_matching_volume, is_bound_to, modes_fit, request, volume_class, volume_modes_fit,
    volume_name, volume_phase, volume_spec, waits_for_consumer,
};

/// What is told of a claim or volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// A Warning; else Normal.
    pub is_warning: bool,
    /// `FailedBinding`
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

fn normal(reason: &'static str, message: impl Into<String>) -> Option<News> {
    let message = message.into();
    Some(News {
        is_warning: false,
        reason,
        message,
    })
}

fn warning(reason: &'static str, message: impl Into<String>) -> Option<News> {
    let message = message.into();
    Some(News {
        is_warning: true,
        reason,
        message,
    })
}

/// What is done with a claim.
#[derive(Debug, PartialEq)]
pub enum ClaimStep<'a> {
    /// Bind it to the volume, or finish doing so.
    Bind(&'a PersistentVolume),
    /// It waits, phase `Pending`.
    Wait(Option<News>),
    /// It waits for somebody who makes a volume: the provisioner of this name, who looks for claims
    /// that are marked with it.
    Provision(String, Option<News>),
    /// It takes this class, the default one.
    TakeClass(String),
    /// Its volume is lost, and with it what was on it: phase `Lost`.
    Lose(News),
}

/// What there is beside a claim.
pub struct World<'a> {
    /// All volumes.
    pub volumes: Vec<&'a PersistentVolume>,
    /// All classes.
    pub classes: Vec<&'a StorageClass>,
    /// Names of the pods that want the claim and have no node yet.
    pub unscheduled: Vec<String>,
}

impl<'a> World<'a> {
    fn volume(&self, name: &str) -> Option<&'a PersistentVolume> {
        let mut volumes = self.volumes.iter();
        volumes.find(|volume| volume.name_any() == name).copied()
    }

    fn class(&self, name: &str) -> Option<&'a StorageClass> {
        let mut classes = self.classes.iter();
        classes.find(|class| class.name_any() == name).copied()
    }

    /// The class for claims that name none: of several, the newest.
    fn default_class(&self) -> Option<String> {
        const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
        let is_default = |class: &&&StorageClass| {
            class
                .annotations()
                .get(DEFAULT)
                .is_some_and(|v| v == "true")
        };
        let made = |class: &StorageClass| class.creation_timestamp().map(|time| time.0);
        let newest = self.classes.iter().filter(is_default).max_by(|a, b| {
            made(a)
                .cmp(&made(b))
                .then_with(|| b.name_any().cmp(&a.name_any()))
        });
        newest.map(|class| class.name_any())
    }
}

/// What a claim asks for.
pub fn claim_step<'a>(claim: &PersistentVolumeClaim, world: &World<'a>) -> ClaimStep<'a> {
    if claim.annotations().contains_key(BIND_COMPLETED) {
        return bound_claim_step(claim, world);
    }
    let name = volume_name(claim);
    if name.is_empty() {
        return unbound_claim_step(claim, world);
    }
    // It wants this volume and no other.
    let Some(volume) = world.volume(name) else {
        return ClaimStep::Wait(None);
    };
    if volume_spec(volume).claim_ref.is_none() {
        return match mismatch(claim, volume) {
            None => ClaimStep::Bind(volume),
            Some(why) => ClaimStep::Wait(warning(
                "VolumeMismatch",
                format!("Cannot bind to requested volume \"{name}\": {why}"),
            )),
        };
    }
    if is_bound_to(volume, claim) {
        return ClaimStep::Bind(volume);
    }
    let message = format!("volume \"{name}\" already bound to a different claim.");
    ClaimStep::Wait(warning("FailedBinding", message))
}

fn unbound_claim_step<'a>(claim: &PersistentVolumeClaim, world: &World<'a>) -> ClaimStep<'a> {
    let class_name = claim_class(claim);
    let class = world.class(class_name);
    let waits = class.is_some_and(waits_for_consumer);
    let search = Search {
        waits,
        ..Search::default()
    };
    if let Some(volume) = find_matching_volume(claim, world.volumes.iter().copied(), &search) {
        return ClaimStep::Bind(volume);
    }
    let names_none = claim
        .spec
        .as_ref()
        .is_none_or(|spec| spec.storage_class_name.is_none());
    if names_none
        && class_name.is_empty()
        && let Some(class) = world.default_class()
    {
        return ClaimStep::TakeClass(class);
    }
    if waits && !claim.annotations().contains_key(SELECTED_NODE) {
        return ClaimStep::Wait(waiting(&world.unscheduled));
    }
    match class {
        _ if class_name.is_empty() => ClaimStep::Wait(normal(
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
        )),
        None => ClaimStep::Wait(warning(
            "ProvisioningFailed",
            format!("storageclass.storage.k8s.io \"{class_name}\" not found"),
        )),
        Some(class) if class.provisioner.starts_with("kubernetes.io/") => ClaimStep::Wait(warning(
            "ProvisioningFailed",
            format!("no volume plugin matched name: {}", class.provisioner),
        )),
        Some(class) => ClaimStep::Provision(
            class.provisioner.clone(),
            normal(
                "ExternalProvisioning",
                format!(
                    "Waiting for a volume to be created either by the external provisioner '{}' \
                     or manually by the system administrator. If volume creation is delayed, \
                     please verify that the provisioner is running and correctly registered.",
                    class.provisioner
                ),
            ),
        ),
    }
}

/// What a claim says that gets its volume with its first pod.
fn waiting(pods: &[String]) -> Option<News> {
    match pods {
        [] => normal(
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding",
        ),
        [pod] => normal(
            "WaitForPodScheduled",
            format!("waiting for pod {pod} to be scheduled"),
        ),
        pods => normal(
            "WaitForPodScheduled",
            format!("waiting for pods {} to be scheduled", pods.join(",")),
        ),
    }
}

fn bound_claim_step<'a>(claim: &PersistentVolumeClaim, world: &World<'a>) -> ClaimStep<'a> {
    let lose = |reason, message: &str| {
        ClaimStep::Lose(News {
            is_warning: true,
            reason,
            message: message.to_owned(),
        })
    };
    if volume_name(claim).is_empty() {
        let message =
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lose("ClaimLost", message);
    }
    let Some(volume) = world.volume(volume_name(claim)) else {
        let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
        return lose("ClaimLost", message);
    };
    match &volume_spec(volume).claim_ref {
        Some(named) if named.uid != claim.metadata.uid => lose(
            "ClaimMisbound",
            "Two claims are bound to the same volume, this one is bound incorrectly",
        ),
        _ => ClaimStep::Bind(volume),
    }
}

/// Why a volume that a claim names will not do.
fn mismatch(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<String> {
    let name = volume.name_any();
    if volume.metadata.deletion_timestamp.is_some() {
        return Some(format!("the volume is marked for deletion \"{name}\""));
    }
    let why = if capacity(volume) < request(claim) {
        "requested PV is too small"
    } else if volume_class(volume) != claim_class(claim) {
        "storageClassName does not match"
    } else if !volume_modes_fit(claim, volume) {
        "incompatible volumeMode"
    } else if !modes_fit(claim, volume) {
        "incompatible accessMode"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// What is done with a volume.
#[derive(Debug, PartialEq, Eq)]
pub enum VolumeStep {
    /// It gets this phase.
    Phase(&'static str),
    /// Its claim is gone: phase `Released`, then what its reclaim policy says.
    Release,
    /// Its claim has another volume: it is nobody's again, or reserved as before.
    Unbind,
    /// Its claim's step will finish the binding.
    LeaveToClaim,
}

/// What a volume asks for. `claim` is the one that it names, if that is there.
pub fn volume_step(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> VolumeStep {
    let Some(named) = &volume_spec(volume).claim_ref else {
        return VolumeStep::Phase("Available");
    };
    if named.uid.as_deref().unwrap_or_default().is_empty() {
        // A person has reserved it; the claim may be yet to come.
        return VolumeStep::Phase("Available");
    }
    // Another claim of the same name is not the one that it was bound to.
    let claim = claim.filter(|claim| claim.metadata.uid == named.uid);
    match claim {
        None => VolumeStep::Release,
        Some(claim) if volume_name(claim).is_empty() => VolumeStep::LeaveToClaim,
        Some(claim) if volume_name(claim) == volume.name_any() => VolumeStep::Phase("Bound"),
        Some(_) => VolumeStep::Unbind,
    }
}

/// A volume that names no claim any more, or only reserves itself as its maker wanted.
pub fn unbound(volume: &PersistentVolume) -> PersistentVolume {
    let mut volume = volume.clone();
    let annotations = volume.metadata.annotations.as_mut();
    let by_controller = annotations.and_then(|annotations| annotations.remove(BOUND_BY_CONTROLLER));
    if let Some(spec) = &mut volume.spec {
        if by_controller.is_some() {
            spec.claim_ref = None;
        } else if let Some(named) = &mut spec.claim_ref {
            named.uid = None;
        }
    }
    volume
}

/// What becomes of a released volume that is not kept: nothing here can delete or empty one, so
/// it has failed, and what is told of it.
pub fn reclaim(volume: &PersistentVolume) -> Option<News> {
    if volume_phase(volume) == "Failed" {
        return None;
    }
    let spec = volume_spec(volume);
    match spec.persistent_volume_reclaim_policy.as_deref() {
        None | Some("Retain") => None,
        Some("Recycle") => warning(
            "VolumeFailedRecycle",
            "No recycler plugin found for the volume!",
        ),
        // Who made it deletes it.
        Some(_) if spec.csi.is_some() => None,
        Some(_) => {
            let name = volume.name_any();
            let message = match &spec.host_path {
                Some(host_path) if !host_path.path.starts_with("/tmp/") => format!(
                    "host_path deleter only supports /tmp/.+ but received provided {}",
                    host_path.path
                ),
                _ => format!(
                    "error getting deleter volume plugin for volume \"{name}\": no deletable \
                     volume plugin matched"
                ),
            };
            warning("VolumeFailedDelete", message)
        }
    }
}
