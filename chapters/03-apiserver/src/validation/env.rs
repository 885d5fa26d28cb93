//! The environment of a container.

use serde_json::{Value, json};

use super::{
    check::{Errors, any, has, join, list, required, text, wrongs},
    names, volumes,
};
use crate::status::FieldError;

/// A container's variables, one by one and by the mapful.
pub(super) fn env(errors: &mut Errors, container: &Value, path: &str) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let path = format!("{path}.env[{index}]");
        required(errors, variable, &path, "name", names::env_name);
        let source = &variable["valueFrom"];
        if !source.is_null() {
            env_source(errors, variable, source, &join(&path, "valueFrom"));
        }
    }
    for (index, source) in list(container, "envFrom").iter().enumerate() {
        let path = format!("{path}.envFrom[{index}]");
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            let wrong = names::env_name(prefix);
            wrongs(errors, &join(&path, "prefix"), &source["prefix"], wrong);
        }
        let kinds = ["configMapRef", "secretRef"];
        let given: Vec<&&str> = kinds.iter().filter(|kind| has(source, kind)).collect();
        match given.as_slice() {
            [] => {
                let wrong = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(path, &json!(""), wrong));
            }
            [kind] => required(
                errors,
                &source[**kind],
                &join(&path, kind),
                "name",
                names::dns1123_subdomain,
            ),
            _ => {
                let wrong = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid(path, &json!(""), wrong));
            }
        }
    }
}

fn env_source(errors: &mut Errors, variable: &Value, source: &Value, path: &str) {
    let mut invalid = |wrong: &str| errors.push(FieldError::invalid(path, &json!(""), wrong));
    if !text(variable, "value").is_empty() {
        invalid("may not be specified when `value` is not empty");
    }
    let kinds = [
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
        "fileKeyRef",
    ];
    let given: Vec<&&str> = kinds.iter().filter(|kind| has(source, kind)).collect();
    let kind = match given.as_slice() {
        [] => {
            return invalid(
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, \
                 `secretKeyRef` or `fileKeyRef`",
            );
        }
        [kind] => **kind,
        _ => return invalid("may not have more than one field specified at a time"),
    };
    let (reference, path) = (&source[kind], join(path, kind));
    match kind {
        "fieldRef" => volumes::field_ref(errors, reference, &path, ENV_FIELDS),
        "resourceFieldRef" => volumes::resource_ref(errors, reference, &path, false),
        "fileKeyRef" => {
            required(errors, reference, &path, "key", names::env_name);
            required(errors, reference, &path, "volumeName", any);
            volumes::relative_path(errors, reference, &path, "path");
        }
        _ => {
            required(errors, reference, &path, "name", any);
            required(errors, reference, &path, "key", names::config_key);
        }
    }
}

/// The fields of a pod that a variable can be.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
