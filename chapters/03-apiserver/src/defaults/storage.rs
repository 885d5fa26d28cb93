//! PersistentVolumes, their claims, the classes of both, and drivers.

use serde_json::{Value, json};

use super::{child_value, existing, or_set, or_set_value};

/// A PersistentVolume: files, kept when its claim is gone.
pub(super) fn volume(object: &mut Value) {
    or_set(child_value(object, "status"), "phase", "Pending");
    let spec = child_value(object, "spec");
    or_set(spec, "persistentVolumeReclaimPolicy", "Retain");
    or_set(spec, "volumeMode", "Filesystem");
    if let Some(host_path) = existing(spec, "hostPath") {
        or_set_value(host_path, "type", || "".into());
    }
}

/// A PersistentVolumeClaim: files. What class it is of, admission says.
pub(super) fn claim(object: &mut Value) {
    or_set(child_value(object, "status"), "phase", "Pending");
    or_set(child_value(object, "spec"), "volumeMode", "Filesystem");
}

/// A StorageClass.
pub(super) fn class(object: &mut Value) {
    or_set(object, "reclaimPolicy", "Delete");
    or_set(object, "volumeBindingMode", "Immediate");
}

/// A CSIDriver: it attaches, wants to know nothing of pods, and its volumes outlive them.
pub(super) fn driver(object: &mut Value) {
    let spec = child_value(object, "spec");
    for (field, value) in [
        ("attachRequired", true),
        ("podInfoOnMount", false),
        ("storageCapacity", false),
        ("requiresRepublish", false),
        ("seLinuxMount", false),
    ] {
        or_set_value(spec, field, || value.into());
    }
    or_set_value(spec, "fsGroupPolicy", || "ReadWriteOnceWithFSType".into());
    let modes = &spec["volumeLifecycleModes"];
    if modes.as_array().is_none_or(Vec::is_empty) {
        spec["volumeLifecycleModes"] = json!(["Persistent"]);
    }
}
