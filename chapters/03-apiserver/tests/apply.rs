//! Server-side apply, as clients see it. The pure core has tests of its own.
//!
//! Upstream: `test/integration/apiserver/apply/apply_test.go`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use support::{Client, Server};

const MAP: &str = "/api/v1/namespaces/default/configmaps/c";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/d";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

async fn apply(client: &mut Client, path: &str, options: &str, config: Value) -> (u16, Value) {
    let path = format!("{path}?{options}");
    client
        .call_as("PATCH", &path, APPLY, config.to_string())
        .await
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn deployment(spec: Value) -> Value {
    let mut deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d"}, "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        deployment["spec"][field] = value.clone();
    }
    deployment
}

/// `manager operation subresource apiVersion` of who owns a field, given as a pointer.
fn owners(object: &Value, field: &str) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let owned = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["fieldsV1"].pointer(field).is_some());
    owned
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
            assert!(entry["time"].is_string(), "{entry}");
            ["manager", "operation", "subresource", "apiVersion"]
                .map(text)
                .join(" ")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_applied_is_refused_in_upstream_s_words() {
    let (server, mut admin) = Server::fresh().await;
    let mut check = async |options: &str, change: Value, code: u16, message: &str| {
        let mut config = map(json!({"a": "1"}));
        for (field, value) in change.as_object().into_iter().flatten() {
            match value {
                Value::Object(parts) => {
                    parts.iter().for_each(|(k, v)| config[field][k] = v.clone())
                }
                value => config[field] = value.clone(),
            }
        }
        let (answered, status) = apply(&mut admin, MAP, options, config).await;
        assert_eq!(
            (answered, status["message"].as_str().unwrap_or_default()),
            (code, message)
        );
    };
    check(
        "",
        json!({}),
        422,
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for \
         apply patch",
    )
    .await;
    let me = "fieldManager=me";
    check(
        me,
        json!({"metadata": {"managedFields": []}}),
        400,
        "metadata.managedFields must be nil",
    )
    .await;
    check(
        me,
        json!({"apiVersion": "apps/v1"}),
        400,
        "invalid object type: apps/v1, Kind=ConfigMap",
    )
    .await;
    for kind in [json!("Secret"), Value::Null] {
        let said = kind.as_str().unwrap_or_default().to_owned();
        let message = format!("invalid object type: /v1, Kind={said}");
        check(me, json!({"kind": kind}), 400, &message).await;
    }
    check(
        me,
        json!({"dat": {"a": "1"}}),
        500,
        "failed to create typed patch object (default/c; /v1, Kind=ConfigMap): .dat: field not \
         declared in schema",
    )
    .await;
    check(
        me,
        json!({"metadata": {"uid": "u"}}),
        409,
        "Operation cannot be fulfilled on configmaps \"c\": uid mismatch: the provided object \
         specified uid u, and no existing object was found",
    )
    .await;
    check(
        me,
        json!({"metadata": {"name": "other"}}),
        400,
        "the name of the object (other) does not match the name on the URL (c)",
    )
    .await;
    assert_eq!(admin.get(MAP).await.0, 404, "nothing was made");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_is_owned_shared_and_taken() {
    let (server, mut admin) = Server::fresh().await;
    let rehearsed = apply(
        &mut admin,
        MAP,
        "fieldManager=one&dryRun=All",
        map(json!({"a": "1"})),
    );
    assert_eq!(rehearsed.await.0, 201);
    assert_eq!(admin.get(MAP).await.0, 404);
    let both = map(json!({"a": "1", "b": "1"}));
    let (code, made) = apply(&mut admin, MAP, "fieldManager=one", both.clone()).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(owners(&made, "/f:data/f:a"), ["one Apply - v1"]);
    // The same again is no write.
    let (code, again) = apply(&mut admin, MAP, "fieldManager=one", both).await;
    assert_eq!(code, 200);
    assert_eq!(again, made);

    // The same value is shared, another is a conflict, unless forced.
    let (_, shared) = apply(&mut admin, MAP, "fieldManager=two", map(json!({"a": "1"}))).await;
    assert_eq!(
        owners(&shared, "/f:data/f:a"),
        ["one Apply - v1", "two Apply - v1"]
    );
    let other = map(json!({"a": "2", "b": "2"}));
    let (code, conflict) = apply(&mut admin, MAP, "fieldManager=three", other.clone()).await;
    assert_eq!((code, &conflict["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        conflict["message"],
        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b\nconflicts \
         with \"two\":\n- .data.a"
    );
    assert_eq!(
        conflict["details"]["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"",
            "field": ".data.a"})
    );
    let (code, taken) = apply(&mut admin, MAP, "fieldManager=three&force=true", other).await;
    assert_eq!((code, &taken["data"]), (200, &json!({"a": "2", "b": "2"})));
    assert_eq!(owners(&taken, "/f:data/f:a"), ["three Apply - v1"]);

    // What its only manager leaves out goes.
    let (_, left) = apply(
        &mut admin,
        MAP,
        "fieldManager=three",
        map(json!({"a": "2"})),
    )
    .await;
    assert_eq!(left["data"], json!({"a": "2"}));
    // An object that has changed since is not applied to.
    let mut stale = map(json!({"a": "2"}));
    stale["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let (code, conflict) = apply(&mut admin, MAP, "fieldManager=three", stale).await;
    assert_eq!((code, &conflict["reason"]), (409, &json!("Conflict")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_writes_own_what_they_change() {
    let (server, mut admin) = Server::fresh().await;
    // Who does not say, is the program that it says it is.
    let request = Request::post("/api/v1/namespaces/default/configmaps")
        .header("host", "localhost")
        .header("user-agent", "kubectl/v1.36.2 (linux/amd64)")
        .body(Full::from(map(json!({"a": "1", "b": "1"})).to_string()));
    let answer = admin.send(request.expect("is a request")).await;
    let body = answer.into_body().collect().await.expect("is whole");
    let made: Value = serde_json::from_slice(&body.to_bytes()).expect("is JSON");
    assert_eq!(owners(&made, "/f:data/f:a"), ["kubectl Update - v1"]);
    let patch = json!({"data": {"a": "2"}}).to_string();
    let path = format!("{MAP}?fieldManager=hand");
    let (_, patched) = admin.call_as("PATCH", &path, MERGE, patch).await;
    assert_eq!(owners(&patched, "/f:data/f:a"), ["hand Update - v1"]);
    assert_eq!(owners(&patched, "/f:data/f:b"), ["kubectl Update - v1"]);
    let (code, conflict) = apply(&mut admin, MAP, "fieldManager=one", map(json!({"a": "3"}))).await;
    assert_eq!(code, 409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"hand\" using v1: .data.a"
    );

    // Ownership can be forgotten, by all; then what is there belongs to nobody who could prune it.
    let reset = json!({"metadata": {"managedFields": [{}]}}).to_string();
    let (code, bare) = admin.call_as("PATCH", MAP, MERGE, reset).await;
    assert_eq!(code, 200);
    assert_eq!(bare["metadata"].get("managedFields"), None);
    let (code, applied) = apply(&mut admin, MAP, "fieldManager=one", map(json!({"a": "2"}))).await;
    assert_eq!(code, 200, "{applied}");
    assert_eq!(
        owners(&applied, "/f:data/f:a"),
        ["one Apply - v1", "before-first-apply Update - v1"]
    );

    // Of many updaters the oldest are joined.
    for index in 0..12 {
        let patch = json!({"data": {format!("k{index}"): "v"}}).to_string();
        let path = format!("{MAP}?fieldManager=m{index}");
        assert_eq!(admin.call_as("PATCH", &path, MERGE, patch).await.0, 200);
    }
    let (_, many) = admin.get(MAP).await;
    let entries = many["metadata"]["managedFields"].as_array().expect("has");
    let updaters = entries
        .iter()
        .filter(|entry| entry["operation"] == "Update");
    assert_eq!(updaters.count(), 10);
    assert_eq!(
        owners(&many, "/f:data/f:b"),
        ["ancient-changes Update - v1"]
    );
    assert_eq!(owners(&many, "/f:data/f:k11"), ["m11 Update - v1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_objects_are_owned_by_who_writes_them() {
    let (server, mut admin) = Server::fresh().await;
    let (code, made) = apply(
        &mut admin,
        DEPLOYMENT,
        "fieldManager=app",
        deployment(json!({"replicas": 1})),
    )
    .await;
    assert_eq!(code, 201, "{made}");
    let scale_path = format!("{DEPLOYMENT}/scale");
    let scale = |replicas: Value| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"},
            "spec": {"replicas": replicas}})
    };
    let (code, conflict) =
        apply(&mut admin, &scale_path, "fieldManager=hpa", scale(3.into())).await;
    assert_eq!(code, 409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"app\": .spec.replicas"
    );
    let forced = "fieldManager=hpa&force=true";
    let (code, scaled) = apply(&mut admin, &scale_path, forced, scale(3.into())).await;
    assert_eq!(
        (code, &scaled["spec"]["replicas"]),
        (200, &json!(3)),
        "{scaled}"
    );
    let replicas = "/f:spec/f:replicas";
    let (_, now) = admin.get(DEPLOYMENT).await;
    assert_eq!(owners(&now, replicas), ["hpa Apply scale apps/v1"]);
    // Who says nothing of them any more leaves them to who does.
    let (_, now) = apply(
        &mut admin,
        DEPLOYMENT,
        "fieldManager=app",
        deployment(json!({})),
    )
    .await;
    assert_eq!(now["spec"]["replicas"], 3);
    let (code, conflict) = apply(
        &mut admin,
        DEPLOYMENT,
        "fieldManager=app",
        deployment(json!({"replicas": 1})),
    )
    .await;
    assert_eq!(code, 409);
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\": \
         .spec.replicas"
    );
    let wrong = apply(&mut admin, &scale_path, forced, scale("three".into())).await;
    assert_eq!(wrong.0, 500, "{}", wrong.1);
    let negative = apply(&mut admin, &scale_path, forced, scale((-1).into())).await;
    assert_eq!(negative.0, 422, "{}", negative.1);
    let mut of_object = deployment(json!({"replicas": 1}));
    of_object["metadata"]["name"] = "d".into();
    assert_eq!(
        apply(&mut admin, &scale_path, forced, of_object).await.0,
        400
    );
    // An update of the scale is one of the field, too.
    let path = format!("{scale_path}?fieldManager=hand");
    let patch = json!({"spec": {"replicas": 5}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, MERGE, patch).await.0, 200);
    let (_, now) = admin.get(DEPLOYMENT).await;
    assert_eq!(owners(&now, replicas), ["hand Update scale apps/v1"]);

    // A status is applied by its own door, and by no other.
    let mut status = deployment(json!({}));
    status["status"] = json!({"replicas": 5});
    let (_, by_main) = apply(&mut admin, DEPLOYMENT, "fieldManager=app", status.clone()).await;
    assert_eq!(by_main["status"].get("replicas"), None);
    assert_eq!(owners(&by_main, "/f:status"), Vec::<String>::new());
    let path = format!("{DEPLOYMENT}/status");
    let (code, by_part) = apply(&mut admin, &path, "fieldManager=controller", status).await;
    assert_eq!((code, &by_part["status"]["replicas"]), (200, &json!(5)));
    assert_eq!(
        owners(&by_part, "/f:status/f:replicas"),
        ["controller Apply status apps/v1"]
    );
    assert_eq!(owners(&by_part, replicas), ["hand Update scale apps/v1"]);

    // Labels are not the status's, and what it says of them is owned by nobody.
    let mut status = deployment(json!({}));
    status["metadata"]["labels"] = json!({"l": "1"});
    status["metadata"]["annotations"] = json!({"n": "1"});
    let (code, by_part) = apply(&mut admin, &path, "fieldManager=controller", status).await;
    assert_eq!(code, 200, "{by_part}");
    assert_eq!(by_part["metadata"].get("labels"), None);
    assert_eq!(owners(&by_part, "/f:metadata/f:labels"), [""; 0]);
    assert_eq!(
        owners(&by_part, "/f:metadata/f:annotations/f:n"),
        ["controller Apply status apps/v1"]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_restored_keeps_what_was_noted_of_it() {
    let (server, mut admin) = Server::fresh().await;
    let entry = |fields: Value| {
        json!([{"manager": "one", "operation": "Apply", "apiVersion": "v1",
            "fieldsType": "FieldsV1", "fieldsV1": fields}])
    };
    let path = "/api/v1/namespaces/default/configmaps";
    // Who creates it owns what is in it; of what is not, the record stays.
    let mut object = map(json!({"a": "1"}));
    object["metadata"]["managedFields"] = entry(json!({"f:data": {"f:a": {}, "f:b": {}}}));
    let restore = format!("{path}?fieldManager=restore");
    let (code, made) = admin.call("POST", &restore, object).await;
    assert_eq!(code, 201, "{made}");
    let entries = made["metadata"]["managedFields"].as_array().expect("has");
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| (entry["manager"].as_str(), &entry["fieldsV1"]))
        .collect();
    assert_eq!(
        shown,
        [
            (Some("one"), &json!({"f:data": {"f:b": {}}})),
            (Some("restore"), &json!({"f:data": {".": {}, "f:a": {}}})),
        ]
    );
    // What cannot be read is dropped.
    let mut object = map(json!({"a": "1"}));
    object["metadata"]["name"] = "other".into();
    object["metadata"]["managedFields"] = entry(json!({"data": {}}));
    let (code, made) = admin.call("POST", &restore, object).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(owners(&made, "/f:data/f:a"), ["restore Update - v1"]);
    server.stop().await;
}
