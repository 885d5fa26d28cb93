//! A piece of an object, merged into it without an owner: what admission policies make.
//!
//! Upstream: `apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go`.

use serde_json::Value;

use super::path::{Element, show};
use super::typed::{entry_element, field_shape, is_atomic};
use super::{Typed, merge::merge, misfits::misfits};
use crate::schema::Shape;

/// Merges a piece into an object, as an apply would. Nobody owns what it sets.
///
/// # Errors
/// Where the piece does not fit the type, or would replace as a whole what has other members.
pub fn merge_piece(typed: Typed, object: &Value, piece: &Value) -> Result<Value, String> {
    let shape = typed.shape().map_err(|error| error.message)?;
    let wrongs = misfits(&shape, piece);
    match wrongs.as_slice() {
        [] => {}
        [one] => {
            return Err(format!(
                "failed to convert patch object to typed object: {one}"
            ));
        }
        many => {
            let all = many.join("\n  ");
            return Err(format!(
                "failed to convert patch object to typed object: errors:\n  {all}"
            ));
        }
    }
    let mut atomics = Vec::new();
    find_atomics(&shape, piece, &mut Vec::new(), &mut atomics);
    if !atomics.is_empty() {
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomics.join(", ")
        ));
    }
    Ok(merge(&shape, object, piece))
}

/// The paths of all that is taken as a whole: who names one of its members would remove the others.
fn find_atomics(shape: &Shape, value: &Value, path: &mut Vec<Element>, found: &mut Vec<String>) {
    match value {
        Value::Object(object) if shape.has_fields() => {
            if is_atomic(shape) {
                found.push(show(path));
            }
            for (key, value) in object {
                path.push(Element::field(key));
                find_atomics(field_shape(shape, key), value, path, found);
                path.pop();
            }
        }
        Value::Array(list) => {
            let Shape::List { item, .. } = shape else {
                return;
            };
            if is_atomic(shape) {
                found.push(show(path));
            }
            for (index, entry) in list.iter().enumerate() {
                path.push(entry_element(shape, index, entry));
                find_atomics(item, entry, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}
