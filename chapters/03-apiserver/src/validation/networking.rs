//! Ingresses and their classes, network policies, addresses and ranges of Services.
//!
//! Upstream: `pkg/apis/networking/validation/validation.go`.

use serde_json::{Value, json};

use super::{
    addresses,
    check::{
        Errors, has, immutable, join, label_selector, list, one_of, optional, required, text,
        too_long, wrongs,
    },
    forms, names,
};
use crate::status::FieldError;

const CONTROLLER_BYTES_MAX: usize = 250;
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// A new Ingress: by the older annotation and by the field it is of the same class.
pub(super) fn ingress_create(errors: &mut Errors, object: &Value) {
    let noted = &object["metadata"]["annotations"][CLASS_ANNOTATION];
    let class = &object["spec"]["ingressClassName"];
    if noted.is_string() && class.is_string() && noted != class {
        let at = format!("annotations.{CLASS_ANNOTATION}");
        let wrong = "must match `ingressClassName` when both are specified";
        errors.push(FieldError::invalid(at, noted, wrong));
    }
}

/// An Ingress, new or changed.
pub(super) fn ingress(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let rules = list(spec, "rules");
    let default = &spec["defaultBackend"];
    if rules.is_empty() && default.is_null() {
        let wrong = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid("spec", &spec["rules"], wrong));
    }
    if !default.is_null() {
        backend(errors, default, "spec.defaultBackend");
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("spec.rules[{index}]");
        host(errors, rule, &path);
        if rule["http"].is_object() {
            http(errors, &rule["http"], &join(&path, "http"));
        }
    }
    for (index, tls) in list(spec, "tls").iter().enumerate() {
        let path = format!("spec.tls[{index}]");
        for (index, host) in list(tls, "hosts").iter().enumerate() {
            let at = format!("{path}.hosts[{index}]");
            wrongs(
                errors,
                &at,
                host,
                host_form(host.as_str().unwrap_or_default()),
            );
        }
        optional(errors, tls, &path, "secretName", names::dns1123_subdomain);
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        let at = "spec.ingressClassName";
        wrongs(errors, at, &json!(class), names::dns1123_subdomain(class));
    }
}

fn host_form(host: &str) -> names::Wrongs {
    if host.contains('*') {
        forms::wildcard_subdomain(host)
    } else {
        names::dns1123_subdomain(host)
    }
}

fn host(errors: &mut Errors, rule: &Value, path: &str) {
    let host = text(rule, "host");
    if host.is_empty() {
        return;
    }
    let at = join(path, "host");
    if addresses::parse_ip(host).is_some() {
        let wrong = "must be a DNS name, not an IP address";
        errors.push(FieldError::invalid(at.clone(), &rule["host"], wrong));
    }
    wrongs(errors, &at, &rule["host"], host_form(host));
}

fn http(errors: &mut Errors, http: &Value, path: &str) {
    let paths = list(http, "paths");
    let path = join(path, "paths");
    if paths.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    }
    for (index, of) in paths.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let at = join(&path, "path");
        let value = text(of, "path");
        let mut invalid = |wrong: String| {
            errors.push(FieldError::invalid(at.clone(), &json!(value), wrong));
        };
        if !has(of, "pathType") {
            let wrong = "pathType must be specified";
            errors.push(FieldError::required(join(&path, "pathType"), wrong));
            continue;
        }
        let is_absolute = value.starts_with('/');
        match text(of, "pathType") {
            "Exact" | "Prefix" => {
                if !is_absolute {
                    invalid("must be an absolute path".into());
                }
                for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
                    if value.contains(sequence) {
                        invalid(format!("must not contain '{sequence}'"));
                    }
                }
                for end in ["/..", "/."] {
                    if value.ends_with(end) {
                        invalid(format!("cannot end with '{end}'"));
                    }
                }
            }
            "ImplementationSpecific" => {
                if !value.is_empty() && !is_absolute {
                    invalid("must be an absolute path".into());
                }
            }
            _ => {
                let types = ["Exact", "ImplementationSpecific", "Prefix"];
                one_of(errors, of, &path, "pathType", &types);
            }
        }
        backend(errors, &of["backend"], &join(&path, "backend"));
    }
}

fn backend(errors: &mut Errors, backend: &Value, path: &str) {
    let mut invalid = |wrong: &str| errors.push(FieldError::invalid(path, &json!(""), wrong));
    match (
        backend["resource"].is_object(),
        backend["service"].is_object(),
    ) {
        (true, true) => invalid("cannot set both resource and service backends"),
        (false, false) => invalid("resource or service backend is required"),
        (true, false) => reference(errors, &backend["resource"], &join(path, "resource")),
        (false, true) => {
            let service = &backend["service"];
            let of_service = join(path, "service");
            required(errors, service, &of_service, "name", names::dns1035_label);
            let port = &service["port"];
            let at = join(&of_service, "port");
            let number = port["number"].as_i64().unwrap_or_default();
            match (text(port, "name"), number) {
                ("", 0) => {
                    let wrong = "port name or number is required";
                    errors.push(FieldError::required(path, wrong));
                }
                ("", number) => {
                    let at = join(&at, "number");
                    wrongs(errors, &at, &port["number"], names::port(number));
                }
                (name, 0) => {
                    let at = join(&at, "name");
                    wrongs(errors, &at, &port["name"], names::port_name(name));
                }
                _ => {
                    let wrong = "cannot set both port name & port number";
                    errors.push(FieldError::invalid(path, &json!(""), wrong));
                }
            }
        }
    }
}

/// A reference to an object of any kind.
fn reference(errors: &mut Errors, reference: &Value, path: &str) {
    if let Some(group) = reference["apiGroup"].as_str() {
        let wrong = names::dns1123_subdomain(group);
        wrongs(errors, &join(path, "apiGroup"), &json!(group), wrong);
    }
    for field in ["kind", "name"] {
        required(errors, reference, path, field, names::path_segment);
    }
}

/// The status of an Ingress.
pub(super) fn ingress_status(errors: &mut Errors, object: &Value) {
    let points = list(&object["status"]["loadBalancer"], "ingress");
    for (index, point) in points.iter().enumerate() {
        let path = format!("status.loadBalancer.ingress[{index}]");
        let (ip, hostname) = (text(point, "ip"), text(point, "hostname"));
        if !ip.is_empty() && addresses::parse_ip(ip).is_none() {
            wrongs(errors, &join(&path, "ip"), &point["ip"], addresses::ip(ip));
        }
        let at = join(&path, "hostname");
        if !hostname.is_empty() {
            let wrong = names::dns1123_subdomain(hostname);
            wrongs(errors, &at, &point["hostname"], wrong);
            if addresses::parse_ip(hostname).is_some() {
                let wrong = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(at, &point["hostname"], wrong));
            }
        }
    }
}

/// An IngressClass, new or changed.
pub(super) fn ingress_class(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let controller = text(spec, "controller");
    if controller.len() > CONTROLLER_BYTES_MAX {
        errors.push(too_long("spec.controller", CONTROLLER_BYTES_MAX));
    }
    forms::domain_prefixed_path(errors, controller, "spec.controller");
    let parameters = &spec["parameters"];
    if !parameters.is_object() {
        return;
    }
    let path = "spec.parameters";
    reference(errors, parameters, path);
    let at = join(path, "namespace");
    match (
        parameters["scope"].as_str(),
        parameters["namespace"].as_str(),
    ) {
        (None, _) => errors.push(FieldError::required(join(path, "scope"), "")),
        (Some("Namespace"), None) => {
            let wrong = "`parameters.scope` is set to 'Namespace'";
            errors.push(FieldError::required(at, wrong));
        }
        (Some("Namespace"), Some(namespace)) => {
            let wrong = names::dns1123_label(namespace);
            wrongs(errors, &at, &json!(namespace), wrong);
        }
        (Some("Cluster"), Some(_)) => {
            let wrong = "`parameters.scope` is set to 'Cluster'";
            errors.push(FieldError::forbidden(at, wrong));
        }
        (Some("Cluster"), None) => {}
        (Some(scope), _) => errors.push(FieldError::not_supported(
            join(path, "scope"),
            &json!(scope),
            &["Cluster", "Namespace"],
        )),
    }
}

/// Whose Ingresses they are is said once.
pub(super) fn ingress_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"]["controller"], &old["spec"]["controller"]);
    immutable(errors, new, old, "spec.controller");
}

/// A NetworkPolicy, new or changed.
pub(super) fn network_policy(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    label_selector(errors, &spec["podSelector"], "spec.podSelector");
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, direction).iter().enumerate() {
            let path = format!("spec.{direction}[{index}]");
            for (index, port) in list(rule, "ports").iter().enumerate() {
                policy_port(errors, port, &format!("{path}.ports[{index}]"));
            }
            for (index, peer) in list(rule, peers).iter().enumerate() {
                policy_peer(errors, peer, &format!("{path}.{peers}[{index}]"));
            }
        }
    }
    let types = list(spec, "policyTypes");
    if types.len() > 2 {
        return errors.push(forms::too_many("spec.policyTypes", types.len(), 2));
    }
    for (index, kind) in types.iter().enumerate() {
        if !["Ingress", "Egress"].contains(&kind.as_str().unwrap_or_default()) {
            let at = format!("spec.policyTypes[{index}]");
            errors.push(FieldError::not_supported(at, kind, &["Ingress", "Egress"]));
        }
    }
}

fn policy_port(errors: &mut Errors, port: &Value, path: &str) {
    if has(port, "protocol") {
        one_of(errors, port, path, "protocol", &["TCP", "UDP", "SCTP"]);
    }
    let (at, end_at) = (join(path, "port"), join(path, "endPort"));
    let end = port["endPort"].as_i64();
    let mut invalid_end = |wrong: &str| {
        errors.push(FieldError::invalid(end_at.clone(), &port["endPort"], wrong));
    };
    match &port["port"] {
        Value::Null => {
            if end.is_some() {
                invalid_end("may not be specified when `port` is not specified");
            }
        }
        Value::String(name) => {
            if end.is_some() {
                invalid_end("may not be specified when `port` is non-numeric");
            }
            wrongs(errors, &at, &port["port"], names::port_name(name));
        }
        number => {
            let number = number.as_i64().unwrap_or_default();
            wrongs(errors, &at, &port["port"], names::port(number));
            let Some(end) = end else { return };
            let mut invalid = |value: i64, wrong: &str| {
                errors.push(FieldError::invalid(end_at.clone(), &json!(value), wrong));
            };
            if end < number {
                invalid(number, "must be greater than or equal to `port`");
            }
            if end < 1 {
                invalid(end, "must be greater than or equal to 1");
            }
            if end > 65535 {
                invalid(end, "must be less than or equal to 65535");
            }
        }
    }
}

fn policy_peer(errors: &mut Errors, peer: &Value, path: &str) {
    let mut peers = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if peer[field].is_object() {
            peers += 1;
            label_selector(errors, &peer[field], &join(path, field));
        }
    }
    let block = &peer["ipBlock"];
    if block.is_object() {
        peers += 1;
        ip_block(errors, block, &join(path, "ipBlock"));
    }
    if peers == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if peers > 1 && block.is_object() {
        let wrong = "may not specify both ipBlock and another peer";
        errors.push(FieldError::forbidden(path, wrong));
    }
}

fn ip_block(errors: &mut Errors, block: &Value, path: &str) {
    required(errors, block, path, "cidr", addresses::loose_cidr);
    let Some(whole) = addresses::Cidr::parse(text(block, "cidr")) else {
        return;
    };
    for (index, except) in list(block, "except").iter().enumerate() {
        let at = format!("{path}.except[{index}]");
        let value = except.as_str().unwrap_or_default();
        match addresses::Cidr::parse(value) {
            None => wrongs(errors, &at, except, addresses::loose_cidr(value)),
            Some(part) if !whole.contains(part.network()) || whole.bits >= part.bits => {
                let wrong = "must be a strict subset of `cidr`";
                errors.push(FieldError::invalid(at, except, wrong));
            }
            Some(_) => {}
        }
    }
}

/// An IPAddress, new: whose it is.
pub(super) fn ip_address(errors: &mut Errors, object: &Value) {
    let parent = &object["spec"]["parentRef"];
    let path = "spec.parentRef";
    if !parent.is_object() {
        return errors.push(FieldError::required(path, ""));
    }
    optional(errors, parent, path, "group", names::dns1123_subdomain);
    required(errors, parent, path, "resource", names::path_segment);
    required(errors, parent, path, "name", names::path_segment);
    optional(errors, parent, path, "namespace", names::path_segment);
}

/// Whose an address is stays.
pub(super) fn ip_address_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"]["parentRef"], &old["spec"]["parentRef"]);
    immutable(errors, new, old, "spec.parentRef");
}

const CIDRS: &str = "spec.cidrs";

/// A new ServiceCIDR: one range, or one of each family.
pub(super) fn service_cidr(errors: &mut Errors, object: &Value) {
    let cidrs = list(&object["spec"], "cidrs");
    if cidrs.is_empty() {
        let wrong = "at least one CIDR required";
        return errors.push(FieldError::required(CIDRS, wrong));
    }
    if cidrs.len() > 2 {
        return errors.push(forms::too_many(CIDRS, cidrs.len(), 2));
    }
    for (index, cidr) in cidrs.iter().enumerate() {
        let wrong = addresses::cidr(cidr.as_str().unwrap_or_default());
        wrongs(errors, &format!("{CIDRS}[{index}]"), cidr, wrong);
    }
    let family = |cidr: &Value| {
        let parsed = addresses::Cidr::parse(cidr.as_str().unwrap_or_default());
        parsed.map(|cidr| cidr.address.is_ipv4())
    };
    if let [first, second] = cidrs
        && family(first).is_some()
        && family(first) == family(second)
    {
        let wrong = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and \
                     2001:db8::/64";
        errors.push(FieldError::invalid(CIDRS, &json!(cidrs), wrong));
    }
}

/// A changed ServiceCIDR: a range of the other family may come.
pub(super) fn service_cidr_update(errors: &mut Errors, new: &Value, old: &Value) {
    let wrong = "field is immutable";
    let (now, then) = (list(&new["spec"], "cidrs"), list(&old["spec"], "cidrs"));
    let grows = then.len() == 1 && now.len() == 2;
    if now.len() != then.len() && !grows {
        return errors.push(FieldError::invalid(CIDRS, &json!(now), wrong));
    }
    for (index, (now, then)) in now.iter().zip(then).enumerate() {
        if now != then {
            errors.push(FieldError::invalid(format!("{CIDRS}[{index}]"), now, wrong));
        }
    }
    if grows {
        service_cidr(errors, new);
    }
}
