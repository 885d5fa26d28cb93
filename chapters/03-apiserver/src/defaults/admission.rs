//! Webhooks and policies of admission: they count for everything, and what they cannot judge fails.

use serde_json::{Value, json};

use super::{child_value, existing, items, or_set, or_set_value};

/// A webhook configuration.
pub(super) fn webhooks(object: &mut Value, mutating: bool) {
    for webhook in items(object, "webhooks") {
        or_set(webhook, "failurePolicy", "Fail");
        or_set_value(webhook, "timeoutSeconds", || 10.into());
        if mutating {
            or_set(webhook, "reinvocationPolicy", "Never");
        }
        matching(webhook);
        for rule in items(webhook, "rules") {
            or_set(rule, "scope", "*");
        }
        let client = existing(webhook, "clientConfig");
        if let Some(service) = client.and_then(|client| existing(client, "service")) {
            or_set_value(service, "port", || 443.into());
        }
    }
}

/// A policy, whichever of both.
pub(super) fn policy(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set(spec, "failurePolicy", "Fail");
    if let Some(constraints) = existing(spec, "matchConstraints") {
        resources(constraints);
    }
}

/// A policy's binding, whichever of both.
pub(super) fn binding(object: &mut Value) {
    let spec = child_value(object, "spec");
    if let Some(matched) = existing(spec, "matchResources") {
        resources(matched);
    }
}

fn resources(matched: &mut Value) {
    matching(matched);
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in items(matched, list) {
            or_set(rule, "scope", "*");
        }
    }
}

fn matching(object: &mut Value) {
    or_set(object, "matchPolicy", "Equivalent");
    for selector in ["namespaceSelector", "objectSelector"] {
        or_set_value(object, selector, || json!({}));
    }
}
