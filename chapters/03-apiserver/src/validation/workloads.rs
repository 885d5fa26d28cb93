//! What keeps pods, beside Deployments and ReplicaSets; bare templates; disruption budgets.
//!
//! Upstream: `pkg/apis/{apps,core,policy}/validation/validation.go`.

use serde_json::{Value, json};

use super::{
    check::{
        Errors, has, immutable, join, label_selector, list, not_negative, one_of, one_of_if, text,
        wrongs,
    },
    conditions, metadata, names, pods,
};
use crate::{selectors::LabelSelector, status::FieldError};

const TEMPLATE: &str = "spec.template";

/// A ReplicationController, new or changed.
pub(super) fn replication_controller(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    not_negative(errors, spec, "spec", "minReadySeconds");
    let selector = spec["selector"].as_object();
    if selector.is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required("spec.selector", ""));
    }
    not_negative(errors, spec, "spec", "replicas");
    let template = &spec["template"];
    if !template.is_object() {
        return errors.push(FieldError::required(TEMPLATE, ""));
    }
    let labels = &template["metadata"]["labels"];
    let mut wanted = selector.into_iter().flatten();
    if !wanted.all(|(label, value)| labels.get(label) == Some(value)) {
        mismatch(errors, labels);
    }
    pods::template(errors, template, TEMPLATE);
    runs_on(errors, &template["spec"], "ReplicationController");
}

/// A PodTemplate, new or changed.
pub(super) fn pod_template(errors: &mut Errors, object: &Value) {
    pods::template(errors, &object["template"], "template");
}

/// A DaemonSet, new or changed.
pub(super) fn daemon_set(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let (selector, template) = (&spec["selector"], &spec["template"]);
    label_selector(errors, selector, "spec.selector");
    selects(errors, selector, &template["metadata"]["labels"]);
    if selector.is_object() && is_empty(selector) {
        let wrong = "empty selector is invalid for daemonset";
        errors.push(FieldError::invalid("spec.selector", selector, wrong));
    }
    pods::template(errors, template, TEMPLATE);
    runs_on(errors, &template["spec"], "DaemonSet");
    not_negative(errors, spec, "spec", "minReadySeconds");
    daemon_set_strategy(errors, &spec["updateStrategy"]);
    not_negative(errors, spec, "spec", "revisionHistoryLimit");
}

fn daemon_set_strategy(errors: &mut Errors, strategy: &Value) {
    const PATH: &str = "spec.updateStrategy";
    let path = join(PATH, "rollingUpdate");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = &strategy["rollingUpdate"];
            if rolling.is_null() {
                return errors.push(FieldError::required(path, ""));
            }
            let fields = ["maxUnavailable", "maxSurge"];
            for field in fields {
                int_or_percent(errors, rolling, &path, field);
            }
            for field in fields {
                at_most_all(errors, rolling, &path, field);
            }
            let is_some = |field: &str| amount(&rolling[field]) != 0;
            match (is_some("maxUnavailable"), is_some("maxSurge")) {
                (true, true) => {
                    let wrong = "may not be set when maxUnavailable is non-zero";
                    let at = join(&path, "maxSurge");
                    errors.push(FieldError::invalid(at, &rolling["maxSurge"], wrong));
                }
                (false, false) => {
                    let wrong = "cannot be 0 when maxSurge is 0";
                    errors.push(FieldError::required(join(&path, "maxUnavailable"), wrong));
                }
                _ => {}
            }
        }
        _ => errors.push(FieldError::not_supported(
            PATH,
            strategy,
            &["RollingUpdate", "OnDelete"],
        )),
    }
}

/// The status of a DaemonSet.
pub(super) fn daemon_set_status(errors: &mut Errors, new: &Value, old: &Value) {
    let status = &new["status"];
    for field in [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ] {
        not_negative(errors, status, "status", field);
    }
    no_fewer_collisions(errors, status, &old["status"]);
}

/// A StatefulSet, new or changed. Upstream does not look into the spec of its template either:
/// that the claims make volumes there is not seen before the pods are made.
pub(super) fn stateful_set(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let (ordered, parallel) = ("OrderedReady", "Parallel");
    match text(spec, "podManagementPolicy") {
        "" => errors.push(FieldError::required("spec.podManagementPolicy", "")),
        policy if policy == ordered || policy == parallel => {}
        policy => {
            let wrong = format!("must be '{ordered}' or '{parallel}'");
            let at = "spec.podManagementPolicy";
            errors.push(FieldError::invalid(at, &json!(policy), wrong));
        }
    }
    stateful_set_strategy(errors, &spec["updateStrategy"]);
    let retention = &spec["persistentVolumeClaimRetentionPolicy"];
    if retention.is_object() {
        let path = "spec.persistentVolumeClaimRetentionPolicy";
        for field in ["whenDeleted", "whenScaled"] {
            one_of(errors, retention, path, field, &["Retain", "Delete"]);
        }
    }
    not_negative(errors, spec, "spec", "replicas");
    not_negative(errors, spec, "spec", "minReadySeconds");
    not_negative(errors, &spec["ordinals"], "spec.ordinals", "start");
    let (selector, template) = (&spec["selector"], &spec["template"]);
    if !selector.is_object() {
        errors.push(FieldError::required("spec.selector", ""));
    } else {
        label_selector(errors, selector, "spec.selector");
        if is_empty(selector) {
            let wrong = "empty selector is invalid for statefulset";
            errors.push(FieldError::invalid("spec.selector", selector, wrong));
        }
    }
    let of_pods = &template["metadata"];
    selects(errors, selector, &of_pods["labels"]);
    super::check::labels(errors, of_pods, TEMPLATE, "labels");
    metadata::annotations(errors, of_pods, &join(TEMPLATE, "annotations"));
    runs_on(errors, &template["spec"], "StatefulSet");
}

fn stateful_set_strategy(errors: &mut Errors, strategy: &Value) {
    const PATH: &str = "spec.updateStrategy";
    let rolling = &strategy["rollingUpdate"];
    let path = join(PATH, "rollingUpdate");
    match text(strategy, "type") {
        "" => errors.push(FieldError::required(PATH, "")),
        "OnDelete" => {
            if !rolling.is_null() {
                let wrong = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(FieldError::invalid(path, rolling, wrong));
            }
        }
        "RollingUpdate" => {
            not_negative(errors, rolling, &path, "partition");
            if has(rolling, "maxUnavailable") {
                int_or_percent(errors, rolling, &path, "maxUnavailable");
                if amount(&rolling["maxUnavailable"]) == 0 {
                    let at = join(&path, "maxUnavailable");
                    let value = &rolling["maxUnavailable"];
                    errors.push(FieldError::invalid(at, value, "cannot be 0"));
                }
                at_most_all(errors, rolling, &path, "maxUnavailable");
            }
        }
        _ => {
            let wrong = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(PATH, strategy, wrong));
        }
    }
}

/// What a StatefulSet is made of is settled once; how many and how new its pods are is not.
pub(super) fn stateful_set_update(errors: &mut Errors, new: &Value, old: &Value) {
    for field in [
        "selector",
        "serviceName",
        "podManagementPolicy",
        "revisionHistoryLimit",
        "volumeClaimTemplates",
    ] {
        let (new, old) = (&new["spec"][field], &old["spec"][field]);
        immutable(errors, new, old, &join("spec", field));
    }
}

/// The status of a StatefulSet.
pub(super) fn stateful_set_status(errors: &mut Errors, new: &Value, old: &Value) {
    let status = &new["status"];
    let parts = [
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
    ];
    not_negative(errors, status, "status", "replicas");
    for field in parts {
        not_negative(errors, status, "status", field);
    }
    for field in ["observedGeneration", "collisionCount"] {
        not_negative(errors, status, "status", field);
    }
    let count = |field: &str| status[field].as_i64().unwrap_or_default();
    let mut too_many = |field: &str, wrong: &str| {
        let at = join("status", field);
        errors.push(FieldError::invalid(at, &json!(count(field)), wrong));
    };
    for field in parts {
        if count(field) > count("replicas") {
            too_many(field, "cannot be greater than status.replicas");
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let wrong = "cannot be greater than status.readyReplicas";
        too_many("availableReplicas", wrong);
    }
    no_fewer_collisions(errors, status, &old["status"]);
}

fn no_fewer_collisions(errors: &mut Errors, new: &Value, old: &Value) {
    let count = |status: &Value| status["collisionCount"].as_i64();
    if count(old).is_some_and(|before| count(new).is_none_or(|now| now < before)) {
        let now = json!(count(new).unwrap_or_default());
        let at = "status.collisionCount";
        errors.push(FieldError::invalid(at, &now, "cannot be decremented"));
    }
}

/// A new ControllerRevision: it has data, and they are an object.
pub(super) fn revision_create(errors: &mut Errors, object: &Value) {
    match &object["data"] {
        Value::Object(_) => {}
        Value::Null => errors.push(FieldError::required("data", "data is mandatory")),
        _ => errors.push(FieldError::required(
            "data",
            "data must be a valid JSON object",
        )),
    }
}

/// A ControllerRevision, new or changed.
pub(super) fn revision(errors: &mut Errors, object: &Value) {
    not_negative(errors, object, "", "revision");
}

/// What a revision was stays.
pub(super) fn revision_update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["data"], &old["data"], "data");
}

/// A PodDisruptionBudget, new or changed.
pub(super) fn budget(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let fields = ["minAvailable", "maxUnavailable"];
    if fields.iter().all(|field| has(spec, field)) {
        let wrong = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid("spec", spec, wrong));
    }
    for field in fields {
        int_or_percent(errors, spec, "spec", field);
        at_most_all(errors, spec, "spec", field);
    }
    label_selector(errors, &spec["selector"], "spec.selector");
    one_of_if(
        errors,
        spec,
        "spec",
        "unhealthyPodEvictionPolicy",
        &["AlwaysAllow", "IfHealthyBudget"],
    );
}

/// The status of a PodDisruptionBudget.
pub(super) fn budget_status(errors: &mut Errors, object: &Value) {
    let status = &object["status"];
    conditions::conditions(errors, status, "status.conditions");
    for field in [
        "disruptionsAllowed",
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
    ] {
        not_negative(errors, status, "status", field);
    }
}

/// Pods that something keeps are started again, always, and have no end of their own.
fn runs_on(errors: &mut Errors, spec: &Value, kind: &str) {
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        let at = join(TEMPLATE, "spec.restartPolicy");
        errors.push(FieldError::not_supported(at, &json!(policy), &["Always"]));
    }
    if has(spec, "activeDeadlineSeconds") {
        let wrong = format!("activeDeadlineSeconds in {kind} is not Supported");
        let at = join(TEMPLATE, "spec.activeDeadlineSeconds");
        errors.push(FieldError::forbidden(at, wrong));
    }
}

/// Whether a selector selects the pods of its template. One that is absent selects none.
fn selects(errors: &mut Errors, selector: &Value, labels: &Value) {
    if !selector.is_object() {
        return mismatch(errors, labels);
    }
    let parsed = LabelSelector::from_object(selector);
    if parsed.is_ok_and(|selector| !selector.matches(labels)) {
        mismatch(errors, labels);
    }
}

pub(super) fn mismatch(errors: &mut Errors, labels: &Value) {
    let wrong = "`selector` does not match template `labels`";
    let at = "spec.template.metadata.labels";
    errors.push(FieldError::invalid(at, labels, wrong));
}

fn is_empty(selector: &Value) -> bool {
    let labels = selector["matchLabels"].as_object();
    labels.is_none_or(serde_json::Map::is_empty) && list(selector, "matchExpressions").is_empty()
}

/// A number that is not below zero, or a percentage.
pub(super) fn int_or_percent(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    match &parent[key] {
        Value::String(text) => {
            wrongs(errors, &join(path, key), &parent[key], names::percent(text));
        }
        _ => not_negative(errors, parent, path, key),
    }
}

/// A percentage is of what is there, and no more.
fn at_most_all(errors: &mut Errors, parent: &Value, path: &str, key: &str) {
    let percent = parent[key]
        .as_str()
        .filter(|p| names::percent(p).is_empty());
    if percent.is_some_and(|_| amount(&parent[key]) > 100) {
        let wrong = "must not be greater than 100%";
        errors.push(FieldError::invalid(join(path, key), &parent[key], wrong));
    }
}

/// The number, be it of pods or a percentage.
fn amount(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.strip_suffix('%').map_or(0, |digits| {
            // What does not fit is more than enough.
            digits
                .parse()
                .unwrap_or(if digits.is_empty() { 0 } else { u64::MAX })
        }),
        number => number.as_u64().unwrap_or_default(),
    }
}
