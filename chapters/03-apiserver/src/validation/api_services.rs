//! APIServices: who serves a group and version.
//!
//! Upstream: `kube-aggregator/pkg/apis/apiregistration/validation`.

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, list, text, wrongs},
    names,
};
use crate::status::FieldError;

/// An APIService, new or changed.
pub(super) fn api_service(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    let name = &object["metadata"]["name"];
    let wanted = format!("{version}.{group}");
    if *name != wanted.as_str() {
        let wrong = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.push(FieldError::invalid("metadata.name", name, wrong));
    }
    if !group.is_empty() {
        let form = names::dns1123_subdomain(group);
        wrongs(errors, "spec.group", &spec["group"], form);
    } else if version != "v1" {
        let wrong = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required("spec.group", wrong));
    }
    let form = names::dns1035_label(version);
    wrongs(errors, "spec.version", &version.into(), form);
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let number = spec[field].as_i64().unwrap_or_default();
        if !(1..=max).contains(&number) {
            let wrong = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(
                join("spec", field),
                &number.into(),
                wrong,
            ));
        }
    }
    let trusts = text(spec, "caBundle");
    let trusts_all = spec["insecureSkipTLSVerify"] == true;
    let at = "spec.insecureSkipTLSVerify";
    if !has(spec, "service") {
        if !trusts.is_empty() {
            let shown = format!("{} bytes", trusts.len() / 4 * 3);
            let wrong = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid("spec.caBundle", &shown.into(), wrong));
        }
        if trusts_all {
            let wrong = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(at, &json!(true), wrong));
        }
        return;
    }
    service(errors, &spec["service"]);
    if trusts_all && !trusts.is_empty() {
        let wrong = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(at, &json!(true), wrong));
    }
}

fn service(errors: &mut Errors, service: &Value) {
    for field in ["namespace", "name"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(join("spec.service", field), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or_default();
    let wrong = names::port(port).join(", ");
    if !wrong.is_empty() {
        let wrong = format!("port is not valid: {wrong}");
        errors.push(FieldError::invalid(
            "spec.service.port",
            &port.into(),
            wrong,
        ));
    }
}

/// An APIService's status.
pub(super) fn status(errors: &mut Errors, object: &Value) {
    let statuses = ["False", "True", "Unknown"];
    for (index, condition) in list(&object["status"], "conditions").iter().enumerate() {
        if !statuses.contains(&text(condition, "status")) {
            let at = format!("status.conditions[{index}].status");
            let status = json!(text(condition, "status"));
            errors.push(FieldError::not_supported(at, &status, &statuses));
        }
    }
}
