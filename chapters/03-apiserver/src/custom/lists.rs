//! Lists whose entries are told apart, by value or by keys: no two may be the same.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/listtype`.

use serde_json::{Map, Value};

use super::path::{Step, show};
use super::structural::{ListKind, Schema};
use crate::status::FieldError;

/// What is there twice.
pub(super) fn validate(schema: &Schema, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, object, &mut Vec::new(), &mut errors);
    errors
}

fn walk(schema: &Schema, value: &Value, path: &mut Vec<Step>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(inner) = schema.field(name) {
                    path.push(Step::Key(name.clone()));
                    walk(inner, value, path, errors);
                    path.pop();
                }
            }
        }
        Value::Array(list) => {
            check(schema, list, path, errors);
            for (i, entry) in list.iter().enumerate() {
                if let Some(items) = &schema.items {
                    path.push(Step::Index(i));
                    walk(items, entry, path, errors);
                    path.pop();
                }
            }
        }
        _ => {}
    }
}

fn check(schema: &Schema, list: &[Value], path: &[Step], errors: &mut Vec<FieldError>) {
    let at = |i: usize| format!("{}[{i}]", show(path));
    let keys: Vec<Value> = match &schema.list {
        ListKind::Atomic => return,
        ListKind::Set => list.to_vec(),
        ListKind::Map(names) => {
            let odd = list
                .iter()
                .position(|entry| !entry.is_null() && !entry.is_object());
            if let Some(i) = odd {
                let detail = "must be an object for an array of list-type map";
                errors.push(FieldError::invalid(at(i), &list[i], detail));
                return;
            }
            list.iter().map(|entry| keys_of(names, entry)).collect()
        }
    };
    let mut seen: Vec<(&Value, usize)> = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        match seen.iter_mut().find(|(other, _)| *other == key) {
            // Told once, however often it is there.
            Some((_, times)) => {
                *times += 1;
                if *times == 2 {
                    errors.push(FieldError::duplicate(at(i), key));
                }
            }
            None => seen.push((key, 1)),
        }
    }
}

fn keys_of(names: &[String], entry: &Value) -> Value {
    let there = names
        .iter()
        .filter_map(|name| Some((name.clone(), entry.get(name)?.clone())));
    Value::Object(there.collect::<Map<_, _>>())
}
