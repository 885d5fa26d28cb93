//! What drivers of storage say of themselves, and what is attached where.
//!
//! Upstream: `pkg/apis/storage/validation`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    check::{
        Errors, any, entries, has, immutable, in_range, join, label_selector, list, not_negative,
        required, same, text, too_long, wrongs,
    },
    names,
    quantity::Quantity,
    storage,
};
use crate::{resources::Resource, status::FieldError};

const METADATA_BYTES_MAX: usize = 256 << 10;
const MESSAGE_BYTES_MAX: usize = 1024;
/// Upstream: `csiNodeIDLongerMaxLength`.
const NODE_ID_BYTES_MAX: usize = 256;
const DRIVER_NAME_BYTES_MAX: usize = 63;

/// A CSIDriver, new or changed.
pub(super) fn driver(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    // Upstream names the first of them so.
    for (field, told) in [
        ("attachRequired", "spec.attachedRequired"),
        ("podInfoOnMount", "spec.podInfoOnMount"),
        ("storageCapacity", "spec.storageCapacity"),
    ] {
        if !has(spec, field) {
            errors.push(FieldError::required(told, ""));
        }
    }
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    let policy = &spec["fsGroupPolicy"];
    if policy
        .as_str()
        .is_some_and(|name| !policies.contains(&name))
    {
        let at = "spec.fsGroupPolicy";
        errors.push(FieldError::not_supported(at, policy, &policies));
    }
    token_requests(errors, spec);
    for mode in list(spec, "volumeLifecycleModes") {
        let modes = ["Ephemeral", "Persistent"];
        if !modes.contains(&mode.as_str().unwrap_or_default()) {
            let at = "spec.volumeLifecycleModes";
            errors.push(FieldError::not_supported(at, mode, &modes));
        }
    }
    if !has(spec, "seLinuxMount") {
        errors.push(FieldError::required("spec.seLinuxMount", ""));
    }
    let period = &spec["nodeAllocatableUpdatePeriodSeconds"];
    if period.as_i64().is_some_and(|seconds| seconds < 10) {
        let at = "spec.nodeAllocatableUpdatePeriodSeconds";
        let wrong = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid(at, period, wrong));
    }
}

/// Each token is for somebody else.
fn token_requests(errors: &mut Errors, spec: &Value) {
    let mut audiences = BTreeSet::new();
    for (index, request) in list(spec, "tokenRequests").iter().enumerate() {
        let path = format!("spec.tokenRequests[{index}]");
        let audience = text(request, "audience");
        if !audiences.insert(audience) {
            let at = join(&path, "audience");
            errors.push(FieldError::duplicate(at, &audience.into()));
            continue;
        }
        let seconds = &request["expirationSeconds"];
        let wrong = match seconds.as_i64() {
            Some(..600) => "may not specify a duration less than 10 minutes",
            Some(number) if number > 1 << 32 => {
                "may not specify a duration larger than 2^32 seconds"
            }
            _ => continue,
        };
        errors.push(FieldError::invalid(
            join(&path, "expirationSeconds"),
            seconds,
            wrong,
        ));
    }
}

/// A CSINode, new or changed.
pub(super) fn node(errors: &mut Errors, object: &Value) {
    let mut names = BTreeSet::new();
    for (index, driver) in list(&object["spec"], "drivers").iter().enumerate() {
        let path = format!("spec.drivers[{index}]");
        driver_name(errors, driver, "name", &join(&path, "name"));
        required(errors, driver, &path, "nodeID", any);
        if text(driver, "nodeID").len() > NODE_ID_BYTES_MAX {
            let wrong = format!("must be {NODE_ID_BYTES_MAX} characters or less");
            let at = join(&path, "nodeID");
            errors.push(FieldError::invalid(at, &driver["nodeID"], wrong));
        }
        let allocatable = join(&path, "allocatable");
        not_negative(errors, &driver["allocatable"], &allocatable, "count");
        if !names.insert(text(driver, "name")) {
            let at = join(&path, "name");
            errors.push(FieldError::duplicate(at, &driver["name"]));
        }
        topology_keys(errors, driver, &path);
    }
}

fn topology_keys(errors: &mut Errors, driver: &Value, path: &str) {
    let mut keys = BTreeSet::new();
    for key in list(driver, "topologyKeys") {
        let name = key.as_str().unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        if !keys.insert(name) {
            errors.push(FieldError::duplicate(path, key));
        }
        wrongs(errors, path, key, names::qualified_name(name));
    }
}

fn driver_name(errors: &mut Errors, parent: &Value, key: &str, at: &str) {
    let name = text(parent, key);
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    }
    if name.len() > DRIVER_NAME_BYTES_MAX {
        errors.push(too_long(at, DRIVER_NAME_BYTES_MAX));
    }
    let wrong = names::dns1123_subdomain(&name.to_lowercase());
    wrongs(errors, at, &name.into(), wrong);
}

/// A CSIStorageCapacity, new or changed.
pub(super) fn capacity(errors: &mut Errors, object: &Value) {
    if has(object, "nodeTopology") {
        label_selector(errors, &object["nodeTopology"], "nodeTopology");
    }
    let class = text(object, "storageClassName");
    let wrong = names::dns1123_subdomain(class);
    wrongs(errors, "storageClassName", &class.into(), wrong);
    let amount = &object["capacity"];
    let quantity = amount.as_str().and_then(Quantity::parse);
    if quantity.is_some_and(Quantity::is_negative) {
        let wrong = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("capacity", amount, wrong));
    }
}

/// A VolumeAttachment, new or changed.
pub(super) fn attachment(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    required(errors, spec, "spec", "attacher", any);
    source(errors, &spec["source"], "spec.source");
    let node = text(spec, "nodeName");
    let wrong = names::dns1123_subdomain(node);
    wrongs(errors, "spec.nodeName", &node.into(), wrong);

    let status = &object["status"];
    let size = entries(status, "attachmentMetadata")
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum::<usize>();
    if size > METADATA_BYTES_MAX {
        errors.push(too_long("status.attachmentMetadata", METADATA_BYTES_MAX));
    }
    for field in ["attachError", "detachError"] {
        let path = join("status", field);
        if text(&status[field], "message").len() > MESSAGE_BYTES_MAX {
            // Upstream checks against one number and tells another.
            errors.push(too_long(&join(&path, "message"), METADATA_BYTES_MAX));
        }
        let range = (0, i64::from(i32::MAX));
        in_range(errors, &status[field], &path, "errorCode", range);
    }
}

/// What is to be attached: a PersistentVolume, or one that is told right here.
fn source(errors: &mut Errors, source: &Value, path: &str) {
    let inline = &source["inlineVolumeSpec"];
    match (inline.is_null(), has(source, "persistentVolumeName")) {
        (true, false) | (false, true) => {
            let wrong = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
            errors.push(if inline.is_null() {
                FieldError::required(path, wrong)
            } else {
                FieldError::forbidden(path, wrong)
            });
        }
        (true, true) => {
            if text(source, "persistentVolumeName").is_empty() {
                let wrong = "must specify non empty persistentVolumeName";
                let at = join(path, "persistentVolumeName");
                errors.push(FieldError::required(at, wrong));
            }
        }
        (false, false) => inline_volume(errors, inline, &join(path, "inlineVolumeSpec")),
    }
}

fn inline_volume(errors: &mut Errors, volume: &Value, path: &str) {
    for field in ["claimRef", "capacity"] {
        if has(volume, field) {
            let wrong = "may not be specified in the context of inline volumes";
            errors.push(FieldError::forbidden(join(path, field), wrong));
        }
    }
    let csi = join(path, "csi");
    if !has(volume, "csi") {
        let wrong = "has to be specified in the context of inline volumes";
        errors.push(FieldError::required(&csi, wrong));
    }
    if list(volume, "accessModes").is_empty() {
        errors.push(FieldError::required(join(path, "accessModes"), ""));
    }
    for field in ["persistentVolumeReclaimPolicy", "storageClassName"] {
        if !text(volume, field).is_empty() {
            let wrong = "may not be specified in the context of inline volumes";
            errors.push(FieldError::forbidden(join(path, field), wrong));
        }
    }
    if has(volume, "csi") {
        driver_name(errors, &volume["csi"], "driver", &join(&csi, "driver"));
        required(errors, &volume["csi"], &csi, "volumeHandle", any);
    }
}

/// What is checked of new VolumeAttachments only: older ones were not as strict.
pub(super) fn new_attachment(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    driver_name(errors, spec, "attacher", "spec.attacher");
    let volume = &spec["source"]["persistentVolumeName"];
    if let Some(name) = volume.as_str() {
        let at = "spec.source.persistentVolumeName";
        wrongs(errors, at, volume, names::dns1123_subdomain(name));
    }
}

/// A VolumeAttributesClass, new or changed.
pub(super) fn attributes_class(errors: &mut Errors, object: &Value) {
    required(errors, object, "", "driverName", |name| {
        names::qualified_name(&name.to_lowercase())
    });
    storage::parameters(errors, object);
    if entries(object, "parameters").next().is_none() {
        let wrong = "must contain at least one key/value pair";
        errors.push(FieldError::required("parameters", wrong));
    }
}

/// A change of any of them: what others have built on stays.
pub(super) fn update(errors: &mut Errors, resource: &Resource, new: &Value, old: &Value) {
    match resource.plural {
        "csidrivers" => {
            let (new, old) = (&new["spec"], &old["spec"]);
            let (field, told) = ("attachRequired", "spec.attachedRequired");
            if new[field] != old[field] {
                errors.push(FieldError::invalid(told, &new[field], "field is immutable"));
            }
            let field = "volumeLifecycleModes";
            immutable(errors, &new[field], &old[field], &join("spec", field));
        }
        "csinodes" => {
            for driver in list(&new["spec"], "drivers") {
                let mut olds = list(&old["spec"], "drivers").iter();
                let Some(old) = olds.find(|old| old["name"] == driver["name"]) else {
                    continue;
                };
                // How many volumes there may be is the driver's to say anew.
                let [mut rest, mut before] = [driver.clone(), old.clone()];
                for entry in [&mut rest, &mut before] {
                    entry["allocatable"] = Value::Null;
                }
                immutable(errors, &rest, &before, "spec.drivers");
            }
        }
        "csistoragecapacities" => {
            for field in ["nodeTopology", "storageClassName"] {
                immutable(errors, &new[field], &old[field], field);
            }
        }
        "volumeattachments" => immutable(errors, &new["spec"], &old["spec"], "spec"),
        "volumeattributesclasses" => {
            for field in ["driverName", "parameters"] {
                if !same(&new[field], &old[field]) {
                    let wrong = format!("updates to {field} are forbidden.");
                    errors.push(FieldError::forbidden(field, wrong));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(check: fn(&mut Errors, &Value), object: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&mut errors, &object);
        let lines = errors.iter();
        lines
            .map(|e| format!("{}: {}", e.field, e.message))
            .collect()
    }

    #[test]
    fn an_attachment_has_one_source() {
        let of = |source: Value| {
            let spec = json!({"attacher": "a.example.com", "nodeName": "n", "source": source});
            told(attachment, json!({"spec": spec}))
        };
        let exactly = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        assert_eq!(of(json!({"persistentVolumeName": "pv"})), [""; 0]);
        assert_eq!(
            of(json!({})),
            [format!("spec.source: Required value: {exactly}")]
        );
        let csi = json!({"accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "a.example.com", "volumeHandle": "v"}});
        assert_eq!(of(json!({"inlineVolumeSpec": csi})), [""; 0]);
        let both = json!({"persistentVolumeName": "pv", "inlineVolumeSpec": csi});
        assert_eq!(of(both), [format!("spec.source: Forbidden: {exactly}")]);
        let other = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "x"});
        assert_eq!(
            of(json!({"inlineVolumeSpec": other})),
            [
                "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the \
                 context of inline volumes",
                "spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified \
                 in the context of inline volumes"
            ]
        );
    }

    #[test]
    fn a_node_has_each_driver_once() {
        let driver = json!({"name": "a.example.com", "nodeID": "n", "topologyKeys": ["zone"]});
        let of = |drivers: Value| told(node, json!({"spec": {"drivers": drivers}}));
        assert_eq!(of(json!([driver])), [""; 0]);
        assert_eq!(
            of(json!([driver, driver, {"name": "b.example.com", "topologyKeys": ["k", "k"]}])),
            [
                "spec.drivers[1].name: Duplicate value: \"a.example.com\"",
                "spec.drivers[2].nodeID: Required value",
                "spec.drivers[2]: Duplicate value: \"k\"",
            ]
        );
    }
}
