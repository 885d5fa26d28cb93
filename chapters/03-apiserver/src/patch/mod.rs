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
mod strategic;

use serde_json::{Map, Value};

use crate::status::{ApiError, FieldError, Subject};

pub use in_go::in_go;
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
    let patch: json_patch::Patch = serde_json::from_slice(patch)
        .and_then(|patch: Value| serde_json::from_value(patch))
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > OPERATIONS_MAX {
        return Err(ApiError::new(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is \
                 {OPERATIONS_MAX}, got {}",
                patch.0.len()
            ),
        ));
    }
    operations(current, &patch).map_err(|misfit| rejected(&misfit.detail))
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
pub fn operations(current: &Value, patch: &json_patch::Patch) -> Result<Value, Misfit> {
    let mut patched = current.clone();
    let mut copied_bytes = 0;
    for (i, operation) in patch.0.iter().enumerate() {
        let misfit = |detail: String| Misfit {
            is_failed_test: false,
            detail,
        };
        check_growth(&patched, operation, &mut copied_bytes)
            .map_err(|detail| misfit(format!("operation '/{i}': {detail}")))?;
        if is_absent_as_asked(&patched, operation) {
            continue;
        }
        json_patch::patch(&mut patched, std::slice::from_ref(operation)).map_err(|error| {
            let detail = format!(
                "operation '/{i}' failed at path '{}': {}",
                error.path, error.kind
            );
            Misfit {
                is_failed_test: matches!(error.kind, json_patch::PatchErrorKind::TestFailed),
                ..misfit(detail)
            }
        })?;
    }
    Ok(patched)
}

/// Whether a `test` for null meets an object without the field. To upstream that is null too, and
/// kube's `finalizer` relies on it: "if there are no finalizers yet, add one".
/// Upstream: `Patch.test` of `gopkg.in/evanphx/json-patch.v4`.
fn is_absent_as_asked(object: &Value, operation: &json_patch::PatchOperation) -> bool {
    let json_patch::PatchOperation::Test(test) = operation else {
        return false;
    };
    let Some((parent, field)) = test.path.split_back() else {
        return false;
    };
    let parent = object.pointer(parent.as_str()).and_then(Value::as_object);
    test.value.is_null() && parent.is_some_and(|it| !it.contains_key(&*field.decoded()))
}

/// A patch that does not fit its object. Upstream: `errors.NewGenericServerResponse`, which has a
/// fixed text before its own.
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
    operation: &json_patch::PatchOperation,
    copied_bytes: &mut usize,
) -> Result<(), String> {
    use json_patch::PatchOperation as Op;
    let value = match operation {
        Op::Add(add) => Some(&add.value),
        Op::Replace(replace) => Some(&replace.value),
        Op::Copy(copy) => object.pointer(copy.from.as_str()),
        Op::Move(from) => object.pointer(from.from.as_str()),
        Op::Remove(_) | Op::Test(_) => None,
    };
    let Some(value) = value else { return Ok(()) };
    if operation.path().count() + depth(value) > DEPTH_MAX {
        return Err(format!("the object would be deeper than {DEPTH_MAX}"));
    }
    if matches!(operation, Op::Copy(_)) {
        *copied_bytes += value.to_string().len();
        if *copied_bytes > COPIED_BYTES_MAX {
            return Err(format!(
                "copies would be larger than {COPIED_BYTES_MAX} bytes"
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
