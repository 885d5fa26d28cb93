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
                let below = below(field_shape(shape, name), value);
                set.add(Element::field(name), true, below);
            }
            for field in required_collections(shape) {
                set.add(Element::field(&field.name), true, Set::default());
            }
        }
        _ => {
            for (element, same) in grouped(shape, Some(value)).into_iter().flatten() {
                match same.as_slice() {
                    [(_, value)] => {
                        let below = below(field_or_item(shape, &element), value);
                        set.add(element, true, below);
                    }
                    // Entries that share a key are one leaf.
                    _ => set.add(element, true, Set::default()),
                }
            }
        }
    }
    set
}
