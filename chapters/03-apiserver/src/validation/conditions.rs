//! Conditions of the common form, `metav1.Condition`.
//!
//! Upstream: `ValidateConditions` in `apimachinery/pkg/apis/meta/v1/validation/validation.go`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    check::{Errors, has, join, list, one_of, text, too_long, wrongs},
    forms, names,
};
use crate::status::FieldError;

const REASON_BYTES_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// The list `conditions` of a status: one of each type, and all of each told.
pub(super) fn conditions(errors: &mut Errors, status: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !seen.insert(text(condition, "type")) {
            errors.push(FieldError::duplicate(path.clone(), &condition["type"]));
        }
        self::condition(errors, condition, &path);
    }
}

fn condition(errors: &mut Errors, condition: &Value, path: &str) {
    match text(condition, "type") {
        "" => errors.push(FieldError::required(join(path, "type"), "is required")),
        kind => {
            let wrong = names::qualified_name(kind);
            wrongs(errors, &join(path, "type"), &condition["type"], wrong);
        }
    }
    let statuses = ["False", "True", "Unknown"];
    one_of(errors, condition, path, "status", &statuses);
    if condition["observedGeneration"]
        .as_i64()
        .is_some_and(|g| g < 0)
    {
        let at = join(path, "observedGeneration");
        let wrong = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(
            at,
            &condition["observedGeneration"],
            wrong,
        ));
    }
    if !has(condition, "lastTransitionTime") {
        let at = join(path, "lastTransitionTime");
        errors.push(FieldError::required(at, ""));
    }
    let at = join(path, "reason");
    match text(condition, "reason") {
        "" => errors.push(FieldError::required(at, "")),
        reason => {
            let wrong = forms::condition_reason(reason);
            wrongs(errors, &at, &condition["reason"], wrong);
            if reason.len() > REASON_BYTES_MAX {
                errors.push(too_long(&at, REASON_BYTES_MAX));
            }
        }
    }
    if text(condition, "message").len() > MESSAGE_BYTES_MAX {
        errors.push(too_long(&join(path, "message"), MESSAGE_BYTES_MAX));
    }
}
