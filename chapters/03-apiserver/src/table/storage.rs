//! The cells of volumes, claims and classes of storage.

use serde_json::Value;

use super::cells::{list, text};

/// The annotation that named the class of a volume or a claim before there was a field for it.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Of a PersistentVolume.
pub(super) fn volume(object: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let claim = &spec["claimRef"];
    let claim = match text(&claim["name"]) {
        "" => String::new(),
        name => format!("{}/{name}", text(&claim["namespace"])),
    };
    vec![
        object["metadata"]["name"].clone(),
        text(&spec["capacity"]["storage"]).into(),
        modes(&spec["accessModes"]).into(),
        text(&spec["persistentVolumeReclaimPolicy"]).into(),
        phase(object).into(),
        claim.into(),
        class_of(object).into(),
        unset_if_absent(&spec["volumeAttributesClassName"]).into(),
        text(&status["reason"]).into(),
        age,
        unset_if_absent(&spec["volumeMode"]).into(),
    ]
}

/// Of a PersistentVolumeClaim.
pub(super) fn claim(object: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let volume = text(&spec["volumeName"]);
    let (capacity, access) = match volume {
        "" => ("", String::new()),
        _ => (
            text(&status["capacity"]["storage"]),
            modes(&status["accessModes"]),
        ),
    };
    vec![
        object["metadata"]["name"].clone(),
        phase(object).into(),
        volume.into(),
        capacity.into(),
        access.into(),
        class_of(object).into(),
        unset_if_absent(&spec["volumeAttributesClassName"]).into(),
        age,
        unset_if_absent(&spec["volumeMode"]).into(),
    ]
}

/// Of a StorageClass.
pub(super) fn class(object: &Value, age: Value) -> Vec<Value> {
    let name = text(&object["metadata"]["name"]);
    let is_default = object["metadata"]["annotations"][DEFAULT_CLASS] == "true";
    let or = |value: &Value, absent: &'static str| match text(value) {
        "" => absent.to_owned(),
        value => value.to_owned(),
    };
    vec![
        format!("{name}{}", if is_default { " (default)" } else { "" }).into(),
        text(&object["provisioner"]).into(),
        or(&object["reclaimPolicy"], "Delete").into(),
        or(&object["volumeBindingMode"], "Immediate").into(),
        (object["allowVolumeExpansion"] == true).into(),
        age,
    ]
}

fn phase(object: &Value) -> &str {
    match object["metadata"]["deletionTimestamp"] {
        Value::Null => text(&object["status"]["phase"]),
        _ => "Terminating",
    }
}

fn class_of(object: &Value) -> &str {
    match object["metadata"]["annotations"][OLD_CLASS].as_str() {
        Some(class) => class,
        None => text(&object["spec"]["storageClassName"]),
    }
}

fn unset_if_absent(value: &Value) -> &str {
    value.as_str().unwrap_or("<unset>")
}

/// `RWO,ROX`, each once and in this order.
fn modes(modes: &Value) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |name: &str| list(modes).iter().any(|mode| mode == name);
    let short = known.iter().filter(|(name, _)| has(name));
    short.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}
