//! The metadata that every object has.
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/api/validation/objectmeta.go`. That an update
//! names a `resourceVersion` is for the registry to see to: most kinds may leave it out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    addresses,
    check::{
        Errors, any, entries, has, immutable, labels, list, text, too_long, wrongs, wrongs_of,
    },
    names::{self, Wrongs},
};
use crate::{resources::Resource, status::FieldError};

const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// The form of a kind's names.
fn name_form(resource: &Resource) -> fn(&str) -> Wrongs {
    match (resource.group, resource.plural) {
        ("", "namespaces") | ("apps", "statefulsets") => names::dns1123_label,
        ("", "services") => names::dns1035_label,
        ("rbac.authorization.k8s.io" | "apiregistration.k8s.io", _) => names::path_segment,
        ("networking.k8s.io", "ipaddresses") => addresses::ip,
        ("certificates.k8s.io", _) => any,
        _ => names::dns1123_subdomain,
    }
}

/// Metadata of a new object; its name has been generated if it was to be.
pub(super) fn create(errors: &mut Errors, resource: &Resource, object: &Value) {
    let metadata = &object["metadata"];
    let form = name_form(resource);
    let prefix = text(metadata, "generateName");
    if !prefix.is_empty() {
        // What will come after a trailing dash makes it good.
        let whole = if prefix.ends_with('-') {
            format!("{prefix}a")
        } else {
            prefix.to_owned()
        };
        wrongs(
            errors,
            "metadata.generateName",
            &metadata["generateName"],
            form(&whole),
        );
    }
    match text(metadata, "name") {
        "" => {
            let wrong = "name or generateName is required";
            errors.push(FieldError::required("metadata.name", wrong));
        }
        name => wrongs(errors, "metadata.name", &metadata["name"], form(name)),
    }
    match (resource.namespaced, text(metadata, "namespace")) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (true, namespace) => {
            let wrong = names::dns1123_label(namespace);
            wrongs(errors, "metadata.namespace", &metadata["namespace"], wrong);
        }
        (false, "") => {}
        (false, _) => {
            errors.push(FieldError::forbidden(
                "metadata.namespace",
                "not allowed on this type",
            ));
        }
    }
    common(errors, metadata);
}

/// Metadata of an object within an object, which need not have a name.
pub(super) fn embedded(errors: &mut Errors, metadata: &Value, path: &str) {
    let mut own = Errors::new();
    let prefix = text(metadata, "generateName");
    let named = [("generateName", prefix), ("name", text(metadata, "name"))];
    for (field, name) in named.into_iter().filter(|(_, name)| !name.is_empty()) {
        let wrong = names::path_segment(name);
        wrongs(
            &mut own,
            &format!("metadata.{field}"),
            &metadata[field],
            wrong,
        );
    }
    let namespace = text(metadata, "namespace");
    if !namespace.is_empty() {
        let wrong = names::dns1123_label(namespace);
        wrongs(
            &mut own,
            "metadata.namespace",
            &metadata["namespace"],
            wrong,
        );
    }
    common(&mut own, metadata);
    errors.extend(own.into_iter().map(|error| FieldError {
        field: error.field.replacen("metadata", path, 1),
        ..error
    }));
}

/// Metadata of a changed object.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["metadata"], &old["metadata"]);
    if has(old, "deletionTimestamp") {
        let names = |metadata| {
            list(metadata, "finalizers")
                .iter()
                .filter_map(Value::as_str)
        };
        let before: BTreeSet<&str> = names(old).collect();
        let added: BTreeSet<&str> = names(new).filter(|name| !before.contains(name)).collect();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new \
                     finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    for key in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        // Clients may leave out what the server has set; they may not set it to something else.
        if has(new, key) {
            immutable(errors, &new[key], &old[key], &format!("metadata.{key}"));
        }
    }
    common(errors, new);
}

fn common(errors: &mut Errors, metadata: &Value) {
    labels(errors, metadata, "metadata", "labels");
    annotations(errors, metadata, "metadata.annotations");
    owners(errors, metadata);
    let finalizers = list(metadata, "finalizers");
    for finalizer in finalizers {
        let wrong = names::qualified_name(finalizer.as_str().unwrap_or_default());
        wrongs(errors, "metadata.finalizers", finalizer, wrong);
    }
    let both = ["orphan", "foregroundDeletion"];
    if both
        .iter()
        .all(|name| finalizers.iter().any(|finalizer| finalizer == name))
    {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            &metadata["finalizers"],
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

/// Annotations: keys in the form of labels', but for upper case, and not too much of them.
pub(super) fn annotations(errors: &mut Errors, metadata: &Value, path: &str) {
    let mut size = 0;
    for (key, value) in entries(metadata, "annotations") {
        let wrong = names::qualified_name(&key.to_lowercase());
        wrongs_of(errors, path, key, wrong);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_BYTES_MAX {
        errors.push(too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn owners(errors: &mut Errors, metadata: &Value) {
    const PATH: &str = "metadata.ownerReferences";
    let mut controller: Option<String> = None;
    for owner in list(metadata, "ownerReferences") {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, key).is_empty() {
                let wrong = if key == "apiVersion" {
                    "version must not be empty"
                } else {
                    "must not be empty"
                };
                errors.push(FieldError::invalid(
                    format!("{PATH}.{key}"),
                    &"".into(),
                    wrong,
                ));
            }
        }
        if owner["apiVersion"] == "v1" && owner["kind"] == "Event" {
            let wrong = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(PATH, owner, wrong));
        }
        if owner["controller"] != true {
            continue;
        }
        let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        match &controller {
            None => controller = Some(this),
            Some(first) => errors.push(FieldError::invalid(
                PATH,
                &metadata["ownerReferences"],
                format!(
                    "Only one reference can have Controller set to true. Found \"true\" in \
                     references for {first} and {this}"
                ),
            )),
        }
    }
}
