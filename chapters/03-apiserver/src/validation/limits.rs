//! LimitRanges and ResourceQuotas.
//!
//! Upstream: `ValidateLimitRange`, `ValidateResourceQuota` in `pkg/apis/core/validation`; which
//! names are standard: `pkg/apis/core/helper/helpers.go`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    check::{Errors, entries, has, join, list, text, wrongs},
    names,
    quantity::Quantity,
    resources,
};
use crate::status::FieldError;

/// What a limit may be of under its plain name.
const LIMIT_TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];

/// What a ResourceQuota counts by number.
const COUNTED: [&str; 8] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
];
/// What it measures.
const MEASURED: [&str; 12] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "services.loadbalancers",
    "storage",
];

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// No pod has both of a pair.
const CONFLICTS: [[&str; 2]; 2] = [
    ["BestEffort", "NotBestEffort"],
    ["Terminating", "NotTerminating"],
];

/// A LimitRange, new or changed.
pub(super) fn limit_range(errors: &mut Errors, object: &Value) {
    let mut seen = BTreeSet::new();
    for (index, limit) in list(&object["spec"], "limits").iter().enumerate() {
        let path = format!("spec.limits[{index}]");
        limit_type(errors, limit, &path);
        if !seen.insert(text(limit, "type")) {
            let at = join(&path, "type");
            errors.push(FieldError::duplicate(at, &limit["type"]));
        }
        amounts(errors, limit, &path);
    }
}

fn limit_type(errors: &mut Errors, limit: &Value, path: &str) {
    let (at, name) = (join(path, "type"), text(limit, "type"));
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && !LIMIT_TYPES.contains(&name) {
        let wrong = "must be a standard limit type or fully qualified";
        errors.push(FieldError::invalid(at.clone(), &json!(name), wrong));
    }
    wrongs(errors, &at, &json!(name), wrong);
}

fn amounts(errors: &mut Errors, limit: &Value, path: &str) {
    let kind = text(limit, "type");
    let mut keys = BTreeSet::new();
    let mut names_of = |errors: &mut Errors, field: &str| {
        for (name, _) in entries(limit, field) {
            let at = format!("{path}.{field}[{name}]");
            match kind {
                "Pod" | "Container" => resources::resource_name(errors, name, &at),
                _ => resource_name(errors, name, &at),
            }
            keys.insert(name.to_owned());
        }
    };
    names_of(errors, "max");
    names_of(errors, "min");
    for field in ["default", "defaultRequest"] {
        if kind != "Pod" {
            names_of(errors, field);
        } else if entries(limit, field).next().is_some() {
            let wrong = "may not be specified when `type` is 'Pod'";
            errors.push(FieldError::forbidden(join(path, field), wrong));
        }
    }
    if kind == "PersistentVolumeClaim"
        && !has(&limit["min"], "storage")
        && !has(&limit["max"], "storage")
    {
        let wrong = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(join(path, "limits"), wrong));
    }
    names_of(errors, "maxLimitRequestRatio");
    for key in &keys {
        order(errors, limit, path, key);
    }
}

/// From the least to the most of one resource, everything is in order.
fn order(errors: &mut Errors, limit: &Value, path: &str, key: &str) {
    let amount = |field: &str| {
        let text = limit[field][key].as_str()?;
        // Defaults of pods are refused already.
        let ignored = limit["type"] == "Pod" && field.starts_with("default");
        Some((text, Quantity::parse(text)?)).filter(|_| !ignored)
    };
    let mut invalid = |field: &str, shown: &str, wrong: String| {
        let at = format!("{path}.{field}[{key}]");
        errors.push(FieldError::invalid(at, &json!(shown), wrong));
    };
    let (min, max) = (amount("min"), amount("max"));
    let (given, asked) = (amount("default"), amount("defaultRequest"));
    let above = |a: Option<(&str, Quantity)>, b: Option<(&str, Quantity)>| {
        let ((low, a), (high, b)) = a.zip(b)?;
        (a > b).then(|| (low.to_owned(), high.to_owned()))
    };
    if let Some((low, high)) = above(min, max) {
        let wrong = format!("min value {low} is greater than max value {high}");
        invalid("min", &low, wrong);
    }
    if let Some((low, high)) = above(min, asked) {
        let wrong = format!("min value {low} is greater than default request value {high}");
        invalid("defaultRequest", &high, wrong);
    }
    if let Some((low, high)) = above(asked, max) {
        let wrong = format!("default request value {low} is greater than max value {high}");
        invalid("defaultRequest", &low, wrong);
    }
    if let Some((low, high)) = above(asked, given) {
        let wrong =
            format!("default request value {low} is greater than default limit value {high}");
        invalid("defaultRequest", &low, wrong);
    }
    if let Some((low, high)) = above(min, given) {
        let wrong = format!("min value {low} is greater than default value {high}");
        invalid("default", &low, wrong);
    }
    if let Some((low, high)) = above(given, max) {
        let wrong = format!("default value {low} is greater than max value {high}");
        invalid("default", &high, wrong);
    }
    if let Some((shown, ratio)) = amount("maxLimitRequestRatio") {
        if Quantity::parse("1").is_some_and(|one| ratio < one) {
            let wrong = format!("ratio {shown} is less than 1");
            invalid("maxLimitRequestRatio", shown, wrong);
        }
        if let Some(((_, min), (_, max))) = min.zip(max) {
            let most = max.as_f64() / min.as_f64();
            if ratio.as_f64() > most {
                let wrong = format!("ratio {shown} is greater than max/min = {most:.6}");
                invalid("maxLimitRequestRatio", shown, wrong);
            }
        }
    }
    let is_overcommitted = !key.starts_with("hugepages-") && !resources::is_extended(key);
    if let Some(((limit, a), (request, b))) = given.zip(asked)
        && !is_overcommitted
        && a != b
    {
        let wrong =
            format!("default value {limit} must equal to defaultRequest value {request} in {key}");
        invalid("defaultRequest", request, wrong);
    }
}

/// The name of any resource.
fn resource_name(errors: &mut Errors, name: &str, path: &str) {
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && !is_standard(name) {
        let wrong = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, &json!(name), wrong));
    }
    wrongs(errors, path, &json!(name), wrong);
}

fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name) || MEASURED.contains(&name) || is_huge(name)
}

fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// A ResourceQuota, new or changed.
pub(super) fn quota(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    quota_amounts(errors, spec, "spec", "hard");
    scopes(errors, spec);
    scope_selector(errors, spec);
}

/// What a changed quota is about stays.
pub(super) fn quota_update(errors: &mut Errors, new: &Value, old: &Value) {
    let scopes = |object: &Value| -> BTreeSet<String> {
        let scopes = list(&object["spec"], "scopes").iter();
        scopes
            .filter_map(|s| s.as_str().map(str::to_owned))
            .collect()
    };
    if scopes(new) != scopes(old) {
        super::check::immutable(
            errors,
            &new["spec"]["scopes"],
            &old["spec"]["scopes"],
            "spec.scopes",
        );
    }
}

/// The status of a ResourceQuota.
pub(super) fn quota_status(errors: &mut Errors, object: &Value) {
    for field in ["hard", "used"] {
        quota_amounts(errors, &object["status"], "status", field);
    }
}

fn quota_amounts(errors: &mut Errors, parent: &Value, path: &str, field: &str) {
    for (name, value) in entries(parent, field) {
        let at = format!("{path}.{field}[{name}]");
        let before = errors.len();
        resource_name(errors, name, &at);
        // `storage` is a resource, and no quota's.
        let counts = !name.contains('/') && (!is_standard(name) || name == "storage");
        if counts && (errors.len() == before || names::qualified_name(name).is_empty()) {
            let wrong = "must be a standard resource for quota";
            errors.push(FieldError::invalid(at.clone(), &json!(name), wrong));
        }
        let amount = value.as_str().and_then(Quantity::parse).unwrap_or_default();
        if amount.is_negative() {
            let wrong = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(at.clone(), value, wrong));
        }
        let by_number = COUNTED.contains(&name)
            || name == "services.loadbalancers"
            || resources::is_extended(name);
        if by_number && !amount.is_whole() {
            errors.push(FieldError::invalid(at, value, "must be an integer"));
        }
    }
}

/// Whether a scope says something about a resource.
fn applies(scope: &str, resource: &str) -> bool {
    let of_pods = !COUNTED.contains(&resource) && !resource.starts_with("services.");
    let is_storage = matches!(resource, "storage" | "requests.storage");
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || of_pods && !is_storage,
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => resource == "persistentvolumeclaims" || is_storage,
        _ => true,
    }
}

/// Whether a scope is asked for what it says nothing about.
fn misses(scope: &str, spec: &Value) -> usize {
    let hard: BTreeMap<&str, &Value> = entries(spec, "hard").collect();
    let mut names = hard.keys().filter(|name| is_standard(name));
    names.by_ref().filter(|name| !applies(scope, name)).count()
}

fn scopes(errors: &mut Errors, spec: &Value) {
    const AT: &str = "spec.scopes";
    let value = &spec["scopes"];
    let scopes: Vec<&str> = list(spec, "scopes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut invalid = |wrong: &str| errors.push(FieldError::invalid(AT, value, wrong));
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            invalid("unsupported scope");
        }
        for _ in 0..misses(scope, spec) {
            invalid("unsupported scope applied to resource");
        }
    }
    for pair in CONFLICTS {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            invalid("conflicting scopes");
        }
    }
}

fn scope_selector(errors: &mut Errors, spec: &Value) {
    const AT: &str = "spec.scopeSelector.matchExpressions";
    let selector = &spec["scopeSelector"];
    let expressions = list(selector, "matchExpressions");
    for expression in expressions {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        let values = list(expression, "values");
        if !SCOPES.contains(&scope) {
            let at = join(AT, "scopeName");
            errors.push(FieldError::invalid(at, &json!(scope), "unsupported scope"));
        }
        for _ in 0..misses(scope, spec) {
            let wrong = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(AT, selector, wrong));
        }
        let has_no_values = !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope) && has_no_values && operator != "Exists" {
            let wrong = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                         ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                         ResourceQuotaScopeNotBestEffort or \
                         ResourceQuotaScopeCrossNamespacePodAffinity";
            let at = join(AT, "operator");
            errors.push(FieldError::invalid(at, &json!(operator), wrong));
        }
        match operator {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let wrong = "must be at least one value when `operator` is 'In' or 'NotIn' \
                                 for scope selector";
                    errors.push(FieldError::required(join(AT, "values"), wrong));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let wrong = "must be no value when `operator` is 'Exist' or 'DoesNotExist' \
                                 for scope selector";
                    let at = join(AT, "values");
                    errors.push(FieldError::invalid(at, &expression["values"], wrong));
                }
            }
            _ => {
                let at = join(AT, "operator");
                let wrong = "not a valid selector operator";
                errors.push(FieldError::invalid(at, &json!(operator), wrong));
            }
        }
    }
    for pair in CONFLICTS {
        let is_there = |scope: &&str| expressions.iter().any(|e| e["scopeName"] == **scope);
        if pair.iter().all(is_there) {
            let value = &selector["matchExpressions"];
            errors.push(FieldError::invalid(AT, value, "conflicting scopes"));
        }
    }
}
