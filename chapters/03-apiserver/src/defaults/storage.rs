//! PersistentVolumes, their claims, and the classes of both.

use serde_json::Value;

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
