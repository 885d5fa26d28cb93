//! Claims of devices, and the classes that they name.
//!
//! Upstream: `pkg/apis/resource/validation`. Left out: whether expressions are CEL. Whoever runs
//! them says so.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    check::{
        Errors, any, has, immutable, join, labels, list, one_of, one_of_if, required, text,
        too_long, wrongs,
    },
    conditions, device_status, expressions, forms, metadata, names,
};
use crate::status::FieldError;

pub(super) const REQUESTS_MAX: usize = 32;
const SUB_REQUESTS_MAX: usize = 8;
const SELECTORS_MAX: usize = 32;
const TOLERATIONS_MAX: usize = 16;
pub(super) const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];
const EXPRESSION_BYTES_MAX: usize = 10 << 10;
const PARAMETERS_BYTES_MAX: usize = 10 << 10;
const DRIVER_BYTES_MAX: usize = 63;
const ID_BYTES_MAX: usize = 32;
const POOL_BYTES_MAX: usize = 253;
const REQUEST_NAME: &str = "must be the name of a request in the claim or the name of a request \
                            and a subrequest separated by '/'";

/// Checks each entry of a list, if there are not too many.
pub(super) fn each(
    errors: &mut Errors,
    parent: &Value,
    at: &str,
    max: usize,
    mut check: impl FnMut(&mut Errors, &Value, &str),
) {
    let field = at.rsplit('.').next().unwrap_or(at);
    let entries = list(parent, field);
    if entries.len() > max {
        return errors.push(forms::too_many(at, entries.len(), max));
    }
    for (index, entry) in entries.iter().enumerate() {
        check(errors, entry, &format!("{at}[{index}]"));
    }
}

/// Tells of each entry whose key another one before has.
pub(super) fn distinct(
    errors: &mut Errors,
    parent: &Value,
    at: &str,
    key: impl Fn(&Value) -> Value,
) {
    let field = at.rsplit('.').next().unwrap_or(at);
    let mut seen = Vec::new();
    for (index, entry) in list(parent, field).iter().enumerate() {
        let key = key(entry);
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(format!("{at}[{index}]"), &key));
        }
        seen.push(key);
    }
}

/// A DeviceClass, new or changed.
pub(super) fn class(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    each(errors, spec, "spec.selectors", SELECTORS_MAX, selector);
    each(errors, spec, "spec.config", REQUESTS_MAX, configuration);
    let name = &spec["extendedResourceName"];
    if name
        .as_str()
        .is_some_and(|name| !is_extended_resource(name))
    {
        let wrong = "must be a valid extended resource name";
        errors.push(FieldError::invalid(
            "spec.extendedResourceName",
            name,
            wrong,
        ));
    }
}

/// `example.com/gpu`: qualified, and none of Kubernetes' own.
fn is_extended_resource(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, _)| {
        !domain.ends_with("kubernetes.io")
            && !name.starts_with("requests.")
            && names::qualified_name(&format!("requests.{name}")).is_empty()
    })
}

/// A new ResourceClaim. What is claimed cannot change later.
pub(super) fn claim(errors: &mut Errors, object: &Value) {
    devices(errors, &object["spec"]["devices"], "spec.devices");
}

/// A new ResourceClaimTemplate.
pub(super) fn template(errors: &mut Errors, object: &Value) {
    template_metadata(errors, &object["spec"]["metadata"], "spec.metadata");
    let devices = &object["spec"]["spec"]["devices"];
    self::devices(errors, devices, "spec.spec.devices");
}

/// What the claims get is labels and annotations, and nothing else.
fn template_metadata(errors: &mut Errors, given: &Value, path: &str) {
    metadata::annotations(errors, given, &join(path, "annotations"));
    labels(errors, given, path, "labels");
    for (field, _) in given.as_object().into_iter().flatten() {
        if !matches!(field.as_str(), "annotations" | "labels") {
            errors.push(FieldError::forbidden(join(path, field), "cannot be set"));
        }
    }
}

/// A changed claim, or template of claims.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["spec"], &old["spec"], "spec");
}

fn devices(errors: &mut Errors, devices: &Value, path: &str) {
    let names = request_names(devices);
    let at = join(path, "requests");
    each(errors, devices, &at, REQUESTS_MAX, request);
    distinct(errors, devices, &at, |request| request["name"].clone());
    let at = join(path, "constraints");
    each(
        errors,
        devices,
        &at,
        REQUESTS_MAX,
        |errors, constraint, path| {
            request_refs(errors, constraint, path, &names);
            let (same, distinct) = ("matchAttribute", "distinctAttribute");
            if has(constraint, same) {
                fully_qualified(errors, &constraint[same], &join(path, same));
            } else if has(constraint, distinct) {
                fully_qualified(errors, &constraint[distinct], &join(path, distinct));
            } else {
                let wrong = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, \
                         but multiple fields are set";
                errors.push(FieldError::required(path, wrong));
            }
        },
    );
    each(
        errors,
        devices,
        &join(path, "config"),
        REQUESTS_MAX,
        |errors, config, path| {
            request_refs(errors, config, path, &names);
            configuration(errors, config, path);
        },
    );
}

/// The names by which a claim's requests can be meant: `a`, `a/first`.
pub(super) fn request_names(devices: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for request in list(devices, "requests") {
        let name = text(request, "name");
        names.insert(name.to_owned());
        for sub in list(request, "firstAvailable") {
            names.insert(format!("{name}/{}", text(sub, "name")));
        }
    }
    names
}

/// Which requests a constraint or a configuration is about.
pub(super) fn request_refs(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    names: &BTreeSet<String>,
) {
    let at = join(path, "requests");
    each(errors, parent, &at, REQUESTS_MAX, |errors, name, at| {
        request_ref(errors, name, at, names);
    });
    distinct(errors, parent, &at, Value::clone);
}

pub(super) fn request_ref(errors: &mut Errors, name: &Value, at: &str, names: &BTreeSet<String>) {
    let text = name.as_str().unwrap_or_default();
    if text.split('/').count() > 2 {
        return errors.push(FieldError::invalid(at, name, REQUEST_NAME));
    }
    for part in text.split('/') {
        wrongs(errors, at, &part.into(), names::dns1123_label(part));
    }
    if !names.contains(text) {
        errors.push(FieldError::invalid(at, name, REQUEST_NAME));
    }
}

fn request(errors: &mut Errors, request: &Value, path: &str) {
    let name = text(request, "name");
    let form = names::dns1123_label(name);
    wrongs(errors, &join(path, "name"), &name.into(), form);
    let first = list(request, "firstAvailable");
    let wrong = "exactly one of `exactly` or `firstAvailable` is required";
    match (has(request, "exactly"), !first.is_empty()) {
        (false, false) => errors.push(FieldError::required(path, wrong)),
        (true, true) => {
            let wrong = format!("{wrong}, but multiple fields are set");
            errors.push(FieldError::invalid(path, &Value::Null, wrong));
        }
        (true, false) => wanted(errors, &request["exactly"], &join(path, "exactly")),
        (false, true) => {
            let at = join(path, "firstAvailable");
            each(
                errors,
                request,
                &at,
                SUB_REQUESTS_MAX,
                |errors, sub, path| {
                    let name = text(sub, "name");
                    let form = names::dns1123_label(name);
                    wrongs(errors, &join(path, "name"), &name.into(), form);
                    wanted(errors, sub, path);
                },
            );
            distinct(errors, request, &at, |sub| sub["name"].clone());
        }
    }
}

/// Devices of which class, how chosen, how many.
fn wanted(errors: &mut Errors, request: &Value, path: &str) {
    required(
        errors,
        request,
        path,
        "deviceClassName",
        names::dns1123_subdomain,
    );
    each(
        errors,
        request,
        &join(path, "selectors"),
        SELECTORS_MAX,
        selector,
    );
    let count = request["count"].as_i64().unwrap_or_default();
    let at = join(path, "count");
    match text(request, "allocationMode") {
        "All" if count != 0 => {
            let wrong = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(at, &count.into(), wrong));
        }
        "ExactCount" if count <= 0 => {
            let wrong = "must be greater than zero";
            errors.push(FieldError::invalid(at, &count.into(), wrong));
        }
        _ => one_of(
            errors,
            request,
            path,
            "allocationMode",
            &["All", "ExactCount"],
        ),
    }
    let at = join(path, "tolerations");
    each(errors, request, &at, TOLERATIONS_MAX, toleration);
}

fn toleration(errors: &mut Errors, toleration: &Value, path: &str) {
    let (key, value) = (text(toleration, "key"), text(toleration, "value"));
    if !key.is_empty() {
        let at = join(path, "key");
        wrongs(errors, &at, &toleration["key"], names::qualified_name(key));
    }
    let at = join(path, "value");
    match text(toleration, "operator") {
        "Exists" if !value.is_empty() => {
            let wrong = "must be empty for operator `Exists`";
            errors.push(FieldError::invalid(at, &toleration["value"], wrong));
        }
        "Equal" => wrongs(errors, &at, &value.into(), names::label_value(value)),
        _ => one_of(errors, toleration, path, "operator", &["Equal", "Exists"]),
    }
    one_of_if(errors, toleration, path, "effect", EFFECTS);
}

fn selector(errors: &mut Errors, selector: &Value, path: &str) {
    let path = join(path, "cel");
    if !has(selector, "cel") {
        return errors.push(FieldError::required(path, ""));
    }
    required(errors, &selector["cel"], &path, "expression", any);
    if text(&selector["cel"], "expression").len() > EXPRESSION_BYTES_MAX {
        errors.push(too_long(&join(&path, "expression"), EXPRESSION_BYTES_MAX));
    } else if has(&selector["cel"], "expression") {
        expressions::selector(errors, &selector["cel"], &join(&path, "expression"));
    }
}

/// What a driver is told; only it knows what that means.
pub(super) fn configuration(errors: &mut Errors, config: &Value, path: &str) {
    let path = join(path, "opaque");
    let opaque = &config["opaque"];
    if opaque.is_null() {
        return errors.push(FieldError::required(path, ""));
    }
    driver(errors, opaque, &path);
    let at = join(&path, "parameters");
    raw(errors, &opaque["parameters"], &at, PARAMETERS_BYTES_MAX);
}

/// Any JSON object.
pub(super) fn raw(errors: &mut Errors, value: &Value, at: &str, max: usize) {
    if value.is_null() {
        errors.push(FieldError::required(at, ""));
    } else if value.to_string().len() > max {
        errors.push(too_long(at, max));
    } else if !value.is_object() {
        let wrong = "must be a valid JSON object";
        errors.push(FieldError::invalid(at, &"<value omitted>".into(), wrong));
    }
}

/// The name of a driver: a domain of at most 63 letters.
pub(super) fn driver(errors: &mut Errors, parent: &Value, path: &str) {
    let at = join(path, "driver");
    let name = text(parent, "driver");
    if name.is_empty() {
        return errors.push(FieldError::required(at, ""));
    }
    driver_name(errors, name, &at);
}

fn driver_name(errors: &mut Errors, name: &str, at: &str) {
    if name.len() > DRIVER_BYTES_MAX {
        errors.push(too_long(at, DRIVER_BYTES_MAX));
    }
    let form = names::dns1123_subdomain(&name.to_lowercase());
    wrongs(errors, at, &name.into(), form);
}

/// The name of a pool: domains, with slashes between them.
pub(super) fn pool(errors: &mut Errors, name: &Value, at: &str) {
    let name = name.as_str().unwrap_or_default();
    if name.is_empty() {
        return errors.push(FieldError::required(at, ""));
    }
    if name.len() > POOL_BYTES_MAX {
        errors.push(too_long(at, POOL_BYTES_MAX));
    }
    for part in name.split('/') {
        wrongs(errors, at, &part.into(), names::dns1123_subdomain(part));
    }
}

/// `example.com/name`, or the name alone.
pub(super) fn qualified(errors: &mut Errors, name: &str, at: &str) {
    let (domain, id) = match name.split_once('/') {
        Some((domain, id)) => (Some(domain), id),
        None => (None, name),
    };
    match domain {
        Some("") => {
            let wrong = "the domain must not be empty";
            errors.push(FieldError::invalid(at, &"".into(), wrong));
        }
        Some(domain) => driver_name(errors, domain, at),
        None => {}
    }
    if domain.is_some() && id.is_empty() {
        let wrong = "the name must not be empty";
        return errors.push(FieldError::invalid(at, &"".into(), wrong));
    }
    if id.len() > ID_BYTES_MAX {
        errors.push(too_long(at, ID_BYTES_MAX));
    }
    let starts = id.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !starts || !id.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
        let wrong = "a valid C identifier must start with alphabetic character or '_', followed \
                     by a string of alphanumeric characters or '_' (e.g. 'my_name',  or \
                     'MY_NAME',  or 'MyName', regex used for validation is \
                     '[A-Za-z_][A-Za-z0-9_]*')";
        errors.push(FieldError::invalid(at, &id.into(), wrong));
    }
}

fn fully_qualified(errors: &mut Errors, name: &Value, at: &str) {
    let text = name.as_str().unwrap_or_default();
    qualified(errors, text, at);
    if !text.contains('/') {
        let wrong = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(at, name, wrong));
    }
}

/// A claim's new status.
pub(super) fn status(errors: &mut Errors, new: &Value, old: &Value) {
    device_status::claim(errors, new, old);
    for (index, device) in list(&new["status"], "devices").iter().enumerate() {
        let path = format!("status.devices[{index}].conditions");
        conditions::conditions(errors, device, &path);
    }
}
