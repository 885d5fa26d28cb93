//! Objects of the API within an object: `x-kubernetes-embedded-resource`.
//!
//! Upstream: `apiextensions-apiserver/pkg/apiserver/schema/objectmeta/validation.go`.

use serde_json::Value;

use super::{
    check::{Errors, has},
    metadata, names,
};
use crate::status::FieldError;

/// What is wrong with what it says of itself, and with its metadata.
pub(crate) fn embedded_resource(object: &Value, path: &str) -> Errors {
    let mut errors = Errors::new();
    let at = |field: &str| match path {
        "" => field.to_owned(),
        path => format!("{path}.{field}"),
    };
    for field in ["apiVersion", "kind"] {
        let shown = &object[field];
        let wrong = match shown.as_str() {
            None if shown.is_null() => {
                errors.push(FieldError::required(at(field), ""));
                continue;
            }
            None => "must be a string".to_owned(),
            Some("") => "must not be empty".to_owned(),
            Some(text) if field == "kind" => kind(text),
            Some(text) if text.matches('/').count() > 1 => {
                format!("unexpected GroupVersion string: {text}")
            }
            Some(_) => String::new(),
        };
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(at(field), shown, wrong));
        }
    }
    if has(object, "metadata") {
        metadata::embedded(&mut errors, &object["metadata"], &at("metadata"));
    }
    errors
}

fn kind(kind: &str) -> String {
    let wrong = names::dns1035_label(&kind.to_lowercase());
    match wrong.is_empty() {
        true => String::new(),
        false => format!(
            "may have mixed case, but should otherwise match: {}",
            wrong.join(",")
        ),
    }
}
