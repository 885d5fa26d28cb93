//! The kinds with little to check: namespaces, nodes, leases, events, classes of pods.

use serde_json::{Value, json};

use super::{
    check::{Errors, has, labels, list, one_of_if, same, text, wrongs},
    names, resources, scheduling,
};
use crate::status::FieldError;

/// The greatest number of a user's priority class; above are the system's.
const USER_PRIORITY_MAX: i64 = 1_000_000_000;

/// A Namespace: who holds it at its end.
pub(super) fn namespace(errors: &mut Errors, object: &Value) {
    for (index, finalizer) in list(&object["spec"], "finalizers").iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        let at = format!("spec.finalizers[{index}]");
        wrongs(errors, &at, finalizer, names::qualified_name(name));
        if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
            let wrong = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(at, finalizer, wrong));
        }
    }
}

/// A Node, new or changed.
pub(super) fn node(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    scheduling::taints(errors, spec, "spec");
    let cidrs = list(spec, "podCIDRs");
    for (index, cidr) in cidrs.iter().enumerate() {
        let parts = cidr.as_str().and_then(|cidr| cidr.split_once('/'));
        let good = parts.is_some_and(|(address, bits)| {
            let most = if address.contains(':') { 128 } else { 32 };
            address.parse::<std::net::IpAddr>().is_ok()
                && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        });
        if !good {
            let wrong = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(
                format!("spec.podCIDRs[{index}]"),
                cidr,
                wrong,
            ));
        }
    }
}

/// A changed Node: where its pods' addresses come from, and which machine it is, is said once.
pub(super) fn node_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    let is_settled = |key: &str| has(old, key) && !same(&new[key], &old[key]);
    if is_settled("podCIDRs") || is_settled("podCIDR") {
        let wrong = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.podCIDRs", wrong));
    }
    if is_settled("providerID") && !text(old, "providerID").is_empty() {
        let wrong = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.providerID", wrong));
    }
}

/// A Lease, new or changed.
pub(super) fn lease(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let mut at_least = |field: &str, min: i64, wrong: &str| {
        if spec[field].as_i64().is_some_and(|number| number < min) {
            errors.push(FieldError::invalid(
                format!("spec.{field}"),
                &spec[field],
                wrong,
            ));
        }
    };
    at_least("leaseDurationSeconds", 1, "must be greater than 0");
    at_least("leaseTransitions", 0, "must be greater than or equal to 0");
}

/// An Event: it lives where what it is about lives.
pub(super) fn event(errors: &mut Errors, object: &Value) {
    // In events.k8s.io the field has another name.
    let field = if has(object, "regarding") {
        "regarding"
    } else {
        "involvedObject"
    };
    let about = text(&object[field], "namespace");
    let namespace = text(&object["metadata"], "namespace");
    // What is the cluster's has its events in the default namespace.
    let is_of_cluster = about.is_empty() && ["default", "kube-system"].contains(&namespace);
    if about != namespace && !is_of_cluster {
        let at = format!("{field}.namespace");
        errors.push(FieldError::invalid(
            at,
            &json!(about),
            "does not match event.namespace",
        ));
    }
}

/// A RuntimeClass, new or changed.
pub(super) fn runtime_class(errors: &mut Errors, object: &Value) {
    let handler = text(object, "handler");
    wrongs(
        errors,
        "handler",
        &handler.into(),
        names::dns1123_label(handler),
    );
    // What it costs to have such a pod is told as a container's limits are.
    let overhead = json!({ "limits": object["overhead"]["podFixed"] });
    resources::resources(errors, &overhead, "overhead");
    let nodes = &object["scheduling"];
    labels(errors, nodes, "scheduling", "nodeSelector");
    scheduling::tolerations(errors, nodes, "scheduling");
}

/// A PriorityClass, new or changed.
pub(super) fn priority_class(errors: &mut Errors, object: &Value) {
    let name = text(&object["metadata"], "name");
    let value = object["value"].as_i64().unwrap_or_default();
    let known = match name {
        "system-cluster-critical" => Some(2_000_000_000),
        "system-node-critical" => Some(2_000_001_000),
        _ => None,
    };
    match known {
        Some(known) if known == value => {}
        None if !name.starts_with("system-") => {
            if value > USER_PRIORITY_MAX {
                let wrong = format!(
                    "maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"
                );
                errors.push(FieldError::forbidden("value", wrong));
            }
        }
        _ => {
            let why = match known {
                Some(known) => format!("value of {name} PriorityClass must be {known}"),
                None => format!("{name} is not a known system priority class"),
            };
            let wrong = format!(
                "priority class names with 'system-' prefix are reserved for system use only. \
                 error: {why}"
            );
            errors.push(FieldError::forbidden("metadata.name", wrong));
        }
    }
    one_of_if(
        errors,
        object,
        "",
        "preemptionPolicy",
        &["Never", "PreemptLowerPriority"],
    );
}

/// A changed PriorityClass: pods have its number already.
pub(super) fn priority_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    for field in ["value", "preemptionPolicy"] {
        if new[field] != old[field] {
            errors.push(FieldError::forbidden(
                field,
                "may not be changed in an update.",
            ));
        }
    }
}
