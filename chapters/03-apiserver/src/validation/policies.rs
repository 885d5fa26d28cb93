//! Admission policies and their bindings.
//!
//! Upstream: `pkg/apis/admissionregistration/validation`. What expressions may name,
//! and what they have to be, is checked; whoever runs them finds out about the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, label_selector, list, one_of, one_of_if, required, text, wrongs},
    conditions, expressions, names, webhooks,
};
use crate::cel::{BOOL, Environment, STRING, Type};
use crate::status::FieldError;

const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_BYTES_MAX: usize = 5 * 1024;
const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
/// Operations whose objects a policy can change.
const MUTABLE: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
/// Words that CEL keeps for itself.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A ValidatingAdmissionPolicy, new or changed.
pub(super) fn validating(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let environment = common(errors, spec);
    let (validations, annotations) = (list(spec, "validations"), list(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let wrong = "validations or auditAnnotations must contain at least one item";
        for field in ["validations", "auditAnnotations"] {
            errors.push(FieldError::required(join("spec", field), wrong));
        }
    }
    for (index, one) in validations.iter().enumerate() {
        let path = format!("spec.validations[{index}]");
        validation(errors, one, &path, &environment);
    }
    audit_annotations(errors, object, annotations, &environment);
}

/// A MutatingAdmissionPolicy, new or changed.
pub(super) fn mutating(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let environment = common(errors, spec).making_patches();
    let mutations = list(spec, "mutations");
    if mutations.is_empty() {
        let wrong = "mutations must contain at least one item";
        errors.push(FieldError::required("spec.mutations", wrong));
    }
    mutable_operations(errors, spec, "matchConstraints");
    for (index, one) in mutations.iter().enumerate() {
        let path = format!("spec.mutations[{index}]");
        mutation(errors, one, &path, &environment);
    }
    let policies = webhooks::REINVOCATION_POLICIES;
    one_of(errors, spec, "spec", "reinvocationPolicy", policies);
}

/// What is being deleted cannot be changed. The path has no index, as upstream's has none.
fn mutable_operations(errors: &mut Errors, spec: &Value, field: &str) {
    let at = format!("spec.{field}.resourceRules.operations");
    let rules = list(&spec[field], "resourceRules").iter();
    for operation in rules.flat_map(|rule| list(rule, "operations")) {
        if !MUTABLE.contains(&operation.as_str().unwrap_or_default()) {
            errors.push(FieldError::not_supported(at.clone(), operation, MUTABLE));
        }
    }
}

/// What both kinds of policies have. What their expressions may name.
fn common(errors: &mut Errors, spec: &Value) -> Environment {
    let policies = webhooks::FAILURE_POLICIES;
    one_of(errors, spec, "spec", "failurePolicy", policies);
    if has(spec, "paramKind") {
        param_kind(errors, &spec["paramKind"], "spec.paramKind");
    }
    let path = "spec.matchConstraints";
    let constraints = &spec["matchConstraints"];
    if constraints.is_null() {
        errors.push(FieldError::required(path, ""));
    } else {
        match_resources(errors, constraints, path);
        if list(constraints, "resourceRules").is_empty() {
            errors.push(FieldError::required(join(path, "resourceRules"), ""));
        }
    }
    let mut environment = Environment::admission(has(spec, "paramKind"));
    let at = "spec.matchConditions";
    webhooks::match_conditions(errors, spec, at, &environment);
    let mut variables = BTreeMap::new();
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let path = format!("spec.variables[{index}]");
        let name = text(variable, "name");
        let at = join(&path, "name");
        if name.trim().is_empty() {
            errors.push(FieldError::required(at, "name is not specified"));
        } else if !is_identifier(name) {
            let wrong = "name is not a valid CEL identifier";
            errors.push(FieldError::invalid(at, &variable["name"], wrong));
        }
        // A variable may name those before it.
        environment = environment.with_variables(&variables);
        let found = expression(errors, variable, &path, "expression", &environment, &[]);
        variables.insert(name.to_owned(), found.unwrap_or(Type::Dyn));
        environment = environment.with_variables(&variables);
    }
    environment
}

fn is_identifier(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    let goes_on = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    starts && goes_on && !RESERVED.contains(&name)
}

fn expression(
    errors: &mut Errors,
    parent: &Value,
    path: &str,
    field: &str,
    environment: &Environment,
    wanted: &[Type],
) -> Option<Type> {
    let (code, at) = (text(parent, field), join(path, field));
    if code.trim().is_empty() {
        errors.push(FieldError::required(
            at,
            format!("{field} is not specified"),
        ));
        return None;
    }
    expressions::expression(errors, code, &at, environment, wanted)
}

fn param_kind(errors: &mut Errors, kind: &Value, path: &str) {
    let at = join(path, "apiVersion");
    let version = text(kind, "apiVersion");
    match version.split('/').collect::<Vec<_>>()[..] {
        [""] => errors.push(FieldError::required(at, "")),
        [version] => group_version(errors, kind, "", version, &at),
        [group, version] => group_version(errors, kind, group, version, &at),
        _ => {
            let wrong = format!("unexpected GroupVersion string: {version}");
            errors.push(FieldError::invalid(at, &kind["apiVersion"], wrong));
        }
    }
    let (at, name) = (join(path, "kind"), text(kind, "kind"));
    let wrong = names::dns1035_label(&name.to_lowercase()).join(",");
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if !wrong.is_empty() {
        let wrong = format!("may have mixed case, but should otherwise match: {wrong}");
        errors.push(FieldError::invalid(at, &kind["kind"], wrong));
    }
}

fn group_version(errors: &mut Errors, kind: &Value, group: &str, version: &str, at: &str) {
    let mut invalid = |shown: &Value, wrong: &str| {
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(at, shown, wrong));
        }
    };
    if !group.is_empty() {
        invalid(&group.into(), &names::dns1123_subdomain(group).join(","));
    }
    if version.is_empty() {
        invalid(&kind["apiVersion"], "version must be specified");
    } else {
        invalid(&version.into(), &names::dns1035_label(version).join(","));
    }
}

fn match_resources(errors: &mut Errors, matched: &Value, path: &str) {
    let policies = webhooks::MATCH_POLICIES;
    one_of(errors, matched, path, "matchPolicy", policies);
    for selector in ["namespaceSelector", "objectSelector"] {
        let at = join(path, selector);
        if has(matched, selector) {
            label_selector(errors, &matched[selector], &at);
        } else {
            errors.push(FieldError::required(at, ""));
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(matched, field).iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            let mut seen = BTreeSet::new();
            for (index, shown) in list(rule, "resourceNames").iter().enumerate() {
                let name = shown.as_str().unwrap_or_default();
                let at = format!("{path}.resourceNames[{index}]");
                wrongs(errors, &at, shown, names::path_segment(name));
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(at, shown));
                }
            }
            webhooks::rule_with_operations(errors, rule, &path);
        }
    }
}

fn validation(errors: &mut Errors, validation: &Value, path: &str, environment: &Environment) {
    expression(errors, validation, path, "expression", environment, &[BOOL]);
    let told = text(validation, "messageExpression");
    if !told.trim().is_empty() {
        // What is told to all must not tell who may do what.
        let environment = environment.clone().without("authorizer");
        let at = join(path, "messageExpression");
        expressions::expression(errors, told, &at, &environment, &[STRING]);
    }
    let mut invalid = |field: &str, wrong: &str| {
        let at = join(path, field);
        errors.push(FieldError::invalid(at, &validation[field], wrong));
    };
    let blank = |field: &str| {
        let text = text(validation, field);
        !text.is_empty() && text.trim().is_empty()
    };
    if blank("messageExpression") {
        invalid("messageExpression", "must be non-empty if specified");
    }
    if blank("message") {
        invalid("message", "message must be non-empty if specified");
    } else if text(validation, "message").trim().contains(['\n', '\r']) {
        invalid("message", "message must not contain line breaks");
    }
    one_of_if(errors, validation, path, "reason", REASONS);
}

fn audit_annotations(
    errors: &mut Errors,
    object: &Value,
    annotations: &[Value],
    environment: &Environment,
) {
    let policy = text(&object["metadata"], "name");
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let wrong = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        let at = "spec.auditAnnotations";
        errors.push(FieldError::invalid(at, &json!(annotations), wrong));
    }
    let mut keys = BTreeSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let path = format!("spec.auditAnnotations[{index}]");
        let at = join(&path, "key");
        let key = text(annotation, "key");
        let whole = format!("{policy}/{key}");
        let form = names::qualified_name(&whole);
        wrongs(errors, &at, &whole.into(), form);
        if text(annotation, "valueExpression").trim().len() > AUDIT_EXPRESSION_BYTES_MAX {
            let wrong = format!("must not exceed {AUDIT_EXPRESSION_BYTES_MAX} bytes in length");
            let at = join(&path, "valueExpression");
            errors.push(FieldError::required(at, wrong));
        } else {
            let wanted = [STRING, Type::Null];
            let field = "valueExpression";
            expression(errors, annotation, &path, field, environment, &wanted);
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(at, &annotation["key"]));
        }
    }
}

/// One change: by a patch, or by what is applied.
fn mutation(errors: &mut Errors, mutation: &Value, path: &str, environment: &Environment) {
    let kinds = ["ApplyConfiguration", "JSONPatch"];
    one_of(errors, mutation, path, "patchType", &kinds);
    let (mine, other) = match text(mutation, "patchType") {
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        _ => return,
    };
    let kind = text(mutation, "patchType");
    let wanted = match mine {
        "jsonPatch" => Type::list(Type::object_named("JSONPatch")),
        _ => Type::object_named("Object"),
    };
    if has(mutation, mine) {
        let at = join(&join(path, mine), "expression");
        match text(&mutation[mine], "expression") {
            code if code.trim().is_empty() => errors.push(FieldError::required(at, "")),
            code => drop(expressions::expression(
                errors,
                code,
                &at,
                environment,
                &[wanted],
            )),
        }
    } else {
        let wrong = format!("must be specified when patchType is {kind}");
        errors.push(FieldError::required(join(path, mine), wrong));
    }
    if has(mutation, other) {
        let wrong = format!("must not be specified when patchType is {kind}");
        let shown = format!("{{{other}}}").into();
        errors.push(FieldError::invalid(join(path, other), &shown, wrong));
    }
}

/// A binding of a policy, new or changed.
pub(super) fn binding(errors: &mut Errors, object: &Value, validating: bool) {
    let spec = &object["spec"];
    required(errors, spec, "spec", "policyName", names::dns1123_subdomain);
    if has(spec, "paramRef") {
        param_ref(errors, &spec["paramRef"], "spec.paramRef");
    }
    if has(spec, "matchResources") {
        match_resources(errors, &spec["matchResources"], "spec.matchResources");
    }
    if validating {
        actions(errors, spec, "spec.validationActions");
    } else {
        mutable_operations(errors, spec, "matchResources");
    }
}

fn param_ref(errors: &mut Errors, reference: &Value, path: &str) {
    let name = text(reference, "name");
    let (has_name, has_selector) = (!name.is_empty(), has(reference, "selector"));
    let exclusive = "name and selector are mutually exclusive";
    if has_name {
        let at = join(path, "name");
        wrongs(errors, &at, &reference["name"], names::path_segment(name));
        if has_selector {
            errors.push(FieldError::forbidden(at, exclusive));
        }
    }
    if has_selector {
        let at = join(path, "selector");
        label_selector(errors, &reference["selector"], &at);
        if has_name {
            errors.push(FieldError::forbidden(at, exclusive));
        }
    }
    if !has_name && !has_selector {
        let wrong = "one of name or selector must be specified";
        errors.push(FieldError::required(path, wrong));
    }
    one_of(
        errors,
        reference,
        path,
        "parameterNotFoundAction",
        &["Allow", "Deny"],
    );
}

/// What becomes of a request that a policy is against.
fn actions(errors: &mut Errors, spec: &Value, at: &str) {
    let actions = list(spec, "validationActions");
    for (index, action) in actions.iter().enumerate() {
        let known = ["Audit", "Deny", "Warn"];
        let at = format!("{at}[{index}]");
        if !known.contains(&action.as_str().unwrap_or_default()) {
            errors.push(FieldError::not_supported(at.clone(), action, &known));
        }
        if actions[..index].contains(action) {
            errors.push(FieldError::duplicate(at, action));
        }
    }
    if actions.contains(&json!("Deny")) && actions.contains(&json!("Warn")) {
        let wrong = "must not contain both Deny and Warn (repeating the same validation failure \
                     information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(at, &spec["validationActions"], wrong));
    }
    if actions.is_empty() {
        let wrong = "at least one validation action is required";
        errors.push(FieldError::required(at, wrong));
    }
}

/// The status of a ValidatingAdmissionPolicy.
pub(super) fn status(errors: &mut Errors, object: &Value) {
    let status = &object["status"];
    let warnings = list(&status["typeChecking"], "expressionWarnings");
    for (index, warning) in warnings.iter().enumerate() {
        let path = format!("status.typeChecking.expressionWarnings[{index}]");
        for field in ["warning", "fieldRef"] {
            if text(warning, field).trim().is_empty() {
                errors.push(FieldError::required(join(&path, field), ""));
            }
        }
    }
    conditions::conditions(errors, status, "status.conditions");
}
