//! What an object has and its schema does not, goes.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/pruning`.

use serde_json::Value;

use super::path::{Step, below};
use super::structural::{Additional, Schema};

/// What every object of the API has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes an object; answers with the paths of what went, in order.
pub(super) fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut gone = Vec::new();
    walk(object, Some(schema), &mut Vec::new(), &mut gone);
    gone.sort();
    gone
}

fn walk(value: &mut Value, schema: Option<&Schema>, path: &mut Vec<Step>, gone: &mut Vec<String>) {
    if let Some(schema) = schema.filter(|schema| schema.preserve) {
        return keep(value, schema, path, gone);
    }
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let below_of = |inner: Option<&Schema>, value, path: &mut Vec<Step>, gone: &mut _| {
                path.push(Step::Key(name.clone()));
                walk(value, inner, path, gone);
                path.pop();
                true
            };
            let Some(schema) = schema else {
                gone.push(below(path, name));
                return false;
            };
            if schema.embedded && META.contains(&name.as_str()) {
                return true;
            }
            match (schema.properties.get(name), &schema.additional) {
                (Some(inner), _) => below_of(Some(inner), value, path, gone),
                (None, Some(Additional::Schema(inner))) => below_of(Some(inner), value, path, gone),
                (None, Some(Additional::Any(_))) => below_of(None, value, path, gone),
                (None, None) => {
                    gone.push(below(path, name));
                    false
                }
            }
        }),
        Value::Array(list) => {
            let items = schema.and_then(|schema| schema.items.as_deref());
            for (i, entry) in list.iter_mut().enumerate() {
                path.push(Step::Index(i));
                walk(entry, items, path, gone);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Everything stays at this level; what the schema does know is pruned by it.
fn keep(value: &mut Value, schema: &Schema, path: &mut Vec<Step>, gone: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if schema.embedded && META.contains(&name.as_str()) {
                    continue;
                }
                let inner = match (schema.properties.get(name), &schema.additional) {
                    (Some(inner), _) => Some(inner),
                    (None, Some(Additional::Schema(inner))) => Some(&**inner),
                    (None, Some(Additional::Any(_))) => None,
                    (None, None) => continue,
                };
                path.push(Step::Key(name.clone()));
                walk(value, inner, path, gone);
                path.pop();
            }
        }
        Value::Array(list) => {
            for (i, entry) in list.iter_mut().enumerate() {
                let Some(items) = schema.items.as_deref() else {
                    continue;
                };
                path.push(Step::Index(i));
                keep(entry, items, path, gone);
                path.pop();
            }
        }
        _ => {}
    }
}
