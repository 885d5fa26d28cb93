//! The volume that suits a claim best.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::selector::Labels;
use crate::{
    capacity, claim_class, claim_spec, is_bound_to, node_fits, request, selects, volume_class,
    volume_phase, volume_spec,
};

/// Who searches, and where.
#[derive(Default)]
pub struct Search<'a> {
    /// The name and labels of the node that has to reach the volume: the scheduler's search.
    pub node: Option<(&'a str, &'a Labels)>,
    /// Names of volumes that are spoken for.
    pub taken: BTreeSet<String>,
    /// The claim waits for its consumer: only a volume that names it already will do.
    pub waits: bool,
}

/// The volume for a claim: one that names it, if it is large enough; else, of those that are
/// available and suit it, the one with the fewest access modes, of these the smallest, and of
/// those the first by name. Upstream: `FindMatchingVolume`, `findByClaim`.
pub fn find_matching_volume<'v>(
    claim: &PersistentVolumeClaim,
    volumes: impl IntoIterator<Item = &'v PersistentVolume>,
    search: &Search<'_>,
) -> Option<&'v PersistentVolume> {
    let mut best: Option<&PersistentVolume> = None;
    for volume in volumes {
        if !is_possible(claim, volume, search) {
            continue;
        }
        let node = search.node;
        let reached = node.is_none_or(|(node, labels)| node_fits(volume, node, labels));
        if is_bound_to(volume, claim) {
            return reached.then_some(volume);
        }
        let suits = reached && !search.waits && is_available(claim, volume);
        if suits && best.is_none_or(|best| closer(volume, best) == Ordering::Less) {
            best = Some(volume);
        }
    }
    best
}

/// What holds for a volume that was reserved for the claim, too.
fn is_possible(
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    search: &Search<'_>,
) -> bool {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let is_others = volume_spec(volume).claim_ref.is_some() && !is_bound_to(volume, claim);
    !is_others
        && !search.taken.contains(name)
        && capacity(volume) >= request(claim)
        && volume_modes_fit(claim, volume)
        && modes_fit(claim, volume)
        && volume.metadata.deletion_timestamp.is_none()
}

fn is_available(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let labels = volume.metadata.labels.clone().unwrap_or_default();
    let selector = claim_spec(claim).selector.as_ref();
    volume_phase(volume) == "Available"
        && selector.is_none_or(|selector| selects(selector, &labels))
        && volume_class(volume) == claim_class(claim)
}

fn closer(a: &PersistentVolume, b: &PersistentVolume) -> Ordering {
    let modes = |volume: &PersistentVolume| {
        let modes = volume_spec(volume).access_modes.iter().flatten();
        modes.collect::<BTreeSet<_>>().len()
    };
    let by_modes = modes(a).cmp(&modes(b));
    by_modes
        .then_with(|| capacity(a).cmp(&capacity(b)))
        .then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

/// Whether a volume has all access modes that a claim asks for.
pub fn modes_fit(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let has = volume_spec(volume)
        .access_modes
        .as_deref()
        .unwrap_or_default();
    let mut wanted = claim_spec(claim).access_modes.iter().flatten();
    wanted.all(|mode| has.contains(mode))
}

/// Whether both are files, or both a device.
pub fn volume_modes_fit(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    fn or_files(mode: &Option<String>) -> &str {
        mode.as_deref().unwrap_or("Filesystem")
    }
    or_files(&claim_spec(claim).volume_mode) == or_files(&volume_spec(volume).volume_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn volume(name: &str, size: &str, changes: Value) -> PersistentVolume {
        let mut spec = json!({
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
        });
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"disk": name}},
            "spec": spec,
            "status": {"phase": "Available"},
        }))
        .unwrap()
    }

    fn claim(changes: Value) -> PersistentVolumeClaim {
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "manual",
            "resources": {"requests": {"storage": "2Gi"}},
        });
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let meta = json!({"name": "c", "namespace": "ns", "uid": "u1"});
        serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
    }

    fn best(
        claim: &PersistentVolumeClaim,
        volumes: &[PersistentVolume],
        search: &Search<'_>,
    ) -> String {
        let found = find_matching_volume(claim, volumes, search);
        found.map_or("none".to_owned(), |volume| {
            volume.metadata.name.clone().unwrap()
        })
    }

    #[test]
    fn the_smallest_that_is_large_enough_and_suits() {
        let many = json!({"accessModes": ["ReadWriteOnce", "ReadWriteMany"]});
        let volumes = [
            volume("small", "1Gi", json!({})),
            volume("large", "10Gi", json!({})),
            volume("fits", "5Gi", json!({})),
            volume("shared", "3Gi", many),
            volume("block", "2Gi", json!({"volumeMode": "Block"})),
            volume("fast", "2Gi", json!({"storageClassName": "fast"})),
            volume(
                "other",
                "2Gi",
                json!({"claimRef": {"namespace": "ns", "name": "d"}}),
            ),
        ];
        let check = |changes: Value, expect: &str| {
            let found = best(&claim(changes.clone()), &volumes, &Search::default());
            assert_eq!(found, expect, "{changes}");
        };
        check(json!({}), "fits");
        check(json!({"accessModes": ["ReadWriteMany"]}), "shared");
        check(json!({"accessModes": ["ReadOnlyMany"]}), "none");
        check(json!({"storageClassName": "fast"}), "fast");
        check(json!({"storageClassName": ""}), "none");
        check(json!({"volumeMode": "Block"}), "block");
        check(
            json!({"selector": {"matchLabels": {"disk": "large"}}}),
            "large",
        );
        check(
            json!({"resources": {"requests": {"storage": "20Gi"}}}),
            "none",
        );
    }

    #[test]
    fn one_that_names_the_claim_comes_first() {
        let reserved = |uid: Option<&str>| {
            let named = json!({"namespace": "ns", "name": "c", "uid": uid});
            volume(
                "reserved",
                "10Gi",
                json!({"claimRef": named, "storageClassName": "x"}),
            )
        };
        let free = volume("free", "2Gi", json!({}));
        let waits = Search {
            waits: true,
            ..Search::default()
        };
        for (uid, at_once, waiting) in [
            (None, "reserved", "reserved"),
            (Some("u1"), "reserved", "reserved"),
            (Some("u2"), "free", "none"),
        ] {
            let volumes = [free.clone(), reserved(uid)];
            assert_eq!(
                best(&claim(json!({})), &volumes, &Search::default()),
                at_once
            );
            assert_eq!(best(&claim(json!({})), &volumes, &waits), waiting);
        }
    }

    #[test]
    fn a_node_has_to_reach_it() {
        let on = |node: &str| {
            let term = json!({"key": "host", "operator": "In", "values": [node]});
            json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [term]},
            ]}}})
        };
        let volumes = [volume("a", "2Gi", on("n1")), volume("b", "2Gi", on("n2"))];
        let labels = |node: &str| Labels::from([("host".to_owned(), node.to_owned())]);
        let found = |node: &str, taken: &[&str]| {
            let search = Search {
                node: Some((node, &labels(node))),
                taken: taken.iter().map(|name| (*name).to_owned()).collect(),
                waits: false,
            };
            best(&claim(json!({})), &volumes, &search)
        };
        assert_eq!(found("n1", &[]), "a");
        assert_eq!(found("n2", &[]), "b");
        assert_eq!(found("n2", &["b"]), "none");
        assert_eq!(found("n3", &[]), "none");
    }
}
