//! Pods: what they may be, and what of them may change.

use serde_json::{Value, json};

use super::*;

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
