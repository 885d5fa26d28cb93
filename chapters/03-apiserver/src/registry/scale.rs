//! `autoscaling/v1` `Scale`: what of an object says how many it wants, in a form of its own.
//!
//! Upstream: `ScaleREST` of `pkg/registry/*/*/storage/storage.go`.

use serde_json::{Map, Value, json};

use crate::custom;
use crate::resources::Resource;
use crate::status::ApiError;

/// What an object's `metadata` and its `Scale`'s have in common.
const SHARED: [&str; 5] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
];

/// The `Scale` of an object that wants so many, has so many, and finds them by a selector (empty
/// where it has none).
pub fn scale(object: &Value, wanted: i64, there: i64, selector: &str) -> Value {
    let shared = |field: &str| {
        let value = object["metadata"].get(field)?.clone();
        Some((field.to_owned(), value))
    };
    let metadata: Map<String, Value> = SHARED.into_iter().filter_map(shared).collect();
    let spec = match wanted {
        0 => json!({}),
        wanted => json!({"replicas": wanted}),
    };
    let mut status = json!({"replicas": there});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec,
        "status": status})
}

/// `autoscaling/v1` `Scale` of an object: its replicas alone, whatever its kind.
pub fn built_in(object: &Value) -> Value {
    let count = |value: &Value| value.as_i64().unwrap_or(0);
    let (wanted, there) = (&object["spec"]["replicas"], &object["status"]["replicas"]);
    let selector = selector_text(&object["spec"]["selector"]);
    scale(object, count(wanted), count(there), &selector)
}

/// `Scale` of an object of a resource.
pub fn of(resource: &Resource, object: &Value) -> Result<Value, ApiError> {
    match resource.custom {
        Some(custom) => custom::scale_of(custom, object),
        None => Ok(built_in(object)),
    }
}

/// A selector in one line, as `Scale` has it: a label selector, or, of the older kinds, labels.
fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for labels in [selector, &selector["matchLabels"]] {
        for (key, value) in labels.as_object().into_iter().flatten() {
            parts.extend(value.as_str().map(|value| format!("{key}={value}")));
        }
    }
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> = expression["values"]
            .as_array()
            .map(|values| values.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        values.sort_unstable();
        let values = values.join(",");
        match expression["operator"].as_str() {
            Some("In") => parts.push(format!("{key} in ({values})")),
            Some("NotIn") => parts.push(format!("{key} notin ({values})")),
            Some("Exists") => parts.push(key.to_owned()),
            Some("DoesNotExist") => parts.push(format!("!{key}")),
            _ => {}
        }
    }
    parts.sort();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales() {
        let object = json!({
            "metadata": {"name": "web", "labels": {"a": "b"}, "resourceVersion": "7"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["b", "a"]}]}},
            "status": {"replicas": 2},
        });
        assert_eq!(
            built_in(&object),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {"name": "web", "resourceVersion": "7"}, "spec": {"replicas": 3},
                "status": {"replicas": 2, "selector": "app=web,tier in (a,b)"}})
        );
    }
}
