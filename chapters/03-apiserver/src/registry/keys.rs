//! Where an object lives in the store: `/registry/pods/{namespace}/{name}`.
//!
//! The places are upstream's, names from before 1.0 included (`minions` are nodes), so that a
//! look into the store with `etcdctl` shows what it would show there.

use crate::resources::{Resource, by_kind};

/// What every key begins with.
pub const ROOT: &str = "/registry/";

/// What the keys of a resource begin with: `/registry/pods/`.
pub fn prefix(resource: &Resource) -> String {
    if resource.custom.is_some() {
        return format!("{ROOT}{}/{}/", resource.group, resource.plural);
    }
    let place = match (resource.group, resource.plural) {
        ("apiextensions.k8s.io", plural) => return format!("{ROOT}{}/{plural}/", resource.group),
        ("", "nodes") => "minions",
        ("", "services") => "services/specs",
        ("", "endpoints") => "services/endpoints",
        ("", "replicationcontrollers") => "controllers",
        ("networking.k8s.io", "ingresses") => "ingress",
        (_, plural) => plural,
    };
    format!("{ROOT}{place}/")
}

/// The key of an object below its resource's prefix: `{namespace}/{name}`, or `{name}`.
pub fn local(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// The resource whose storage a resource shares. Events of core/v1 and of events.k8s.io/v1 are
/// the same objects in two forms, and are kept in the first; so are both versions of an autoscaler,
/// and are kept in the second.
pub fn stored_as<'a>(resource: &Resource<'a>) -> Resource<'a> {
    match (resource.group, resource.plural) {
        ("events.k8s.io", "events") => *by_kind("", "v1", "Event").expect("core events are served"),
        ("autoscaling", "horizontalpodautoscalers") => {
            *by_kind("autoscaling", "v2", resource.kind).expect("the second version is served")
        }
        _ => *resource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    #[test]
    fn places_are_upstreams() {
        let place = |plural: &str| {
            prefix(
                resources::all()
                    .find(|r| r.plural == plural)
                    .expect("is served"),
            )
        };
        assert_eq!(place("pods"), "/registry/pods/");
        assert_eq!(place("nodes"), "/registry/minions/");
        assert_eq!(place("services"), "/registry/services/specs/");
        assert_eq!(place("deployments"), "/registry/deployments/");
    }

    #[test]
    fn no_prefix_hides_another() {
        let stored: Vec<String> = resources::all()
            .filter(|r| r.is_stored() && stored_as(r) == **r)
            .map(prefix)
            .collect();
        for (i, a) in stored.iter().enumerate() {
            for b in &stored[i + 1..] {
                assert!(!a.starts_with(b) && !b.starts_with(a), "{a} and {b}");
            }
        }
    }
}
