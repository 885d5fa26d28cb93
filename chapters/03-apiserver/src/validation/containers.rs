//! The containers of a pod.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{
        Errors, any, has, in_range, join, list, not_negative, one_of, one_of_if, required, same,
        text, wrongs,
    },
    env, names, resize, resources, security,
    volumes::{self, Volumes},
};
use crate::status::FieldError;

/// All containers of a pod's spec, and that no two have one name or one port of the host.
pub(super) fn containers(errors: &mut Errors, spec: &Value, path: &str, volumes: &Volumes) {
    if list(spec, "containers").is_empty() {
        errors.push(FieldError::required(join(path, "containers"), ""));
    }
    let mut seen = BTreeSet::new();
    for field in ["containers", "initContainers"] {
        let path = join(path, field);
        let mut host_ports = BTreeSet::new();
        for (index, one) in list(spec, field).iter().enumerate() {
            let path = format!("{path}[{index}]");
            let name = text(one, "name");
            if !name.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(join(&path, "name"), &one["name"]));
            }
            container(errors, one, &path, spec, volumes);
            restarts(errors, one, &path);
            let policy = &one["restartPolicy"];
            let policy = if policy.is_null() {
                &spec["restartPolicy"]
            } else {
                policy
            };
            resize::policies(errors, one, &path, policy != "Never");
            let grace = spec["terminationGracePeriodSeconds"].as_i64();
            if field == "initContainers" {
                init(errors, one, &path, grace);
            } else {
                handlers(errors, one, &path, grace);
            }
            let host_network = spec["hostNetwork"] == true;
            ports_of_host(errors, one, &path, host_network, &mut host_ports);
        }
    }
}

/// What is particular to init containers: they run to their end, unless they are sidecars.
fn init(errors: &mut Errors, container: &Value, path: &str, grace: Option<i64>) {
    if container["restartPolicy"] == "Always" {
        return handlers(errors, container, path, grace);
    }
    for field in [
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ] {
        if has(container, field) {
            let wrong = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(join(path, field), wrong));
        }
    }
}

/// A container's own restart policy, and its rules for exit codes (KEP-5307).
fn restarts(errors: &mut Errors, container: &Value, path: &str) {
    const MOST_RULES: usize = 20;
    const MOST_CODES: usize = 255;
    let policies = ["Always", "Never", "OnFailure"];
    one_of_if(errors, container, path, "restartPolicy", &policies);
    let rules = list(container, "restartPolicyRules");
    if !rules.is_empty() && text(container, "restartPolicy").is_empty() {
        let wrong = "must specify restartPolicy when restart rules are used";
        errors.push(FieldError::required(join(path, "restartPolicy"), wrong));
    }
    let path = join(path, "restartPolicyRules");
    if rules.len() > MOST_RULES {
        errors.push(too_many(&path, rules.len(), MOST_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{path}[{index}]");
        one_of(errors, rule, &path, "action", &["Restart"]);
        let (codes, path) = (&rule["exitCodes"], join(&path, "exitCodes"));
        if codes.is_null() {
            errors.push(FieldError::required(path, "must be specified"));
            continue;
        }
        one_of(errors, codes, &path, "operator", &["In", "NotIn"]);
        let values = list(codes, "values");
        if values.is_empty() {
            let wrong = "must specify at least one value";
            errors.push(FieldError::invalid(
                join(&path, "values"),
                &json!([]),
                wrong,
            ));
        } else if values.len() > MOST_CODES {
            errors.push(too_many(&join(&path, "values"), values.len(), MOST_CODES));
        }
    }
}

/// More items than there may be. Upstream: `field.TooMany`.
fn too_many(field: &str, count: usize, most: usize) -> FieldError {
    FieldError {
        reason: "FieldValueTooMany",
        field: field.to_owned(),
        message: format!("Too many: {count}: must have at most {most} items"),
    }
}

/// Probes and hooks.
fn handlers(errors: &mut Errors, container: &Value, path: &str, grace: Option<i64>) {
    for hook in ["postStart", "preStop"] {
        let path = join(path, &format!("lifecycle.{hook}"));
        let hook = &container["lifecycle"][hook];
        if !hook.is_null() {
            handler(
                errors,
                hook,
                &path,
                &["exec", "httpGet", "tcpSocket", "sleep"],
            );
            sleeps_within(errors, &hook["sleep"]["seconds"], &path, grace);
        }
    }
    for (field, once) in [
        ("livenessProbe", true),
        ("readinessProbe", false),
        ("startupProbe", true),
    ] {
        let probe = &container[field];
        if probe.is_null() {
            continue;
        }
        let path = join(path, field);
        handler(
            errors,
            probe,
            &path,
            &["exec", "httpGet", "tcpSocket", "grpc"],
        );
        for number in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            not_negative(errors, probe, &path, number);
        }
        let own_grace = &probe["terminationGracePeriodSeconds"];
        let at = join(&path, "terminationGracePeriodSeconds");
        if !once && !own_grace.is_null() {
            let wrong = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(at, own_grace, wrong));
        } else if own_grace.as_i64().is_some_and(|seconds| seconds <= 0) {
            errors.push(FieldError::invalid(at, own_grace, "must be greater than 0"));
        }
        let successes = &probe["successThreshold"];
        if once && successes.as_i64().is_some_and(|number| number != 1) {
            errors.push(FieldError::invalid(
                join(&path, "successThreshold"),
                successes,
                "must be 1",
            ));
        }
    }
}

/// A hook that sleeps ends before the pod's grace does.
fn sleeps_within(errors: &mut Errors, seconds: &Value, path: &str, grace: Option<i64>) {
    let (Some(asked), Some(grace)) = (seconds.as_i64(), grace) else {
        return;
    };
    if asked < 0 || asked > grace {
        let wrong =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(join(path, "sleep"), seconds, wrong));
    }
}

fn handler(errors: &mut Errors, handler: &Value, path: &str, kinds: &[&str]) {
    let mut given = kinds.iter().filter(|kind| has(handler, kind));
    let Some(first) = given.next() else {
        return errors.push(FieldError::required(path, "must specify a handler type"));
    };
    for more in given {
        let wrong = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(join(path, more), wrong));
    }
    let (action, path) = (&handler[*first], join(path, first));
    match *first {
        "exec" => {
            if list(action, "command").is_empty() {
                errors.push(FieldError::required(join(&path, "command"), ""));
            }
        }
        "httpGet" => {
            required(errors, action, &path, "path", any);
            port_or_name(errors, action, &path);
            one_of(errors, action, &path, "scheme", &["HTTP", "HTTPS"]);
            for (index, header) in list(action, "httpHeaders").iter().enumerate() {
                let at = format!("{path}.httpHeaders[{index}]");
                required(errors, header, &at, "name", names::http_header);
            }
        }
        // Its length is looked at beside the pod's grace.
        "sleep" => {}
        _ => port_or_name(errors, action, &path),
    }
}

/// A number, or the name of a port of the container.
pub(super) fn port_or_name(errors: &mut Errors, parent: &Value, path: &str) {
    port_value(errors, &parent["port"], &join(path, "port"));
}

/// A number, or the name of a port.
pub(super) fn port_value(errors: &mut Errors, port: &Value, field: &str) {
    let wrong = match port {
        Value::String(name) => names::port_name(name),
        other => names::port(other.as_i64().unwrap_or_default()),
    };
    let shown = if port.is_null() {
        json!(0)
    } else {
        port.clone()
    };
    wrongs(errors, field, &shown, wrong);
}

/// What all containers of a spec have.
fn container(errors: &mut Errors, container: &Value, path: &str, spec: &Value, volumes: &Volumes) {
    required(errors, container, path, "name", names::dns1123_label);
    image(errors, container, path);
    one_of(
        errors,
        container,
        path,
        "terminationMessagePolicy",
        &["FallbackToLogsOnError", "File"],
    );
    one_of(
        errors,
        container,
        path,
        "imagePullPolicy",
        &["Always", "IfNotPresent", "Never"],
    );
    ports(errors, container, path);
    env::env(errors, container, path);
    volumes::mounts(errors, container, path, volumes);
    resources::resources(errors, &container["resources"], &join(path, "resources"));
    let (security, path) = (&container["securityContext"], join(path, "securityContext"));
    security::of_container(errors, security, &path, spec["hostUsers"] != false);
}

fn image(errors: &mut Errors, container: &Value, path: &str) {
    let image = text(container, "image");
    required(errors, container, path, "image", any);
    if image.trim() != image {
        let wrong = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(
            join(path, "image"),
            &container["image"],
            wrong,
        ));
    }
}

/// The ephemeral containers of a spec: no probes, no ports, no resources, no restart.
pub(super) fn ephemeral(errors: &mut Errors, spec: &Value, path: &str, volumes: &Volumes) {
    let others = ["containers", "initContainers"];
    let others = others.iter().flat_map(|field| list(spec, field));
    let others: BTreeSet<&str> = others.map(|container| text(container, "name")).collect();
    let mut seen = others.clone();
    for (index, one) in list(spec, "ephemeralContainers").iter().enumerate() {
        let path = format!("{path}.ephemeralContainers[{index}]");
        if !seen.insert(text(one, "name")) {
            errors.push(FieldError::duplicate(join(&path, "name"), &one["name"]));
        }
        container(errors, one, &path, spec, volumes);
        let target = text(one, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            let at = join(&path, "targetContainerName");
            errors.push(FieldError::not_found(at, &one["targetContainerName"]));
        }
        let cannot = "cannot be set for an Ephemeral Container";
        for field in [
            "ports",
            "resources",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
            "restartPolicy",
            "restartPolicyRules",
            "resizePolicy",
        ] {
            if has(one, field) && !same(&one[field], &json!({})) {
                errors.push(FieldError::forbidden(join(&path, field), cannot));
            }
        }
        for (index, mount) in list(one, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, field).is_empty() {
                    let at = format!("{path}.volumeMounts[{index}].{field}");
                    errors.push(FieldError::forbidden(at, cannot));
                }
            }
        }
    }
}

fn ports(errors: &mut Errors, container: &Value, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        let name = text(port, "name");
        if !name.is_empty() {
            wrongs(
                errors,
                &join(&path, "name"),
                &port["name"],
                names::port_name(name),
            );
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(join(&path, "name"), &port["name"]));
            }
        }
        match port["containerPort"].as_i64().unwrap_or_default() {
            0 => errors.push(FieldError::required(join(&path, "containerPort"), "")),
            number => {
                let at = join(&path, "containerPort");
                wrongs(errors, &at, &port["containerPort"], names::port(number));
            }
        }
        if port["hostPort"].as_i64().is_some_and(|number| number != 0) {
            in_range(errors, port, &path, "hostPort", (1, 65535));
        }
        one_of(errors, port, &path, "protocol", &["SCTP", "TCP", "UDP"]);
    }
}

fn ports_of_host(
    errors: &mut Errors,
    container: &Value,
    path: &str,
    host_network: bool,
    seen: &mut BTreeSet<String>,
) {
    for (index, port) in list(container, "ports").iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        let host = port["hostPort"].as_i64().unwrap_or_default();
        if host_network && port["hostPort"] != port["containerPort"] {
            let wrong = "must match `hostPort` when `hostNetwork` is true";
            let at = join(&path, "containerPort");
            errors.push(FieldError::invalid(at, &port["containerPort"], wrong));
        }
        if host != 0 {
            let key = format!("{}/{}/{host}", text(port, "protocol"), text(port, "hostIP"));
            if !seen.insert(key.clone()) {
                errors.push(FieldError::duplicate(join(&path, "hostPort"), &json!(key)));
            }
        }
    }
}
