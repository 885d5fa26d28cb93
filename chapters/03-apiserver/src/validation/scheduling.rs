//! What a pod says about where it may run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{
        Errors, any, join, label_selector, list, one_of, one_of_if, required, same, text, wrongs,
    },
    names,
};
use crate::status::FieldError;

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

/// `spec.tolerations`
pub(super) fn tolerations(errors: &mut Errors, spec: &Value, path: &str) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let path = format!("{path}.tolerations[{index}]");
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if !key.is_empty() {
            wrongs(
                errors,
                &join(&path, "key"),
                &toleration["key"],
                names::qualified_name(key),
            );
        } else if operator != "Exists" {
            let wrong = "operator must be Exists when `key` is empty, which means \"match all \
                         values and all keys\"";
            errors.push(FieldError::invalid(
                join(&path, "operator"),
                &json!(operator),
                wrong,
            ));
        }
        let effect = text(toleration, "effect");
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            let wrong = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(
                join(&path, "effect"),
                &json!(effect),
                wrong,
            ));
        }
        match operator {
            "" | "Equal" => {
                let wrong = names::label_value(text(toleration, "value"));
                wrongs(
                    errors,
                    &join(&path, "operator"),
                    &toleration["value"],
                    wrong,
                );
            }
            "Exists" => {
                if !text(toleration, "value").is_empty() {
                    let wrong = "value must be empty when `operator` is 'Exists'";
                    let at = join(&path, "operator");
                    errors.push(FieldError::invalid(at, toleration, wrong));
                }
            }
            _ => one_of(errors, toleration, &path, "operator", &["Equal", "Exists"]),
        }
        one_of_if(errors, toleration, &path, "effect", &EFFECTS);
    }
}

/// `spec.taints` of a node.
pub(super) fn taints(errors: &mut Errors, spec: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, taint) in list(spec, "taints").iter().enumerate() {
        let path = format!("{path}.taints[{index}]");
        let key = text(taint, "key");
        wrongs(
            errors,
            &join(&path, "key"),
            &json!(key),
            names::qualified_name(key),
        );
        let wrong = names::label_value(text(taint, "value"));
        wrongs(errors, &join(&path, "value"), &taint["value"], wrong);
        one_of(errors, taint, &path, "effect", &EFFECTS);
        if !seen.insert((key, text(taint, "effect"))) {
            let mut error = FieldError::duplicate(path, taint);
            error.message += ": taints must be unique by key and effect pair";
            errors.push(error);
        }
    }
}

/// Tolerations may be added to a pod that runs; those it has may only change their seconds.
pub(super) fn only_more_tolerations(errors: &mut Errors, new: &Value, old: &Value) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration["tolerationSeconds"] = Value::Null;
        toleration
    };
    let after: Vec<Value> = list(new, "tolerations")
        .iter()
        .map(without_seconds)
        .collect();
    for before in list(old, "tolerations").iter().map(without_seconds) {
        if !after.iter().any(|toleration| same(toleration, &before)) {
            let wrong = "existing toleration can not be modified except its tolerationSeconds";
            errors.push(FieldError::forbidden("spec.tolerations", wrong));
        }
    }
}

/// Gates may be taken away from a pod, not put up; what may change is put back in `rest`.
pub(super) fn only_fewer_gates(errors: &mut Errors, rest: &mut Value, old: &Value) {
    let before = list(old, "schedulingGates");
    for gate in list(rest, "schedulingGates") {
        if !before.contains(gate) {
            let wrong = format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                text(gate, "name")
            );
            errors.push(FieldError::forbidden("spec.schedulingGates", wrong));
        }
    }
    rest["schedulingGates"] = old["schedulingGates"].clone();
}

/// `spec.affinity`
pub(super) fn affinity(errors: &mut Errors, affinity: &Value, path: &str) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let (node, node_path) = (&affinity["nodeAffinity"], join(path, "nodeAffinity"));
    let selector = &node[REQUIRED];
    if !selector.is_null() {
        node_selector(errors, selector, &join(&node_path, REQUIRED));
    }
    for (index, preferred) in list(node, PREFERRED).iter().enumerate() {
        let path = format!("{node_path}.{PREFERRED}[{index}]");
        weight(errors, preferred, &path);
        node_term(errors, &preferred["preference"], &join(&path, "preference"));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (of_pods, path) = (&affinity[kind], join(path, kind));
        for (index, term) in list(of_pods, REQUIRED).iter().enumerate() {
            pod_term(errors, term, &format!("{path}.{REQUIRED}[{index}]"));
        }
        for (index, preferred) in list(of_pods, PREFERRED).iter().enumerate() {
            let path = format!("{path}.{PREFERRED}[{index}]");
            weight(errors, preferred, &path);
            pod_term(
                errors,
                &preferred["podAffinityTerm"],
                &join(&path, "podAffinityTerm"),
            );
        }
    }
}

/// Which nodes are meant, by one or another of some terms.
pub(super) fn node_selector(errors: &mut Errors, selector: &Value, path: &str) {
    let path = join(path, "nodeSelectorTerms");
    let terms = list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        let wrong = "must have at least one node selector term";
        errors.push(FieldError::required(path.clone(), wrong));
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(errors, term, &format!("{path}[{index}]"));
    }
}

fn weight(errors: &mut Errors, preferred: &Value, path: &str) {
    let weight = preferred["weight"].as_i64().unwrap_or_default();
    if !(1..=100).contains(&weight) {
        let wrong = "must be in the range 1-100";
        errors.push(FieldError::invalid(
            join(path, "weight"),
            &json!(weight),
            wrong,
        ));
    }
}

fn node_term(errors: &mut Errors, term: &Value, path: &str) {
    for field in ["matchExpressions", "matchFields"] {
        for (index, expression) in list(term, field).iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            let values = list(expression, "values");
            let at = join(&path, "values");
            match text(expression, "operator") {
                "In" | "NotIn" => {
                    if values.is_empty() {
                        let wrong = "must be specified when `operator` is 'In' or 'NotIn'";
                        errors.push(FieldError::required(at, wrong));
                    }
                }
                "Exists" | "DoesNotExist" => {
                    if !values.is_empty() {
                        let wrong =
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                        errors.push(FieldError::forbidden(at, wrong));
                    }
                }
                "Gt" | "Lt" => {
                    if values.len() != 1 {
                        let wrong =
                            "must be specified single value when `operator` is 'Lt' or 'Gt'";
                        errors.push(FieldError::required(at, wrong));
                    }
                }
                _ => errors.push(FieldError::invalid(
                    join(&path, "operator"),
                    &expression["operator"],
                    "not a valid selector operator",
                )),
            }
            let key = text(expression, "key");
            if field == "matchExpressions" {
                wrongs(
                    errors,
                    &join(&path, "key"),
                    &json!(key),
                    names::qualified_name(key),
                );
            } else if key != "metadata.name" {
                let wrong = "not a valid field selector key";
                errors.push(FieldError::invalid(join(&path, "key"), &json!(key), wrong));
            }
        }
    }
}

fn pod_term(errors: &mut Errors, term: &Value, path: &str) {
    label_selector(errors, &term["labelSelector"], &join(path, "labelSelector"));
    label_selector(
        errors,
        &term["namespaceSelector"],
        &join(path, "namespaceSelector"),
    );
    for namespace in list(term, "namespaces") {
        let wrong = names::dns1123_label(namespace.as_str().unwrap_or_default());
        wrongs(errors, &join(path, "namespace"), namespace, wrong);
    }
    match text(term, "topologyKey") {
        "" => errors.push(FieldError::required(
            join(path, "topologyKey"),
            "can not be empty",
        )),
        key => {
            let wrong = names::qualified_name(key);
            wrongs(
                errors,
                &join(path, "topologyKey"),
                &term["topologyKey"],
                wrong,
            );
        }
    }
}

/// `spec.topologySpreadConstraints`
pub(super) fn spread(errors: &mut Errors, spec: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = format!("{path}.topologySpreadConstraints[{index}]");
        for field in ["maxSkew", "minDomains"] {
            let number = constraint[field].as_i64();
            if number.is_some_and(|number| number <= 0) || (field == "maxSkew" && number.is_none())
            {
                let wrong = "must be greater than zero";
                let shown = json!(number.unwrap_or_default());
                errors.push(FieldError::invalid(join(&path, field), &shown, wrong));
            }
        }
        match text(constraint, "topologyKey") {
            "" => errors.push(FieldError::required(
                join(&path, "topologyKey"),
                "can not be empty",
            )),
            _ => required(errors, constraint, &path, "topologyKey", any),
        }
        let when = ["DoNotSchedule", "ScheduleAnyway"];
        one_of(errors, constraint, &path, "whenUnsatisfiable", &when);
        let pair = (
            text(constraint, "topologyKey"),
            text(constraint, "whenUnsatisfiable"),
        );
        if !seen.insert(pair) {
            let shown = json!(format!("{{{}, {}}}", pair.0, pair.1));
            let at = join(&path, "{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(at, &shown));
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            one_of_if(errors, constraint, &path, policy, &["Honor", "Ignore"]);
        }
        label_selector(
            errors,
            &constraint["labelSelector"],
            &join(&path, "labelSelector"),
        );
    }
}
