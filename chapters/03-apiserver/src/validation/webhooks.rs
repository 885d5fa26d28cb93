//! Configurations of admission webhooks, and the rules by which they, and policies, choose
//! requests.
//!
//! Upstream: `pkg/apis/admissionregistration/validation`, `apiserver/pkg/util/webhook`. Left out:
//! that conditions which are unchanged are not looked at again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, label_selector, list, one_of_if, text, wrongs},
    expressions, forms, names,
};
use crate::cel::{BOOL, Environment};
use crate::status::FieldError;

pub(super) const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const MATCH_CONDITIONS_MAX: usize = 64;

/// A webhook configuration, new or changed.
pub(super) fn configuration(errors: &mut Errors, object: &Value) {
    let mut names = BTreeSet::new();
    for (index, webhook) in list(object, "webhooks").iter().enumerate() {
        let path = format!("webhooks[{index}]");
        self::webhook(errors, webhook, &path);
        review_versions(errors, webhook, &join(&path, "admissionReviewVersions"));
        let name = text(webhook, "name");
        if !name.is_empty() && !names.insert(name) {
            let at = join(&path, "name");
            errors.push(FieldError::duplicate(at, &webhook["name"]));
        }
    }
}

fn webhook(errors: &mut Errors, webhook: &Value, path: &str) {
    fully_qualified(errors, webhook, &join(path, "name"));
    for (index, rule) in list(webhook, "rules").iter().enumerate() {
        rule_with_operations(errors, rule, &format!("{path}.rules[{index}]"));
    }
    one_of_if(errors, webhook, path, "failurePolicy", FAILURE_POLICIES);
    one_of_if(errors, webhook, path, "matchPolicy", MATCH_POLICIES);
    let effects = join(path, "sideEffects");
    match text(webhook, "sideEffects") {
        "" => {
            let wrong = format!("must specify one of {}", NO_SIDE_EFFECTS.join(", "));
            errors.push(FieldError::required(effects, wrong));
        }
        class if !NO_SIDE_EFFECTS.contains(&class) => {
            let shown = &webhook["sideEffects"];
            errors.push(FieldError::not_supported(effects, shown, NO_SIDE_EFFECTS));
        }
        _ => {}
    }
    let timeout = &webhook["timeoutSeconds"];
    if timeout
        .as_i64()
        .is_some_and(|seconds| !(1..=30).contains(&seconds))
    {
        let wrong = "the timeout value must be between 1 and 30 seconds";
        let at = join(path, "timeoutSeconds");
        errors.push(FieldError::invalid(at, timeout, wrong));
    }
    for selector in ["namespaceSelector", "objectSelector"] {
        label_selector(errors, &webhook[selector], &join(path, selector));
    }
    one_of_if(
        errors,
        webhook,
        path,
        "reinvocationPolicy",
        REINVOCATION_POLICIES,
    );
    client(
        errors,
        &webhook["clientConfig"],
        &join(path, "clientConfig"),
    );
    let environment = Environment::admission(false);
    let at = join(path, "matchConditions");
    match_conditions(errors, webhook, &at, &environment);
}

/// `name.example.com`
fn fully_qualified(errors: &mut Errors, webhook: &Value, at: &str) {
    let (name, shown) = (text(webhook, "name"), &webhook["name"]);
    let wrong = names::dns1123_subdomain(name).join(",");
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(at, shown, wrong));
    } else if name.split('.').count() < 3 {
        let wrong = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(at, shown, wrong));
    }
}

fn review_versions(errors: &mut Errors, webhook: &Value, at: &str) {
    let versions = list(webhook, "admissionReviewVersions");
    if versions.is_empty() {
        let wrong = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        return errors.push(FieldError::required(at, wrong));
    }
    for (index, version) in versions.iter().enumerate() {
        let at = format!("{at}[{index}]");
        if versions[..index].contains(version) {
            errors.push(FieldError::invalid(at, version, "duplicate version"));
        } else {
            let form = names::dns1035_label(version.as_str().unwrap_or_default());
            wrongs(errors, &at, version, form);
        }
    }
    let known = |version: &Value| REVIEW_VERSIONS.iter().any(|known| version == known);
    if !versions.iter().any(known) {
        let wrong = format!(
            "must include at least one of {}",
            REVIEW_VERSIONS.join(", ")
        );
        let shown = &webhook["admissionReviewVersions"];
        errors.push(FieldError::invalid(at, shown, wrong));
    }
}

/// Where the webhook is.
fn client(errors: &mut Errors, client: &Value, path: &str) {
    match (has(client, "url"), has(client, "service")) {
        (true, false) => url(errors, text(client, "url"), &join(path, "url")),
        (false, true) => service(errors, &client["service"], &join(path, "service")),
        _ => {
            let wrong = "exactly one of url or service is required";
            errors.push(FieldError::required(path, wrong));
        }
    }
}

fn url(errors: &mut Errors, url: &str, at: &str) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
    let authority = match scheme {
        "" => "",
        _ => rest.split('/').next().unwrap_or_default(),
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut invalid = |shown: &str, wrong: String| {
        errors.push(FieldError::invalid(at, &shown.into(), wrong));
    };
    if !scheme.eq_ignore_ascii_case("https") {
        invalid(
            scheme,
            format!("'https' is the only allowed URL scheme{FORM}"),
        );
    }
    if host.is_empty() {
        invalid(host, format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        invalid(user, "user information is not permitted in the URL".into());
    }
    if !fragment.is_empty() {
        invalid(fragment, "fragments are not permitted in the URL".into());
    }
    if !query.is_empty() {
        invalid(
            query,
            "query parameters are not permitted in the URL".into(),
        );
    }
}

/// A Service by which something is reached.
fn service(errors: &mut Errors, service: &Value, path: &str) {
    for field in ["name", "namespace"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(join(path, field), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or_default();
    let wrong = names::port(port).join(", ");
    if !wrong.is_empty() {
        let wrong = format!("port is not valid: {wrong}");
        errors.push(FieldError::invalid(join(path, "port"), &port.into(), wrong));
    }
    let at = join(path, "path");
    let mut invalid = |wrong: String| {
        errors.push(FieldError::invalid(at.clone(), &service["path"], wrong));
    };
    match text(service, "path") {
        "" | "/" => {}
        "//" => invalid("segment[0] may not be empty".into()),
        url_path => {
            if !url_path.starts_with('/') {
                invalid("must start with a '/'".into());
            }
            let steps = url_path.strip_prefix('/').unwrap_or(url_path);
            let steps = steps.strip_suffix('/').unwrap_or(steps);
            for (index, step) in steps.split('/').enumerate() {
                if step.is_empty() {
                    invalid(format!("segment[{index}] may not be empty"));
                    continue;
                }
                for wrong in names::dns1123_subdomain(step) {
                    invalid(format!("segment[{index}]: {wrong}"));
                }
            }
        }
    }
}

/// Which requests are meant: what is done, to what.
pub(super) fn rule_with_operations(errors: &mut Errors, rule: &Value, path: &str) {
    not_beside_all(errors, rule, path, "operations", "operations");
    for (index, operation) in list(rule, "operations").iter().enumerate() {
        if !OPERATIONS.contains(&operation.as_str().unwrap_or_default()) {
            let at = format!("{path}.operations[{index}]");
            errors.push(FieldError::not_supported(at, operation, OPERATIONS));
        }
    }
    not_beside_all(errors, rule, path, "apiGroups", "API groups");
    not_beside_all(errors, rule, path, "apiVersions", "API versions");
    for (index, version) in list(rule, "apiVersions").iter().enumerate() {
        if version == "" {
            let at = format!("{path}.apiVersions[{index}]");
            errors.push(FieldError::required(at, ""));
        }
    }
    resources(errors, rule, &join(path, "resources"));
    one_of_if(errors, rule, path, "scope", &["*", "Cluster", "Namespaced"]);
}

/// A list that must not be empty, and in which `*` stands alone.
fn not_beside_all(errors: &mut Errors, rule: &Value, path: &str, field: &str, called: &str) {
    let values = list(rule, field);
    if values.is_empty() {
        errors.push(FieldError::required(join(path, field), ""));
    }
    if values.len() > 1 && values.contains(&json!("*")) {
        let wrong = format!("if '*' is present, must not specify other {called}");
        errors.push(FieldError::invalid(join(path, field), &rule[field], wrong));
    }
}

/// Resources and parts of them: `pods`, `pods/log`, `*/scale`, `pods/*`.
fn resources(errors: &mut Errors, rule: &Value, at: &str) {
    let resources = list(rule, "resources");
    if resources.is_empty() {
        errors.push(FieldError::required(at, ""));
    }
    let (mut with_all_parts, mut parts_of_all) = (BTreeSet::new(), BTreeSet::new());
    let (mut everything, mut all, mut one) = (false, false, false);
    for (index, shown) in resources.iter().enumerate() {
        let name = shown.as_str().unwrap_or_default();
        let at = format!("{at}[{index}]");
        if name.is_empty() {
            errors.push(FieldError::required(at.clone(), ""));
        }
        everything |= name == "*/*";
        all |= name == "*";
        let Some((resource, part)) = name.split_once('/') else {
            one |= name != "*";
            continue;
        };
        let beside = with_all_parts
            .contains(resource)
            .then(|| format!("{resource}/*"));
        let beside_all = parts_of_all.contains(part).then(|| format!("*/{part}"));
        for more in beside.into_iter().chain(beside_all) {
            let wrong = format!("if '{more}' is present, must not specify {name}");
            errors.push(FieldError::invalid(at.clone(), shown, wrong));
        }
        if part == "*" {
            with_all_parts.insert(resource);
        }
        if resource == "*" {
            parts_of_all.insert(part);
        }
    }
    if resources.len() > 1 && everything {
        let wrong = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(at, &rule["resources"], wrong));
    }
    if all && one {
        let wrong = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(at, &rule["resources"], wrong));
    }
}

/// Conditions of which each must hold.
pub(super) fn match_conditions(
    errors: &mut Errors,
    parent: &Value,
    at: &str,
    environment: &Environment,
) {
    let conditions = list(parent, "matchConditions");
    if conditions.len() > MATCH_CONDITIONS_MAX {
        errors.push(forms::too_many(at, conditions.len(), MATCH_CONDITIONS_MAX));
    }
    let mut names = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = format!("{at}[{index}]");
        let (code, here) = (
            text(condition, "expression").trim(),
            join(&path, "expression"),
        );
        if code.is_empty() {
            errors.push(FieldError::required(here, ""));
        } else {
            expressions::expression(errors, code, &here, environment, &[BOOL]);
        }
        let name = text(condition, "name");
        let at = join(&path, "name");
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        wrongs(errors, &at, &condition["name"], names::qualified_name(name));
        if !names.insert(name) {
            errors.push(FieldError::duplicate(at, &condition["name"]));
        }
    }
}
