//! Claims of devices: one of them each.

use serde_json::Value;

use super::{child_value, existing, items, or_set, or_set_value};

/// A ResourceClaim.
pub(super) fn claim(object: &mut Value) {
    claim_spec(child_value(object, "spec"));
    let status = existing(object, "status");
    let allocation = status.and_then(|status| existing(status, "allocation"));
    if let Some(devices) = allocation.and_then(|allocation| existing(allocation, "devices")) {
        for result in items(devices, "results") {
            tolerations(result);
        }
    }
}

/// A ResourceClaimTemplate.
pub(super) fn template(object: &mut Value) {
    claim_spec(child_value(child_value(object, "spec"), "spec"));
}

fn claim_spec(spec: &mut Value) {
    let Some(devices) = existing(spec, "devices") else {
        return;
    };
    for request in items(devices, "requests") {
        if let Some(exactly) = existing(request, "exactly") {
            wanted(exactly);
        }
        for sub in items(request, "firstAvailable") {
            wanted(sub);
        }
    }
}

fn wanted(request: &mut Value) {
    or_set(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" && request["count"].as_i64().unwrap_or(0) == 0 {
        request["count"] = 1.into();
    }
    tolerations(request);
}

fn tolerations(parent: &mut Value) {
    for toleration in items(parent, "tolerations") {
        or_set(toleration, "operator", "Equal");
    }
}

/// Notes since when a device of a slice is tainted, where its driver does not say.
pub fn date_taints(slice: &mut Value, now: &str) {
    let Some(spec) = existing(slice, "spec") else {
        return;
    };
    for device in items(spec, "devices") {
        for taint in items(device, "taints") {
            or_set_value(taint, "timeAdded", || now.into());
        }
    }
}
