//! What an object has and its schema does not, goes.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/pruning`.

use serde_json::Value;

use super::path::{Step, below};
use super::structural::{Additional, Schema};

/// What every object of the API has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes an object; answers with the paths of what went, in order.
pub fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut gone = Vec::new();
    walk(object, Some(schema), &mut Vec::new(), &mut gone);
    gone.sort();
    gone
}

/// What becomes of a field.
enum Fate<'a> {
    /// It goes.
    Goes,
    /// It stays, with all that is in it.
    Stays,
    /// It stays, and what is in it is pruned by this schema; without one, nothing of it is known.
    Pruned(Option<&'a Schema>),
}

/// What becomes of a field of an object that has this schema.
fn fate<'a>(schema: Option<&'a Schema>, name: &str) -> Fate<'a> {
    // ANCHOR: exercise-03.15
    let Some(schema) = schema else {
        return Fate::Goes;
    };
    if schema.embedded && META.contains(&name) {
        return Fate::Stays;
    }
    match (schema.properties.get(name), &schema.additional) {
        (Some(inner), _) => Fate::Pruned(Some(inner)),
        (None, Some(Additional::Schema(inner))) => Fate::Pruned(Some(inner)),
        (None, Some(Additional::Any(_))) => Fate::Pruned(None),
        (None, None) => Fate::Goes,
    }
    // ANCHOR_END: exercise-03.15
}

fn walk(value: &mut Value, schema: Option<&Schema>, path: &mut Vec<Step>, gone: &mut Vec<String>) {
    if let Some(schema) = schema.filter(|schema| schema.preserve) {
        return keep(value, schema, path, gone);
    }
    match value {
        Value::Object(fields) => fields.retain(|name, value| match fate(schema, name) {
            Fate::Goes => {
                gone.push(below(path, name));
                false
            }
            Fate::Stays => true,
            Fate::Pruned(inner) => {
                path.push(Step::Key(name.clone()));
                walk(value, inner, path, gone);
                path.pop();
                true
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
                let Fate::Pruned(inner) = fate(Some(schema), name) else {
                    continue;
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
