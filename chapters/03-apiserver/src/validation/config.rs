//! ConfigMaps and Secrets.
//!
//! Upstream: `pkg/apis/core/validation/validation.go`, `ValidateConfigMap`, `ValidateSecret`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    check::{Errors, entries, has, immutable, same, text, too_long, wrongs},
    names,
};
use crate::status::FieldError;

/// What one may hold: a store's value is small.
const BYTES_MAX: usize = 1 << 20;

/// A ConfigMap, new or changed.
pub(super) fn config_map(errors: &mut Errors, object: &Value) {
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        let at = format!("data[{key}]");
        wrongs(errors, &at, &key.into(), names::config_key(key));
        if has(&object["binaryData"], key) {
            let wrong = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(at, &key.into(), wrong));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(object, "binaryData") {
        wrongs(
            errors,
            &format!("binaryData[{key}]"),
            &key.into(),
            names::config_key(key),
        );
        size += decoded_len(value);
    }
    if size > BYTES_MAX {
        errors.push(too_long("", BYTES_MAX));
    }
}

/// A Secret, new or changed.
pub(super) fn secret(errors: &mut Errors, object: &Value) {
    let mut size = 0;
    for (key, value) in entries(object, "data") {
        wrongs(
            errors,
            &format!("data[{key}]"),
            &key.into(),
            names::config_key(key),
        );
        size += decoded_len(value);
    }
    if size > BYTES_MAX {
        errors.push(too_long("data", BYTES_MAX));
    }
    let data = &object["data"];
    let mut needs = |key: &str| {
        if !has(data, key) {
            errors.push(FieldError::required(format!("data[{key}]"), ""));
        }
    };
    match text(object, "type") {
        "kubernetes.io/service-account-token" => {
            let account = "kubernetes.io/service-account.name";
            if text(&object["metadata"]["annotations"], account).is_empty() {
                let at = format!("metadata.annotations[{account}]");
                errors.push(FieldError::required(at, ""));
            }
        }
        "kubernetes.io/dockercfg" => json_file(errors, data, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => json_file(errors, data, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has(data, "username") && !has(data, "password") => {
            needs("username");
            needs("password");
        }
        "kubernetes.io/ssh-auth" => needs("ssh-privatekey"),
        "kubernetes.io/tls" => {
            needs("tls.crt");
            needs("tls.key");
        }
        _ => {}
    }
}

fn json_file(errors: &mut Errors, data: &Value, key: &str) {
    let at = format!("data[{key}]");
    let Some(encoded) = data[key].as_str() else {
        return errors.push(FieldError::required(at, ""));
    };
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<Value>(&bytes) {
        let hidden = "<secret contents redacted>".into();
        errors.push(FieldError::invalid(at, &hidden, error.to_string()));
    }
}

fn decoded_len(value: &Value) -> usize {
    value.as_str().map_or(0, |encoded| encoded.len() / 4 * 3)
}

/// What is marked immutable stays as it is, mark and all.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    if has(old, "type") {
        immutable(errors, &new["type"], &old["type"], "type");
    }
    if old["immutable"] != true {
        return;
    }
    let wrong = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", wrong));
    }
    for field in ["data", "binaryData"] {
        if !same(&new[field], &old[field]) {
            errors.push(FieldError::forbidden(field, wrong));
        }
    }
}
