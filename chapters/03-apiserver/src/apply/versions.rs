//! Versions of the API that a manager's fields may be noted in, though they are served no more.
//!
//! What a manager owns in a version that nobody knows is forgotten at the next write. Upstream
//! asks its scheme (`IsMissingVersionError` of `managedfields/internal/versionconverter.go`);
//! versions of what clients define are kept here, where it would refuse every write.

use super::Typed;

/// All versions of a group that upstream can still read.
const KNOWN: &[(&str, &[&str])] = &[
    ("", &["v1"]),
    (
        "admissionregistration.k8s.io",
        &["v1", "v1alpha1", "v1beta1"],
    ),
    ("apiextensions.k8s.io", &["v1", "v1beta1"]),
    ("apiregistration.k8s.io", &["v1", "v1beta1"]),
    ("apps", &["v1", "v1beta1", "v1beta2"]),
    ("autoscaling", &["v1", "v2", "v2beta1", "v2beta2"]),
    ("batch", &["v1", "v1beta1"]),
    ("certificates.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("coordination.k8s.io", &["v1", "v1alpha2", "v1beta1"]),
    ("discovery.k8s.io", &["v1", "v1beta1"]),
    ("events.k8s.io", &["v1", "v1beta1"]),
    ("extensions", &["v1beta1"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &["v1", "v1beta1", "v1beta2", "v1beta3"],
    ),
    ("networking.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("node.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("policy", &["v1", "v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("resource.k8s.io", &["v1", "v1alpha3", "v1beta1", "v1beta2"]),
    ("scheduling.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("storage.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
];

/// Whether fields of objects of a type may be noted in that version.
pub(super) fn is_known(typed: Typed, api_version: &str) -> bool {
    if matches!(typed, Typed::Custom(_)) {
        return true;
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let mut known = KNOWN.iter();
    known.any(|(name, versions)| *name == group && versions.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    #[test]
    fn what_is_served_is_known() {
        for resource in resources::all().filter(|resource| resource.is_stored()) {
            let version = resource.api_version();
            assert!(is_known(Typed::of(resource), &version), "{version}");
        }
    }
}
