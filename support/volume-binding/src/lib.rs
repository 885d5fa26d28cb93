//! Which volume is which claim's: what controllers, scheduler and kubelet have to agree on.
//!
//! A claim and a volume are bound when each names the other. The volume is written first, so a
//! volume that names a claim is nobody else's, whatever happens next:
//!
//! ```text
//!   volume.spec.claimRef = claim    reserved; without the claim's uid: by a person
//!   claim.spec.volumeName = volume  and the annotation `bind-completed`: bound
//! ```
//!
//! Everything here is a function of objects. Upstream keeps the same between its components:
//! `staging/src/k8s.io/component-helpers/storage/volume`.

mod matching;
mod selector;
mod size;

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::StorageClass;

pub use matching::{Search, find_matching_volume, modes_fit, volume_modes_fit};
pub use selector::{node_fits, selects};
pub use size::{capacity, request};

/// Annotation of a claim whose binding is complete.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of a volume or claim whose half of the binding a controller wrote, and no person.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Annotation of a volume that a provisioner made for its claim.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Annotation of a claim for which a volume is to be made on this node.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation that named a class before there was a field for it.
pub const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The provisioner that makes nothing: volumes of such a class are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// A claim's spec. The API server stores no claim without.
pub fn claim_spec(claim: &PersistentVolumeClaim) -> &PersistentVolumeClaimSpec {
    static NONE: std::sync::LazyLock<PersistentVolumeClaimSpec> =
        std::sync::LazyLock::new(PersistentVolumeClaimSpec::default);
    claim.spec.as_ref().unwrap_or(&NONE)
}

/// A volume's spec. The API server stores no volume without.
pub fn volume_spec(volume: &PersistentVolume) -> &PersistentVolumeSpec {
    static NONE: std::sync::LazyLock<PersistentVolumeSpec> =
        std::sync::LazyLock::new(PersistentVolumeSpec::default);
    volume.spec.as_ref().unwrap_or(&NONE)
}

/// The class that a claim asks for; empty for none.
pub fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    let old = claim.metadata.annotations.as_ref();
    let old = old.and_then(|annotations| annotations.get(OLD_CLASS));
    let class = old.or(claim_spec(claim).storage_class_name.as_ref());
    class.map_or("", String::as_str)
}

/// The class of a volume; empty for none.
pub fn volume_class(volume: &PersistentVolume) -> &str {
    let old = volume.metadata.annotations.as_ref();
    let old = old.and_then(|annotations| annotations.get(OLD_CLASS));
    let class = old.or(volume_spec(volume).storage_class_name.as_ref());
    class.map_or("", String::as_str)
}

/// The volume that a claim names; empty for none.
pub fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim_spec(claim).volume_name.as_deref().unwrap_or_default()
}

/// `status.phase` of a claim; empty if it has none yet.
pub fn claim_phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// `status.phase` of a volume; empty if it has none yet.
pub fn volume_phase(volume: &PersistentVolume) -> &str {
    let status = volume.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Whether a claim is bound for good: it names its volume, and the volume is known to name it.
pub fn is_fully_bound(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    !volume_name(claim).is_empty()
        && annotations.is_some_and(|annotations| annotations.contains_key(BIND_COMPLETED))
}

/// Whether a volume names a claim: this very one, or by a person one of its name.
pub fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(named) = &volume_spec(volume).claim_ref else {
        return false;
    };
    named.name == claim.metadata.name
        && named.namespace == claim.metadata.namespace
        && named
            .uid
            .as_ref()
            .is_none_or(|uid| uid.is_empty() || Some(uid) == claim.metadata.uid.as_ref())
}

/// A volume that names the claim; `None` if it does already.
pub fn bind_to_claim(
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Option<PersistentVolume> {
    let named = volume_spec(volume).claim_ref.as_ref();
    if is_bound_to(volume, claim) && named.and_then(|named| named.uid.as_ref()).is_some() {
        return None;
    }
    let mut bound = volume.clone();
    if !is_bound_to(volume, claim) {
        let annotations = bound.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    bound.spec.get_or_insert_default().claim_ref = Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        field_path: None,
    });
    Some(bound)
}

/// Whether claims of a class wait for a pod that uses them, so that the volume suits its node.
pub fn waits_for_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}
