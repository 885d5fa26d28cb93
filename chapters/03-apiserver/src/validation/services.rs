//! Services, and the EndpointSlices and Endpoints behind them.
//!
//! Upstream: `pkg/apis/core/validation/validation.go`, `ValidateService`;
//! `pkg/apis/discovery/validation/validation.go`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    addresses as special,
    check::{
        Errors, has, immutable, in_range, join, labels, list, one_of, one_of_if, optional,
        required, text, wrongs,
    },
    containers::port_value,
    names, pods,
};
use crate::status::FieldError;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// A Service, new or changed.
pub(super) fn service(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let kind = text(spec, "type");
    let headless = text(spec, "clusterIP") == "None";
    if list(spec, "ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    match kind {
        "NodePort" | "LoadBalancer" if headless => {
            let wrong = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(
                "spec.clusterIPs[0]",
                &json!("None"),
                wrong,
            ));
        }
        "ExternalName" => external_name(errors, spec),
        _ => {}
    }
    one_of(
        errors,
        spec,
        "spec",
        "type",
        &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    );
    labels(errors, spec, "spec", "selector");
    affinity(errors, spec);
    addresses(errors, spec);
    let mut names_seen = BTreeSet::new();
    let mut pairs = BTreeSet::new();
    let mut node_ports = BTreeSet::new();
    let ports = list(spec, "ports");
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        service_port(errors, port, &path, ports.len() > 1, &mut names_seen);
        let (protocol, number) = (text(port, "protocol"), port["port"].as_i64());
        if !pairs.insert((protocol, number)) {
            let shown = json!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number,
                "TargetPort": 0, "NodePort": 0,
            });
            errors.push(FieldError::duplicate(path.clone(), &shown));
        }
        let node_port = port["nodePort"].as_i64().unwrap_or_default();
        if node_port == 0 {
            continue;
        }
        let at = join(&path, "nodePort");
        if matches!(kind, "ClusterIP" | "ExternalName") {
            let wrong = format!("may not be used when `type` is '{kind}'");
            errors.push(FieldError::forbidden(at.clone(), wrong));
        }
        if !node_ports.insert((protocol, node_port)) {
            errors.push(FieldError::duplicate(at, &json!(node_port)));
        }
    }
    policies(errors, spec, kind);
}

fn external_name(errors: &mut Errors, spec: &Value) {
    if !list(spec, "clusterIPs").is_empty() {
        let wrong = "may not be set for ExternalName services";
        errors.push(FieldError::forbidden("spec.clusterIPs", wrong));
    }
    let name = text(spec, "externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required("spec.externalName", ""));
    } else {
        let wrong = names::dns1123_subdomain(name);
        wrongs(errors, "spec.externalName", &spec["externalName"], wrong);
    }
}

fn service_port(
    errors: &mut Errors,
    port: &Value,
    path: &str,
    name_needed: bool,
    seen: &mut BTreeSet<String>,
) {
    let name = text(port, "name");
    if name_needed && name.is_empty() {
        errors.push(FieldError::required(join(path, "name"), ""));
    } else if !name.is_empty() {
        wrongs(
            errors,
            &join(path, "name"),
            &port["name"],
            names::dns1123_label(name),
        );
        if !seen.insert(name.to_owned()) {
            errors.push(FieldError::duplicate(join(path, "name"), &port["name"]));
        }
    }
    let number = port["port"].as_i64().unwrap_or_default();
    wrongs(
        errors,
        &join(path, "port"),
        &json!(number),
        names::port(number),
    );
    one_of(errors, port, path, "protocol", &PROTOCOLS);
    if has(port, "targetPort") {
        port_value(errors, &port["targetPort"], &join(path, "targetPort"));
    }
    optional(errors, port, path, "appProtocol", names::qualified_name);
}

fn affinity(errors: &mut Errors, spec: &Value) {
    one_of(
        errors,
        spec,
        "spec",
        "sessionAffinity",
        &["ClientIP", "None"],
    );
    let seconds = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
    if seconds
        .as_i64()
        .is_some_and(|seconds| !(1..=86400).contains(&seconds))
    {
        let at = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let wrong = "must be greater than 0 and less than 86400";
        errors.push(FieldError::invalid(at, seconds, wrong));
    }
}

fn addresses(errors: &mut Errors, spec: &Value) {
    let given = list(spec, "clusterIPs");
    let first = text(spec, "clusterIP");
    if let Some(address) = given.first()
        && address != first
        && !first.is_empty()
    {
        let wrong = "first value must match `clusterIP`";
        errors.push(FieldError::invalid(
            "spec.clusterIPs",
            &spec["clusterIPs"],
            wrong,
        ));
    }
    if given.len() > 1 {
        let wrong = "may only hold one value on this cluster";
        errors.push(FieldError::invalid(
            "spec.clusterIPs",
            &spec["clusterIPs"],
            wrong,
        ));
    }
    let one = json!(first);
    let all = if given.is_empty() && !first.is_empty() {
        std::slice::from_ref(&one)
    } else {
        given
    };
    for (index, address) in all.iter().enumerate() {
        if address != "None" {
            pods::ip(errors, address, &format!("spec.clusterIPs[{index}]"));
        }
    }
    for (index, family) in list(spec, "ipFamilies").iter().enumerate() {
        let at = format!("spec.ipFamilies[{index}]");
        match family.as_str() {
            Some("IPv4") => {}
            Some("IPv6") => {
                errors.push(FieldError::invalid(
                    at,
                    family,
                    "not configured on this cluster",
                ));
            }
            _ => errors.push(FieldError::not_supported(at, family, &["IPv4", "IPv6"])),
        }
    }
    match text(spec, "ipFamilyPolicy") {
        "RequireDualStack" => {
            let wrong = "this cluster is not configured for dual-stack services";
            errors.push(FieldError::invalid(
                "spec.ipFamilyPolicy",
                &spec["ipFamilyPolicy"],
                wrong,
            ));
        }
        _ => one_of_if(
            errors,
            spec,
            "spec",
            "ipFamilyPolicy",
            &["PreferDualStack", "RequireDualStack", "SingleStack"],
        ),
    }
    for (index, address) in list(spec, "externalIPs").iter().enumerate() {
        let at = format!("spec.externalIPs[{index}]");
        pods::ip(errors, address, &at);
        not_special(errors, address, &at);
    }
}

fn policies(errors: &mut Errors, spec: &Value, kind: &str) {
    let both = ["Cluster", "Local"];
    one_of_if(errors, spec, "spec", "internalTrafficPolicy", &both);
    let is_outside =
        matches!(kind, "NodePort" | "LoadBalancer") || !list(spec, "externalIPs").is_empty();
    if is_outside {
        one_of_if(errors, spec, "spec", "externalTrafficPolicy", &both);
    } else if has(spec, "externalTrafficPolicy") {
        let at = "spec.externalTrafficPolicy";
        let wrong = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(
            at,
            &spec["externalTrafficPolicy"],
            wrong,
        ));
    }
    if kind != "LoadBalancer" {
        for field in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] {
            if has(spec, field) {
                let wrong = "may only be used when `type` is 'LoadBalancer'";
                errors.push(FieldError::forbidden(join("spec", field), wrong));
            }
        }
    }
    let near = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    one_of_if(errors, spec, "spec", "trafficDistribution", &near);
}

/// A Service keeps the address that it was given.
pub(super) fn service_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    if text(old, "type") == "ExternalName" || text(new, "type") == "ExternalName" {
        return;
    }
    match (text(old, "clusterIP"), text(new, "clusterIP")) {
        ("", _) => {}
        (_, "") => {
            let wrong = "primary clusterIP can not be unset";
            errors.push(FieldError::invalid(
                "spec.clusterIPs[0]",
                &new["clusterIPs"],
                wrong,
            ));
        }
        (was, is) if was != is => {
            let wrong = "may not change once set";
            let shown = if has(new, "clusterIPs") {
                new["clusterIPs"].clone()
            } else {
                json!([is])
            };
            errors.push(FieldError::invalid("spec.clusterIPs[0]", &shown, wrong));
        }
        _ => {}
    }
}

/// An EndpointSlice, new or changed.
pub(super) fn endpoint_slice(errors: &mut Errors, object: &Value) {
    one_of(errors, object, "", "addressType", &["FQDN", "IPv4", "IPv6"]);
    let endpoints = list(object, "endpoints");
    too_many(errors, "endpoints", endpoints.len(), 1000);
    for (index, endpoint) in endpoints.iter().enumerate() {
        let path = format!("endpoints[{index}]");
        let addresses = list(endpoint, "addresses");
        let at = join(&path, "addresses");
        if addresses.is_empty() {
            let wrong = "must contain at least 1 address";
            errors.push(FieldError::required(at.clone(), wrong));
        }
        too_many(errors, &at, addresses.len(), 100);
        for (index, address) in addresses.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let value = address.as_str().unwrap_or_default();
            match text(object, "addressType") {
                "IPv4" if value.parse::<std::net::Ipv4Addr>().is_err() => {
                    let wrong = "must be a valid IPv4 address";
                    errors.push(FieldError::invalid(at, address, wrong));
                }
                "IPv6" if value.parse::<std::net::Ipv6Addr>().is_err() => {
                    let wrong = "must be a valid IPv6 address";
                    errors.push(FieldError::invalid(at, address, wrong));
                }
                "FQDN" => wrongs(errors, &at, address, names::dns1123_subdomain(value)),
                "IPv4" | "IPv6" => not_special(errors, address, &at),
                _ => {}
            }
        }
        optional(
            errors,
            endpoint,
            &path,
            "nodeName",
            names::dns1123_subdomain,
        );
        optional(errors, endpoint, &path, "hostname", names::dns1123_label);
    }
    let ports = list(object, "ports");
    too_many(errors, "ports", ports.len(), 20000);
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = format!("ports[{index}]");
        if !seen.insert(text(port, "name")) {
            errors.push(FieldError::duplicate(join(&path, "name"), &port["name"]));
        }
        optional(errors, port, &path, "name", names::dns1123_label);
        one_of(errors, port, &path, "protocol", &PROTOCOLS);
        in_range(errors, port, &path, "port", (1, 65535));
    }
}

/// What an EndpointSlice's addresses are is settled once.
pub(super) fn endpoint_slice_update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(
        errors,
        &new["addressType"],
        &old["addressType"],
        "addressType",
    );
}

/// Refuses an address by which a server would be led astray.
fn not_special(errors: &mut Errors, address: &Value, at: &str) {
    let value = address.as_str().unwrap_or_default();
    wrongs(errors, at, address, special::not_special(value));
}

fn too_many(errors: &mut Errors, field: &str, count: usize, max: usize) {
    if count > max {
        errors.push(FieldError {
            reason: "FieldValueTooMany",
            field: field.to_owned(),
            message: format!("Too many: {count}: must have at most {max} items"),
        });
    }
}

/// Endpoints, new or changed.
pub(super) fn endpoints(errors: &mut Errors, object: &Value) {
    for (index, subset) in list(object, "subsets").iter().enumerate() {
        let path = format!("subsets[{index}]");
        let both = ["addresses", "notReadyAddresses"];
        if both.iter().all(|field| list(subset, field).is_empty()) {
            let wrong = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(path.clone(), wrong));
        }
        for field in both {
            for (index, address) in list(subset, field).iter().enumerate() {
                let path = format!("{path}.{field}[{index}]");
                pods::ip(errors, &address["ip"], &join(&path, "ip"));
                not_special(errors, &address["ip"], &join(&path, "ip"));
                optional(errors, address, &path, "hostname", names::dns1123_label);
            }
        }
        let ports = list(subset, "ports");
        for (index, port) in ports.iter().enumerate() {
            let path = format!("{path}.ports[{index}]");
            if ports.len() > 1 {
                required(errors, port, &path, "name", names::dns1123_label);
            }
            let number = port["port"].as_i64().unwrap_or_default();
            wrongs(
                errors,
                &join(&path, "port"),
                &json!(number),
                names::port(number),
            );
            one_of(errors, port, &path, "protocol", &PROTOCOLS);
        }
    }
}
