//! What each kind does to an object before it is stored: what a writer may set, what the server
//! sets itself, and when `generation` counts up.
//!
//! Upstream: `PrepareForCreate` and `PrepareForUpdate` of `pkg/registry/*/*/strategy.go`.

use serde_json::{Value, json};

use super::delete::DeleteOptions;
use super::rules::{self, Generations};
use super::{certificates, gates, meta};
use crate::custom;
use crate::defaults::{self, devices};
use crate::resources::Resource;

/// Whether a write without `resourceVersion` may overwrite whatever is there.
pub fn allows_unconditional_update(resource: &Resource) -> bool {
    if resource.custom.is_some() {
        return false;
    }
    match rules::of(resource) {
        Some(rules) => rules.unconditional_update,
        None => !matches!(
            resource.plural,
            "leases" | "poddisruptionbudgets" | "runtimeclasses"
        ),
    }
}

/// Whether an object that has no name is given one.
pub fn is_named_by_server(resource: &Resource) -> bool {
    resource.group.is_empty() && resource.plural == "limitranges"
}

/// Whether a new object's status is its writer's: a kubelet says in one go that its node is there
/// and how it is, and some custom resources have no status apart.
pub fn takes_status(resource: &Resource) -> bool {
    match resource.custom {
        Some(custom) => !custom.has_status(),
        None => resource.plural == "nodes",
    }
}

/// Whether an update makes the object where there is none.
pub fn allows_create_on_update(resource: &Resource) -> bool {
    resource.custom.is_none()
        && matches!(
            resource.plural,
            "leases"
                | "limitranges"
                | "endpoints"
                | "events"
                | "services"
                | "runtimeclasses"
                | "roles"
                | "rolebindings"
                | "clusterroles"
                | "clusterrolebindings"
        )
}

/// Whether the object itself, and not a `Status`, answers its deletion.
pub fn returns_deleted_object(resource: &Resource) -> bool {
    if let Some(rules) = rules::of(resource) {
        return rules.returns_deleted;
    }
    matches!(
        resource.plural,
        "pods"
            | "services"
            | "serviceaccounts"
            | "namespaces"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "podtemplates"
            | "resourcequotas"
    ) && resource.group.is_empty()
}

/// Whether an object's changes are counted in `metadata.generation`.
fn counts_generations(resource: &Resource) -> bool {
    if let Some(rules) = rules::of(resource) {
        return rules.generations != Generations::No;
    }
    matches!(
        resource.plural,
        "pods"
            | "deployments"
            | "replicasets"
            | "endpointslices"
            | "priorityclasses"
            | "podtemplates"
            | "replicationcontrollers"
            | "daemonsets"
            | "statefulsets"
            | "jobs"
            | "cronjobs"
            | "poddisruptionbudgets"
            | "ingresses"
            | "ingressclasses"
            | "networkpolicies"
    )
}

fn is_slice(resource: &Resource) -> bool {
    (resource.group, resource.plural) == ("resource.k8s.io", "resourceslices")
}

/// Whether `status` is a subresource of it.
fn has_status(resource: &Resource) -> bool {
    resource.subresource("status").is_some()
}

pub use certificates::fill_in_requester;

/// Readies an object for its creation.
pub fn prepare_create(resource: &Resource, object: &mut Value) {
    if let Some(custom) = resource.custom {
        return custom::prepare_create(custom, object);
    }
    defaults::prepare_for_create(resource, object);
    gates::drop_disabled(resource, object, None);
    if is_slice(resource) {
        let now = object["metadata"]["creationTimestamp"].clone();
        devices::date_taints(object, now.as_str().unwrap_or_default());
    }
    let starts = rules::of(resource).is_none_or(|r| r.generations == Generations::All);
    let generation = (starts && counts_generations(resource)).then(|| json!(1));
    meta::set(object, "generation", generation);
    if resource.plural == "daemonsets" {
        set_template_generation(object, 1);
    }
}

/// The annotation in which apps/v1 keeps a count of the changes of a DaemonSet's template, which
/// was a field once. Upstream: `pkg/apis/apps/v1/conversion.go`.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn set_template_generation(daemon_set: &mut Value, generation: i64) {
    let metadata = meta::metadata(daemon_set);
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    annotations[TEMPLATE_GENERATION] = generation.to_string().into();
}

fn template_generation(daemon_set: &Value) -> i64 {
    let noted = daemon_set["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    noted.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether nothing can be owned by such an object, so that its deletion has nothing to wait for.
pub fn owns_nothing(resource: &Resource) -> bool {
    resource.custom.is_none() && resource.plural == "events"
}

/// Whether deleting an object leaves what it owns where its deletion does not say: a habit of
/// older kinds. Upstream: `DefaultGarbageCollectionPolicy` of each strategy.
pub fn orphans_by_default(resource: &Resource) -> bool {
    matches!(
        (resource.group, resource.plural),
        ("", "replicationcontrollers") | ("batch", "jobs")
    )
}

/// Readies an object for its update: through the main path, the status stays; through `status`,
/// all else does.
pub fn prepare_update(resource: &Resource, subresource: &str, new: &mut Value, old: &Value) {
    if let Some(custom) = resource.custom {
        return custom::prepare_update(custom, subresource, new, old);
    }
    gates::drop_disabled(resource, new, Some(old));
    let is_pod = resource.group.is_empty() && resource.plural == "pods";
    if certificates::is_request(resource) {
        return certificates::prepare_update(subresource, new, old);
    }
    match subresource {
        "status" if rules::of(resource).is_some_and(|rules| !rules.status_has_metadata) => {
            keep_all_but(new, old, &["status", "metadata"]);
            for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                meta::set(new, field, old["metadata"].get(field).cloned());
            }
        }
        "status" => {
            keep_all_but(new, old, &["status", "metadata"]);
            if is_pod {
                let references = old["metadata"].get("ownerReferences").cloned();
                meta::set(new, "ownerReferences", references);
            }
            if resource.plural == "deployments" {
                meta::set(new, "labels", old["metadata"].get("labels").cloned());
            }
        }
        "finalize" => meta::carry(old, new, "status"),
        "ephemeralcontainers" => {
            let containers = new["spec"].get("ephemeralContainers").cloned();
            keep_all_but(new, old, &["metadata"]);
            if let Some(containers) = containers {
                new["spec"]["ephemeralContainers"] = containers;
            }
        }
        "resize" => {
            let resized: Vec<_> = ["containers", "initContainers"]
                .map(|list| (list, resized(&new["spec"][list], &old["spec"][list])))
                .into();
            keep_all_but(new, old, &["metadata"]);
            for (list, containers) in resized {
                if !containers.is_null() {
                    new["spec"][list] = containers;
                }
            }
        }
        "" if has_status(resource) => {
            meta::carry(old, new, "status");
            if resource.plural == "customresourcedefinitions" {
                custom::definition::note_storage_version(new);
            }
            if resource.group.is_empty() && resource.plural == "namespaces" {
                if !new["spec"].is_object() {
                    new["spec"] = json!({});
                }
                meta::carry(&old["spec"], &mut new["spec"], "finalizers");
            }
        }
        _ => {}
    }
    if resource.plural == "daemonsets" {
        let changed = new["spec"]["template"] != old["spec"]["template"];
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }
    let generation = meta::generation(old);
    // Where a pod runs is the scheduler's answer, and not its owner's wish; nor is a status, with
    // which a Deployment's controller writes the annotation of its revision.
    let counted = !matches!(subresource, "binding" | "status")
        && counts_generations(resource)
        && changes_intent(resource, new, old);
    let generation = if counted { generation + 1 } else { generation };
    meta::set(
        new,
        "generation",
        (generation > 0).then(|| generation.into()),
    );
}

/// Notes when a PersistentVolume's phase last changed, the conditions of a request for a certificate
/// did, or a device was tainted, unless their writer did.
/// Upstream: `pkg/registry/core/persistentvolume/strategy.go`.
pub fn note_transition(resource: &Resource, new: &mut Value, old: &Value, now: &str) {
    const AT: &str = "lastPhaseTransitionTime";
    if certificates::is_request(resource) {
        return certificates::note_times(new, old, now);
    }
    if is_slice(resource) {
        return devices::date_taints(new, now);
    }
    let (before, after) = (&old["status"], &new["status"]);
    if resource.plural == "persistentvolumes"
        && resource.custom.is_none()
        && before["phase"] != after["phase"]
        && before[AT] == after[AT]
    {
        new["status"][AT] = now.into();
    }
}

/// The containers of old with the resources of new. Names that differ are left for validation to
/// refuse.
fn resized(new: &Value, old: &Value) -> Value {
    let (Some(wanted), Some(were)) = (new.as_array(), old.as_array()) else {
        return new.clone();
    };
    let same_names = wanted.len() == were.len()
        && wanted
            .iter()
            .zip(were)
            .all(|(new, old)| new["name"] == old["name"]);
    if !same_names {
        return new.clone();
    }
    let containers = wanted.iter().zip(were).map(|(new, old)| {
        let mut container = old.clone();
        meta::carry(new, &mut container, "resources");
        meta::carry(new, &mut container, "resizePolicy");
        container
    });
    containers.collect()
}

/// Whether what is wanted has changed, as opposed to what is.
fn changes_intent(resource: &Resource, new: &Value, old: &Value) -> bool {
    match resource.plural {
        "deployments" => {
            new["spec"] != old["spec"]
                || new["metadata"]["annotations"] != old["metadata"]["annotations"]
        }
        "endpointslices" => {
            new["endpoints"] != old["endpoints"]
                || new["ports"] != old["ports"]
                || new["metadata"]["labels"] != old["metadata"]["labels"]
        }
        "podtemplates" => new["template"] != old["template"],
        "priorityclasses" => false,
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => {
            new["webhooks"] != old["webhooks"]
        }
        _ => new["spec"] != old["spec"],
    }
}

/// Takes over every top-level field from `old` but those named.
fn keep_all_but(new: &mut Value, old: &Value, kept: &[&str]) {
    let (Some(new), Some(old)) = (new.as_object_mut(), old.as_object()) else {
        return;
    };
    new.retain(|field, _| kept.contains(&field.as_str()));
    for (field, value) in old {
        if !kept.contains(&field.as_str()) {
            new.insert(field.clone(), value.clone());
        }
    }
}

/// What a client is warned of that deletes an object and may not expect what then happens.
pub fn deletion_warning(resource: &Resource, options: &DeleteOptions) -> Option<&'static str> {
    let is_job = (resource.group, resource.plural) == ("batch", "jobs");
    (is_job && options.propagation.is_none()).then_some(
        "child pods are preserved by default when jobs are deleted; set \
         propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress \
         this warning",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    #[test]
    fn status_and_spec_have_their_own_doors() {
        let resource = resources::by_kind("apps", "v1", "Deployment").expect("is served");
        let old =
            json!({"metadata": {"generation": 3}, "spec": {"replicas": 1}, "status": {"a": 1}});
        let wish =
            json!({"metadata": {"generation": 9}, "spec": {"replicas": 2}, "status": {"a": 2}});

        let mut new = wish.clone();
        prepare_update(resource, "", &mut new, &old);
        let expected =
            json!({"metadata": {"generation": 4}, "spec": {"replicas": 2}, "status": {"a": 1}});
        assert_eq!(new, expected);

        let mut new = wish;
        prepare_update(resource, "status", &mut new, &old);
        let expected =
            json!({"metadata": {"generation": 3}, "spec": {"replicas": 1}, "status": {"a": 2}});
        assert_eq!(new, expected);
    }

    #[test]
    fn a_volume_s_phase_has_its_time() {
        let resource = resources::by_kind("", "v1", "PersistentVolume").expect("is served");
        let volume = |phase: &str, at: &str| json!({"status": {"phase": phase, "lastPhaseTransitionTime": at}});
        let old = volume("Available", "then");
        for (mut new, expect) in [
            (volume("Bound", "then"), "now"),
            (volume("Bound", "mine"), "mine"),
            (volume("Available", "then"), "then"),
        ] {
            note_transition(resource, &mut new, &old, "now");
            assert_eq!(new["status"]["lastPhaseTransitionTime"], expect);
        }
    }

    #[test]
    fn a_revision_written_with_the_status_is_no_new_generation() {
        let resource = resources::by_kind("apps", "v1", "Deployment").expect("is served");
        let old = json!({"metadata": {"generation": 1}, "spec": {}});
        let noted = json!({"metadata": {"generation": 1, "annotations": {"a": "b"}}, "spec": {}});
        let generation = |subresource| {
            let mut new = noted.clone();
            prepare_update(resource, subresource, &mut new, &old);
            meta::generation(&new)
        };
        assert_eq!((generation("status"), generation("")), (1, 2));
    }
}
