//! Network policies and classes of Ingresses.
//!
//! Upstream: `pkg/apis/networking/v1/defaults.go`.

use serde_json::{Value, json};

use super::{child_value, existing, items, or_set, or_set_value, present, set};

/// A NetworkPolicy: of what it is about, where it does not say.
pub(super) fn network_policy(object: &mut Value) {
    let spec = child_value(object, "spec");
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            for port in items(rule, "ports") {
                or_set_value(port, "protocol", || json!("TCP"));
            }
        }
    }
    let is_said = |spec: &Value, key: &str| {
        let list = present(spec, key).and_then(Value::as_array);
        list.is_some_and(|list| !list.is_empty())
    };
    if !is_said(spec, "policyTypes") {
        let types = match is_said(spec, "egress") {
            true => json!(["Ingress", "Egress"]),
            false => json!(["Ingress"]),
        };
        set(spec, "policyTypes", types);
    }
}

/// An IngressClass: what configures it is the cluster's.
pub(super) fn ingress_class(object: &mut Value) {
    let spec = child_value(object, "spec");
    if let Some(parameters) = existing(spec, "parameters") {
        or_set(parameters, "scope", "Cluster");
    }
}
