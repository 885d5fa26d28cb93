//! Which writes quotas count, and what a pod has to say for that.
//!
//! Upstream: `Handles` and `Constraints` of the evaluators in `pkg/quota/v1/evaluator/core`.

use std::collections::{BTreeMap, BTreeSet};

use quota_usage::amounts_of_pod;
use serde_json::Value;

use super::super::Operation;
use super::Write;
use crate::resources::Resource;
use crate::validation::quantity::{Totals, add_amounts};

/// Where a quota limits these, each container has to say what it asks for.
const REQUIRED: [&str; 6] = [
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
];

fn plural_of_core<'a>(resource: &Resource<'a>) -> &'a str {
    if resource.group.is_empty() {
        resource.plural
    } else {
        ""
    }
}

/// Whether a write is one that is counted.
pub(super) fn counts(write: &Write) -> bool {
    if write.resource.plural == "events" {
        return false;
    }
    let creates = write.operation == Operation::Create;
    let has_deadline = |pod: &Value| !pod["spec"]["activeDeadlineSeconds"].is_null();
    match (plural_of_core(write.resource), write.subresource) {
        ("pods", "resize") => write.operation == Operation::Update,
        // A pod that is given a deadline moves to another scope.
        ("pods", "") => {
            creates || (write.old).is_some_and(|old| has_deadline(old) != has_deadline(write.new))
        }
        ("services" | "persistentvolumeclaims", "") => write.operation != Operation::Delete,
        (_, "") => creates,
        _ => false,
    }
}

/// What the containers of a pod would have to say, and do not: `cpu for: a,b; memory for: a`.
pub(super) fn missing(write: &Write, counted: &[&str]) -> Option<String> {
    let spec = &write.new["spec"];
    let of_pods = plural_of_core(write.resource) == "pods";
    let says_itself = |field: &str| {
        let own = spec["resources"][field].as_object();
        own.is_some_and(|own| !own.is_empty())
    };
    if !of_pods || says_itself("requests") || says_itself("limits") {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            let [requests, limits] = ["requests", "limits"].map(|field| {
                let mut amounts = Totals::new();
                add_amounts(&mut amounts, &container["resources"][field]);
                amounts
            });
            let said = amounts_of_pod(&requests, &limits);
            let required = counted.iter().filter(|name| REQUIRED.contains(name));
            for name in required.filter(|name| !said.contains_key(**name)) {
                let container = container["name"].as_str().unwrap_or_default();
                missing.entry(name).or_default().insert(container);
            }
        }
    }
    let parts = missing.into_iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}
