//! Kinds come, serve, are watched, and go; discovery follows.

use serde_json::json;

use super::support::{Server, get_as};
use super::{CRDS, MERGE, TABS, condition, define, definition, schema, tab};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_comes_serves_and_goes() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    assert_eq!(admin.get(TABS).await.0, 404);
    define(&server, &mut admin, definition(&["v1", "v2"], schema())).await;
    let name = format!("{CRDS}/crontabs.stable.example.com");
    let (_, made) = admin.get(&name).await;
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(made["status"]["acceptedNames"]["listKind"], "CronTabList");
    assert_eq!(condition(&made, "NamesAccepted")["reason"], "NoConflicts");
    assert_eq!(
        condition(&made, "Established")["reason"],
        "InitialNamesAccepted"
    );
    assert_eq!(made["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(made["metadata"]["generation"], 1);

    let (code, made) = admin
        .call("POST", TABS, tab("a", json!({"cronSpec": "* *", "odd": 1})))
        .await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"], json!({"cronSpec": "* *", "replicas": 1}));
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{TABS}/a");
    let (code, read) = admin.get(&path).await;
    assert_eq!((code, &read["spec"]), (200, &made["spec"]));
    let (_, list) = admin.get(TABS).await;
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("CronTabList"), &json!("stable.example.com/v1"))
    );
    assert_eq!(list["items"][0]["spec"], made["spec"]);
    // The other version shows the same object.
    let (_, other) = admin.get(&path.replace("/v1/", "/v2/")).await;
    assert_eq!(other["apiVersion"], "stable.example.com/v2");
    assert_eq!(other["spec"], made["spec"]);

    // What is defined and its objects are there after a restart.
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    assert_eq!(admin.get(&path).await.1["spec"], made["spec"]);

    // Its objects go with it; one that is held holds it, too. Nothing new comes meanwhile.
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, MERGE, hold).await.0, 200);
    let mut ends = server
        .client("admin")
        .await
        .watch(&format!("{CRDS}?watch=1&resourceVersion=0"))
        .await;
    let (code, ending) = admin.call("DELETE", &name, json!({})).await;
    assert_eq!(code, 200);
    assert_eq!(condition(&ending, "Terminating")["status"], "True");
    let (code, refused) = admin.call("POST", TABS, tab("b", json!({}))).await;
    assert_eq!(code, 403);
    let message = refused["message"].as_str().expect("says why");
    assert!(
        message.ends_with("create not allowed while custom resource definition is terminating"),
        "{message}"
    );
    let release = json!({"metadata": {"finalizers": null}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, MERGE, release).await.0, 200);
    while ends.next().await.expect("goes on")["type"] != "DELETED" {}
    assert_eq!(admin.get(TABS).await.0, 404);
    assert_eq!(admin.get(&name).await.0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_tell_of_custom_objects() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    let red = format!("{TABS}?watch=1&fieldSelector=spec.image%3Dred");
    let mut all = server
        .client("admin")
        .await
        .watch(&format!("{TABS}?watch=1"))
        .await;
    let mut red = server.client("admin").await.watch(&red).await;
    let path = format!("{TABS}/a");
    assert_eq!(
        admin
            .call("POST", TABS, tab("a", json!({"image": "red"})))
            .await
            .0,
        201
    );
    assert_eq!(
        admin
            .call_as(
                "PATCH",
                &path,
                MERGE,
                json!({"spec": {"image": "blue"}}).to_string()
            )
            .await
            .0,
        200
    );
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    for kind in ["ADDED", "MODIFIED", "DELETED"] {
        assert_eq!(all.next_event().await, (kind.into(), "a".into()));
    }
    assert_eq!(red.next_event().await, ("ADDED".into(), "a".into()));
    assert_eq!(red.next_event().await, ("DELETED".into(), "a".into()));
    let (code, refused) = admin
        .get(&format!("{TABS}?fieldSelector=spec.cronSpec%3Dx"))
        .await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("field label not supported: spec.cronSpec"))
    );

    // Who watches a kind whose definition changes is sent away, and looks anew.
    let change = json!({"spec": {"names": {"shortNames": ["ct", "cts"]}}}).to_string();
    let name = format!("{CRDS}/crontabs.stable.example.com");
    assert_eq!(admin.call_as("PATCH", &name, MERGE, change).await.0, 200);
    assert_eq!(all.next().await, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_and_openapi_follow() {
    let (server, mut admin) = Server::fresh().await;
    let (_, before) = admin.get("/openapi/v3").await;
    define(
        &server,
        &mut admin,
        definition(&["v1beta1", "v1"], schema()),
    )
    .await;
    let (_, groups) = admin.get("/apis").await;
    let groups = groups["groups"].as_array().expect("has groups");
    let group = groups
        .iter()
        .find(|group| group["name"] == "stable.example.com")
        .expect("is served");
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let (_, resources) = admin.get("/apis/stable.example.com/v1").await;
    let names: Vec<_> = resources["resources"]
        .as_array()
        .expect("has resources")
        .iter()
        .map(|r| (r["name"].clone(), r["kind"].clone()))
        .collect();
    assert_eq!(
        names,
        [
            (json!("crontabs"), json!("CronTab")),
            (json!("crontabs/scale"), json!("Scale")),
            (json!("crontabs/status"), json!("CronTab")),
        ]
    );
    assert_eq!(resources["resources"][0]["shortNames"], json!(["ct"]));
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let list = get_as(&mut admin, "/apis", aggregated).await;
    let items = list["items"].as_array().expect("has groups");
    let group = items
        .iter()
        .find(|group| group["metadata"]["name"] == "stable.example.com")
        .expect("is told");
    assert_eq!(
        group["versions"][0]["resources"][0]["responseKind"]["kind"],
        "CronTab"
    );

    let (_, after) = admin.get("/openapi/v3").await;
    assert_eq!(before["paths"].get("apis/stable.example.com/v1"), None);
    let url = after["paths"]["apis/stable.example.com/v1"]["serverRelativeURL"]
        .as_str()
        .expect("is there");
    let (code, document) = admin.get(url).await;
    assert_eq!(code, 200);
    let model = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(
        model["properties"]["spec"]["description"],
        "What is wanted."
    );
    assert_eq!(
        model["x-kubernetes-group-version-kind"],
        json!([{"group": "stable.example.com", "version": "v1", "kind": "CronTab"}])
    );
    assert!(model["properties"]["metadata"].is_object());
    // `kubectl apply` looks there for how to patch.
    let one = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}";
    let patches = &document["paths"][one]["patch"]["requestBody"]["content"];
    assert!(patches["application/merge-patch+json"].is_object());
    assert!(patches["application/strategic-merge-patch+json"].is_null());
    let list = &document["components"]["schemas"]["com.example.stable.v1.CronTabList"];
    assert_eq!(
        list["x-kubernetes-group-version-kind"][0]["kind"],
        "CronTabList"
    );
    let (_, document) = admin.get("/openapi/v2").await;
    let model = &document["definitions"]["com.example.stable.v1.CronTab"];
    assert_eq!(
        model["properties"]["spec"]["properties"]["cronSpec"]["pattern"],
        "^\\S+( \\S+)*$"
    );

    // A version that is served no more is told no more.
    let name = format!("{CRDS}/crontabs.stable.example.com");
    let unserve =
        json!([{"op": "replace", "path": "/spec/versions/0/served", "value": false}]).to_string();
    let (code, _) = admin
        .call_as("PATCH", &name, "application/json-patch+json", unserve)
        .await;
    assert_eq!(code, 200);
    assert_eq!(admin.get("/apis/stable.example.com/v1beta1").await.0, 404);
    let (_, document) = admin.get("/openapi/v2").await;
    assert_eq!(
        document["definitions"].get("com.example.stable.v1beta1.CronTab"),
        None
    );
    assert!(document["definitions"]["com.example.stable.v1.CronTab"].is_object());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_s_status_is_written_apart() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    let path = format!("{CRDS}/crontabs.stable.example.com/status");
    let (_, mut own) = admin.get(&path).await;
    let conditions = own["status"]["conditions"]
        .as_array_mut()
        .expect("has some");
    conditions.push(json!({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}));
    let (code, told) = admin.call("PUT", &path, own).await;
    assert_eq!(code, 200, "{told}");
    assert_eq!(condition(&told, "StatusUpdate")["reason"], "E2E");
    let patch = json!({"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}})
        .to_string();
    let (code, told) = admin.call_as("PATCH", &path, MERGE, patch).await;
    assert_eq!(code, 200, "{told}");
    assert_eq!(condition(&told, "StatusPatched")["status"], "True");
    server.stop().await;
}

/// Upstream: `pkg/controlplane/controller/crdregistration`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_has_its_service() {
    const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
    let (server, mut admin) = Server::fresh().await;
    let selector = "labelSelector=kube-aggregator.kubernetes.io/automanaged%3Dtrue";
    let path = format!("{SERVICES}?watch=1&{selector}");
    let mut watch = server.client("admin").await.watch(&path).await;
    let mut next = async |wanted: &str| {
        let event = watch.next().await.expect("is told");
        let name = event["object"]["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        assert_eq!(
            format!("{} {name}", event["type"].as_str().unwrap_or_default()),
            wanted
        );
        event["object"].clone()
    };
    let mut versions = definition(&["v1", "v2", "v3"], schema());
    versions["spec"]["versions"][2]["served"] = false.into();
    define(&server, &mut admin, versions).await;
    let made = next("ADDED v1.stable.example.com").await;
    assert_eq!(
        made["spec"],
        json!({"group": "stable.example.com", "version": "v1", "groupPriorityMinimum": 1000,
            "versionPriority": 100})
    );
    assert_eq!(condition(&made, "Available")["reason"], "Local");
    next("ADDED v2.stable.example.com").await;
    // Who takes it away finds it there again.
    let path = format!("{SERVICES}/v1.stable.example.com");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    next("DELETED v1.stable.example.com").await;
    next("ADDED v1.stable.example.com").await;
    let path = format!("{CRDS}/crontabs.stable.example.com");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    next("DELETED v1.stable.example.com").await;
    next("DELETED v2.stable.example.com").await;
    server.stop().await;
}
