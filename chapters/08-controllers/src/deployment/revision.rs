//! Which ReplicaSet is the Deployment's now, and which were: templates, hashes, revisions.
//!
//! Upstream: `pkg/controller/deployment/util/deployment_util.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use sha2::{Digest, Sha256};

/// Label that tells the pods of one template from those of another.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotation: the number of the rollout.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Annotation: numbers that this template had in earlier rollouts.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotation: the Deployment's replicas when the ReplicaSet was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// Annotation: those and what may surge above them.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a Deployment that its ReplicaSets do not share.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Characters of a hash: no vowels and nothing that looks alike, as in names everywhere else.
const SAFE_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for a template. Upstream hashes a dump of the Go object with FNV; any stable hash
/// does, since only equal templates must have equal ones, and `collision_count` tells apart two
/// that meet by chance.
pub fn template_hash(template: &PodTemplateSpec, collision_count: i32) -> String {
    let json = serde_json::to_vec(template).expect("an object that came as JSON goes as JSON");
    let digest = Sha256::new()
        .chain_update(json)
        .chain_update(collision_count.to_le_bytes());
    let digest = digest.finalize();
    let letter = |byte: &u8| SAFE_ALPHABET[*byte as usize % SAFE_ALPHABET.len()] as char;
    digest.iter().take(10).map(letter).collect()
}

/// Whether two templates make the same pods: the hash label does not count.
pub fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
        let mut template = template.clone();
        if let Some(labels) = template
            .metadata
            .as_mut()
            .and_then(|meta| meta.labels.as_mut())
        {
            labels.remove(POD_TEMPLATE_HASH);
        }
        template
    }
    without_hash(a) == without_hash(b)
}

/// The ReplicaSet of the Deployment's template, the oldest if there are several, and all others.
pub fn split(
    deployment: &Deployment,
    replica_sets: &[Arc<ReplicaSet>],
) -> (Option<Arc<ReplicaSet>>, Vec<Arc<ReplicaSet>>) {
    let mut by_age: Vec<Arc<ReplicaSet>> = replica_sets.to_vec();
    by_age.sort_by_key(|set| age(set));
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let is_new = |set: &Arc<ReplicaSet>| {
        let theirs = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
        theirs
            .zip(template)
            .is_some_and(|(theirs, ours)| same_template(theirs, ours))
    };
    match by_age.iter().position(is_new) {
        Some(position) => {
            let new = by_age.remove(position);
            (Some(new), by_age)
        }
        None => (None, by_age),
    }
}

/// Sorts by creation, then name.
pub fn age(set: &ReplicaSet) -> (Option<jiff::Timestamp>, Option<String>) {
    (
        set.metadata.creation_timestamp.as_ref().map(|time| time.0),
        set.metadata.name.clone(),
    )
}

/// The revision of a ReplicaSet, 0 where none is written.
pub fn revision(set: &ReplicaSet) -> i64 {
    annotation(set.metadata.annotations.as_ref(), REVISION).unwrap_or(0)
}

/// A number in an annotation.
pub fn annotation<N: std::str::FromStr>(
    annotations: Option<&BTreeMap<String, String>>,
    name: &str,
) -> Option<N> {
    annotations?.get(name)?.parse().ok()
}

/// The annotations that a ReplicaSet of this Deployment should have, given those that it has.
/// `new_revision` is set for the ReplicaSet of the current template.
pub fn annotations_for(
    deployment: &Deployment,
    existing: Option<&BTreeMap<String, String>>,
    new_revision: Option<i64>,
) -> BTreeMap<String, String> {
    let mut annotations = existing.cloned().unwrap_or_default();
    for (name, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    let Some(new_revision) = new_revision else {
        return annotations;
    };
    let old_revision: i64 = annotation(Some(&annotations), REVISION).unwrap_or(0);
    if old_revision < new_revision {
        annotations.insert(REVISION.into(), new_revision.to_string());
        if old_revision > 0 {
            // A rollback: the template keeps the numbers that it had.
            let mut history: Vec<String> = annotations
                .get(REVISION_HISTORY)
                .map(|history| history.split(',').map(str::to_owned).collect())
                .unwrap_or_default();
            history.push(old_revision.to_string());
            annotations.insert(REVISION_HISTORY.into(), history.join(","));
        }
    }
    annotations
}

/// Old ReplicaSets that the history has no more room for: idle ones, the oldest revisions first.
/// Upstream: `cleanupDeployment`.
pub fn superfluous(deployment: &Deployment, old: &[Arc<ReplicaSet>]) -> Vec<Arc<ReplicaSet>> {
    let limit = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.revision_history_limit);
    let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else {
        return Vec::new();
    };
    let alive: Vec<_> = old
        .iter()
        .filter(|set| set.metadata.deletion_timestamp.is_none())
        .collect();
    let surplus = alive.len().saturating_sub(limit.max(0) as usize);
    let mut by_revision = alive;
    by_revision.sort_by_key(|set| revision(set));
    let is_idle = |set: &&Arc<ReplicaSet>| {
        let status = set.status.clone().unwrap_or_default();
        let spec = set.spec.as_ref();
        status.replicas == 0
            && spec.and_then(|spec| spec.replicas) == Some(0)
            && status.observed_generation >= set.metadata.generation
    };
    by_revision
        .into_iter()
        .take(surplus)
        .filter(is_idle)
        .cloned()
        .collect()
}
