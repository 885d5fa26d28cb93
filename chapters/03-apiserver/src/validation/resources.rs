//! What a container asks for and may use.

use serde_json::{Value, json};

use super::{
    check::{Errors, entries, join, wrongs},
    names,
    quantity::Quantity,
};
use crate::status::FieldError;

/// What may be asked for under its plain name.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Amounts that make sense, and requests that the limits allow.
pub(super) fn resources(errors: &mut Errors, resources: &Value, path: &str) {
    for field in ["limits", "requests"] {
        let path = join(path, field);
        for (name, value) in entries(resources, field) {
            let path = format!("{path}[{name}]");
            resource_name(errors, name, &path);
            let Some(quantity) = amount(value) else {
                let wrong = "quantities must match the regular expression \
                             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
                errors.push(FieldError::invalid(path, value, wrong));
                continue;
            };
            if quantity.is_negative() {
                let wrong = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(path.clone(), value, wrong));
            }
            if !STANDARD.contains(&name) && !quantity.is_whole() {
                errors.push(FieldError::invalid(path, value, "must be an integer"));
            }
        }
    }
    for (name, request) in entries(resources, "requests") {
        let at = join(path, "requests");
        let limit = &resources["limits"][name];
        let is_extended = !STANDARD.contains(&name);
        match (amount(request), amount(limit)) {
            (Some(asked), Some(most)) if asked > most || (is_extended && asked != most) => {
                let limit = limit
                    .as_str()
                    .map_or_else(|| limit.to_string(), str::to_owned);
                let wrong = if is_extended {
                    format!("must be equal to {name} limit of {limit}")
                } else {
                    format!("must be less than or equal to {name} limit of {limit}")
                };
                errors.push(FieldError::invalid(at, request, wrong));
            }
            (Some(_), None) if is_extended => {
                let wrong = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(join(path, "limits"), wrong));
            }
            _ => {}
        }
    }
}

fn amount(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    }
}

/// The name of what a container may ask for.
pub(super) fn resource_name(errors: &mut Errors, name: &str, path: &str) {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        return wrongs(errors, path, &json!(name), wrong);
    }
    if !name.contains('/') && !STANDARD.contains(&name) && !name.starts_with("hugepages-") {
        let wrong = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, &json!(name), wrong));
        let wrong = "must be a standard resource for containers";
        errors.push(FieldError::invalid(path, &json!(name), wrong));
    }
}

/// Whether a resource is somebody's own, and not of Kubernetes: `example.com/gpu`.
pub(super) fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.")
}
