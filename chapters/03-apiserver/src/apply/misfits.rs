//! What of a configuration does not fit its type.

use std::collections::BTreeSet;

use serde_json::Value;

use super::path::{Element, show};
use super::typed::{entry_element, field_shape};
use crate::schema::Shape;

/// Each misfit, with where it is: `.spec.foo: field not declared in schema`.
pub(super) fn misfits(shape: &Shape, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    misfits_at(shape, value, &mut Vec::new(), &mut found);
    found
}

fn misfits_at(shape: &Shape, value: &Value, path: &mut Vec<Element>, found: &mut Vec<String>) {
    let expected = match (shape, value) {
        (_, Value::Null) | (Shape::Any | Shape::Deduced, _) => return,
        (Shape::Struct(_) | Shape::Own(_) | Shape::Map { .. }, Value::Object(object)) => {
            for (key, value) in object {
                path.push(Element::field(key));
                let known = shape
                    .as_struct()
                    .is_none_or(|owner| owner.is_open || owner.field(key).is_some());
                if known {
                    misfits_at(field_shape(shape, key), value, path, found);
                } else {
                    found.push(format!("{}: field not declared in schema", show(path)));
                }
                path.pop();
            }
            return;
        }
        (Shape::List { item, .. }, Value::Array(list)) => {
            let mut seen = BTreeSet::new();
            for (i, entry) in list.iter().enumerate() {
                let element = entry_element(shape, i, entry);
                if element == Element::Key("{}".into()) {
                    found.push(format!(
                        "{}: element {i}: associative list with keys has an element that omits \
                         all key fields",
                        show(path)
                    ));
                } else if !seen.insert(element.clone()) {
                    found.push(format!(
                        "{}: duplicate entries for key {}",
                        show(path),
                        show(std::slice::from_ref(&element))
                    ));
                }
                path.push(element);
                misfits_at(item, entry, path, found);
                path.pop();
            }
            return;
        }
        (Shape::Struct(_) | Shape::Own(_) | Shape::Map { .. }, _) => "map",
        (Shape::List { .. }, _) => "list",
        (_, Value::Object(_) | Value::Array(_)) => "scalar",
        (Shape::Boolean, Value::Bool(_)) => return,
        (Shape::Boolean, _) => "boolean",
        (Shape::Integer32 | Shape::Integer64 | Shape::Number, Value::Number(_)) => return,
        (Shape::Integer32 | Shape::Integer64 | Shape::Number, _) => "numeric (int or float)",
        (Shape::String | Shape::Bytes, Value::String(_)) => return,
        (Shape::String | Shape::Bytes, _) => "string",
        _ => return,
    };
    found.push(format!("{}: expected {expected}, got {value}", show(path)));
}
