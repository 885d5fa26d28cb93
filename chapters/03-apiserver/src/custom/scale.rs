//! The `scale` subresource: where in an object its replicas are.
//!
//! Upstream: `apiextensions-apiserver/pkg/registry/customresource/etcd.go`, `validator.go`.

use serde_json::{Value, json};

use super::jsonpath::simple;
use crate::registry::scale::scale;
use crate::resources::Custom;
use crate::status::{ApiError, FieldError};

/// `subresources.scale` of a version.
fn paths(custom: &Custom) -> &Value {
    &custom.spec["subresources"]["scale"]
}

fn path<'a>(custom: &'a Custom, key: &str) -> &'a str {
    paths(custom)[key].as_str().unwrap_or_default()
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let names = simple(path);
    names
        .into_iter()
        .try_fold(object, |value, name| value.get(name))
}

/// The names that lead to the replicas that are wanted.
pub fn replicas_path(custom: &Custom) -> Vec<&str> {
    simple(path(custom, "specReplicasPath"))
}

/// `autoscaling/v1` `Scale` of an object.
///
/// # Errors
/// 404 with upstream's words where the object does not say how many replicas it wants.
pub fn scale_of(custom: &Custom, object: &Value) -> Result<Value, ApiError> {
    let spec_path = path(custom, "specReplicasPath");
    let Some(replicas) = at(object, spec_path).and_then(Value::as_i64) else {
        return Err(ApiError::internal(format!(
            "the spec replicas field {spec_path:?} does not exist"
        )));
    };
    let count = |key: &str| {
        at(object, path(custom, key))
            .and_then(Value::as_i64)
            .unwrap_or(0)
    };
    let selector = at(object, path(custom, "labelSelectorPath")).and_then(Value::as_str);
    let there = count("statusReplicasPath");
    Ok(scale(object, replicas, there, selector.unwrap_or_default()))
}

/// Checks that what the paths lead to are counts.
pub(super) fn validate(custom: &Custom, object: &Value, with_spec: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if paths(custom).is_null() {
        return errors;
    }
    let mut count = |key: &str| {
        let path = path(custom, key);
        let Some(value) = at(object, path) else {
            return;
        };
        match value.as_i64() {
            None => errors.push(FieldError::invalid(
                path,
                &json!(0),
                accessor(path, value, "int64"),
            )),
            Some(..0) => {
                errors.push(FieldError::invalid(
                    path,
                    value,
                    "should be a non-negative integer",
                ));
            }
            Some(number) if number > i64::from(i32::MAX) => {
                let detail = format!("should be less than or equal to {}", i32::MAX);
                errors.push(FieldError::invalid(path, value, detail));
            }
            Some(_) => {}
        }
    };
    if with_spec {
        count("specReplicasPath");
    }
    count("statusReplicasPath");
    let path = path(custom, "labelSelectorPath");
    if let Some(value) = at(object, path).filter(|value| !path.is_empty() && !value.is_string()) {
        errors.push(FieldError::invalid(
            path,
            &json!(""),
            accessor(path, value, "string"),
        ));
    }
    errors
}

/// Upstream's words for a value that is of another type than was looked for.
fn accessor(path: &str, value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let shown = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    format!("{path} accessor error: {shown} is of the type {found}, expected {wanted}")
}
