//! Their objects: defaults, status and scale, columns, apply.

use serde_json::{Value, json};

use super::support::{Server, get_as};
use super::{CRDS, MERGE, TABS, define, definition, schema, tab};

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
