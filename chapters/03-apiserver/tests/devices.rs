//! Devices and claims of them, over HTTP. Upstream: `test/e2e/dra`, the CRUD tests.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use serde_json::{Value, json};
use support::{Server, lifecycle::lifecycle};

const GROUP: &str = "/apis/resource.k8s.io/v1";
const CLAIMS: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
const MERGE: &str = "application/merge-patch+json";

fn claim() -> Value {
    json!({"devices": {"requests": [
        {"name": "one", "exactly": {"deviceClassName": "gpu.example.com"}}]}})
}

fn slice() -> Value {
    json!({"driver": "gpu.example.com", "nodeName": "n",
        "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0",
            "attributes": {"model": {"string": "a"}, "driverVersion": {"version": "1.2.3"}},
            "capacity": {"memory": {"value": "16Gi"}},
            "taints": [{"key": "example.com/broken", "effect": "NoSchedule"}]}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_lives_and_goes() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let selector = json!({"cel": {"expression": "device.driver == \"gpu.example.com\""}});
    for (plural, spec) in [
        ("deviceclasses", json!({"selectors": [selector]})),
        ("namespaces/default/resourceclaims", claim()),
        (
            "namespaces/default/resourceclaimtemplates",
            json!({"spec": claim()}),
        ),
        ("resourceslices", slice()),
    ] {
        lifecycle(&server, &format!("{GROUP}/{plural}"), json!({"spec": spec})).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_allocated_and_used_by_its_status() {
    let (server, mut admin) = Server::fresh().await;
    let wanted = json!({"metadata": {"name": "c"}, "spec": claim()});
    let (code, made) = admin.call("POST", CLAIMS, wanted).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["spec"]["devices"]["requests"][0]["exactly"],
        json!({"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1})
    );
    let path = format!("{CLAIMS}/c");
    let status = format!("{path}/status");
    let user = json!({"resource": "pods", "name": "p", "uid": "1"});
    let patch = json!({"status": {"reservedFor": [user]}}).to_string();
    let (code, refused) = admin.call_as("PATCH", &status, MERGE, patch).await;
    assert_eq!(
        (code, &refused["message"]),
        (
            422,
            &json!(
                "ResourceClaim.resource.k8s.io \"c\" is invalid: status.reservedFor: Forbidden: \
                 may not be specified when `allocated` is not set"
            )
        )
    );
    let result = json!({"request": "one", "driver": "gpu.example.com", "pool": "n",
        "device": "gpu-0"});
    let device = json!({"driver": "gpu.example.com", "pool": "n", "device": "gpu-0",
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ok", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "data": {"any": "thing"}, "networkData": {"interfaceName": "eth1", "ips": ["10.1.2.3/24"]}});
    let patch = json!({"metadata": {"labels": {"a": "b"}}, "status": {"reservedFor": [user],
        "allocation": {"devices": {"results": [result]}}, "devices": [device]}});
    let (code, used) = admin
        .call_as("PATCH", &status, MERGE, patch.to_string())
        .await;
    assert_eq!(code, 200, "{used}");
    assert_eq!(used["status"]["devices"], json!([device]));
    assert_eq!(used["metadata"].get("labels"), None);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let rows = support::get_as(&mut admin, &path, table).await;
    assert_eq!(rows["rows"][0]["cells"][1], "allocated,reserved");

    // What is allocated stays, what is claimed stays.
    let moved = json!({"status": {"allocation": {"devices": {"results": [
        {"request": "one", "driver": "gpu.example.com", "pool": "n", "device": "gpu-1"}]}},
        "devices": null}});
    let (code, refused) = admin
        .call_as("PATCH", &status, MERGE, moved.to_string())
        .await;
    let why = refused["message"].as_str().expect("says why");
    assert!(code == 422 && why.ends_with("field is immutable"), "{why}");
    let more = json!({"spec": {"devices": {"requests": []}}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, MERGE, more).await.0, 422);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_is_a_driver_s_of_a_node() {
    let (server, mut admin) = Server::fresh().await;
    let slices = format!("{GROUP}/resourceslices");
    let wanted = json!({"metadata": {"name": "s"}, "spec": slice()});
    let (code, made) = admin.call("POST", &slices, wanted).await;
    assert_eq!((code, &made["metadata"]["generation"]), (201, &json!(1)));
    let taint = &made["spec"]["devices"][0]["taints"][0];
    assert_eq!(taint["timeAdded"], made["metadata"]["creationTimestamp"]);
    for (selector, count) in [
        ("spec.nodeName%3Dn,spec.driver%3Dgpu.example.com", 1),
        ("spec.nodeName%3Dm", 0),
    ] {
        let (_, listed) = admin
            .get(&format!("{slices}?fieldSelector={selector}"))
            .await;
        assert_eq!(
            listed["items"].as_array().map(Vec::len),
            Some(count),
            "{selector}"
        );
    }
    let elsewhere = json!({"spec": {"nodeName": "m"}}).to_string();
    let moved = admin
        .call_as("PATCH", &format!("{slices}/s"), MERGE, elsewhere)
        .await;
    assert_eq!(moved.0, 422);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let (server, mut admin) = Server::fresh().await;
    let mut refused = async |path: &str, spec: Value| {
        let object = json!({"metadata": {"name": "x"}, "spec": spec});
        admin.refused(path, object).await
    };
    let name = "must be the name of a request in the claim or the name of a request and a \
                subrequest separated by '/'";
    let told = refused(
        CLAIMS,
        json!({"devices": {
            "requests": [{"name": "a"}, {"name": "a", "exactly":
                {"deviceClassName": "c", "allocationMode": "All", "count": 2}}],
            "constraints": [{"requests": ["b"], "matchAttribute": "model"}],
            "config": [{"requests": ["a"]}]}}),
    );
    assert_eq!(
        told.await,
        [
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or \
             `firstAvailable` is required"
                .to_owned(),
            "spec.devices.requests[1].exactly.count: Invalid value: 2: must not be specified \
             when allocationMode is 'All'"
                .to_owned(),
            "spec.devices.requests[1]: Duplicate value: \"a\"".to_owned(),
            format!("spec.devices.constraints[0].requests[0]: Invalid value: \"b\": {name}"),
            "spec.devices.constraints[0].matchAttribute: Invalid value: \"model\": a fully \
             qualified name must be a domain and a name separated by a slash"
                .to_owned(),
            "spec.devices.config[0].opaque: Required value".to_owned(),
        ]
    );
    let told = refused(
        "/apis/resource.k8s.io/v1/resourceslices",
        json!({"driver": "d.example.com", "nodeName": "n", "allNodes": true,
            "pool": {"name": "n", "resourceSliceCount": 0},
            "devices": [{"name": "one", "attributes": {"a": {"string": "x", "version": "1"}, "b": {}}}]}),
    );
    assert_eq!(
        told.await,
        [
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, \
             `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple \
             fields are set",
            "spec.devices[0].attributes[a].version: Invalid value: \"1\": must be a string \
             compatible with semver.org spec 2.0.0",
            "spec.devices[0].attributes[a]: Invalid value: {\"string\":\"x\",\"version\":\"1\"}: \
             exactly one value must be specified",
            "spec.devices[0].attributes[b]: Invalid value: \"\": exactly one value must be \
             specified",
        ]
    );

    // Devices that others use may be looked after in a namespace that is for that.
    let admins = json!({"devices": {"requests": [{"name": "a", "exactly":
        {"deviceClassName": "c", "adminAccess": true}}]}});
    let told = refused(CLAIMS, admins.clone()).await;
    assert_eq!(
        told,
        [
            "spec.devices.requests[0].exactly.adminAccess: Forbidden: admin access to devices \
             requires the `resource.kubernetes.io/admin-access: true` label on the containing \
             namespace"
        ]
    );
    let label = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    let default = "/api/v1/namespaces/default";
    let labelled = admin
        .call_as("PATCH", default, MERGE, label.to_string())
        .await;
    assert_eq!(labelled.0, 200);
    let object = json!({"metadata": {"name": "x"}, "spec": admins});
    assert_eq!(admin.call("POST", CLAIMS, object).await.0, 201);
    server.stop().await;
}

/// Upstream: `dynamic-resource-allocation/cel/compile_test.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn selectors_are_compiled_when_they_are_written() {
    let (server, mut admin) = Server::fresh().await;
    let path = format!("{GROUP}/deviceclasses");
    let mut told = async |code: &str| {
        let spec = json!({"selectors": [{"cel": {"expression": code}}]});
        let class = json!({"metadata": {"name": "c"}, "spec": spec});
        admin.refused(&path, class).await
    };
    let at = "spec.selectors[0].cel.expression: Invalid value";
    assert_eq!(
        told("device.driver").await,
        [format!(
            "{at}: \"device.driver\": must evaluate to bool or the unknown type, not string"
        )]
    );
    assert_eq!(
        told("device.name == 'a'").await,
        [format!(
            "{at}: \"device.name == 'a'\": compilation failed: ERROR: <input>:1:7: undefined \
             field 'name'\n | device.name == 'a'\n | ......^"
        )]
    );
    let code = "cel.bind(a, device.attributes['x'], a.one && a.size > 1)";
    let spec = json!({"selectors": [{"cel": {"expression": code}}]});
    let class = json!({"metadata": {"name": "c"}, "spec": spec});
    assert_eq!(admin.call("POST", &path, class).await.0, 201);
    server.stop().await;
}
