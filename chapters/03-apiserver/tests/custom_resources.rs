//! Kinds that clients define, as clients see them. What upstream's end-to-end tests demand of
//! them (`test/e2e/apimachinery/custom_resource_definition.go`, `crd_watch.go`,
//! `crd_selectable_fields.go`) is held here.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use serde_json::{Value, json};
use support::{Client, Server, get_as};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";
const MERGE: &str = "application/merge-patch+json";

/// A definition whose versions all have this schema.
fn definition(versions: &[&str], schema: Value) -> Value {
    let version = |(i, name): (usize, &&str)| {
        json!({"name": name, "served": true, "storage": i == 0,
        "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}, "scale": {
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector"}},
        "selectableFields": [{"jsonPath": ".spec.image"}],
        "additionalPrinterColumns": [
            {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]})
    };
    let versions: Vec<Value> = versions.iter().enumerate().map(version).collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced", "versions": versions,
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab",
                "shortNames": ["ct"], "categories": ["all"]}}})
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "description": "What is wanted.", "properties": {
            "cronSpec": {"type": "string", "pattern": "^\\S+( \\S+)*$"},
            "image": {"type": "string"},
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
            "ports": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "required": ["port"], "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"}}}},
        }},
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "selector": {"type": "string"}}},
    }})
}

fn tab(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name},
        "spec": spec})
}

/// Makes a definition, and waits until it is served.
async fn define(server: &Server, admin: &mut Client, definition: Value) {
    let name = definition["metadata"]["name"]
        .as_str()
        .expect("has one")
        .to_owned();
    let (code, made) = admin.call("POST", CRDS, definition).await;
    assert_eq!(code, 201, "{made}");
    established(server, &name).await;
}

/// Waits until a definition is served, by a watch.
async fn established(server: &Server, name: &str) {
    let path = format!("{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}");
    let mut watch = server.client("admin").await.watch(&path).await;
    while let Some(event) = watch.next().await {
        if condition(&event["object"], "Established")["status"] == "True" {
            return;
        }
    }
    panic!("the watch of {name} has ended");
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    found.unwrap_or(&Value::Null)
}

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
async fn defaults_are_filled_in_from_the_store() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    assert_eq!(
        admin
            .call("POST", TABS, tab("old", json!({"cronSpec": "x"})))
            .await
            .0,
        201
    );

    // A field that comes to have a default has it in what is stored already; one that goes, goes.
    let name = format!("{CRDS}/crontabs.stable.example.com");
    let (_, mut changed) = admin.get(&name).await;
    let properties = &mut changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    properties["spec"]["properties"]["image"]["default"] = "busybox".into();
    properties["spec"]["properties"]
        .as_object_mut()
        .expect("is one")
        .remove("cronSpec");
    let (code, changed) = admin.call("PUT", &name, changed).await;
    assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(2)));
    let (_, old) = admin.get(&format!("{TABS}/old")).await;
    assert_eq!(old["spec"], json!({"image": "busybox", "replicas": 1}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_scale_have_paths_of_their_own() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    let mut with_status = tab("a", json!({"replicas": 2}));
    with_status["status"] = json!({"replicas": 9});
    let (_, made) = admin.call("POST", TABS, with_status).await;
    assert_eq!(made.get("status"), None);
    let path = format!("{TABS}/a");
    let both =
        json!({"spec": {"replicas": 5}, "status": {"replicas": 2, "selector": "a=b"}}).to_string();
    let (code, told) = admin
        .call_as("PATCH", &format!("{path}/status"), MERGE, both)
        .await;
    assert_eq!(
        (code, &told["spec"]["replicas"], &told["status"]["replicas"]),
        (200, &json!(2), &json!(2))
    );
    assert_eq!(told["metadata"]["generation"], 1);

    let (code, scale) = admin.get(&format!("{path}/scale")).await;
    assert_eq!((code, &scale["spec"]), (200, &json!({"replicas": 2})));
    assert_eq!(scale["status"], json!({"replicas": 2, "selector": "a=b"}));
    let more = json!({"spec": {"replicas": 3}}).to_string();
    let (code, scale) = admin
        .call_as("PATCH", &format!("{path}/scale"), MERGE, more)
        .await;
    assert_eq!(
        (code, &scale["spec"]["replicas"]),
        (200, &json!(3)),
        "{scale}"
    );
    let (_, tab) = admin.get(&path).await;
    assert_eq!(
        (&tab["spec"]["replicas"], &tab["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    let (code, wrong) = admin
        .call("POST", TABS, tab("a", json!({"replicas": -1, "image": 3})))
        .await;
    assert_eq!(
        (code, &wrong["message"]),
        (
            422,
            &json!(
                "CronTab.stable.example.com \"a\" is invalid: [spec.image: Invalid value: \"integer\": \
         spec.image in body must be of type string: \"integer\", spec.replicas: Invalid value: -1: \
         spec.replicas in body should be greater than or equal to 0, .spec.replicas: Invalid \
         value: -1: should be a non-negative integer]"
            )
        )
    );
    let strict = format!("{TABS}?fieldValidation=Strict");
    let (code, unknown) = admin
        .call("POST", &strict, tab("a", json!({"foo": "bar"})))
        .await;
    assert_eq!(
        (code, &unknown["message"]),
        (
            400,
            &json!(
                "CronTab in version \"v1\" cannot be handled as a CronTab: strict decoding error: unknown \
         field \"spec.foo\""
            )
        )
    );
    assert_eq!(admin.call("POST", TABS, tab("a", json!({}))).await.0, 201);
    let strategic = "application/strategic-merge-patch+json";
    let path = format!("{TABS}/a");
    assert_eq!(
        admin
            .call_as("PATCH", &path, strategic, "{}".into())
            .await
            .0,
        415
    );
    let (code, unversioned) = admin.call("PUT", &path, tab("a", json!({}))).await;
    assert_eq!(code, 422);
    assert_eq!(
        unversioned["details"]["causes"][0]["field"],
        "metadata.resourceVersion"
    );

    // Names belong to one definition of a group.
    let mut second = definition(&["v1"], schema());
    second["metadata"]["name"] = "tables.stable.example.com".into();
    second["spec"]["names"] = json!({"plural": "tables", "kind": "CronTab"});
    assert_eq!(admin.call("POST", CRDS, second).await.0, 201);
    let path = format!("{CRDS}?watch=1&fieldSelector=metadata.name%3Dtables.stable.example.com");
    let mut watch = server.client("admin").await.watch(&path).await;
    loop {
        let event = watch.next().await.expect("goes on");
        let accepted = condition(&event["object"], "NamesAccepted");
        if accepted["status"] == "False" {
            assert_eq!(accepted["reason"], "ListKindConflict");
            assert_eq!(accepted["message"], "\"CronTabList\" is already in use");
            break;
        }
    }
    // The other one goes: then the names are free.
    let name = format!("{CRDS}/crontabs.stable.example.com");
    assert_eq!(admin.call("DELETE", &name, json!({})).await.0, 200);
    established(&server, "tables.stable.example.com").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_have_the_columns_of_the_definition() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    assert_eq!(
        admin
            .call("POST", TABS, tab("a", json!({"cronSpec": "* * *"})))
            .await
            .0,
        201
    );
    let table = get_as(
        &mut admin,
        TABS,
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    )
    .await;
    let columns = table["columnDefinitions"].as_array().expect("has columns");
    let columns: Vec<_> = columns
        .iter()
        .map(|column| {
            (
                column["name"].as_str().expect("has one"),
                column["priority"].as_i64(),
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("Name", Some(0)),
            ("Spec", Some(0)),
            ("Replicas", Some(1)),
            ("Age", Some(0))
        ]
    );
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        (&cells[0], &cells[1], &cells[2]),
        (&json!("a"), &json!("* * *"), &json!(1))
    );
    let table = get_as(
        &mut admin,
        CRDS,
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    )
    .await;
    assert_eq!(table["rows"][0]["cells"][0], "crontabs.stable.example.com");
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
async fn apply_merges_by_the_schema() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1"], schema())).await;
    let path = format!("{TABS}/a");
    let apply = |manager: &str, force: bool, spec: Value| {
        let path = format!("{path}?fieldManager={manager}&force={force}");
        (path, tab("a", spec).to_string())
    };
    let yaml = "application/apply-patch+yaml";
    let (to, body) = apply(
        "one",
        false,
        json!({"cronSpec": "1", "ports": [{"port": 80, "name": "web"}]}),
    );
    let (code, made) = admin.call_as("PATCH", &to, yaml, body).await;
    assert_eq!(code, 201, "{made}");
    let (to, body) = apply(
        "two",
        false,
        json!({"ports": [{"port": 443, "name": "tls"}]}),
    );
    let (code, merged) = admin.call_as("PATCH", &to, yaml, body).await;
    assert_eq!(code, 200, "{merged}");
    assert_eq!(
        merged["spec"]["ports"].as_array().map(Vec::len),
        Some(2),
        "{merged}"
    );
    let (to, body) = apply(
        "two",
        false,
        json!({"cronSpec": "2", "ports": [{"port": 443, "name": "tls"}]}),
    );
    let (code, conflict) = admin.call_as("PATCH", &to, yaml, body).await;
    assert_eq!(
        (code, &conflict["message"]),
        (
            409,
            &json!("Apply failed with 1 conflict: conflict with \"one\": .spec.cronSpec")
        )
    );
    let (to, body) = apply("two", true, json!({"cronSpec": "2"}));
    let (code, taken) = admin.call_as("PATCH", &to, yaml, body).await;
    assert_eq!(code, 200);
    assert_eq!(taken["spec"]["cronSpec"], "2");
    // What it no longer applies goes; what the other one applied stays.
    assert_eq!(
        taken["spec"]["ports"],
        json!([{"name": "web", "port": 80, "protocol": "TCP"}])
    );
    let twice = "\napiVersion: stable.example.com/v1\nkind: CronTab\nmetadata:\n  name: a\nspec:\n  \
         cronSpec: a\n  cronSpec: b\n";
    let to = format!("{path}?fieldManager=two&force=true&fieldValidation=Strict");
    let (code, refused) = admin.call_as("PATCH", &to, yaml, twice.to_owned()).await;
    let message = refused["message"].as_str().expect("says why");
    assert_eq!(code, 400);
    assert!(
        message.contains("line 8: key \"cronSpec\" already set in map"),
        "{message}"
    );
    let (to, body) = apply("two", true, json!({"nonsense": "2"}));
    let (code, unknown) = admin.call_as("PATCH", &to, yaml, body).await;
    assert_eq!(code, 500);
    assert!(
        unknown["message"]
            .as_str()
            .is_some_and(|m| m.ends_with(".spec.nonsense: field not declared in schema")),
        "{unknown}"
    );
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold() {
    let (server, mut admin) = Server::fresh().await;
    let mut ruled = schema();
    let spec = &mut ruled["properties"]["spec"];
    spec["x-kubernetes-validations"] = json!([
        {"rule": "self.replicas <= 5", "message": "at most five", "fieldPath": ".replicas"},
        {"rule": "!has(oldSelf.image) || self.image == oldSelf.image", "reason": "FieldValueForbidden",
            "messageExpression": "'image was ' + oldSelf.image"},
    ]);
    let mut wrong = ruled.clone();
    wrong["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] = "self.nothing > 1".into();
    let (code, refused) = admin.call("POST", CRDS, definition(&["v1"], wrong)).await;
    assert_eq!(code, 422);
    let message = refused["message"].as_str().expect("says why");
    assert!(message.contains("undefined field 'nothing'"), "{message}");
    let field = &refused["details"]["causes"][0]["field"];
    let rule = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule";
    assert_eq!(field, rule);

    let path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations";
    let mut ill_formed = ruled.clone();
    ill_formed["properties"]["spec"]["x-kubernetes-validations"] = json!([
        {"rule": "true", "fieldPath": "replicas"},
        {"rule": "true", "fieldPath": ".nothing"},
        {"rule": "true", "fieldPath": "['replicas']"},
        {"rule": "true", "messageExpression": " "},
    ]);
    assert_eq!(
        admin.refused(CRDS, definition(&["v1"], ill_formed)).await,
        [
            format!("{path}[0].fieldPath: Invalid value: \"replicas\": must be a valid path"),
            format!("{path}[1].fieldPath: Invalid value: \".nothing\": must be a valid path"),
            format!(
                "{path}[3].messageExpression: Required value: messageExpression must be non-empty \
                 if specified"
            ),
        ]
    );
    let mut wrong = ruled.clone();
    wrong["properties"]["spec"]["x-kubernetes-validations"] = json!([
        {"rule": "self.replicas"},
        {"rule": "true", "messageExpression": "self.replicas"},
    ]);
    let told = admin.refused(CRDS, definition(&["v1"], wrong)).await;
    assert!(
        told[0].ends_with("cel expression must evaluate to a bool"),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("messageExpression must evaluate to a string"),
        "{told:?}"
    );

    define(&server, &mut admin, definition(&["v1"], ruled)).await;
    let (code, refused) = admin
        .call("POST", TABS, tab("a", json!({"replicas": 6})))
        .await;
    let expected = "CronTab.stable.example.com \"a\" is invalid: spec.replicas: Invalid value: at \
                    most five";
    assert_eq!((code, &refused["message"]), (422, &json!(expected)));
    let made = tab("a", json!({"image": "one"}));
    assert_eq!(admin.call("POST", TABS, made).await.0, 201);
    let other = json!({"spec": {"image": "two"}}).to_string();
    let (code, refused) = admin
        .call_as("PATCH", &format!("{TABS}/a"), MERGE, other)
        .await;
    let expected = "CronTab.stable.example.com \"a\" is invalid: spec: Forbidden: image was one";
    assert_eq!((code, &refused["message"]), (422, &json!(expected)));
    server.stop().await;
}

/// Upstream: `apiextensions-apiserver/pkg/apiserver/conversion/converter.go`; an empty list has
/// nothing to convert.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_webhook_would_convert_is_not_shown_as_it_is() {
    let (server, mut admin) = Server::fresh().await;
    let mut converted = definition(&["v1", "v2"], schema());
    let url = "https://converter.example.com/convert";
    converted["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": {"url": url}}});
    define(&server, &mut admin, converted).await;
    let other = TABS.replace("/v1/", "/v2/");
    assert_eq!(admin.get(&other).await.0, 200);
    let made = tab("a", json!({"cronSpec": "* *"}));
    assert_eq!(admin.call("POST", TABS, made).await.0, 201);
    assert_eq!(admin.get(&format!("{TABS}/a")).await.0, 200);
    for path in [
        other.clone(),
        format!("{other}/a"),
        format!("{other}?watch=1"),
    ] {
        let (code, refused) = admin.get(&path).await;
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(message.contains("conversion webhook for"), "{message}");
        assert_eq!(code, 500);
    }
    server.stop().await;
}

/// Upstream: `apiextensions-apiserver/pkg/apiserver/conversion/nop_converter.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_differ_by_their_name_alone_without_a_webhook() {
    let (server, mut admin) = Server::fresh().await;
    define(&server, &mut admin, definition(&["v1", "v2"], schema())).await;
    let made = tab("a", json!({"cronSpec": "* *"}));
    assert_eq!(admin.call("POST", TABS, made).await.0, 201);
    let other = TABS.replace("/v1/", "/v2/");
    let (_, listed) = admin.get(&other).await;
    assert_eq!(listed["apiVersion"], "stable.example.com/v2");
    assert_eq!(listed["items"][0]["apiVersion"], "stable.example.com/v2");
    let (_, got) = admin.get(&format!("{other}/a")).await;
    assert_eq!(got["apiVersion"], "stable.example.com/v2");
    let mut watch = server
        .client("admin")
        .await
        .watch(&format!("{other}?watch=1"))
        .await;
    let event = watch.next().await.expect("is told");
    assert_eq!(event["object"]["apiVersion"], "stable.example.com/v2");
    let patch = json!({"spec": {"image": "i"}}).to_string();
    let path = format!("{TABS}/a");
    assert_eq!(admin.call_as("PATCH", &path, MERGE, patch).await.0, 200);
    let event = watch.next().await.expect("is told");
    assert_eq!(event["type"], "MODIFIED");
    assert_eq!(event["object"]["apiVersion"], "stable.example.com/v2");
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

/// Upstream: `apiextensions-apiserver/test/integration/objectmeta_test.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_within_objects_say_what_they_are() {
    let (server, mut admin) = Server::fresh().await;
    let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true});
    let mut holding = schema();
    let fields = &mut holding["properties"]["spec"]["properties"];
    fields["one"] = embedded.clone();
    fields["many"] = json!({"type": "array", "items": embedded});
    fields["named"] = json!({"type": "object", "additionalProperties": embedded});
    define(&server, &mut admin, definition(&["v1"], holding)).await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}}});
    let good = tab("a", json!({"one": pod, "many": [pod], "named": {"k": pod}}));
    assert_eq!(admin.call("POST", TABS, good).await.0, 201);
    let bad = json!({
        "one": {"apiVersion": "", "kind": "No_Kind",
            "metadata": {"name": "a/b", "namespace": "A", "labels": {"-": "x"}}},
        "many": [{"apiVersion": "a/b/c"}],
        "named": {"k": {"kind": "Pod"}},
    });
    let told = admin.refused(TABS, tab("b", bad)).await;
    let has = |wanted: &str| {
        assert!(
            told.iter().any(|line| line.starts_with(wanted)),
            "{wanted}: {told:#?}"
        );
    };
    has("spec.one.apiVersion: Invalid value: \"\": must not be empty");
    has(
        "spec.one.kind: Invalid value: \"No_Kind\": may have mixed case, but should otherwise match",
    );
    has("spec.one.metadata.name: Invalid value: \"a/b\": may not contain '/'");
    has("spec.one.metadata.namespace: Invalid value: \"A\"");
    has("spec.one.metadata.labels: Invalid value: \"-\"");
    has("spec.many[0].apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c");
    has("spec.many[0].kind: Required value");
    has("spec.named[k].apiVersion: Required value");
    assert_eq!(told.len(), 8, "{told:#?}");
    server.stop().await;
}
