//! Objects of the API within custom objects: each has to say what it is.

use serde_json::Value;

use super::structural::{Additional, Schema};
use crate::status::FieldError;
use crate::validation::embedded_resource;

/// What is wrong with the objects within an object.
pub(super) fn validate(schema: &Schema, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // The object itself is validated as every other.
    below(schema, object, "", &mut errors);
    errors
}

fn walk(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if schema.embedded && value.is_object() {
        errors.extend(embedded_resource(value, path));
    }
    below(schema, value, path, errors);
}

fn below(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(inner), _) if path.is_empty() => walk(inner, value, name, errors),
                    (Some(inner), _) => walk(inner, value, &format!("{path}.{name}"), errors),
                    (None, Some(Additional::Schema(inner))) => {
                        walk(inner, value, &format!("{path}[{name}]"), errors);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            for (i, entry) in list.iter().enumerate() {
                if let Some(items) = &schema.items {
                    walk(items, entry, &format!("{path}[{i}]"), errors);
                }
            }
        }
        _ => {}
    }
}
