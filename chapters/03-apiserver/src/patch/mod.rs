//! Patches: three ways to say what is to change.
//!
//! | content type | function | says |
//! | --- | --- | --- |
//! | `application/json-patch+json` | [`json_patch`] | a list of operations (RFC 6902) |
//! | `application/merge-patch+json` | [`merge_patch`] | the new values, null to remove (RFC 7386) |
//! | `application/strategic-merge-patch+json` | [`strategic_merge_patch`] | the same, with lists merged by key |
//!
//! The fourth, server-side apply, says what somebody wants and leaves the rest to its owners:
//! see [`crate::apply`].
//!
//! All are functions of the current object and the patch; what they make is checked against its
//! type by [`crate::schema::check`]. Upstream:
//! `staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

mod in_go;
mod operations;
mod strategic;

use serde_json::{Map, Value};

use crate::status::{ApiError, FieldError, Subject};

pub use in_go::in_go;
pub use operations::Operation;
pub use strategic::strategic_merge_patch;

/// Most operations in a JSON patch, as upstream.
const OPERATIONS_MAX: usize = 10_000;
/// Most bytes that the `copy` operations of a JSON patch may add, as upstream.
const COPIED_BYTES_MAX: usize = 3 << 20;
/// Deepest that a JSON patch may nest an object. What is read from a body is at most half as deep.
const DEPTH_MAX: usize = 256;

/// Carries out a JSON patch.
///
/// # Errors
///
/// `BadRequest` where it is no JSON patch, 413 where it is too long, `Invalid` where it does not
/// fit the object: a failed `test`, a path that is not there.
pub fn json_patch(current: &Value, patch: &[u8]) -> Result<Value, ApiError> {
    // By way of a value, in which of a field that is there twice the last one counts.
    let patch: Vec<Operation> = serde_json::from_slice(patch)
        .and_then(|patch: Value| serde_json::from_value(patch))
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if patch.len() > OPERATIONS_MAX {
        return Err(ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is \
                 {OPERATIONS_MAX}, got {}",
                patch.len()
            ),
        ));
    }
    carry_out(current, &patch).map_err(|misfit| rejected(&misfit.detail))
}

/// An operation that does not fit the object.
#[derive(Debug)]
pub struct Misfit {
    /// It is a `test` that failed.
    pub is_failed_test: bool,
    /// What is wrong.
    pub detail: String,
}

/// Carries out the operations of a JSON patch.
///
/// # Errors
/// The first one that does not fit.
pub fn carry_out(current: &Value, patch: &[Operation]) -> Result<Value, Misfit> {
    let mut patched = current.clone();
    let mut copied_bytes = 0;
    for (i, operation) in patch.iter().enumerate() {
        check_growth(&patched, operation, &mut copied_bytes)
            .and_then(|()| operation.carry_out(&mut patched))
            .map_err(|why| Misfit {
                is_failed_test: operations::is_failed_test(&why),
                detail: format!("operation {i}: {why}"),
            })?;
    }
    Ok(patched)
}

/// A patch that does not fit its object. Upstream: `errors.NewGenericServerResponse`, which says no
/// more than the fixed text; here comes why, and which operation it is.
fn rejected(detail: &str) -> ApiError {
    let mut invalid = ApiError::new(
        422,
        "Invalid",
        format!("the server rejected our request due to an error in our request: {detail}"),
    );
    invalid.details = Some(Map::new());
    invalid
}

/// Refuses an operation by which an object outgrows what a request's body could be: copies of
/// copies double its size, or its depth, each time.
fn check_growth(
    object: &Value,
    operation: &Operation,
    copied_bytes: &mut usize,
) -> Result<(), String> {
    let Some(value) = operation.puts(object) else {
        return Ok(());
    };
    if operation.depth() + depth(value) > DEPTH_MAX {
        return Err(format!("the object would be deeper than {DEPTH_MAX}"));
    }
    if operation.copies() {
        *copied_bytes += value.to_string().len();
        if *copied_bytes > COPIED_BYTES_MAX {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is \
                 {copied_bytes}, exceeding the limit {COPIED_BYTES_MAX}"
            ));
        }
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or_default(),
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Carries out a merge patch: what is null goes, objects merge, all else is replaced.
pub fn merge_patch(current: &Value, patch: &Value) -> Value {
    // ANCHOR: exercise-03.1
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = match current {
        Value::Object(current) => current.clone(),
        _ => Map::new(),
    };
    for (key, change) in patch {
        if change.is_null() {
            merged.remove(key);
        } else {
            let current = merged.remove(key).unwrap_or(Value::Null);
            merged.insert(key.clone(), merge_patch(&current, change));
        }
    }
    Value::Object(merged)
    // ANCHOR_END: exercise-03.1
}

/// A patch that its object's type does not allow.
fn invalid_patch(patch: &Value, detail: &str) -> ApiError {
    let subject = Subject {
        group: "",
        resource: "",
        kind: "",
        name: "",
    };
    let shown = Value::String(patch.to_string());
    ApiError::invalid(subject, &[FieldError::invalid("patch", &shown, detail)])
}

#[cfg(test)]
mod tests;
