//! Pods, and the templates of pods.
//!
//! Upstream: `pkg/apis/core/validation/validation.go`, `ValidatePodSpec` and around it.

use serde_json::{Value, json};

use super::{
    check::{
        Errors, in_range, join, labels, list, not_negative, one_of, one_of_if, optional, required,
        same, text, wrongs,
    },
    containers, metadata, names, scheduling, security, volumes,
};
use crate::status::FieldError;

/// A new pod.
pub(super) fn create(errors: &mut Errors, pod: &Value) {
    spec(errors, &pod["spec"], "spec");
    if !list(&pod["spec"], "ephemeralContainers").is_empty() {
        errors.push(FieldError::forbidden(
            "spec.ephemeralContainers",
            "cannot be set on create",
        ));
    }
}

/// A template of pods: labels, annotations and spec.
pub(super) fn template(errors: &mut Errors, template: &Value, path: &str) {
    labels(
        errors,
        &template["metadata"],
        &join(path, "metadata"),
        "labels",
    );
    metadata::annotations(
        errors,
        &template["metadata"],
        &join(path, "metadata.annotations"),
    );
    spec(errors, &template["spec"], &join(path, "spec"));
    if !list(&template["spec"], "ephemeralContainers").is_empty() {
        let at = join(path, "spec.ephemeralContainers");
        errors.push(FieldError::forbidden(
            at,
            "ephemeral containers not allowed in pod template",
        ));
    }
}

/// The spec of a pod.
pub(super) fn spec(errors: &mut Errors, spec: &Value, path: &str) {
    let volumes = volumes::volumes(errors, spec, path);
    containers::containers(errors, spec, path, &volumes);
    one_of(
        errors,
        spec,
        path,
        "restartPolicy",
        &["Always", "Never", "OnFailure"],
    );
    one_of(
        errors,
        spec,
        path,
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    );
    dns(errors, spec, path);
    labels(errors, spec, path, "nodeSelector");
    optional(errors, spec, path, "nodeName", names::dns1123_subdomain);
    optional(
        errors,
        spec,
        path,
        "serviceAccountName",
        names::dns1123_subdomain,
    );
    optional(errors, spec, path, "hostname", names::dns1123_label);
    optional(errors, spec, path, "subdomain", names::dns1123_label);
    optional(
        errors,
        spec,
        path,
        "priorityClassName",
        names::dns1123_subdomain,
    );
    optional(
        errors,
        spec,
        path,
        "schedulerName",
        names::dns1123_subdomain,
    );
    optional(
        errors,
        spec,
        path,
        "runtimeClassName",
        names::dns1123_subdomain,
    );
    in_range(
        errors,
        spec,
        path,
        "activeDeadlineSeconds",
        (1, i64::from(i32::MAX)),
    );
    not_negative(errors, spec, path, "terminationGracePeriodSeconds");
    one_of_if(
        errors,
        spec,
        path,
        "preemptionPolicy",
        &["PreemptLowerPriority", "Never"],
    );
    one_of_if(
        errors,
        &spec["os"],
        &join(path, "os"),
        "name",
        &["linux", "windows"],
    );
    scheduling::tolerations(errors, spec, path);
    scheduling::affinity(errors, &spec["affinity"], &join(path, "affinity"));
    scheduling::spread(errors, spec, path);
    for (index, gate) in list(spec, "readinessGates").iter().enumerate() {
        let path = format!("{path}.readinessGates[{index}]");
        let wrong = names::qualified_name(text(gate, "conditionType"));
        wrongs(
            errors,
            &join(&path, "conditionType"),
            &gate["conditionType"],
            wrong,
        );
    }
    for (index, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let at = format!("{path}.schedulingGates[{index}]");
        required(errors, gate, &at, "name", names::qualified_name);
    }
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let path = format!("{path}.hostAliases[{index}]");
        ip(errors, &alias["ip"], &join(&path, "ip"));
        for (index, name) in list(alias, "hostnames").iter().enumerate() {
            let wrong = names::dns1123_subdomain(name.as_str().unwrap_or_default());
            wrongs(errors, &format!("{path}.hostnames[{index}]"), name, wrong);
        }
    }
    security::of_pod(errors, spec, path);
}

/// An address of either family.
pub(super) fn ip(errors: &mut Errors, value: &Value, field: &str) {
    if value
        .as_str()
        .is_none_or(|text| text.parse::<std::net::IpAddr>().is_err())
    {
        let wrong = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(field, &shown(value), wrong));
    }
}

/// An absent text shows as an empty one.
fn shown(value: &Value) -> Value {
    if value.is_null() {
        json!("")
    } else {
        value.clone()
    }
}

fn dns(errors: &mut Errors, spec: &Value, path: &str) {
    let config = &spec["dnsConfig"];
    let path = join(path, "dnsConfig");
    let servers = list(config, "nameservers");
    if spec["dnsPolicy"] == "None" {
        if config.is_null() {
            let wrong = "must provide `dnsConfig` when `dnsPolicy` is None";
            errors.push(FieldError::required(path.clone(), wrong));
        } else if servers.is_empty() {
            let wrong = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(FieldError::required(join(&path, "nameservers"), wrong));
        }
    }
    if servers.len() > 3 {
        let wrong = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(
            join(&path, "nameservers"),
            &config["nameservers"],
            wrong,
        ));
    }
    for (index, server) in servers.iter().enumerate() {
        ip(errors, server, &format!("{path}.nameservers[{index}]"));
    }
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            let wrong = "must not be empty";
            errors.push(FieldError::required(
                format!("{path}.options[{index}]"),
                wrong,
            ));
        }
    }
}

const MAY_CHANGE: &str = "pod updates may not change fields other than \
    `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A changed pod: most of its spec is fixed.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    spec(errors, new, "spec");
    // Mostly it is the metadata that changes.
    if new == old {
        return;
    }
    for field in ["containers", "initContainers"] {
        if list(new, field).len() != list(old, field).len() {
            errors.push(FieldError::forbidden(
                format!("spec.{field}"),
                "pod updates may not add or remove containers",
            ));
            return;
        }
    }
    let (was, is) = (
        old["activeDeadlineSeconds"].as_i64(),
        new["activeDeadlineSeconds"].as_i64(),
    );
    let at = "spec.activeDeadlineSeconds";
    match (was, is) {
        (Some(was), Some(is)) if is > was => {
            let wrong = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(at, &json!(is), wrong));
            return;
        }
        (Some(_), None) => {
            let wrong = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(at, &Value::Null, wrong));
            return;
        }
        _ => {}
    }
    scheduling::only_more_tolerations(errors, new, old);
    // What may change is put back to what it was; the rest must then be as it was.
    let mut rest = new.clone();
    for field in [
        "activeDeadlineSeconds",
        "tolerations",
        "ephemeralContainers",
    ] {
        rest[field] = old[field].clone();
    }
    for field in ["containers", "initContainers"] {
        let before = list(old, field);
        for (container, before) in rest[field].as_array_mut().into_iter().flatten().zip(before) {
            if container.is_object() {
                container["image"] = before["image"].clone();
            }
        }
    }
    if old["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 0)
    {
        rest["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"].clone();
    }
    scheduling::only_fewer_gates(errors, &mut rest, old);
    if !same(&rest, old) {
        let mut lines = Vec::new();
        differences(&rest, old, "spec", &mut lines);
        let wrong = format!("{MAY_CHANGE}\n{}", lines.join("\n"));
        errors.push(FieldError::forbidden("spec", wrong));
    }
}

/// What differs, a line for each side, as `diff` prints it.
fn differences(new: &Value, old: &Value, path: &str, lines: &mut Vec<String>) {
    match (new, old) {
        _ if same(new, old) => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differences(&new[key], &old[key], &format!("{path}.{key}"), lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, &format!("{path}[{index}]"), lines);
            }
        }
        _ => {
            let mut line = |sign: char, value: &Value| {
                if !value.is_null() {
                    lines.push(format!("{sign} {path}: {value}"));
                }
            };
            line('-', old);
            line('+', new);
        }
    }
}

/// New ephemeral containers of a pod, by their own subresource: those there are stay.
pub(super) fn ephemeral_update(errors: &mut Errors, new: &Value, old: &Value) {
    const PATH: &str = "spec.ephemeralContainers";
    if !old["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
        let wrong = "static pods do not support ephemeral containers";
        return errors.push(FieldError::forbidden("", wrong));
    }
    let (new, old) = (&new["spec"], &old["spec"]);
    // The volumes are the old pod's, and were found to be good.
    let volumes = volumes::volumes(&mut Errors::new(), new, "spec");
    containers::ephemeral(errors, new, "spec", &volumes);
    let after = list(new, "ephemeralContainers");
    for (index, before) in list(old, "ephemeralContainers").iter().enumerate() {
        match after
            .iter()
            .find(|container| container["name"] == before["name"])
        {
            None => {
                let wrong = format!(
                    "existing ephemeral containers {} may not be removed",
                    before["name"]
                );
                errors.push(FieldError::forbidden(PATH, wrong));
            }
            Some(container) if !same(container, before) => {
                let wrong = format!(
                    "existing ephemeral containers {} may not be changed",
                    before["name"]
                );
                errors.push(FieldError::forbidden(format!("{PATH}[{index}]"), wrong));
            }
            Some(_) => {}
        }
    }
}

/// A pod's new status, as its kubelet tells it.
pub(super) fn status_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new_status, old_status) = (&new["status"], &old["status"]);
    let nominated = join("status", "nominatedNodeName");
    let name = text(new_status, "nominatedNodeName");
    if !name.is_empty() {
        wrongs(
            errors,
            &nominated,
            &json!(name),
            names::dns1123_subdomain(name),
        );
    }
    if new["spec"]["nodeName"] != old["spec"]["nodeName"] {
        let wrong = "may not be changed directly";
        errors.push(FieldError::forbidden("status.nodeName", wrong));
    }
    // A container that will not be restarted stays terminated.
    for (index, before) in list(old_status, "containerStatuses").iter().enumerate() {
        let ended = &before["state"]["terminated"];
        if ended.is_null() || restarts_after(&old["spec"], &before["name"], &ended["exitCode"]) {
            continue;
        }
        let mut after = list(new_status, "containerStatuses").iter();
        let after = after.find(|status| status["name"] == before["name"]);
        if after.is_some_and(|status| status["state"]["terminated"].is_null()) {
            let at = format!("status.containerStatuses[{index}].state");
            let wrong = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(at, wrong));
        }
    }
}

/// Whether a container that ended with this code may run again: by its own rules, its own policy,
/// or its pod's.
fn restarts_after(spec: &Value, name: &Value, code: &Value) -> bool {
    let mut containers = list(spec, "containers").iter();
    let nothing = Value::Null;
    let container = containers
        .find(|container| container["name"] == *name)
        .unwrap_or(&nothing);
    let rule = list(container, "restartPolicyRules").iter().find(|rule| {
        let codes = &rule["exitCodes"];
        list(codes, "values").contains(code) == (codes["operator"] == "In")
    });
    if rule.is_some_and(|rule| rule["action"] == "Restart") {
        return true;
    }
    let policy = match text(container, "restartPolicy") {
        "" => text(spec, "restartPolicy"),
        own => own,
    };
    policy == "Always" || (policy == "OnFailure" && *code != 0)
}
