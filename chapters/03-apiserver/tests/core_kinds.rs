//! What upstream's conformance tests demand of the API of the core's kinds, over HTTP.
//!
//! Upstream: `test/e2e/instrumentation/{events,core_events}.go`, `test/e2e/apimachinery/field_validation.go`,
//! `test/e2e/common/node/{configmap,secrets,lease,node}.go`, `test/e2e/network/{endpoints,endpointslice,service}.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use serde_json::{Value, json};
use support::{Client, Server, lifecycle::lifecycle};

const DEFAULT: &str = "/api/v1/namespaces/default";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_lives_and_goes() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    for (collection, template) in [
        (format!("{DEFAULT}/configmaps"), json!({"data": {"a": "b"}})),
        (
            format!("{DEFAULT}/secrets"),
            json!({"stringData": {"a": "b"}}),
        ),
        (
            format!("{DEFAULT}/endpoints"),
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.24"}],
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]}),
        ),
        (
            slices.to_owned(),
            json!({"addressType": "IPv4", "endpoints": [], "ports": []}),
        ),
        (
            leases.to_owned(),
            json!({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 30,
                "acquireTime": "2026-01-02T03:04:05.000000Z"}}),
        ),
    ] {
        lifecycle(&server, &collection, template).await;
    }
    server.stop().await;
}

fn event(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"testevent-constant": "true"}},
        "regarding": {"namespace": "default"}, "eventTime": "2017-09-19T13:49:16.000000Z",
        "note": format!("This is {name}"), "action": "Do", "reason": "Test", "type": "Normal",
        "reportingController": "test-controller", "reportingInstance": "test-node"})
}

async fn names(client: &mut Client, path: &str) -> Vec<String> {
    let (code, list) = client.get(path).await;
    assert_eq!(code, 200, "{list}");
    let items = list["items"].as_array().expect("is a list").iter();
    items
        .map(|item| {
            item["metadata"]["name"]
                .as_str()
                .expect("has one")
                .to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_one_thing_in_two_forms() {
    let (server, mut admin) = Server::fresh().await;
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    let old = format!("{DEFAULT}/events");
    let path = format!("{new}/event-test");
    let (code, created) = admin.call("POST", new, event("event-test")).await;
    assert_eq!(code, 201, "{created}");
    for list in [
        "/apis/events.k8s.io/v1/events?labelSelector=testevent-constant%3Dtrue".to_owned(),
        format!("{new}?labelSelector=testevent-constant%3Dtrue"),
        format!("{new}?fieldSelector=reportingController%3Dtest-controller"),
        format!("{new}?fieldSelector=regarding.namespace%3Ddefault"),
        // Where there is no source, who reports it is the source.
        format!("{old}?fieldSelector=source%3Dtest-controller"),
    ] {
        assert_eq!(names(&mut admin, &list).await, ["event-test"], "{list}");
    }

    let patch = json!({"note": "patched"}).to_string();
    let (code, _) = admin.call_as("PATCH", &path, STRATEGIC, patch).await;
    assert_eq!(code, 200);
    let (_, mut patched) = admin.get(&path).await;
    let mut expected = created.clone();
    expected["note"] = "patched".into();
    for event in [&mut patched, &mut expected] {
        let metadata = event["metadata"].as_object_mut().expect("has some");
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    assert_eq!(patched, expected);
    patched["series"] = json!({"count": 100, "lastObservedTime": "2017-09-19T13:49:16.000000Z"});
    let (code, updated) = admin.call("PUT", &path, patched.clone()).await;
    assert_eq!((code, &updated["series"]), (200, &patched["series"]));
    let (_, seen) = admin.get(&format!("{old}/event-test")).await;
    assert_eq!(seen["message"], "patched");
    assert_eq!(seen["reportingComponent"], "test-controller");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(names(&mut admin, new).await, Vec::<String>::new());

    for name in ["one", "two", "three"] {
        let core = json!({"metadata": {"name": name, "labels": {"set": "true"}},
            "involvedObject": {"kind": "Pod", "namespace": "default"}, "message": "m",
            "reason": "Test", "type": "Normal"});
        assert_eq!(admin.call("POST", &old, core).await.0, 201);
    }
    let set = format!("{old}?labelSelector=set%3Dtrue");
    assert_eq!(names(&mut admin, &set).await, ["one", "three", "two"]);
    assert_eq!(admin.call("DELETE", &set, json!({})).await.0, 200);
    assert_eq!(names(&mut admin, &set).await, Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_doubled_fields_are_told() {
    let (server, mut admin) = Server::fresh().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let strict = format!("{deployments}?fieldValidation=Strict&fieldManager=field_validation_mgr");
    let rest = r#""selector": {"matchLabels": {"app": "nginx"}}, "template": {"metadata":
        {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "n", "image": "i"}]}}"#;
    let head = r#""apiVersion": "apps/v1", "kind": "Deployment""#;
    for (body, words) in [
        (
            format!(
                r#"{{{head}, "metadata": {{"name": "d"}}, "spec": {{"unknownField": "foo",
                "replicas": 2, "replicas": 3, {rest}}}}}"#
            ),
            r#"strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas""#,
        ),
        (
            format!(
                r#"{{{head}, "metadata": {{"name": "d", "unknownMeta": "foo"}},
                "spec": {{{rest}}}}}"#
            ),
            r#"strict decoding error: unknown field "metadata.unknownMeta""#,
        ),
    ] {
        let json = "application/json";
        let (code, status) = admin.call_as("POST", &strict, json, body.clone()).await;
        let message = status["message"].as_str().expect("has one");
        assert!(code == 400 && message.contains(words), "{message}");
        let dry = format!("{deployments}?fieldValidation=Ignore&dryRun=All");
        assert_eq!(admin.call_as("POST", &dry, json, body).await.0, 201);
    }
    let wrong = format!("{deployments}?fieldValidation=Maybe");
    let (code, status) = admin.call("POST", &wrong, json!({})).await;
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_written_apart() {
    let (server, mut admin) = Server::fresh().await;
    let merge = "application/merge-patch+json";
    let condition = json!({"type": "StatusPatched", "status": "True", "reason": "E2E",
        "message": "Set by a test", "lastTransitionTime": "2026-01-02T03:04:05Z"});

    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let services = format!("{DEFAULT}/services");
    assert_eq!(admin.call("POST", &services, service).await.0, 201);
    let status = format!("{services}/s/status");
    let balancer = json!({"metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"loadBalancer": {}}});
    let (code, patched) = admin
        .call_as("PATCH", &status, merge, balancer.to_string())
        .await;
    assert_eq!(
        (code, &patched["metadata"]["annotations"]["patchedstatus"]),
        (200, &json!("true"))
    );
    let (_, mut service) = admin.get(&status).await;
    service["status"]["conditions"] = json!([condition]);
    service["spec"]["ports"][0]["port"] = 81.into();
    let (code, updated) = admin.call("PUT", &status, service).await;
    assert_eq!(code, 200, "{updated}");
    assert_eq!(updated["status"]["conditions"][0]["type"], "StatusPatched");
    assert_eq!(updated["spec"]["ports"][0]["port"], 80);

    let namespaces = "/api/v1/namespaces";
    let namespace = json!({"metadata": {"name": "n"}});
    assert_eq!(admin.call("POST", namespaces, namespace).await.0, 201);
    let status = format!("{namespaces}/n/status");
    let patch = json!({"status": {"conditions": [condition]}}).to_string();
    let (code, patched) = admin.call_as("PATCH", &status, merge, patch).await;
    assert_eq!(
        (code, &patched["status"]["conditions"][0]),
        (200, &condition)
    );

    let nodes = "/api/v1/nodes";
    let node = json!({"metadata": {"name": "e2e-fake-node"}, "status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "reason": "fakeNode", "message": "m"}]}});
    let (code, node) = admin.call("POST", nodes, node).await;
    assert_eq!(
        (code, &node["status"]["conditions"][0]["reason"]),
        (201, &json!("fakeNode"))
    );
    let path = format!("{nodes}/e2e-fake-node");
    let patch = json!({"metadata": {"labels": {"e2e": "patched"}}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, STRATEGIC, patch).await.0, 200);
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "False",
        "reason": "patched", "message": "m"}]}});
    let status = format!("{path}/status");
    let (code, patched) = admin
        .call_as("PATCH", &status, STRATEGIC, patch.to_string())
        .await;
    assert_eq!(
        (code, &patched["status"]["conditions"][0]["reason"]),
        (200, &json!("patched"))
    );
    let selected = format!("{nodes}?labelSelector=e2e%3Dpatched");
    assert_eq!(admin.call("DELETE", &selected, json!({})).await.0, 200);
    assert_eq!(admin.get(&path).await.0, 404);

    for (plural, field) in [("configmaps", "data"), ("secrets", "data")] {
        let object = json!({"metadata": {"name": "x"}, field: {"": "dmFsdWU="}});
        let (code, _) = admin
            .call("POST", &format!("{DEFAULT}/{plural}"), object)
            .await;
        assert_eq!(code, 422);
    }
    server.stop().await;
}

/// Upstream: `test/e2e/apimachinery/watch.go`, "concurrent watches in same order".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_watches_tell_the_same_in_the_same_order() {
    let (server, mut admin) = Server::fresh().await;
    let collection = format!("{DEFAULT}/configmaps");
    let (_, list) = admin.get(&collection).await;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one");
    let mut versions = vec![version.to_owned()];
    for turn in 0..10 {
        let name = format!("cm-{}", turn % 3);
        let object = json!({"metadata": {"name": name}, "data": {"turn": turn.to_string()}});
        let path = format!("{collection}/{name}");
        let (_, changed) = match turn {
            0..3 => admin.call("POST", &collection, object).await,
            3..7 => admin.call("PUT", &path, object).await,
            _ => admin.call("DELETE", &path, json!({})).await,
        };
        if let Some(version) = changed["metadata"]["resourceVersion"].as_str() {
            versions.push(version.to_owned());
        }
    }
    let mut told: Option<Vec<String>> = None;
    for (at, version) in versions.iter().enumerate() {
        let path = format!("{collection}?watch=1&resourceVersion={version}");
        let mut watch = server.client("admin").await.watch(&path).await;
        let mut seen = Vec::new();
        for _ in at..10 {
            let event = watch.next().await.expect("goes on");
            let version = &event["object"]["metadata"]["resourceVersion"];
            seen.push(version.as_str().expect("has one").to_owned());
        }
        let all = told.get_or_insert_with(|| seen.clone());
        assert_eq!(seen, all[at..], "from {version}");
    }
    server.stop().await;
}
