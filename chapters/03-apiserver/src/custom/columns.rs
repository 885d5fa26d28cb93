//! What `kubectl get` shows of custom objects: the columns that their definition names.
//!
//! Upstream: `apiextensions-apiserver/pkg/registry/customresource/tableconvertor`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use crate::resources::Custom;
use crate::table::since;

const CREATED: &str = ".metadata.creationTimestamp";

fn own(custom: &Custom) -> Vec<Value> {
    match custom.spec["additionalPrinterColumns"].as_array() {
        Some(columns) if !columns.is_empty() => columns.clone(),
        _ => vec![json!({"name": "Age", "type": "date", "jsonPath": CREATED,
            "description": "CreationTimestamp is a timestamp representing the server time when \
                this object was created. It is not guaranteed to be set in happens-before order \
                across separate operations. Clients may not set this value. It is represented in \
                RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for \
                lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"})],
    }
}

/// `columnDefinitions` of a table: the name, then the version's own.
pub fn definitions(custom: &Custom) -> Vec<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut columns = vec![json!({"name": "Name", "type": "string", "format": "name",
        "description": "Name must be unique within a namespace.", "priority": 0})];
    columns.extend(own(custom).iter().map(|column| {
        let description = match text(&column["description"]) {
            empty if empty.is_empty() => format!(
                "Custom resource definition column (in JSONPath format): {}",
                text(&column["jsonPath"])
            ),
            text => text,
        };
        json!({"name": column["name"], "type": column["type"], "format": text(&column["format"]),
            "description": description, "priority": column["priority"].as_i64().unwrap_or(0)})
    }));
    columns
}

/// The cells of an object, in the order of the columns.
pub fn cells(custom: &Custom, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    cells.extend(own(custom).iter().map(|column| {
        let path = column["jsonPath"].as_str().unwrap_or_default();
        let Ok(path) = JsonPath::parse(path) else {
            return Value::Null;
        };
        // Of several values, the first: a cell has room for one.
        match path.find(object).first() {
            None => Value::Null,
            Some(found) => cell(column["type"].as_str().unwrap_or_default(), found, now),
        }
    }));
    cells
}

fn cell(kind: &str, found: &Value, now: Timestamp) -> Value {
    match (kind, found) {
        ("integer", Value::Number(number)) => {
            let whole = number
                .as_i64()
                .or_else(|| number.as_f64().map(|number| number as i64));
            whole.map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(_) => since(found, now).into(),
            Err(_) => "<invalid>".into(),
        },
        ("string", Value::String(_)) => found.clone(),
        ("string", Value::Null) => "".into(),
        ("string", other) => other.to_string().into(),
        _ => Value::Null,
    }
}
