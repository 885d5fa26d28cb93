//! Strategic merge patch: a merge patch that knows which lists merge, and by which key.
//!
//! Beside new values, a patch holds directives:
//!
//! | directive | in | says |
//! | --- | --- | --- |
//! | `$patch: replace` | an object | take the patch's object as it is |
//! | `$patch: delete` | an object | empty it; in an entry of a list: remove the entry of that key |
//! | `$retainKeys: [a, b]` | an object | remove all fields but these |
//! | `$setElementOrder/ports: [...]` | an object | the order of the list `ports` |
//! | `$deleteFromPrimitiveList/finalizers: [...]` | an object | values to take out of a list |
//!
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`, and the design
//! in `sig-api-machinery/strategic-merge-patch.md` of kubernetes/community.

use serde_json::{Map, Value};

use super::invalid_patch;
use crate::schema::{Shape, type_named};
use crate::status::ApiError;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Carries out a strategic merge patch on an object of type `schema_name`.
///
/// # Errors
///
/// `BadRequest` where a directive is malformed, `Invalid` where the patch does not fit the object.
pub fn strategic_merge_patch(
    schema_name: &str,
    current: &Value,
    patch: &Value,
) -> Result<Value, ApiError> {
    let shape = type_named(schema_name)
        .map(Shape::Struct)
        .unwrap_or(Shape::Any);
    let (Value::Object(current), Value::Object(patch)) = (current, patch) else {
        return Err(bad("invalid JSON document"));
    };
    merge_objects(&shape, current.clone(), patch)
        .map(Value::Object)
        .map_err(|fault| match fault {
            Fault::Malformed(error) => error,
            Fault::Unfit(detail) => invalid_patch(&Value::Object(patch.clone()), &detail),
        })
}

/// Why a patch cannot be carried out.
enum Fault {
    /// A directive is not what it has to be.
    Malformed(ApiError),
    /// The patch is well formed, but not for this object.
    Unfit(String),
}

fn bad(detail: &str) -> ApiError {
    ApiError::bad_request(detail)
}

fn malformed(detail: &str) -> Fault {
    Fault::Malformed(bad(detail))
}

fn merge_objects(shape: &Shape, mut current: Object, patch: &Object) -> Result<Object, Fault> {
    match patch
        .get(PATCH)
        .map(|directive| directive.as_str().unwrap_or_default())
    {
        None => {}
        Some("replace") => {
            let mut patch = patch.clone();
            patch.remove(PATCH);
            return Ok(without_directives(patch));
        }
        Some("delete") => return Ok(Object::new()),
        Some(other) => return Err(Fault::Unfit(format!("unknown patch type {other:?} in map"))),
    }
    retain_keys(&mut current, patch)?;
    for (key, change) in patch {
        if let Some(key) = key.strip_prefix(DELETE_FROM_LIST) {
            delete_from_list(&mut current, key, change)?;
        }
    }
    for (key, change) in patch {
        if key.starts_with('$') && is_directive(key) {
            continue;
        }
        match (current.remove(key), change) {
            (_, Value::Null) => {}
            (Some(Value::Object(ours)), Value::Object(theirs)) if !replaces(shape, key) => {
                let merged = merge_objects(member(shape, key), ours, theirs)?;
                current.insert(key.clone(), Value::Object(merged));
            }
            (Some(Value::Array(ours)), Value::Array(theirs)) => {
                let order = patch.get(&format!("{SET_ELEMENT_ORDER}{key}"));
                let merged = merge_lists(member(shape, key), key, ours, theirs, order)?;
                current.insert(key.clone(), Value::Array(merged));
            }
            (_, change) => {
                if let Some(value) = clean(change.clone()) {
                    current.insert(key.clone(), value);
                }
            }
        }
    }
    reorder_untouched(shape, &mut current, patch)?;
    Ok(current)
}

fn is_directive(key: &str) -> bool {
    key == PATCH
        || key == RETAIN_KEYS
        || key.starts_with(SET_ELEMENT_ORDER)
        || key.starts_with(DELETE_FROM_LIST)
}

/// What a field, or the value of a key, is.
fn member<'a>(shape: &'a Shape, key: &str) -> &'a Shape {
    match shape {
        Shape::Struct(r) => r.get().field(key).map_or(&Shape::Any, |field| &field.shape),
        Shape::Map { value, .. } => value,
        _ => &Shape::Any,
    }
}

/// Whether a patch of a field takes the place of what is there.
fn replaces(shape: &Shape, key: &str) -> bool {
    let field = shape.as_struct().and_then(|r#type| r#type.field(key));
    field.is_some_and(|field| field.patch_replaces)
}

fn retain_keys(current: &mut Object, patch: &Object) -> Result<(), Fault> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let keys: Vec<&str> = keys
        .as_array()
        .ok_or_else(|| malformed("invalid patch format of retainKeys"))?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let changes = patch
        .iter()
        .filter(|(key, change)| !change.is_null() && !is_directive(key));
    if changes
        .into_iter()
        .any(|(key, _)| !keys.contains(&key.as_str()))
    {
        return Err(malformed("invalid patch format of retainKeys"));
    }
    current.retain(|key, _| keys.contains(&key.as_str()));
    Ok(())
}

fn delete_from_list(current: &mut Object, key: &str, values: &Value) -> Result<(), Fault> {
    let Some(values) = values.as_array() else {
        return Err(malformed("invalid patch format of primitive list"));
    };
    if let Some(Value::Array(list)) = current.get_mut(key) {
        list.retain(|value| !values.contains(value));
    }
    Ok(())
}

/// `$setElementOrder` alone reorders a list that the patch does not otherwise touch.
fn reorder_untouched(shape: &Shape, current: &mut Object, patch: &Object) -> Result<(), Fault> {
    for (directive, order) in patch {
        let Some(key) = directive.strip_prefix(SET_ELEMENT_ORDER) else {
            continue;
        };
        let Some(order) = order.as_array() else {
            return Err(malformed("invalid patch format of setElementOrder list"));
        };
        if patch.contains_key(key) {
            continue;
        }
        if let Some(Value::Array(list)) = current.get_mut(key) {
            let merge_key = merge_key(member(shape, key)).unwrap_or_default();
            let before = list.clone();
            *list = in_order(std::mem::take(list), order, &before, merge_key);
        }
    }
    Ok(())
}

/// What entries are told apart by: a key, `""` for the value itself, `None` if they are not.
fn merge_key(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::List { patch_key, .. } => *patch_key,
        _ => None,
    }
}

fn merge_lists(
    shape: &Shape,
    field: &str,
    current: Vec<Value>,
    patch: &[Value],
    order: Option<&Value>,
) -> Result<Vec<Value>, Fault> {
    let Some(key) = merge_key(shape) else {
        return Ok(patch.iter().cloned().filter_map(clean).collect());
    };
    let order = match order.map(Value::as_array) {
        None => None,
        Some(Some(order)) => Some(order.as_slice()),
        Some(None) => return Err(malformed("invalid patch format of setElementOrder list")),
    };
    let server = current.clone();
    let mut merged = current;
    let mut changes: Vec<Value> = Vec::new();
    if key.is_empty() {
        changes.extend(patch.iter().cloned());
        for value in patch {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
    } else {
        let item = match shape {
            Shape::List { item, .. } => &**item,
            _ => &Shape::Any,
        };
        if patch.iter().any(|entry| entry[PATCH] == "replace") {
            merged.clear();
        }
        for entry in patch {
            merge_entry(item, field, key, &mut merged, &mut changes, entry)?;
        }
    }
    if let Some(order) = order {
        let missing = changes
            .iter()
            .any(|entry| place(order, entry, key).is_none());
        if missing && !order.is_empty() {
            return Err(Fault::Unfit(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                Value::from(changes),
                Value::from(order.to_vec()),
            )));
        }
    }
    Ok(in_order(merged, order.unwrap_or(&changes), &server, key))
}

/// Merges one entry of a patch's list, or removes what it says to remove.
fn merge_entry(
    item: &Shape,
    field: &str,
    key: &str,
    merged: &mut Vec<Value>,
    changes: &mut Vec<Value>,
    entry: &Value,
) -> Result<(), Fault> {
    let Value::Object(change) = entry else {
        return Err(Fault::Unfit(format!(
            "expected a map in list {field}, but received: {entry}"
        )));
    };
    let directive = change
        .get(PATCH)
        .map(|directive| directive.as_str().unwrap_or_default());
    if directive == Some("replace") {
        return Ok(());
    }
    let Some(value) = change.get(key).filter(|value| !value.is_null()) else {
        let entry = Value::Object(change.clone());
        return Err(Fault::Unfit(format!(
            "map: {entry} does not contain declared merge key: {key}"
        )));
    };
    // ANCHOR: exercise-03.6
    match directive {
        None => {}
        Some("delete") => {
            merged.retain(|ours| ours[key] != *value);
            return Ok(());
        }
        Some("merge") => {
            return Err(Fault::Unfit(
                "merging lists cannot yet be specified in the patch".into(),
            ));
        }
        Some(other) => {
            return Err(Fault::Unfit(format!(
                "unknown patch type {other:?} in list"
            )));
        }
    }
    changes.push(entry.clone());
    match merged.iter_mut().find(|ours| ours[key] == *value) {
        Some(ours) => {
            let current = ours.as_object().cloned().unwrap_or_default();
            *ours = Value::Object(merge_objects(item, current, change)?);
        }
        None => merged.extend(clean(entry.clone())),
    }
    Ok(())
    // ANCHOR_END: exercise-03.6
}

/// Where `entry` is in `list`: the entry of the same key.
fn place(list: &[Value], entry: &Value, key: &str) -> Option<usize> {
    list.iter().position(|other| match key {
        "" => other == entry,
        key => other
            .get(key)
            .is_some_and(|value| Some(value) == entry.get(key)),
    })
}

/// Sorts entries that `order` names by it, and all others where the server had them: the two
/// sorted lists are merged, by their places at the server where both had one, else the server's
/// own first.
fn in_order(list: Vec<Value>, order: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    let (mut named, mut others): (Vec<_>, Vec<_>) = list
        .into_iter()
        .partition(|entry| place(order, entry, key).is_some());
    named.sort_by_key(|entry| place(order, entry, key));
    others.sort_by_key(|entry| place(server, entry, key).unwrap_or(usize::MAX));
    let mut sorted = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for entry in named {
        while let Some(other) = others.peek() {
            match (place(server, &entry, key), place(server, other, key)) {
                (Some(ours), Some(theirs)) if ours < theirs => break,
                _ => sorted.extend(others.next()),
            }
        }
        sorted.push(entry);
    }
    sorted.extend(others);
    sorted
}

/// A new value of a patch as it is stored: without nulls and directives. `None` where a directive
/// says that it is to go.
fn clean(value: Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key(PATCH) => match object[PATCH].as_str() {
            Some("replace") => Some(Value::Object(without_directives(object))),
            _ => None,
        },
        Value::Object(object) => Some(Value::Object(without_directives(object))),
        Value::Array(list) => Some(list.into_iter().filter_map(clean).collect()),
        other => Some(other),
    }
}

fn without_directives(object: Object) -> Object {
    object
        .into_iter()
        .filter(|(key, value)| !value.is_null() && !is_directive(key))
        .filter_map(|(key, value)| Some((key, clean(value)?)))
        .collect()
}
