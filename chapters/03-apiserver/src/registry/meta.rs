//! Reading and writing `metadata` of an object, and the few other fields that every kind has.

use serde_json::{Map, Value, json};

/// `metadata.{field}` as text, empty where it is not there.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// `metadata.name`
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`, 0 where there is none.
pub fn resource_version(object: &Value) -> i64 {
    text(object, "resourceVersion").parse().unwrap_or(0)
}

/// `metadata.generation`
pub fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// `metadata`, which is made where there is none.
pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]
        .as_object_mut()
        .expect("was made an object")
}

/// Sets `metadata.{field}`, or takes it away.
pub fn set(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) => metadata(object).insert(field.to_owned(), value),
        None => metadata(object).remove(field),
    };
}

/// Whether its deletion has begun.
pub fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// `metadata.finalizers`
pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// Sets `metadata.finalizers`; none at all where the list is empty.
pub fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    set(
        object,
        "finalizers",
        (!finalizers.is_empty()).then(|| json!(finalizers)),
    );
}

/// A time as the API writes it: whole seconds, UTC.
pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Takes a field from one object over into another, its absence included.
pub fn carry(from: &Value, to: &mut Value, field: &str) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => {
            if let Some(fields) = to.as_object_mut() {
                fields.remove(field);
            }
        }
    }
}
