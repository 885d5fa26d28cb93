//! PersistentVolumes, their claims, and the classes of both.
//!
//! Upstream: `ValidatePersistentVolume`, `ValidatePersistentVolumeClaim` in
//! `pkg/apis/core/validation`, and `pkg/apis/storage/validation`.

use serde_json::{Value, json};

use super::{
    check::{
        Errors, any, entries, has, immutable, join, label_selector, list, one_of_if, optional,
        required, same, text, too_long,
    },
    names,
    quantity::Quantity,
    scheduling, volumes,
};
use crate::status::FieldError;

const ACCESS_MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

/// What a PersistentVolume's spec has beside the one source of its storage.
const NOT_SOURCES: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// A PersistentVolume, new or changed.
pub(super) fn volume(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    access_modes(errors, spec, "");
    if list(spec, "accessModes").is_empty() {
        errors.push(FieldError::required("spec.accessModes", ""));
    }
    capacity(errors, spec);
    one_of_if(
        errors,
        spec,
        "spec",
        "persistentVolumeReclaimPolicy",
        &["Delete", "Recycle", "Retain"],
    );
    if has(spec, "nodeAffinity") {
        let (path, selector) = (
            "spec.nodeAffinity.required",
            &spec["nodeAffinity"]["required"],
        );
        if selector.is_null() {
            let wrong = "must specify required node constraints";
            errors.push(FieldError::required(path, wrong));
        } else {
            scheduling::node_selector(errors, selector, path);
        }
    }
    source(errors, spec);
    optional(
        errors,
        spec,
        "spec",
        "storageClassName",
        names::dns1123_subdomain,
    );
    one_of_if(errors, spec, "spec", "volumeMode", VOLUME_MODES);
}

fn access_modes(errors: &mut Errors, spec: &Value, why_required: &str) {
    let (field, modes) = ("spec.accessModes", list(spec, "accessModes"));
    if modes.is_empty() && !why_required.is_empty() {
        errors.push(FieldError::required(field, why_required));
    }
    for mode in modes {
        if !ACCESS_MODES.contains(&mode.as_str().unwrap_or_default()) {
            errors.push(FieldError::not_supported(field, mode, ACCESS_MODES));
        }
    }
    if modes.len() > 1 && modes.contains(&json!("ReadWriteOncePod")) {
        let wrong = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(field, wrong));
    }
}

fn capacity(errors: &mut Errors, spec: &Value) {
    let (field, capacity) = ("spec.capacity", &spec["capacity"]);
    if entries(spec, "capacity").next().is_none() {
        errors.push(FieldError::required(field, ""));
    }
    if !has(capacity, "storage") || entries(spec, "capacity").count() > 1 {
        errors.push(FieldError::not_supported(field, capacity, &["storage"]));
    }
    for (name, amount) in entries(spec, "capacity") {
        positive(errors, amount, &format!("{field}[{name}]"));
    }
}

fn positive(errors: &mut Errors, amount: &Value, field: &str) {
    let quantity = amount.as_str().and_then(Quantity::parse);
    if quantity.is_none_or(|quantity| quantity.is_negative() || quantity.is_zero()) {
        errors.push(FieldError::invalid(
            field,
            amount,
            "must be greater than zero",
        ));
    }
}

/// Where the storage is: exactly one place.
fn source(errors: &mut Errors, spec: &Value) {
    let mut sources =
        entries_of(spec).filter(|(key, value)| !NOT_SOURCES.contains(key) && !value.is_null());
    let Some((kind, source)) = sources.next() else {
        return errors.push(FieldError::required("spec", "must specify a volume type"));
    };
    for (more, _) in sources {
        let wrong = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(join("spec", more), wrong));
    }
    let path = join("spec", kind);
    match kind {
        "hostPath" => {
            volumes::host_path(errors, source, &path);
            let is_root = text(source, "path").split('/').all(str::is_empty);
            if is_root && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
                let wrong = "may not be 'recycle' for a hostPath mount of '/'";
                let at = "spec.persistentVolumeReclaimPolicy";
                errors.push(FieldError::forbidden(at, wrong));
            }
        }
        "local" => {
            required(errors, source, &path, "path", any);
            volumes::no_backsteps(errors, source, &path);
            if !has(&spec["nodeAffinity"], "required") {
                let wrong = "Local volume requires node affinity";
                errors.push(FieldError::required("spec.nodeAffinity", wrong));
            }
        }
        _ => {}
    }
}

fn entries_of(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = object.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.as_str(), value))
}

/// A changed PersistentVolume: what it is made of stays.
pub(super) fn volume_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    let is_source = |(key, _): &(&str, &Value)| !NOT_SOURCES.contains(key);
    let mut kinds = entries_of(new).chain(entries_of(old)).filter(is_source);
    if kinds.any(|(kind, _)| !same(&new[kind], &old[kind])) {
        let wrong = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", wrong));
    }
    immutable(errors, &new["volumeMode"], &old["volumeMode"], "volumeMode");
    if has(old, "nodeAffinity") {
        immutable(
            errors,
            &new["nodeAffinity"],
            &old["nodeAffinity"],
            "nodeAffinity",
        );
    }
}

/// A PersistentVolumeClaim, new or changed.
pub(super) fn claim(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    access_modes(errors, spec, "at least 1 access mode is required");
    if has(spec, "selector") {
        label_selector(errors, &spec["selector"], "spec.selector");
    }
    let field = "spec.resources[storage]";
    match &spec["resources"]["requests"]["storage"] {
        Value::Null => errors.push(FieldError::required(field, "")),
        amount => positive(errors, amount, field),
    }
    optional(
        errors,
        spec,
        "spec",
        "storageClassName",
        names::dns1123_subdomain,
    );
    one_of_if(errors, spec, "spec", "volumeMode", VOLUME_MODES);
}

/// A changed claim: only what it is bound to is filled in, once; and it may grow when it is bound.
pub(super) fn claim_update(errors: &mut Errors, new: &Value, old: &Value) {
    let is_bound = new["status"]["phase"] == "Bound";
    let (mut rest, mut before) = (new["spec"].clone(), old["spec"].clone());
    if text(&before, "volumeName").is_empty() {
        before["volumeName"] = rest["volumeName"].clone();
    }
    // A claim from before there was a default class may take it.
    if before["storageClassName"].is_null() && text(&before, "volumeName").is_empty() {
        before["storageClassName"] = rest["storageClassName"].clone();
    }
    if is_bound {
        for spec in [&mut rest, &mut before] {
            if let Some(spec) = spec.as_object_mut() {
                spec.remove("volumeAttributesClassName");
            }
            if let Some(requests) = spec["resources"]["requests"].as_object_mut() {
                requests.remove("storage");
            }
        }
    }
    if !same(&rest, &before) {
        let wrong = "spec is immutable after creation except resources.requests and \
                     volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", wrong));
    }
    let size = |claim: &Value| {
        let requests = &claim["spec"]["resources"]["requests"];
        requests["storage"].as_str().and_then(Quantity::parse)
    };
    if size(new) < size(old) {
        let wrong = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden(
            "spec.resources.requests.storage",
            wrong,
        ));
    }
    immutable(
        errors,
        &new["spec"]["volumeMode"],
        &old["spec"]["volumeMode"],
        "volumeMode",
    );
}

/// A StorageClass, new or changed.
pub(super) fn class(errors: &mut Errors, object: &Value) {
    required(errors, object, "", "provisioner", |name| {
        names::qualified_name(&name.to_lowercase())
    });
    parameters(errors, object);
    one_of_if(errors, object, "", "reclaimPolicy", &["Delete", "Retain"]);
    one_of_if(
        errors,
        object,
        "",
        "volumeBindingMode",
        &["Immediate", "WaitForFirstConsumer"],
    );
}

/// What is passed on to those who make volumes.
pub(super) fn parameters(errors: &mut Errors, object: &Value) {
    const COUNT_MAX: usize = 512;
    const BYTES_MAX: usize = 256 << 10;
    if entries(object, "parameters").count() > COUNT_MAX {
        return errors.push(too_long("parameters", COUNT_MAX));
    }
    let mut size = 0;
    for (key, value) in entries(object, "parameters") {
        if key.is_empty() {
            let wrong = "field can not be empty.";
            errors.push(FieldError::invalid("parameters", &json!(""), wrong));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > BYTES_MAX {
        errors.push(too_long("parameters", BYTES_MAX));
    }
}

/// A changed StorageClass: its volumes are as it was.
pub(super) fn class_update(errors: &mut Errors, new: &Value, old: &Value) {
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if !same(&new[field], &old[field]) {
            let wrong = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(field, wrong));
        }
    }
    immutable(
        errors,
        &new["volumeBindingMode"],
        &old["volumeBindingMode"],
        "volumeBindingMode",
    );
}
