//! Fields that a write cannot change, and so does not own: a status by way of the object, a spec
//! by way of its status.
//!
//! | written by | kinds | what it does not own |
//! | --- | --- | --- |
//! | the object's path | all that have a status apart | `status` |
//! | | CertificateSigningRequest | `spec`, too: it is what was asked for |
//! | | ServiceCIDR | nothing is left out |
//! | `status` | all | `spec` |
//! | | Deployment | `metadata.labels`, too |
//! | | Pod | `metadata.deletionTimestamp` and `ownerReferences`, too |
//! | | what keeps metadata apart, and what clients define | `metadata`, too |
//! | other parts | Namespace, CertificateSigningRequest, Pod | see [`Reset::of`] |
//!
//! Upstream: `GetResetFields` and `GetResetFieldsFilter` of `pkg/registry/*/*/strategy.go`. Those
//! of ServiceCIDR are said for a group that does not exist.

use super::Typed;
use super::path::{Element, Set};

/// What a write does not own.
pub(super) struct Reset {
    without: Set,
    /// If any: it owns nothing but what begins so.
    only: &'static [&'static [&'static str]],
}

const EPHEMERAL: &[&[&str]] = &[&["spec", "ephemeralContainers"]];
const RESIZED: &[&[&str]] = &[
    &["spec", "containers", "*", "resources"],
    &["spec", "containers", "*", "resizePolicy"],
    &["spec", "initContainers", "*", "resources"],
    &["spec", "initContainers", "*", "resizePolicy"],
];
/// Kinds whose status is written without metadata.
const STATUS_ALONE: &[&str] = &[
    "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    "io.k8s.api.flowcontrol.v1.FlowSchema",
    "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    "io.k8s.api.resource.v1.ResourceClaim",
    "io.k8s.api.storage.v1.VolumeAttachment",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
];

impl Reset {
    /// What a write to an object of a type, by one of its paths, does not own.
    pub(super) fn of(typed: Typed, subresource: &str) -> Reset {
        let only = match (typed.name(), subresource) {
            ("io.k8s.api.core.v1.Pod", "ephemeralcontainers") => EPHEMERAL,
            ("io.k8s.api.core.v1.Pod", "resize") => RESIZED,
            _ => &[],
        };
        let mut without = Set::default();
        for path in fields(typed, subresource) {
            let path: Vec<Element> = path.split('.').map(Element::field).collect();
            without.insert(&path);
        }
        Reset { without, only }
    }

    /// A set without what is not owned.
    pub(super) fn filter(&self, set: Set) -> Set {
        let set = set.recursive_difference(&self.without);
        match self.only {
            [] => set,
            only => set.matching(only),
        }
    }
}

fn fields(typed: Typed, subresource: &str) -> &'static [&'static str] {
    if let Typed::Custom(custom) = typed {
        return match subresource {
            "" if custom.has_status() => &["status"],
            "status" => &["metadata", "spec"],
            _ => &[],
        };
    }
    match (typed.name(), subresource) {
        ("io.k8s.api.networking.v1.ServiceCIDR", _) => &[],
        ("io.k8s.api.certificates.v1.CertificateSigningRequest", part) => match part {
            "" => &["spec", "status"],
            "status" => &["spec", "status.conditions"],
            "approval" => &["spec", "status.certificate"],
            _ => &[],
        },
        ("io.k8s.api.core.v1.Namespace", "finalize") => &["status"],
        ("io.k8s.api.core.v1.Pod", "status") => &[
            "metadata.deletionTimestamp",
            "metadata.ownerReferences",
            "spec",
        ],
        ("io.k8s.api.apps.v1.Deployment", "status") => &["metadata.labels", "spec"],
        (name, "status") if STATUS_ALONE.contains(&name) => &["metadata", "spec"],
        (_, "") => &["status"],
        (_, "status") => &["spec"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    /// As the strategies of `pkg/registry/{certificates/certificates,resource/resourceclaim}` and
    /// of kube-aggregator's `pkg/registry/apiservice` have it.
    #[test]
    fn what_a_write_cannot_change_is_not_its_own() {
        let of = |schema: &'static str, part: &str| fields(Typed::Named(schema), part);
        let request = "io.k8s.api.certificates.v1.CertificateSigningRequest";
        assert_eq!(of(request, ""), ["spec", "status"]);
        assert_eq!(of(request, "status"), ["spec", "status.conditions"]);
        assert_eq!(of(request, "approval"), ["spec", "status.certificate"]);
        let service = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";
        let claim = "io.k8s.api.resource.v1.ResourceClaim";
        for schema in [service, claim] {
            assert_eq!(of(schema, ""), ["status"], "{schema}");
            assert_eq!(of(schema, "status"), ["metadata", "spec"], "{schema}");
        }
    }

    #[test]
    fn kinds_that_are_named_are_served() {
        let served: Vec<&str> = resources::all().map(|resource| resource.schema).collect();
        for name in STATUS_ALONE {
            assert!(served.contains(name), "{name}");
        }
    }
}
