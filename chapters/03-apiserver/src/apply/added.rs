//! All that comes, or goes, with a value that was not there before.
//!
//! Most of what a create compares is of this kind. Nothing stands against it, so its set is built
//! in one walk, from the leaves up.

use serde_json::Value;

use super::path::{Element, Set};
use super::typed::{
    field_or_item, field_shape, grouped, is_atomic, is_hollow, required_collections,
};
use crate::schema::Shape;

/// The paths below a value: every member, and what is below each.
pub(super) fn below(shape: &Shape, value: &Value) -> Set {
    let mut set = Set::default();
    if is_hollow(value) {
        return set;
    }
    match value {
        Value::Object(object) if shape.has_fields() && !is_atomic(shape) => {
            for (name, value) in object {
                add(
                    &mut set,
                    Element::field(name),
                    field_shape(shape, name),
                    value,
                );
            }
            for field in required_collections(shape) {
                set.members.insert(Element::field(&field.name));
            }
        }
        _ => {
            for (element, same) in grouped(shape, Some(value)).into_iter().flatten() {
                match same.as_slice() {
                    [(_, value)] => {
                        let member = field_or_item(shape, &element);
                        add(&mut set, element, member, value);
                    }
                    // Entries that share a key are one leaf.
                    _ => drop(set.members.insert(element)),
                }
            }
        }
    }
    set
}

fn add(set: &mut Set, element: Element, shape: &Shape, value: &Value) {
    let below = below(shape, value);
    if !below.is_empty() {
        set.children.insert(element.clone(), below);
    }
    set.members.insert(element);
}
