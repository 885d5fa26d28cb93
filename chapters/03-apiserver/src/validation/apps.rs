//! Deployments and ReplicaSets.
//!
//! Upstream: `pkg/apis/apps/validation/validation.go`.

use serde_json::{Value, json};

use super::{
    check::{
        Errors, has, immutable, join, label_selector, list, not_negative, one_of, text, wrongs,
    },
    names, pods,
};
use crate::{selectors::LabelSelector, status::FieldError};

/// A Deployment, new or changed.
pub(super) fn deployment(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    not_negative(errors, spec, "spec", "replicas");
    selector_and_template(errors, spec);
    strategy(errors, &spec["strategy"]);
    not_negative(errors, spec, "spec", "minReadySeconds");
    not_negative(errors, spec, "spec", "revisionHistoryLimit");
    not_negative(errors, spec, "spec", "progressDeadlineSeconds");
    let ready = spec["minReadySeconds"].as_i64().unwrap_or_default();
    if spec["progressDeadlineSeconds"]
        .as_i64()
        .is_some_and(|deadline| deadline <= ready)
    {
        let wrong = "must be greater than minReadySeconds";
        let at = "spec.progressDeadlineSeconds";
        errors.push(FieldError::invalid(
            at,
            &spec["progressDeadlineSeconds"],
            wrong,
        ));
    }
}

/// A ReplicaSet, new or changed.
pub(super) fn replica_set(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    not_negative(errors, spec, "spec", "replicas");
    not_negative(errors, spec, "spec", "minReadySeconds");
    selector_and_template(errors, spec);
}

/// Which pods are its own is settled once.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(
        errors,
        &new["spec"]["selector"],
        &old["spec"]["selector"],
        "spec.selector",
    );
}

fn selector_and_template(errors: &mut Errors, spec: &Value) {
    const LABELS: &str = "spec.template.metadata.labels";
    let selector = &spec["selector"];
    let is_empty = |key: &str| {
        selector[key]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    };
    if !has(spec, "selector") {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        label_selector(errors, selector, "spec.selector");
        if is_empty("matchLabels") && list(selector, "matchExpressions").is_empty() {
            // Upstream says "for deployment" of both kinds.
            let wrong = "empty selector is invalid for deployment";
            errors.push(FieldError::invalid("spec.selector", selector, wrong));
        }
    }
    let template = &spec["template"];
    let labels = &template["metadata"]["labels"];
    match LabelSelector::from_object(selector) {
        Err(_) => {
            errors.push(FieldError::invalid(
                "spec.selector",
                selector,
                "invalid label selector",
            ));
        }
        Ok(selector) if !selector.is_empty() && !selector.matches(labels) => {
            let wrong = "`selector` does not match template `labels`";
            errors.push(FieldError::invalid(LABELS, labels, wrong));
        }
        Ok(_) => {}
    }
    pods::template(errors, template, "spec.template");
    let policy = text(&template["spec"], "restartPolicy");
    if matches!(policy, "OnFailure" | "Never") {
        let at = "spec.template.spec.restartPolicy";
        errors.push(FieldError::not_supported(at, &json!(policy), &["Always"]));
    }
    if has(&template["spec"], "activeDeadlineSeconds") {
        let wrong = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            wrong,
        ));
    }
}

fn strategy(errors: &mut Errors, strategy: &Value) {
    const PATH: &str = "spec.strategy";
    let rolling = &strategy["rollingUpdate"];
    let path = join(PATH, "rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if !rolling.is_null() {
                let wrong = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(path, wrong));
            }
        }
        "RollingUpdate" => {
            if rolling.is_null() {
                let wrong = "this should be defaulted and never be nil";
                return errors.push(FieldError::required(path, wrong));
            }
            for field in ["maxUnavailable", "maxSurge"] {
                int_or_percent(errors, rolling, &path, field);
            }
            let is_none = |field: &str| rolling[field] == 0 || rolling[field] == "0%";
            if is_none("maxUnavailable") && is_none("maxSurge") {
                let wrong = "may not be 0 when `maxSurge` is 0";
                let at = join(&path, "maxUnavailable");
                errors.push(FieldError::invalid(at, &rolling["maxUnavailable"], wrong));
            }
            let percent = text(rolling, "maxUnavailable").strip_suffix('%');
            if percent
                .and_then(|p| p.parse::<u64>().ok())
                .is_some_and(|percent| percent > 100)
            {
                let wrong = "must not be greater than 100%";
                let at = join(&path, "maxUnavailable");
                errors.push(FieldError::invalid(at, &rolling["maxUnavailable"], wrong));
            }
        }
        _ => one_of(
            errors,
            strategy,
            PATH,
            "type",
            &["Recreate", "RollingUpdate"],
        ),
    }
}

fn int_or_percent(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    match &parent[key] {
        Value::String(text) => {
            wrongs(errors, &join(path, key), &parent[key], names::percent(text));
        }
        _ => not_negative(errors, parent, path, key),
    }
}

/// The counts in a new status of either kind.
pub(super) fn status(errors: &mut Errors, object: &Value) {
    let status = &object["status"];
    let counts = [
        "replicas",
        "updatedReplicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "observedGeneration",
    ];
    for field in counts {
        not_negative(errors, status, "status", field);
    }
    let count = |field: &str| status[field].as_i64().unwrap_or_default();
    let mut at_most = |field: &str, most: &str, wrong: &str| {
        if count(field) > count(most) {
            errors.push(FieldError::invalid(
                join("status", field),
                &json!(count(field)),
                wrong,
            ));
        }
    };
    for field in [
        "updatedReplicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
    ] {
        at_most(field, "replicas", "cannot be greater than status.replicas");
    }
    at_most(
        "availableReplicas",
        "readyReplicas",
        "cannot be greater than readyReplicas",
    );
}
