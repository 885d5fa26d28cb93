//! Ingresses, policies and ranges that won't do.

use serde_json::{Value, json};

use super::{create, update};

pub(super) fn good(kind: &str) -> Value {
    match kind {
        "Ingress" => json!({"spec": {"rules": [{"host": "example.com", "http": {"paths": [
            {"path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}}),
        "IngressClass" => json!({"spec": {"controller": "example.com/controller"}}),
        "IPAddress" => json!({"spec": {"parentRef": {"resource": "services", "name": "web"}}}),
        _ => json!({"spec": {"cidrs": ["10.0.0.0/8"]}}),
    }
}

fn check(got: Vec<String>, expected: &[&str]) {
    assert_eq!(got, expected);
}

#[test]
fn wrong_ingresses() {
    let path = "/spec/rules/0/http/paths/0";
    check(
        create("Ingress", &[("/spec", json!({}))]),
        &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    );
    check(
        create(
            "Ingress",
            &[
                ("/spec/rules/0/host", json!("10.0.0.1")),
                (&format!("{path}/path"), json!("a//b/..")),
                (
                    &format!("{path}/backend/service/port"),
                    json!({"name": "http", "number": 80}),
                ),
            ],
        ),
        &[
            "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP \
             address",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must be an absolute \
             path",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": must not contain '//'",
            "spec.rules[0].http.paths[0].path: Invalid value: \"a//b/..\": cannot end with '/..'",
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": cannot set both port name & \
             port number",
        ],
    );
    check(
        create("Ingress", &[("/spec/defaultBackend", json!({}))]),
        &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
    );
    check(
        update(
            "IngressClass",
            &[("/spec/controller", json!("example.com/other"))],
        ),
        &["spec.controller: Invalid value: \"example.com/other\": field is immutable"],
    );
    let of_cluster = json!({"kind": "K", "name": "n", "namespace": "x"});
    check(
        create("IngressClass", &[("/spec/parameters", of_cluster)]),
        &["spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"],
    );
}

#[test]
fn wrong_policies() {
    let rules = json!([{"ports": [{"port": "HTTP"}, {"port": 80, "endPort": 70}, {"endPort": 1}],
        "from": [{}, {"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8",
            "except": ["10.0.0.0/8", "11.0.0.0/9", "x"]}}]}]);
    let told = create(
        "NetworkPolicy",
        &[
            ("/spec/ingress", rules),
            ("/spec/policyTypes", json!(["Both"])),
        ],
    );
    // Such a name is wrong in two ways.
    let (of_name, rest) = told.split_at(2);
    let at = "spec.ingress[0].ports[0].port: Invalid value: \"HTTP\"";
    assert!(
        of_name.iter().all(|told| told.starts_with(at)),
        "{of_name:?}"
    );
    check(
        rest.to_vec(),
        &[
            "spec.ingress[0].ports[1].endPort: Invalid value: 80: must be greater than or equal \
             to `port`",
            "spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` \
             is not specified",
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            "spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a \
             strict subset of `cidr`",
            "spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: \"11.0.0.0/9\": must be a \
             strict subset of `cidr`",
            "spec.ingress[0].from[1].ipBlock.except[2]: Invalid value: \"x\": must be a valid CIDR \
             value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            "spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer",
            "spec.policyTypes[0]: Unsupported value: \"Both\": supported values: \"Egress\", \
             \"Ingress\"",
        ],
    );
}

#[test]
fn wrong_addresses_and_ranges() {
    check(
        create("IPAddress", &[("/metadata/name", json!("010.0.0.1"))]),
        &["metadata.name: Invalid value: \"010.0.0.1\": must not have leading 0s"],
    );
    check(
        update("IPAddress", &[("/spec/parentRef/name", json!("b"))]),
        &[
            "spec.parentRef: Invalid value: {\"name\":\"b\",\"resource\":\"services\"}: field is \
             immutable",
        ],
    );
    check(
        create(
            "ServiceCIDR",
            &[("/spec/cidrs", json!(["10.0.0.0/8", "11.0.0.1/8"]))],
        ),
        &[
            "spec.cidrs[1]: Invalid value: \"11.0.0.1/8\": must not have bits set beyond the \
             prefix length",
            "spec.cidrs: Invalid value: [\"10.0.0.0/8\",\"11.0.0.1/8\"]: may specify no more than \
             one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ],
    );
    let both = json!(["10.0.0.0/8", "2001:db8::/64"]);
    check(update("ServiceCIDR", &[("/spec/cidrs", both)]), &[]);
    check(
        update("ServiceCIDR", &[("/spec/cidrs", json!(["11.0.0.0/8"]))]),
        &["spec.cidrs[0]: Invalid value: \"11.0.0.0/8\": field is immutable"],
    );
}
