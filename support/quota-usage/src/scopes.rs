//! Scopes: which objects a quota is about.
//!
//! Upstream: `podMatchesScopeFunc` and its like in `pkg/quota/v1/evaluator/core`.

use serde_json::Value;

use crate::{Kind, qos_class};

/// Whether an object is in all the scopes of a quota. Without any, everything is.
pub fn in_scopes(quota: &Value, kind: Kind<'_>, object: &Value) -> bool {
    let spec = &quota["spec"];
    let scopes = spec["scopes"].as_array().into_iter().flatten();
    let mut scopes = scopes.filter_map(Value::as_str);
    let expressions = spec["scopeSelector"]["matchExpressions"].as_array();
    let mut expressions = expressions.into_iter().flatten();
    scopes.all(|scope| is_in(kind, object, scope, "Exists", &Value::Null))
        && expressions.all(|expression| {
            let text = |field: &str| expression[field].as_str().unwrap_or_default();
            let (scope, operator) = (text("scopeName"), text("operator"));
            is_in(kind, object, scope, operator, &expression["values"])
        })
}

fn is_in(kind: Kind<'_>, object: &Value, scope: &str, operator: &str, values: &Value) -> bool {
    let spec = &object["spec"];
    match (kind.group, kind.plural) {
        ("", "pods") => {
            let ends = spec["activeDeadlineSeconds"]
                .as_i64()
                .is_some_and(|s| s >= 0);
            let best_effort = qos_class(spec) == "BestEffort";
            match scope {
                "Terminating" => ends,
                "NotTerminating" => !ends,
                "BestEffort" => best_effort,
                "NotBestEffort" => !best_effort,
                "PriorityClass" => holds(&spec["priorityClassName"], operator, values),
                "CrossNamespacePodAffinity" => looks_elsewhere(spec),
                _ => false,
            }
        }
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => {
            let status = &object["status"];
            let classes = [
                &spec["volumeAttributesClassName"],
                &status["currentVolumeAttributesClassName"],
                &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
            ];
            classes.iter().any(|class| holds(class, operator, values))
        }
        _ => false,
    }
}

/// Whether a name, which may be none, is among (or not among) others.
fn holds(name: &Value, operator: &str, values: &Value) -> bool {
    let is_named = name.as_str().is_some_and(|name| !name.is_empty());
    let is_among = values
        .as_array()
        .is_some_and(|values| values.contains(name));
    match operator {
        "Exists" => is_named,
        "DoesNotExist" => !is_named,
        "In" => is_named && is_among,
        "NotIn" => !is_named || !is_among,
        _ => false,
    }
}

/// Whether a pod wants to be near, or far from, pods of other namespaces.
fn looks_elsewhere(spec: &Value) -> bool {
    let affinity = &spec["affinity"];
    let kinds = ["podAffinity", "podAntiAffinity"];
    let terms = kinds.iter().flat_map(|kind| {
        let list = |name: &str| affinity[kind][name].as_array().into_iter().flatten();
        let required = list("requiredDuringSchedulingIgnoredDuringExecution");
        let preferred = list("preferredDuringSchedulingIgnoredDuringExecution");
        required.chain(preferred.map(|term| &term["podAffinityTerm"]))
    });
    let mut terms = terms;
    terms.any(|term| {
        let named = term["namespaces"].as_array();
        named.is_some_and(|named| !named.is_empty()) || !term["namespaceSelector"].is_null()
    })
}
