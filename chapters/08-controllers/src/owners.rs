//! Who owns what: owner references, and the labels that find candidates.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, OwnerReference,
};
use kube::Resource;

/// The owner that manages the object, of which there is at most one. Upstream:
/// `metav1.GetControllerOf`.
pub fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object
        .meta()
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// Index function: the uid of the object's controller.
pub fn index_by_controller<K: Resource>(object: &K) -> Vec<String> {
    controller_of(object)
        .map(|owner| owner.uid.clone())
        .into_iter()
        .collect()
}

/// A reference to `owner` as the controller of something, whose deletion in the foreground waits
/// for that something. Upstream: `metav1.NewControllerRef`.
///
/// # Panics
/// If `owner` did not come from the API, which gives everything a name and a uid.
pub fn controller_reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    let reference = owner
        .controller_owner_ref(&())
        .expect("objects of the API have a name and a uid");
    OwnerReference {
        block_owner_deletion: Some(true),
        ..reference
    }
}

/// Whether `labels` fit `selector`. An empty selector fits everything, `None` nothing.
/// Upstream: `metav1.LabelSelectorAsSelector`.
pub fn selects(
    selector: Option<&LabelSelector>,
    labels: Option<&BTreeMap<String, String>>,
) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    let get = |key: &str| labels.and_then(|labels| labels.get(key));
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| get(key) == Some(value));
    equal
        && selector
            .match_expressions
            .iter()
            .flatten()
            .all(|requirement| fits(requirement, get))
}

fn fits<'a>(
    requirement: &LabelSelectorRequirement,
    get: impl Fn(&str) -> Option<&'a String>,
) -> bool {
    let value = get(&requirement.key);
    let listed = |value: &String| {
        requirement
            .values
            .iter()
            .flatten()
            .any(|allowed| allowed == value)
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
