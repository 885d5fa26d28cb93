//! `SubjectAccessReview` and its kin: whether somebody may do something.
//!
//! Upstream: `pkg/registry/authorization/util/helpers.go`,
//! `pkg/apis/authorization/validation`.

use serde_json::{Value, json};

use super::call::Call;
use crate::authn::User;
use crate::authz::{Attributes, Decision};
use crate::selectors::{FieldSelector, LabelSelector};
use crate::status::{ApiError, FieldError};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// What is wrong with a question about access.
///
/// # Errors
/// 422 with all of it.
pub fn check(call: &Call, review: &Value, spec: &Value) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let is_local = call.resource.kind == "LocalSubjectAccessReview";
    if !resource.is_null() && !path.is_null() {
        let wrong = "cannot be specified in combination with resourceAttributes";
        errors.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            path,
            wrong,
        ));
    }
    if resource.is_null() && path.is_null() {
        let wrong = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.push(FieldError::invalid(
            "spec.resourceAttributes",
            &Value::Null,
            wrong,
        ));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        let at = format!("spec.resourceAttributes.{selector}");
        check_selector(&mut errors, &resource[selector], &at);
    }
    let asks_of_others = call.resource.kind != "SelfSubjectAccessReview";
    let no_groups = spec["groups"].as_array().is_none_or(Vec::is_empty);
    if asks_of_others && text(spec, "user").is_empty() && no_groups {
        let wrong = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", &json!(""), wrong));
    }
    let metadata = review["metadata"].as_object();
    let mut given = metadata
        .into_iter()
        .flatten()
        .map(|(field, _)| field.as_str());
    if given.any(|field| field != "managedFields" && !(is_local && field == "namespace")) {
        let wrong = match is_local {
            true => "must be empty except for namespace",
            false => "must be empty",
        };
        errors.push(FieldError::invalid("metadata", &review["metadata"], wrong));
    }
    if is_local && !resource.is_null() && text(resource, "namespace") != call.info.namespace {
        let namespace = json!(text(resource, "namespace"));
        let at = "spec.resourceAttributes.namespace";
        errors.push(FieldError::invalid(
            at,
            &namespace,
            "must match metadata.namespace",
        ));
    }
    if is_local && !path.is_null() {
        let wrong = "disallowed on this kind of request";
        errors.push(FieldError::invalid(
            "spec.nonResourceAttributes",
            path,
            wrong,
        ));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(call.target().subject(), &errors))
    }
}

fn check_selector(errors: &mut Vec<FieldError>, selector: &Value, at: &str) {
    if selector.is_null() {
        return;
    }
    let raw = text(selector, "rawSelector");
    let requirements = selector["requirements"].as_array();
    let requirements = requirements.map(Vec::as_slice).unwrap_or_default();
    if !raw.is_empty() && !requirements.is_empty() {
        let wrong = "may not specified at the same time as requirements";
        errors.push(FieldError::invalid(
            format!("{at}.rawSelector"),
            &raw.into(),
            wrong,
        ));
    }
    if raw.is_empty() && requirements.is_empty() {
        let wrong = format!("when {at} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(format!("{at}.requirements"), wrong));
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let at = format!("{at}.requirements[{index}]");
        let has_values = requirement["values"]
            .as_array()
            .is_some_and(|v| !v.is_empty());
        if text(requirement, "key").is_empty() {
            errors.push(FieldError::required(
                format!("{at}.key"),
                "must be specified",
            ));
        }
        let at = format!("{at}.values");
        match text(requirement, "operator") {
            "In" | "NotIn" if !has_values => {
                let wrong = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(at, wrong));
            }
            "Exists" | "DoesNotExist" if has_values => {
                let wrong = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(at, wrong));
            }
            // What a newer client knows of may narrow, and never widens: it can be left out.
            _ => {}
        }
    }
}

/// The status of a review: whether `user` may do what its spec says.
pub fn review(call: &Call, spec: &Value, user: &User) -> Value {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut ignored = Vec::new();
    let mut fields = None;
    if !resource["fieldSelector"].is_null() {
        fields = field_selector(&resource["fieldSelector"]).ok();
        if fields.is_none() {
            ignored.push("spec.resourceAttributes.fieldSelector ignored due to parse error");
        }
    }
    let labels = text(&resource["labelSelector"], "rawSelector");
    if LabelSelector::parse(labels).is_err() {
        ignored.push("spec.resourceAttributes.labelSelector ignored due to parse error");
    }
    let attributes = if path.is_null() {
        Attributes {
            group: text(resource, "group"),
            version: text(resource, "version"),
            subresource: text(resource, "subresource"),
            namespace: text(resource, "namespace"),
            name: text(resource, "name"),
            fields: fields.as_ref(),
            ..Attributes::of(user, text(resource, "verb"), text(resource, "resource"))
        }
    } else {
        Attributes::of_path(user, text(path, "verb"), text(path, "path"))
    };
    let mut status = match call.api.registry.authorizer().authorize(&attributes) {
        Decision::Allow(reason) if reason.is_empty() => json!({"allowed": true}),
        Decision::Allow(reason) => json!({"allowed": true, "reason": reason}),
        Decision::Deny(_) => json!({"allowed": false}),
    };
    if !ignored.is_empty() {
        status["evaluationError"] = ignored.join("; ").into();
    }
    status
}

/// The field selector of the question.
fn field_selector(selector: &Value) -> Result<FieldSelector, ApiError> {
    let requirements = selector["requirements"].as_array();
    match requirements.filter(|requirements| !requirements.is_empty()) {
        Some(requirements) => Ok(FieldSelector::of_requirements(requirements)),
        None => FieldSelector::parse(text(selector, "rawSelector")),
    }
}
