//! What of a configuration does not fit its type.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::path::{Element, show};
use super::typed::{entry_element, field_shape};
use crate::schema::{ListType, Shape};

/// Each misfit, with where it is: `.spec.foo: field not declared in schema`.
pub(super) fn misfits(shape: &Shape, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    misfits_at(shape, value, &mut Vec::new(), &mut found);
    found
}

fn misfits_at(shape: &Shape, value: &Value, path: &mut Vec<Element>, found: &mut Vec<String>) {
    let problem = match (shape, value) {
        (_, Value::Null) | (Shape::Any | Shape::Deduced, _) => return,
        (Shape::Struct(_) | Shape::Own(_) | Shape::Map { .. }, Value::Object(object)) => {
            return in_fields(shape, object, path, found);
        }
        (Shape::List { item, .. }, Value::Array(list)) => {
            return in_entries(shape, item, list, path, found);
        }
        (Shape::Struct(_) | Shape::Own(_) | Shape::Map { .. }, value) => {
            format!("expected map, got &{{{}}}", go_value(value))
        }
        (Shape::List { .. }, value) => format!("expected list, got &{{{}}}", go_value(value)),
        (Shape::Boolean, Value::Bool(_)) => return,
        (Shape::Boolean, value) => format!("expected boolean, got &{{{}}}", go_value(value)),
        (Shape::Integer32 | Shape::Integer64 | Shape::Number, Value::Number(_)) => return,
        (Shape::Integer32 | Shape::Integer64 | Shape::Number, value) => {
            format!("expected numeric (int or float), got {}", go_type(value))
        }
        (Shape::String | Shape::Bytes, Value::String(_)) => return,
        (Shape::String | Shape::Bytes, value) => format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go_syntax(value)
        ),
        // Times, quantities, and numbers that may be text.
        (_, Value::Object(_) | Value::Array(_)) => {
            format!("expected any scalar, got &{{{}}}", go_value(value))
        }
        _ => return,
    };
    found.push(format!("{}: {problem}", show(path)));
}

fn in_fields(
    shape: &Shape,
    object: &Map<String, Value>,
    path: &mut Vec<Element>,
    found: &mut Vec<String>,
) {
    let mut knows_all = true;
    for (key, value) in object {
        path.push(Element::field(key));
        let owner = shape.as_struct();
        if owner.is_none_or(|owner| owner.is_open || owner.field(key).is_some()) {
            misfits_at(field_shape(shape, key), value, path, found);
        } else if std::mem::take(&mut knows_all) {
            // One unknown field of an object is enough.
            found.push(format!("{}: field not declared in schema", show(path)));
        }
        path.pop();
    }
}

fn in_entries(
    shape: &Shape,
    item: &Shape,
    list: &[Value],
    path: &mut Vec<Element>,
    found: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for (i, entry) in list.iter().enumerate() {
        let element = entry_element(shape, i, entry);
        if let Some(problem) = without_key(shape, &element, entry) {
            // Without a key nothing can be said of what follows.
            return found.push(format!("{}: element {i}: {problem}", show(path)));
        }
        if !seen.insert(element.clone()) {
            let key = show(std::slice::from_ref(&element));
            found.push(format!("{}: duplicate entries for key {key}", show(path)));
        }
        path.push(element);
        misfits_at(item, entry, path, found);
        path.pop();
    }
}

/// Why an entry of a list, whose entries are told apart, cannot be.
fn without_key(shape: &Shape, element: &Element, entry: &Value) -> Option<String> {
    let Shape::List { kind, .. } = shape else {
        return None;
    };
    let problem = match (kind, entry) {
        (ListType::Atomic, _) => return None,
        (ListType::Set, Value::Object(_)) => {
            "associative list without keys has an element that's a map type"
        }
        (ListType::Set, Value::Array(_)) => {
            "not supported: associative list with lists as elements"
        }
        (ListType::Set, Value::Null) => {
            "associative list without keys has an element that's an explicit null"
        }
        (ListType::Set, _) => return None,
        (_, Value::Null) => "associative list with keys may not have a null element",
        (_, Value::Object(_)) if *element == Element::Key("{}".into()) => {
            let keys: Vec<String> = kind.keys()?.iter().map(|key| format!("{key:?}")).collect();
            return Some(format!(
                "associative list with keys has an element that omits all key fields [{}] (and \
                 doesn't have default values for any key fields)",
                keys.join(" ")
            ));
        }
        (_, Value::Object(_)) => return None,
        _ => "associative list with keys may not have non-map elements",
    };
    Some(problem.to_owned())
}

/// A value as Go prints it: `map[a:1]`.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Object(object) => {
            let fields = object.iter().map(|(k, v)| format!("{k}:{}", go_value(v)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        Value::Array(list) => {
            let entries: Vec<String> = list.iter().map(go_value).collect();
            format!("[{}]", entries.join(" "))
        }
        value => value.to_string(),
    }
}

/// A value as it would stand in a Go program.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Object(object) => {
            let fields = object
                .iter()
                .map(|(k, v)| format!("{k:?}:{}", go_syntax(v)));
            let fields: Vec<String> = fields.collect();
            format!("{}{{{}}}", go_type(value), fields.join(", "))
        }
        Value::Array(list) => {
            let entries: Vec<String> = list.iter().map(go_syntax).collect();
            format!("{}{{{}}}", go_type(value), entries.join(", "))
        }
        value => value.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
