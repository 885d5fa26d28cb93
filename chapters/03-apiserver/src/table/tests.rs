use serde_json::json;

use super::*;
use crate::resources::by_kind;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn row_of(group: &str, kind: &str, object: Value) -> String {
    let resource = by_kind(group, "v1", kind).unwrap();
    let table = table(resource, &[object], json!({}), IncludeObject::None, now());
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells.len(), columns(resource).len());
    let text = |cell: &Value| cell.as_str().map_or(cell.to_string(), str::to_owned);
    cells.iter().map(text).collect::<Vec<_>>().join(" | ")
}

fn pod_row(spec: Value, status: Value) -> String {
    let meta = json!({"name": "p", "creationTimestamp": "2026-01-01T00:55:00Z"});
    row_of(
        "",
        "Pod",
        json!({"metadata": meta, "spec": spec, "status": status}),
    )
}

#[test]
fn every_resource_has_a_row_for_an_empty_object() {
    for resource in crate::resources::all() {
        let table = table(
            resource,
            &[json!({})],
            json!({}),
            IncludeObject::Metadata,
            now(),
        );
        let cells = table["rows"][0]["cells"].as_array().unwrap().len();
        assert_eq!(cells, columns(resource).len(), "{}", resource.kind);
    }
}

#[test]
fn a_pod_is_told_in_one_word() {
    let spec = json!({
        "nodeName": "worker-1",
        "containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
    });
    let running = json!({"ready": true, "state": {"running": {}}});
    let check = |status: Value, expect: &str| {
        let row = pod_row(spec.clone(), status);
        let rest = " | 5m | <none> | worker-1 | <none> | <none>";
        assert_eq!(row.strip_suffix(rest), Some(expect), "{row}");
    };
    check(json!({"phase": "Pending"}), "p | 0/3 | Pending | 0");
    check(
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"finishedAt": "2026-01-01T00:59:30Z"}}},
        ]}),
        "p | 0/3 | Init:CrashLoopBackOff | 2 (30s ago)",
    );
    check(
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": {"terminated": {"exitCode": 0}}},
            {"name": "s", "state": {"waiting": {"reason": "PodInitializing"}}},
        ]}),
        "p | 0/3 | Init:1/2 | 0",
    );
    check(
        json!({"phase": "Running",
            "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                {"name": "s", "ready": true, "started": true, "state": {"running": {}}},
            ],
            "containerStatuses": [
                {"restartCount": 3, "state": {"terminated": {"exitCode": 3}}}, running,
            ],
        }),
        "p | 2/3 | ExitCode:3 | 3",
    );
    check(
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                running, {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            ],
        }),
        "p | 1/3 | Running | 0",
    );
}

#[test]
fn what_kubectl_shows_of_other_kinds() {
    let meta = json!({"name": "x", "creationTimestamp": "2025-12-30T01:00:00Z",
        "labels": {"node-role.kubernetes.io/control-plane": ""}});
    let check = |group: &str, kind: &str, rest: Value, expect: &str| {
        let mut object = rest;
        object["metadata"] = meta.clone();
        assert_eq!(row_of(group, kind, object), expect);
    };
    check(
        "apps",
        "Deployment",
        json!({
            "spec": {
                "replicas": 3,
                "selector": {
                    "matchLabels": {"b": "1"},
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["z", "y"]}],
                },
                "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
            },
            "status": {"readyReplicas": 2, "updatedReplicas": 3},
        }),
        "x | 2/3 | 3 | 0 | 2d | c | i | a in (y,z),b=1",
    );
    check(
        "",
        "Service",
        json!({"spec": {"type": "NodePort", "clusterIPs": ["10.96.0.9"], "selector": {"a": "b"},
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}}),
        "x | NodePort | 10.96.0.9 | <none> | 80:30080/TCP | 2d | a=b",
    );
    check(
        "",
        "Node",
        json!({
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "Unknown"}],
                "addresses": [{"type": "InternalIP", "address": "172.30.0.2"}],
                "nodeInfo": {"kubeletVersion": "v1.36.2", "osImage": "Linux"},
            },
        }),
        "x | NotReady,SchedulingDisabled | control-plane | 2d | v1.36.2 | 172.30.0.2 | <none> | \
         Linux | <unknown> | <unknown>",
    );
    check(
        "",
        "Endpoints",
        json!({"subsets": [{"ports": [{"port": 80}],
            "addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}, {"ip": "1.1.1.3"}, {"ip": "::1"}]}]}),
        "x | 1.1.1.1:80,1.1.1.2:80,1.1.1.3:80 + 1 more... | 2d",
    );
    let event = json!({"type": "Normal", "reason": "Pulled", "message": " Pulled it\n",
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
        "source": {"component": "kubelet", "host": "n"}, "count": 4,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:59:00Z"});
    check(
        "",
        "Event",
        event,
        "60s | Normal | Pulled | pod/p | spec.containers{a} | kubelet, n | Pulled it | 60m | 4 | x",
    );
    check(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [
            {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
            {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
        "x | Role/r | 2d | u, v |  | n/s",
    );
}

#[test]
fn ages_have_two_units_at_most() {
    for (seconds, expect) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (119, "119s"),
        (120, "2m"),
        (199, "3m19s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (47 * 3600, "47h"),
        (50 * 3600, "2d2h"),
        (20 * 86400, "20d"),
        (1000 * 86400, "2y270d"),
        (3000 * 86400, "8y"),
    ] {
        assert_eq!(human_duration(seconds), expect);
    }
}

#[test]
fn storage_is_told_in_short() {
    let meta = json!({"name": "x", "creationTimestamp": "2026-01-01T00:55:00Z"});
    let modes = json!(["ReadOnlyMany", "ReadWriteOnce"]);
    let volume = json!({
        "metadata": meta,
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "manual",
            "claimRef": {"namespace": "default", "name": "c"},
            "volumeMode": "Filesystem",
        },
        "status": {"phase": "Bound"},
    });
    assert_eq!(
        row_of("", "PersistentVolume", volume),
        "x | 10Gi | RWO,ROX | Retain | Bound | default/c | manual | <unset> |  | 5m | Filesystem"
    );
    let mut claim = json!({
        "metadata": meta,
        "spec": {"volumeName": "pv", "storageClassName": "manual", "volumeMode": "Filesystem"},
        "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, "accessModes": modes},
    });
    assert_eq!(
        row_of("", "PersistentVolumeClaim", claim.clone()),
        "x | Bound | pv | 10Gi | RWO,ROX | manual | <unset> | 5m | Filesystem"
    );
    claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:59:00Z");
    claim["spec"]["volumeName"] = json!("");
    assert_eq!(
        row_of("", "PersistentVolumeClaim", claim),
        "x | Terminating |  |  |  | manual | <unset> | 5m | Filesystem"
    );
    let mut class = json!({"metadata": meta, "provisioner": "kubernetes.io/no-provisioner"});
    class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] = json!("true");
    assert_eq!(
        row_of("storage.k8s.io", "StorageClass", class),
        "x (default) | kubernetes.io/no-provisioner | Delete | Immediate | false | 5m"
    );
}
