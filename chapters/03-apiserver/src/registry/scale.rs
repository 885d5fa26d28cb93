//! `autoscaling/v1` `Scale`: what of an object says how many it wants, in a form of its own.
//!
//! Upstream: `ScaleREST` of `pkg/registry/*/*/storage/storage.go`.

use serde_json::{Map, Value, json};

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
