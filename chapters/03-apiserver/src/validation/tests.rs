//! Objects that won't do, and what is said of them.

mod networking;
mod pods;
mod volumes;
mod workloads;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    defaults::apply_defaults,
    resources::{self, by_kind},
};

fn resource(kind: &str) -> &'static Resource<'static> {
    resources::all()
        .find(|resource| resource.kind == kind)
        .expect(kind)
}

/// Sets the field at a path, making what is on the way.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for part in pointer.trim_start_matches('/').split('/') {
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    *at = value;
}

fn told(errors: &[FieldError]) -> Vec<String> {
    errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect()
}

/// A good object of the kind with some fields set otherwise, defaulted; and what is said of it.
fn create(kind: &str, changes: &[(&str, Value)]) -> Vec<String> {
    let mut object = good(kind);
    for (pointer, value) in changes {
        set(&mut object, pointer, value.clone());
    }
    apply_defaults(resource(kind), &mut object);
    told(&validate_create(resource(kind), &object))
}

/// What is said of a good object that is changed so.
fn update(kind: &str, changes: &[(&str, Value)]) -> Vec<String> {
    let mut old = good(kind);
    apply_defaults(resource(kind), &mut old);
    let mut new = old.clone();
    for (pointer, value) in changes {
        set(&mut new, pointer, value.clone());
    }
    told(&validate_update(resource(kind), &new, &old))
}

fn good(kind: &str) -> Value {
    let containers = json!([{"name": "c", "image": "nginx"}]);
    let mut object = match kind {
        "Pod" => json!({"spec": {"containers": containers}}),
        "Deployment" | "ReplicaSet" => json!({"spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": containers},
            },
        }}),
        "ReplicationController"
        | "PodTemplate"
        | "DaemonSet"
        | "StatefulSet"
        | "Job"
        | "CronJob" => workloads::good(kind),
        "Ingress" | "IngressClass" | "IPAddress" | "ServiceCIDR" => networking::good(kind),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "web"}}}),
        "ControllerRevision" => json!({"revision": 1, "data": {}}),
        "Service" => json!({"spec": {"ports": [{"port": 80}], "clusterIP": "10.96.0.5"}}),
        "RoleBinding" | "ClusterRoleBinding" => json!({
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}],
        }),
        "Role" | "ClusterRole" => json!({
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
        }),
        "PersistentVolume" => json!({"spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/mnt/data"},
        }}),
        "PersistentVolumeClaim" => json!({"spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        }}),
        "StorageClass" => json!({"provisioner": "kubernetes.io/no-provisioner"}),
        "EndpointSlice" => json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}],
            "ports": [{"port": 80}],
        }),
        "Event" => json!({"involvedObject": {"namespace": "ns"}}),
        "RuntimeClass" => json!({"handler": "sandbox"}),
        "CustomResourceDefinition" => json!({"spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"kind": "X", "plural": "xs"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        }}),
        _ => samples::good(kind),
    };
    // Some names follow from what they are about.
    let name = match kind {
        "APIService" => "v1.example.com",
        "CustomResourceDefinition" => "xs.example.com",
        "IPAddress" => "10.0.0.1",
        _ => "x",
    };
    let mut metadata = json!({ "name": name });
    if resource(kind).namespaced {
        metadata["namespace"] = json!("ns");
    }
    object["metadata"] = metadata;
    object
}

#[test]
fn good_objects_are_good() {
    for resource in resources::all().filter(|resource| resource.is_stored()) {
        assert_eq!(
            create(resource.kind, &[]),
            Vec::<String>::new(),
            "{}",
            resource.kind
        );
        assert_eq!(
            update(resource.kind, &[]),
            Vec::<String>::new(),
            "{}",
            resource.kind
        );
    }
}

#[test]
fn wrong_workloads() {
    for kind in ["Deployment", "ReplicaSet"] {
        assert_eq!(
            create(
                kind,
                &[("/spec/template/metadata/labels", json!({"app": "x"}))]
            ),
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not \
              match template `labels`"
            ]
        );
        assert_eq!(
            create(kind, &[("/spec/selector", Value::Null)]),
            ["spec.selector: Required value"]
        );
        assert_eq!(
            create(kind, &[("/spec/replicas", json!(-1))]),
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
        );
        assert_eq!(
            create(
                kind,
                &[("/spec/template/spec/restartPolicy", json!("Never"))]
            ),
            [
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \
              \"Always\""
            ]
        );
        let other = json!({"matchLabels": {"app": "web", "b": "c"}});
        let told = update(
            kind,
            &[
                ("/spec/selector", other),
                (
                    "/spec/template/metadata/labels",
                    json!({"app": "web", "b": "c"}),
                ),
            ],
        );
        assert_eq!(
            told,
            [
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\",\"b\":\"c\"}}: field \
              is immutable"
            ]
        );
    }
    let rolling =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}});
    assert_eq!(
        create("Deployment", &[("/spec/strategy", rolling)]),
        [
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when \
          `maxSurge` is 0"
        ]
    );
}

#[test]
fn wrong_services() {
    let ports = |ports: Value| create("Service", &[("/spec/ports", ports)]);
    assert_eq!(ports(json!([])), ["spec.ports: Required value"]);
    assert_eq!(
        ports(json!([{"port": 0, "targetPort": 1}])),
        ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]
    );
    assert_eq!(
        ports(json!([{"port": 80, "nodePort": 30000}])),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]
    );
    assert_eq!(
        ports(json!([{"port": 80}, {"port": 81, "name": "b"}])),
        ["spec.ports[0].name: Required value"]
    );
    assert_eq!(
        create("Service", &[("/spec/type", json!("Lb"))]),
        [
            "spec.type: Unsupported value: \"Lb\": supported values: \"ClusterIP\", \"ExternalName\", \
          \"LoadBalancer\", \"NodePort\""
        ]
    );
    assert_eq!(
        update("Service", &[("/spec/clusterIP", json!("10.96.0.6"))]),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.6\"]: may not change once set"]
    );
    let named = create("Service", &[("/metadata/name", json!("0a"))]);
    assert!(named[0].starts_with("metadata.name: Invalid value: \"0a\": a DNS-1035 label must"));
}

#[test]
fn wrong_others() {
    assert_eq!(
        create("ConfigMap", &[("/data", json!({"a/b": "c"}))]),
        [
            "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric \
          characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used \
          for validation is '[-._a-zA-Z0-9]+')"
        ]
    );
    assert_eq!(
        create(
            "ConfigMap",
            &[("/data", json!({"a": "x".repeat(1 << 20) + "x"}))]
        ),
        [": Too long: may not be more than 1048576 bytes"]
    );
    assert_eq!(
        create("Secret", &[("/type", json!("kubernetes.io/tls"))]),
        [
            "data[tls.crt]: Required value",
            "data[tls.key]: Required value"
        ]
    );
    assert_eq!(
        update("RoleBinding", &[("/roleRef/name", json!("admin"))]),
        [
            "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\
          \"ClusterRole\",\"name\":\"admin\"}: cannot change roleRef"
        ]
    );
    assert_eq!(
        create("Role", &[("/rules/0/verbs", json!([]))]),
        ["rules[0].verbs: Required value: verbs must contain at least one value"]
    );
    assert_eq!(
        create("RuntimeClass", &[("/handler", json!("a.b"))]),
        ["handler: Invalid value: \"a.b\": must not contain dots"]
    );
    let fixed = json!({ "cpu": "-1" });
    assert_eq!(
        create("RuntimeClass", &[("/overhead/podFixed", fixed)]),
        ["overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"]
    );
    assert_eq!(
        update("RuntimeClass", &[("/handler", json!("other"))]),
        ["handler: Invalid value: \"other\": field is immutable"]
    );
    let class = create("PriorityClass", &[("/value", json!(1_000_000_001))]);
    assert_eq!(
        class,
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
    );
    assert_eq!(
        create(
            "Node",
            &[("/spec/taints", json!([{"key": "a", "effect": "NoWay"}]))]
        ),
        [
            "spec.taints[0].effect: Unsupported value: \"NoWay\": supported values: \"NoExecute\", \
          \"NoSchedule\", \"PreferNoSchedule\""
        ]
    );
    let mut old = good("ConfigMap");
    set(&mut old, "/immutable", json!(true));
    let mut new = old.clone();
    set(&mut new, "/data/a", json!("b"));
    assert_eq!(
        told(&validate_update(resource("ConfigMap"), &new, &old)),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
}

#[test]
fn wrong_metadata() {
    let meta =
        |field: &str, value: Value| create("ConfigMap", &[(&format!("/metadata/{field}"), value)]);
    assert_eq!(
        meta("name", json!("")),
        ["metadata.name: Required value: name or generateName is required"]
    );
    assert!(meta("name", json!("Web"))[0].starts_with(
        "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123 subdomain must consist of"
    ));
    assert!(
        meta("labels", json!({"a": "-"}))[0]
            .starts_with("metadata.labels: Invalid value: \"-\": a valid label must be an empty")
    );
    assert_eq!(meta("generateName", json!("web-")), Vec::<String>::new());
    assert_eq!(
        create("Namespace", &[("/metadata/namespace", json!("x"))]),
        ["metadata.namespace: Forbidden: not allowed on this type"]
    );
    assert_eq!(
        update("ConfigMap", &[("/metadata/uid", json!("x"))]),
        ["metadata.uid: Invalid value: \"x\": field is immutable"]
    );
    let owner = |name: &str| json!({"apiVersion": "v1", "kind": "A", "name": name, "uid": "u", "controller": true});
    assert!(
        meta("ownerReferences", json!([owner("a"), owner("b")]))[0]
            .ends_with("Found \"true\" in references for A/a and A/b")
    );
    assert!(by_kind("", "v1", "ConfigMap").is_some());
}

/// Any JSON at all.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9./-]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let keys = prop_oneof![
            Just("spec"),
            Just("metadata"),
            Just("containers"),
            Just("name"),
            Just("ports"),
            Just("volumes"),
            Just("template"),
            Just("selector"),
            Just("env"),
            Just("data"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_is_too_strange(spec in any_json(), metadata in any_json(), index in 0..resources::all().count()) {
        let resource = resources::all().nth(index).expect("in bounds");
        let mut object = json!({"metadata": metadata, "spec": spec});
        apply_defaults(resource, &mut object);
        crate::defaults::prepare_for_create(resource, &mut object);
        validate_create(resource, &object);
        validate_update(resource, &object, &good("Pod"));
        validate_status_update(resource, &object, &good("Pod"));
    }
}
