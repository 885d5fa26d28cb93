//! HorizontalPodAutoscalers, in the version that is stored.
//!
//! Upstream: `pkg/apis/autoscaling/validation/validation.go`.

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, list, not_negative, required, text},
    names,
    quantity::Quantity,
    resources,
};
use crate::status::FieldError;

const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;
/// The types of metrics, and the fields that they are in.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// A HorizontalPodAutoscaler, new or changed.
pub(super) fn autoscaler(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let least = spec["minReplicas"].as_i64();
    let most = spec["maxReplicas"].as_i64().unwrap_or_default();
    let mut invalid = |field: &str, value: i64, wrong: &str| {
        errors.push(FieldError::invalid(
            join("spec", field),
            &json!(value),
            wrong,
        ));
    };
    if let Some(least) = least.filter(|least| *least < 1) {
        invalid("minReplicas", least, "must be greater than or equal to 1");
    }
    if most < 1 {
        invalid("maxReplicas", most, "must be greater than 0");
    }
    if least.is_some_and(|least| most < least) {
        let wrong = "must be greater than or equal to `minReplicas`";
        invalid("maxReplicas", most, wrong);
    }
    reference(errors, &spec["scaleTargetRef"], "spec.scaleTargetRef");
    for (index, metric) in list(spec, "metrics").iter().enumerate() {
        self::metric(errors, metric, &format!("spec.metrics[{index}]"));
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if rules.is_object() {
            scaling(errors, rules, &format!("spec.behavior.{direction}"));
        }
    }
}

/// The status of a HorizontalPodAutoscaler.
pub(super) fn status(errors: &mut Errors, object: &Value) {
    for field in ["currentReplicas", "desiredReplicas"] {
        not_negative(errors, &object["status"], "status", field);
    }
}

fn reference(errors: &mut Errors, reference: &Value, path: &str) {
    for field in ["kind", "name"] {
        required(errors, reference, path, field, names::path_segment);
    }
}

fn scaling(errors: &mut Errors, rules: &Value, path: &str) {
    let at = join(path, "stabilizationWindowSeconds");
    let window = &rules["stabilizationWindowSeconds"];
    match window.as_i64() {
        Some(seconds) if seconds < 0 => {
            let wrong = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(at, window, wrong));
        }
        Some(seconds) if seconds > WINDOW_SECONDS_MAX => {
            let wrong = format!("must be less than or equal to {WINDOW_SECONDS_MAX}");
            errors.push(FieldError::invalid(at, window, wrong));
        }
        _ => {}
    }
    let select = ["Disabled", "Max", "Min"];
    if has(rules, "selectPolicy") && !select.contains(&text(rules, "selectPolicy")) {
        let at = join(path, "selectPolicy");
        errors.push(FieldError::not_supported(
            at,
            &rules["selectPolicy"],
            &select,
        ));
    }
    let path = join(path, "policies");
    let policies = list(rules, "policies");
    if policies.is_empty() {
        let wrong = "must specify at least one Policy";
        errors.push(FieldError::required(path.clone(), wrong));
    }
    for (index, policy) in policies.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let types = ["Percent", "Pods"];
        if !types.contains(&text(policy, "type")) {
            let kind = json!(text(policy, "type"));
            errors.push(FieldError::not_supported(
                join(&path, "type"),
                &kind,
                &types,
            ));
        }
        let number = |field: &str| policy[field].as_i64().unwrap_or_default();
        for field in ["value", "periodSeconds"] {
            if number(field) <= 0 {
                let (at, wrong) = (join(&path, field), "must be greater than zero");
                errors.push(FieldError::invalid(at, &json!(number(field)), wrong));
            }
        }
        if number("periodSeconds") > PERIOD_SECONDS_MAX {
            let wrong = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
            let at = join(&path, "periodSeconds");
            errors.push(FieldError::invalid(at, &policy["periodSeconds"], wrong));
        }
    }
}

fn metric(errors: &mut Errors, metric: &Value, path: &str) {
    let kind = text(metric, "type");
    let mut types = SOURCES.map(|(kind, _)| kind);
    types.sort_unstable();
    let at = join(path, "type");
    if kind.is_empty() {
        let wrong = "must specify a metric source type";
        errors.push(FieldError::required(at.clone(), wrong));
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind);
    if expected.is_none() {
        errors.push(FieldError::not_supported(at.clone(), &json!(kind), &types));
    }
    let there: Vec<&str> = SOURCES
        .iter()
        .map(|(_, field)| *field)
        .filter(|field| metric[field].is_object())
        .collect();
    if let Some(first) = there.first() {
        source(errors, &metric[first], first, &join(path, first));
    }
    match expected {
        None => errors.push(FieldError::not_supported(at, &json!(kind), &types)),
        Some((_, field)) if !there.contains(field) => {
            let wrong = "must populate information for the given metric source";
            errors.push(FieldError::required(join(path, field), wrong));
        }
        Some(_) => {}
    }
    if there.len() != 1 {
        let expected = expected.map(|(_, field)| *field);
        for other in there.iter().filter(|field| Some(**field) != expected) {
            let wrong = "must populate the given metric source only";
            errors.push(FieldError::forbidden(join(path, other), wrong));
        }
    }
}

/// What a metric is of, and what it should be.
fn source(errors: &mut Errors, source: &Value, field: &str, path: &str) {
    match field {
        "object" => reference(
            errors,
            &source["describedObject"],
            &join(path, "describedObject"),
        ),
        "resource" | "containerResource" => {
            let at = join(path, "name");
            match text(source, "name") {
                "" => errors.push(FieldError::required(at, "must specify a resource name")),
                name if field == "containerResource" => {
                    resources::resource_name(errors, name, &at);
                }
                _ => {}
            }
        }
        _ => {}
    }
    if field == "containerResource" {
        let at = join(path, "container");
        match text(source, "container") {
            "" => errors.push(FieldError::required(at, "must specify a container")),
            name => {
                let wrong = names::dns1123_label(name);
                super::check::wrongs(errors, &at, &json!(name), wrong);
            }
        }
    }
    if !field.ends_with("esource") {
        let at = join(path, "metric.name");
        match text(&source["metric"], "name") {
            "" => errors.push(FieldError::required(at, "must specify a metric name")),
            name => {
                let wrong = names::path_segment(name);
                super::check::wrongs(errors, &at, &json!(name), wrong);
            }
        }
    }
    let (target, path) = (&source["target"], join(path, "target"));
    self::target(errors, target, &path);
    let [value, average, percent] =
        ["value", "averageValue", "averageUtilization"].map(|amount| has(target, amount));
    let mut required = |amount: &str, wrong: &str| {
        errors.push(FieldError::required(join(&path, amount), wrong));
    };
    match field {
        "object" if !value && !average => {
            required(
                "averageValue",
                "must set either a target value or averageValue",
            );
        }
        "external" if !value && !average => {
            let wrong = "must set either a target value for metric or a per-pod target";
            required("averageValue", wrong);
        }
        "external" if value && average => {
            let wrong = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(join(&path, "value"), wrong));
        }
        "pods" if !average => {
            required(
                "averageValue",
                "must specify a positive target averageValue",
            );
        }
        "resource" | "containerResource" if !percent && !average => {
            let wrong = "must set either a target raw value or a target utilization";
            required("averageUtilization", wrong);
        }
        "resource" | "containerResource" if percent && average => {
            let wrong = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(join(&path, "averageValue"), wrong));
        }
        _ => {}
    }
}

fn target(errors: &mut Errors, target: &Value, path: &str) {
    let kind = text(target, "type");
    let at = join(path, "type");
    if kind.is_empty() {
        let wrong = "must specify a metric target type";
        errors.push(FieldError::required(at.clone(), wrong));
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind) {
        let wrong = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(at, &json!(kind), wrong));
    }
    for field in ["value", "averageValue"] {
        let amount = target[field].as_str().and_then(Quantity::parse);
        if amount.is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
            let at = join(path, field);
            errors.push(FieldError::invalid(at, &target[field], "must be positive"));
        }
    }
    let percent = &target["averageUtilization"];
    if percent.as_i64().is_some_and(|percent| percent < 1) {
        let at = join(path, "averageUtilization");
        errors.push(FieldError::invalid(at, percent, "must be greater than 0"));
    }
}
