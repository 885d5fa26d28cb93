//! Defaults are filled in; nulls that mean nothing go.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/defaulting`.

use serde_json::Value;

use super::structural::{Additional, Schema};

/// Removes fields that are null, may not be, and have no default.
pub fn drop_nulls(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let Some(inner) = schema.field(name) else {
                return true;
            };
            if value.is_null() && !inner.nullable && inner.default.is_none() {
                return false;
            }
            drop_nulls(value, inner);
            true
        }),
        Value::Array(list) => {
            for entry in list {
                if let Some(items) = &schema.items {
                    drop_nulls(entry, items);
                }
            }
        }
        _ => {}
    }
}

/// Fills in what is left out, or null where it may not be.
pub fn defaults(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => {
            // ANCHOR: exercise-03.16
            for (name, inner) in &schema.properties {
                let Some(default) = &inner.default else {
                    continue;
                };
                let missing = fields
                    .get(name)
                    .is_none_or(|value| value.is_null() && !inner.nullable);
                if missing {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields {
                let inner = match (schema.properties.get(name), &schema.additional) {
                    (Some(inner), _) => inner,
                    (None, Some(Additional::Schema(inner))) => {
                        replace_null(value, inner);
                        inner
                    }
                    _ => continue,
                };
                defaults(value, inner);
            }
            // ANCHOR_END: exercise-03.16
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for entry in list {
                replace_null(entry, items);
                defaults(entry, items);
            }
        }
        _ => {}
    }
}

fn replace_null(value: &mut Value, schema: &Schema) {
    if let (Value::Null, false, Some(default)) = (&value, schema.nullable, &schema.default) {
        *value = default.clone();
    }
}
