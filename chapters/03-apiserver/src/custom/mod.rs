//! Custom resources: kinds that clients define while the server runs.
//!
//! A CustomResourceDefinition is an object like others. Once its names are accepted
//! ([`conditions`], by the controller in `registry/definitions.rs`) the
//! [`Catalog`](crate::resources::Catalog) has its versions, and everything that is made from the
//! catalog follows: paths, discovery, OpenAPI, the watch cache. What the built-in kinds have in
//! code, a custom kind has in its schema:
//!
//! ```text
//!  spec.versions[].schema.openAPIV3Schema
//!       │ structural.rs: Schema
//!       ├─▶ decode.rs, prune.rs    what a body may have; the rest goes, or is told
//!       ├─▶ fill.rs                defaults, at requests and when read from the store
//!       ├─▶ values.rs, lists.rs    whether the values will do, in upstream's words
//!       └─▶ shape.rs               what server-side apply walks over
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `structural.rs` | the schema of a version, read once |
//! | `decode.rs` | bytes to an object: duplicates, unknown fields, metadata |
//! | `prune.rs`, `fill.rs` | what goes, and what is filled in |
//! | `values.rs`, `formats.rs`, `lists.rs`, `scale.rs` | validation of objects |
//! | `rules.rs`, `rule_costs.rs` | rules in CEL, which is [`crate::cel`]; what they may cost |
//! | `columns.rs`, `jsonpath.rs` | what `kubectl get` shows |
//! | `conditions.rs` | whether a definition's names are free |
//! | `definition/` | validation of definitions |
//!
//! All versions of a kind have one form: conversion changes `apiVersion` and nothing else.
//!
//! Left out: conversion by webhooks, which is accepted in a definition and refused when an object
//! would need it.
//!
//! Upstream: `staging/src/k8s.io/apiextensions-apiserver`, `k8s.io/kube-openapi/pkg/validation`.

pub mod columns;
pub mod conditions;
mod decode;
pub mod definition;
mod embedded;
mod field_path;
pub mod fill;
pub(crate) mod formats;
mod jsonpath;
mod lists;
mod path;
pub mod prune;
mod rule_costs;
mod rules;
mod scale;
mod shape;
mod structural;
#[cfg(test)]
mod tests;
mod values;

use serde_json::Value;

pub(crate) use decode::read_json;
pub use decode::{check, decode};
pub use jsonpath::simple;
pub use scale::{replicas_path, scale_of};
pub use shape::shape_of;
pub use structural::{Additional, Schema};

use crate::registry::meta;
use crate::resources::Custom;
use crate::status::{ApiError, FieldError};

/// A stored object as a version shows it: without what its schema does not know, with defaults.
pub fn present(custom: &Custom, mut object: Value) -> Value {
    object["apiVersion"] = custom.resource().api_version().into();
    settle(custom, &mut object);
    if meta::generation(&object) == 0 {
        meta::set(&mut object, "generation", Some(1.into()));
    }
    object
}

/// Whether objects would have to be converted by a webhook to be shown in this version.
///
/// # Errors
/// 500 if so: there are no webhooks yet.
pub fn check_conversion(custom: &Custom) -> Result<(), ApiError> {
    let definition = &custom.definition;
    if !definition.converts_by_webhook || definition.storage_version == custom.version {
        return Ok(());
    }
    Err(ApiError::internal(format!(
        "conversion webhook for {}/{}, Kind={} failed: webhooks are not called by this server",
        definition.group, definition.storage_version, definition.kind
    )))
}

/// Prunes and fills in.
fn settle(custom: &Custom, object: &mut Value) {
    prune::prune(object, &custom.schema);
    fill::drop_nulls(object, &custom.schema);
    decode::coerce_embedded(object, &custom.schema);
    fill::defaults(object, &custom.schema);
}

/// Readies an object for its creation. Upstream: `customresource/strategy.go`.
pub fn prepare_create(custom: &Custom, object: &mut Value) {
    if custom.has_status()
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    meta::set(object, "generation", Some(1.into()));
}

/// Readies an object for its update: through the main path, the status stays; through `status`,
/// all else does. Upstream: `customresource/strategy.go`, `status_strategy.go`.
pub fn prepare_update(custom: &Custom, subresource: &str, new: &mut Value, old: &Value) {
    if subresource == "status" {
        let managed = new["metadata"].get("managedFields").cloned();
        let version = new["metadata"].get("resourceVersion").cloned();
        let status = new.get("status").cloned();
        *new = old.clone();
        meta::set(new, "managedFields", managed);
        meta::set(new, "resourceVersion", version);
        match (status, new.as_object_mut()) {
            (Some(status), Some(fields)) => fields.insert("status".into(), status),
            (None, Some(fields)) => fields.remove("status"),
            (_, None) => None,
        };
        return;
    }
    if custom.has_status() {
        meta::carry(old, new, "status");
    }
    let without_metadata = |object: &Value| {
        let mut object = object.clone();
        object
            .as_object_mut()
            .map(|fields| fields.remove("metadata"));
        object
    };
    let changed = without_metadata(new) != without_metadata(old);
    let generation = meta::generation(old) + i64::from(changed);
    meta::set(new, "generation", Some(generation.into()));
}

/// What is wrong with a new object, beside its metadata.
pub fn validate_create(custom: &Custom, object: &Value) -> Vec<FieldError> {
    let mut errors = values::validate(&custom.schema, object, None, "");
    errors.extend(scale::validate(custom, object, true));
    errors.extend(embedded::validate(&custom.schema, object));
    errors.extend(lists::validate(&custom.schema, object));
    rules::validate(&mut errors, &custom.schema, object, None);
    errors
}

/// What is wrong with a changed object, beside its metadata. What was wrong before and did not
/// change may stay so. Upstream: KEP-4008.
pub fn validate_update(
    custom: &Custom,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Vec<FieldError> {
    let is_status = subresource == "status";
    let mut errors = match (is_status, new.get("status")) {
        (false, _) => values::validate(&custom.schema, new, Some(old), ""),
        (true, Some(status)) => match custom.schema.properties.get("status") {
            Some(schema) => values::validate(schema, status, old.get("status"), "status"),
            None => Vec::new(),
        },
        (true, None) => Vec::new(),
    };
    errors.extend(scale::validate(custom, new, !is_status));
    errors.extend(embedded::validate(&custom.schema, new));
    // A list that had duplicates already may keep them.
    if lists::validate(&custom.schema, old).is_empty() {
        errors.extend(lists::validate(&custom.schema, new));
    }
    rules::validate(&mut errors, &custom.schema, new, Some(old));
    errors
}
