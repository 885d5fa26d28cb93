//! Roles and their bindings.
//!
//! Upstream: `pkg/apis/rbac/validation/validation.go`.

use serde_json::{Value, json};

use super::{
    check::{Errors, any, join, label_selector, list, one_of, required, same, text},
    names,
};
use crate::status::FieldError;

const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role or a ClusterRole.
pub(super) fn role(errors: &mut Errors, object: &Value, namespaced: bool) {
    for (index, one) in list(object, "rules").iter().enumerate() {
        rule(errors, one, &format!("rules[{index}]"), namespaced);
    }
    let aggregation = &object["aggregationRule"];
    if aggregation.is_null() {
        return;
    }
    let path = "aggregationRule.clusterRoleSelectors";
    let selectors = list(aggregation, "clusterRoleSelectors");
    if selectors.is_empty() {
        let wrong = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(path, wrong));
    }
    for (index, selector) in selectors.iter().enumerate() {
        label_selector(errors, selector, &format!("{path}[{index}]"));
    }
}

fn rule(errors: &mut Errors, rule: &Value, path: &str, namespaced: bool) {
    let is_empty = |field: &str| list(rule, field).is_empty();
    if is_empty("verbs") {
        let wrong = "verbs must contain at least one value";
        errors.push(FieldError::required(join(path, "verbs"), wrong));
    }
    if !is_empty("nonResourceURLs") {
        let at = join(path, "nonResourceURLs");
        let shown = &rule["nonResourceURLs"];
        if namespaced {
            let wrong = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(at.clone(), shown, wrong));
        }
        if ["apiGroups", "resources", "resourceNames"]
            .iter()
            .any(|field| !is_empty(field))
        {
            let wrong = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(at, shown, wrong));
        }
        return;
    }
    if is_empty("apiGroups") {
        let wrong = "resource rules must supply at least one api group";
        errors.push(FieldError::required(join(path, "apiGroups"), wrong));
    }
    if is_empty("resources") {
        let wrong = "resource rules must supply at least one resource";
        errors.push(FieldError::required(join(path, "resources"), wrong));
    }
}

/// A RoleBinding or a ClusterRoleBinding.
pub(super) fn binding(errors: &mut Errors, object: &Value, namespaced: bool) {
    let role = &object["roleRef"];
    if text(role, "apiGroup") != GROUP {
        let at = "roleRef.apiGroup";
        errors.push(FieldError::not_supported(
            at,
            &json!(text(role, "apiGroup")),
            &[GROUP],
        ));
    }
    let kinds: &[&str] = if namespaced {
        &["ClusterRole", "Role"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&text(role, "kind")) {
        errors.push(FieldError::not_supported(
            "roleRef.kind",
            &json!(text(role, "kind")),
            kinds,
        ));
    }
    required(errors, role, "roleRef", "name", names::path_segment);
    for (index, one) in list(object, "subjects").iter().enumerate() {
        subject(errors, one, &format!("subjects[{index}]"), namespaced);
    }
}

fn subject(errors: &mut Errors, subject: &Value, path: &str, namespaced: bool) {
    let kind = text(subject, "kind");
    match kind {
        "ServiceAccount" => {
            required(errors, subject, path, "name", names::dns1123_subdomain);
            if !text(subject, "apiGroup").is_empty() {
                let at = join(path, "apiGroup");
                errors.push(FieldError::not_supported(at, &subject["apiGroup"], &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(join(path, "namespace"), ""));
            }
        }
        "User" | "Group" => {
            required(errors, subject, path, "name", any);
            if text(subject, "apiGroup") != GROUP {
                let at = join(path, "apiGroup");
                errors.push(FieldError::not_supported(
                    at,
                    &subject["apiGroup"],
                    &[GROUP],
                ));
            }
        }
        _ => {
            required(errors, subject, path, "name", any);
            one_of(
                errors,
                subject,
                path,
                "kind",
                &["Group", "ServiceAccount", "User"],
            );
        }
    }
}

/// Whoever may edit a binding may say for whom it is, not of what.
pub(super) fn binding_update(errors: &mut Errors, new: &Value, old: &Value) {
    if !same(&new["roleRef"], &old["roleRef"]) {
        errors.push(FieldError::invalid(
            "roleRef",
            &new["roleRef"],
            "cannot change roleRef",
        ));
    }
}
