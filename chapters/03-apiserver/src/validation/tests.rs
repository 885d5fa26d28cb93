//! Objects that won't do, and what is said of them.

mod networking;
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

/// What is said of a pod, of its first container's `securityContext`, and of its mounts, each
/// set as given.
fn secured(pod: Value, container: Value, mount: Value) -> Vec<String> {
    let mut spec = json!({ "containers": [{ "name": "c", "image": "nginx",
        "securityContext": container }], "volumes": [{ "name": "v", "emptyDir": {} }] });
    if mount.is_object() {
        let mut all = json!({ "name": "v", "mountPath": "/v" });
        all.as_object_mut()
            .unwrap()
            .extend(mount.as_object().unwrap().clone());
        spec["containers"][0]["volumeMounts"] = json!([all]);
    }
    spec.as_object_mut()
        .unwrap()
        .extend(pod.as_object().unwrap().clone());
    create("Pod", &[("/spec", spec)])
}

#[test]
fn profiles_parameters_and_mounts() {
    let none = || json!({});
    let of_pod = |context: Value| secured(json!({ "securityContext": context }), none(), none());
    let of_container = |context: Value| secured(none(), context, none());
    let of_mount = |mount: Value| secured(none(), none(), mount);
    let at_pod = "spec.securityContext";
    let at_container = "spec.containers[0].securityContext";
    let at_mount = "spec.containers[0].volumeMounts[0]";

    let local = json!({ "type": "Localhost", "localhostProfile": "a/b.json" });
    assert!(of_pod(json!({ "seccompProfile": local, "appArmorProfile": local })).is_empty());
    for (profile, said) in [
        (
            json!({}),
            ".type: Required value: type is required when seccompProfile is set",
        ),
        (
            json!({"type": "X"}),
            ".type: Unsupported value: \"X\": supported values: \
            \"Localhost\", \"RuntimeDefault\", \"Unconfined\"",
        ),
        (
            json!({"type": "Localhost"}),
            ".localhostProfile: Required value: must be set when seccomp type is Localhost",
        ),
        (
            json!({"type": "Localhost", "localhostProfile": "../x"}),
            ".localhostProfile: Invalid value: \"../x\": must not contain '..'",
        ),
    ] {
        let said = format!("{at_container}.seccompProfile{said}");
        assert_eq!(of_container(json!({ "seccompProfile": profile })), [said]);
    }
    let said = of_pod(json!({"seccompProfile":
        {"type": "Unconfined", "localhostProfile": "x"}}));
    assert!(
        said[0].ends_with("can only be set when seccomp type is Localhost"),
        "{said:?}"
    );
    for (profile, said) in [
        (
            json!({}),
            ".type: Required value: type is required when appArmorProfile is set",
        ),
        (
            json!({"type": "Localhost"}),
            ".localhostProfile: Required value: must be set when AppArmor type is Localhost",
        ),
        (
            json!({"type": "Localhost", "localhostProfile": " x"}),
            ".localhostProfile: Invalid value: \" x\": must not be padded with whitespace",
        ),
        (
            json!({"type": "RuntimeDefault", "localhostProfile": "x"}),
            ".localhostProfile: Invalid value: \"x\": can only be set when AppArmor type is \
             Localhost",
        ),
    ] {
        let said = format!("{at_pod}.appArmorProfile{said}");
        assert_eq!(of_pod(json!({ "appArmorProfile": profile })), [said]);
    }

    let sysctl = |name: &str| json!({ "name": name, "value": "1" });
    let named = json!([
        sysctl("kernel.sem"),
        sysctl("net/ipv4/x_y"),
        sysctl("kernel.sem"),
        sysctl("Kernel..x")
    ]);
    let said = of_pod(json!({ "sysctls": named }));
    assert_eq!(
        said,
        [
            format!("{at_pod}.sysctls[2].name: Duplicate value: \"kernel.sem\""),
            format!(
                "{at_pod}.sysctls[3].name: Invalid value: \"Kernel..x\": must have at most 253 \
            characters and match regex \
            ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            ),
        ]
    );
    let shared = json!({ "hostNetwork": true, "hostIPC": true,
        "securityContext": { "sysctls": [sysctl("net/ipv4/x"), sysctl("kernel.msgmax"),
            sysctl("vm.swappiness")] } });
    assert_eq!(
        secured(shared, none(), none()),
        [
            format!(
                "{at_pod}.sysctls[0].name: Invalid value: \"net/ipv4/x\": \
            may not be specified when 'hostNetwork' is true"
            ),
            format!(
                "{at_pod}.sysctls[1].name: Invalid value: \"kernel.msgmax\": \
            may not be specified when 'hostIPC' is true"
            ),
        ]
    );

    let said = of_pod(json!({ "supplementalGroupsPolicy": "X", "supplementalGroups": [-1] }));
    assert_eq!(said.len(), 2, "{said:?}");
    let unmasked = json!({ "procMount": "Unmasked" });
    assert_eq!(
        of_container(unmasked.clone()),
        [format!(
            "{at_container}.procMount: Invalid \
        value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`"
        )]
    );
    assert!(secured(json!({ "hostUsers": false }), unmasked, none()).is_empty());
    let both = json!({ "hostUsers": false, "hostPID": true });
    assert_eq!(
        secured(both, none(), none()),
        ["spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"]
    );
    let said = of_container(json!({ "allowPrivilegeEscalation": false,
        "capabilities": { "add": ["CAP_SYS_ADMIN"] } }));
    assert!(
        said[0].ends_with("to false and `capabilities.Add` CAP_SYS_ADMIN"),
        "{said:?}"
    );

    let bidirectional = json!({ "mountPropagation": "Bidirectional" });
    assert_eq!(
        of_mount(bidirectional.clone()),
        [format!(
            "{at_mount}.mountPropagation: \
        Forbidden: Bidirectional mount propagation is available only to privileged containers"
        )]
    );
    let privileged = json!({ "privileged": true });
    assert!(secured(none(), privileged, bidirectional).is_empty());
    let both = json!({ "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer" });
    assert_eq!(
        of_mount(both),
        [
            format!(
                "{at_mount}.recursiveReadOnly: Forbidden: may only be specified when readOnly is \
            true"
            ),
            format!(
                "{at_mount}.recursiveReadOnly: Forbidden: may only be specified when \
            mountPropagation is None or not specified"
            ),
        ]
    );
    assert!(of_mount(json!({ "readOnly": true, "recursiveReadOnly": "IfPossible" })).is_empty());
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
fn wrong_pods() {
    let container = "/spec/containers/0";
    let one = |field: &str, value: Value| create("Pod", &[(&format!("{container}{field}"), value)]);
    let check = |got: Vec<String>, expected: &[&str]| assert_eq!(got, expected);
    check(
        create("Pod", &[("/spec/containers", json!([]))]),
        &["spec.containers: Required value"],
    );
    check(
        one("/image", json!("")),
        &["spec.containers[0].image: Required value"],
    );
    check(
        one("/imagePullPolicy", json!("Sometimes")),
        &[
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \
           \"Always\", \"IfNotPresent\", \"Never\"",
        ],
    );
    check(
        one("/ports", json!([{"containerPort": 70000}])),
        &[
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and \
           65535, inclusive",
        ],
    );
    check(
        one(
            "/resources",
            json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        ),
        &[
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal \
           to cpu limit of 1",
        ],
    );
    check(
        one(
            "/volumeMounts",
            json!([{"name": "none", "mountPath": "/x"}]),
        ),
        &["spec.containers[0].volumeMounts[0].name: Not found: \"none\""],
    );
    check(
        one(
            "/env",
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
        ),
        &[
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error \
           converting fieldPath: field label not supported: spec.x",
        ],
    );
    check(
        one(
            "/livenessProbe",
            json!({"successThreshold": 2, "tcpSocket": {"port": "http"}}),
        ),
        &["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    );
    check(
        one("/readinessProbe", json!({})),
        &["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
    );
    let spec = |field: &str, value: Value| create("Pod", &[(&format!("/spec/{field}"), value)]);
    check(
        spec("restartPolicy", json!("Never!")),
        &[
            "spec.restartPolicy: Unsupported value: \"Never!\": supported values: \"Always\", \
           \"Never\", \"OnFailure\"",
        ],
    );
    check(
        spec(
            "volumes",
            json!([{"name": "a", "emptyDir": {}}, {"name": "a", "secret": {}}]),
        ),
        &[
            "spec.volumes[1].name: Duplicate value: \"a\"",
            "spec.volumes[1].secret.secretName: Required value",
        ],
    );
    check(
        spec("tolerations", json!([{"value": "x"}])),
        &[
            "spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is \
           empty, which means \"match all values and all keys\"",
        ],
    );
    check(
        spec(
            "topologySpreadConstraints",
            json!([{"maxSkew": 0, "whenUnsatisfiable": "x"}]),
        ),
        &[
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"x\": \
             supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
        ],
    );
    check(
        spec(
            "affinity",
            json!({"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []},
            }}),
        ),
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.\
           nodeSelectorTerms: Required value: must have at least one node selector term",
        ],
    );
    let twice = json!([{"name": "c", "image": "a"}, {"name": "c", "image": "b"}]);
    check(
        spec("containers", twice),
        &["spec.containers[1].name: Duplicate value: \"c\""],
    );
}

#[test]
fn pods_that_change() {
    let image = ("/spec/containers/0/image", json!("nginx:2"));
    assert_eq!(update("Pod", &[image]), Vec::<String>::new());
    let more = ("/spec/tolerations", json!([{"operator": "Exists"}]));
    assert_eq!(update("Pod", &[more]), Vec::<String>::new());
    let told = update("Pod", &[("/spec/containers/0/command", json!(["sh"]))]);
    let [told] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(
        told.starts_with(
            "spec: Forbidden: pod updates may not change fields other than \
             `spec.containers[*].image`,`spec.initContainers[*].image`,"
        ),
        "{told}"
    );
    assert!(
        told.ends_with("\n+ spec.containers[0].command: [\"sh\"]"),
        "{told}"
    );
    let two = json!([{"name": "c", "image": "a"}, {"name": "d", "image": "b"}]);
    let told = update("Pod", &[("/spec/containers", two)]);
    assert_eq!(
        told.last().map(String::as_str),
        Some("spec.containers: Forbidden: pod updates may not add or remove containers")
    );
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

#[test]
fn variables_from_files() {
    let check = |reference: Value, expect: &[&str]| {
        let env = json!([{"name": "A", "valueFrom": {"fileKeyRef": reference}}]);
        assert_eq!(create("Pod", &[("/spec/containers/0/env", env)]), expect);
    };
    check(json!({"volumeName": "v", "path": "a/env", "key": "K"}), &[]);
    let at = "spec.containers[0].env[0].valueFrom.fileKeyRef";
    check(
        json!({"path": "../env"}),
        &[
            &format!("{at}.key: Required value"),
            &format!("{at}.volumeName: Required value"),
            &format!("{at}.path: Invalid value: \"../env\": must not contain '..'"),
        ],
    );
}

#[test]
fn volumes_and_claims() {
    let volume = "PersistentVolume";
    assert!(create(volume, &[]).is_empty());
    let (modes, storage) = ("/spec/accessModes", "/spec/capacity");
    assert_eq!(
        create(
            volume,
            &[
                (modes, json!(["Often"])),
                (storage, json!({"storage": "0"}))
            ]
        ),
        [
            "spec.accessModes: Unsupported value: \"Often\": supported values: \"ReadOnlyMany\", \
             \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
        ]
    );
    assert_eq!(
        create(
            volume,
            &[
                ("/spec/hostPath", Value::Null),
                ("/spec/local", json!({"path": "/x"}))
            ]
        ),
        ["spec.nodeAffinity: Required value: Local volume requires node affinity"]
    );
    assert_eq!(
        create(volume, &[("/spec/hostPath", Value::Null)]),
        ["spec: Required value: must specify a volume type"]
    );
    assert_eq!(
        update(volume, &[("/spec/hostPath/path", json!("/other"))]),
        [
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable \
             after creation"
        ]
    );
    let bound = [
        ("/spec/claimRef", json!({"name": "c"})),
        (storage, json!({"storage": "2Gi"})),
    ];
    assert!(update(volume, &bound).is_empty());

    let claim = "PersistentVolumeClaim";
    assert!(create(claim, &[]).is_empty());
    assert_eq!(
        create(claim, &[(modes, json!([])), ("/spec/resources", json!({}))]),
        [
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ]
    );
    assert!(update(claim, &[("/spec/volumeName", json!("pv"))]).is_empty());
    let size = "/spec/resources/requests/storage";
    assert_eq!(
        update(claim, &[(size, json!("2Gi"))]),
        [
            "spec: Forbidden: spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims"
        ]
    );
    let grown = [("/status/phase", json!("Bound")), (size, json!("2Gi"))];
    assert!(update(claim, &grown).is_empty());
    let shrunk = [("/status/phase", json!("Bound")), (size, json!("1Mi"))];
    assert_eq!(
        update(claim, &shrunk),
        [
            "spec.resources.requests.storage: Forbidden: field can not be less than \
             status.capacity"
        ]
    );

    let class = "StorageClass";
    assert!(create(class, &[]).is_empty());
    assert_eq!(
        update(
            class,
            &[("/volumeBindingMode", json!("WaitForFirstConsumer"))]
        ),
        ["volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable"]
    );
    assert_eq!(
        update(class, &[("/parameters", json!({"a": "b"}))]),
        ["parameters: Forbidden: updates to parameters are forbidden."]
    );
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
