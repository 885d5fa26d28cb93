//! Columns and cells of what leads into a cluster, of policies and of addresses.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{joined, label_selector, list, none_if_empty, text};
use super::columns::{AGE, Column, NAME, text as column};
use super::duration::since;
use crate::resources::Resource;

/// How many hosts of an Ingress are told; and how long its addresses may be.
const HOSTS_MAX: usize = 3;
const ADDRESSES_MAX: usize = 16;

const INGRESS: &[Column] = &[
    NAME,
    column("Class", "The class that implements it."),
    column("Hosts", "Hosts that requests are for."),
    column("Address", "Where requests come in."),
    column("Ports", "Ports that they come in on."),
    AGE,
];

const INGRESS_CLASS: &[Column] = &[
    NAME,
    column("Controller", "Who implements Ingresses of the class."),
    column("Parameters", "What configures it."),
    AGE,
];

const NETWORK_POLICY: &[Column] = &[
    NAME,
    column("Pod-Selector", "Labels of the pods that it is about."),
    AGE,
];

const IP_ADDRESS: &[Column] = &[NAME, column("ParentRef", "Whose the address is."), AGE];

const SERVICE_CIDR: &[Column] = &[
    NAME,
    column("CIDRs", "Ranges that Services get their addresses from."),
    AGE,
];

/// The columns of these kinds; none for others.
pub(super) fn columns(resource: &Resource) -> Option<&'static [Column]> {
    Some(match resource.kind {
        "Ingress" => INGRESS,
        "IngressClass" => INGRESS_CLASS,
        "NetworkPolicy" => NETWORK_POLICY,
        "IPAddress" => IP_ADDRESS,
        "ServiceCIDR" => SERVICE_CIDR,
        _ => return None,
    })
}

/// The cells of these kinds, in the order of their columns; none for others.
pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
    let (meta, spec) = (&object["metadata"], &object["spec"]);
    let name = || meta["name"].clone();
    let age = || Value::from(since(&meta["creationTimestamp"], now));
    Some(match resource.kind {
        "Ingress" => vec![
            name(),
            none_if_empty(text(&spec["ingressClassName"])).into(),
            hosts(spec).into(),
            addresses(&object["status"]).into(),
            match list(&spec["tls"]).is_empty() {
                true => "80".into(),
                false => "80, 443".into(),
            },
            age(),
        ],
        "IngressClass" => vec![
            name(),
            text(&spec["controller"]).into(),
            parameters(&spec["parameters"]).into(),
            age(),
        ],
        "NetworkPolicy" => vec![
            name(),
            none_if_empty(&label_selector(&spec["podSelector"])).into(),
            age(),
        ],
        "IPAddress" => vec![name(), parent(&spec["parentRef"]).into(), age()],
        "ServiceCIDR" => {
            let cidrs = joined(list(&spec["cidrs"]).iter());
            vec![name(), none_if_empty(&cidrs).into(), age()]
        }
        _ => return None,
    })
}

/// `a.example.com,b.example.com`; all hosts are `*`.
fn hosts(spec: &Value) -> String {
    let rules = list(&spec["rules"]).iter();
    let hosts: Vec<&str> = rules
        .map(|rule| text(&rule["host"]))
        .filter(|host| !host.is_empty())
        .collect();
    if hosts.is_empty() {
        return "*".into();
    }
    let told = hosts[..hosts.len().min(HOSTS_MAX)].join(",");
    match hosts.len().saturating_sub(HOSTS_MAX) {
        0 => told,
        more => format!("{told} + {more} more..."),
    }
}

fn addresses(status: &Value) -> String {
    let points = list(&status["loadBalancer"]["ingress"]).iter();
    let mut all: Vec<&str> = points
        .map(|point| match text(&point["ip"]) {
            "" => text(&point["hostname"]),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    all.sort_unstable();
    all.dedup();
    let all = all.join(",");
    match all.get(..ADDRESSES_MAX - 3) {
        Some(start) if all.len() > ADDRESSES_MAX => format!("{start}..."),
        _ => all,
    }
}

/// `Kind.group/name`
fn parameters(parameters: &Value) -> String {
    if parameters.is_null() {
        return "<none>".into();
    }
    let group = match parameters["apiGroup"].as_str() {
        Some(group) => format!(".{group}"),
        None => String::new(),
    };
    let (kind, name) = (text(&parameters["kind"]), text(&parameters["name"]));
    format!("{kind}{group}/{name}")
}

/// `services/default/kubernetes`
fn parent(parent: &Value) -> String {
    if parent.is_null() {
        return "<none>".into();
    }
    let part = |field: &str| text(&parent[field]);
    let resource = match part("group") {
        "" => part("resource").to_lowercase(),
        group => format!("{}.{group}", part("resource")).to_lowercase(),
    };
    match part("namespace") {
        "" => format!("{resource}/{}", part("name")),
        namespace => format!("{resource}/{namespace}/{}", part("name")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources;

    fn check(kind: &str, object: Value, expected: Value) {
        let resource = resources::by_kind("networking.k8s.io", "v1", kind).expect("is served");
        let now = "2026-01-01T01:00:00Z".parse().expect("is a time");
        let cells = cells(resource, &object, now).expect("has cells");
        assert_eq!(Value::from(cells), expected);
    }

    #[test]
    fn rows() {
        let meta = json!({"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let rules: Vec<Value> = ["a", "b", "c", "d"]
            .iter()
            .map(|h| json!({"host": h}))
            .collect();
        check(
            "Ingress",
            json!({"metadata": meta, "spec": {"rules": rules, "tls": [{}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"},
                    {"hostname": "lb.example.com"}]}}}),
            json!([
                "x",
                "<none>",
                "a,b,c + 1 more...",
                "10.0.0.1,lb.e...",
                "80, 443",
                "60m"
            ]),
        );
        check(
            "IngressClass",
            json!({"metadata": meta, "spec": {"controller": "a.b/c",
                "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}}),
            json!(["x", "a.b/c", "K.g/n", "60m"]),
        );
        check(
            "NetworkPolicy",
            json!({"metadata": meta, "spec": {"podSelector": {}}}),
            json!(["x", "<none>", "60m"]),
        );
        check(
            "IPAddress",
            json!({"metadata": meta, "spec": {"parentRef": {"resource": "services",
                "namespace": "default", "name": "kubernetes"}}}),
            json!(["x", "services/default/kubernetes", "60m"]),
        );
        check(
            "ServiceCIDR",
            json!({"metadata": meta, "spec": {"cidrs": ["10.0.0.0/8", "::/64"]}}),
            json!(["x", "10.0.0.0/8,::/64", "60m"]),
        );
    }
}
