//! How deletions are asked for, and refused.

use serde_json::json;

use super::{CONFIG_MAPS, config_map, told};
use crate::support::Server;

/// Upstream: `apiserver/pkg/registry/rest/delete.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preconditions_say_what_does_not_match() {
    let (server, mut admin) = Server::fresh().await;
    let (_, made) = admin.call("POST", CONFIG_MAPS, config_map("x")).await;
    let text = |field: &str| {
        made["metadata"][field]
            .as_str()
            .expect("has one")
            .to_owned()
    };
    let (uid, version) = (text("uid"), text("resourceVersion"));
    let path = format!("{CONFIG_MAPS}/x");
    let begin = "Operation cannot be fulfilled on ConfigMap \"x\": the";
    let other = json!({"preconditions": {"uid": "other"}});
    assert_eq!(
        told(admin.call("DELETE", &path, other).await),
        (
            409,
            format!(
                "{begin} UID in the precondition (other) does not match the UID in record \
                 ({uid}). The object might have been deleted and then recreated"
            )
        )
    );
    let older = json!({"preconditions": {"uid": uid, "resourceVersion": "1"}});
    assert_eq!(
        told(admin.call("DELETE", &path, older).await),
        (
            409,
            format!(
                "{begin} ResourceVersion in the precondition (1) does not match the \
                 ResourceVersion in record ({version}). The object might have been modified"
            )
        )
    );
    // Namespaces are deleted by code of their own: `pkg/registry/core/namespace/storage`.
    let namespaces = "/api/v1/namespaces";
    let namespace = json!({"metadata": {"name": "n"}});
    let (_, made) = admin.call("POST", namespaces, namespace).await;
    let uid = made["metadata"]["uid"].as_str().expect("has one");
    let other = json!({"preconditions": {"uid": "other"}});
    assert_eq!(
        told(admin.call("DELETE", "/api/v1/namespaces/n", other).await),
        (
            409,
            format!(
                "Operation cannot be fulfilled on namespaces \"n\": Precondition failed: UID in \
                 precondition: other, UID in object meta: {uid}"
            )
        )
    );
    let same = json!({"preconditions": {"resourceVersion": version}});
    assert_eq!(admin.call("DELETE", &path, same).await.0, 200);
    server.stop().await;
}

/// Upstream: `apiserver/pkg/endpoints/handlers/delete.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_s_body_is_of_its_kind() {
    let (server, mut admin) = Server::fresh().await;
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("x")).await.0,
        201
    );
    let path = format!("{CONFIG_MAPS}/x");
    assert_eq!(
        told(admin.call("DELETE", &path, config_map("x")).await),
        (
            400,
            "no kind \"ConfigMap\" is registered for version \"v1\" in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
                .into()
        )
    );
    assert_eq!(
        told(
            admin
                .call("DELETE", &path, json!({"gracePeriodSeconds": "soon"}))
                .await
        ),
        (
            400,
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds \
             of type int64"
                .into()
        )
    );
    let both = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    assert_eq!(
        told(admin.call("DELETE", &path, both).await),
        (
            422,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \
             \"Orphan\": orphanDependents and deletionPropagation cannot be both set"
                .into()
        )
    );
    let unknown = json!({"propagationPolicy": "Sideways"});
    assert_eq!(
        told(admin.call("DELETE", &path, unknown).await),
        (
            422,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \
             \"Sideways\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                .into()
        )
    );
    let text = "text/plain";
    let sent = admin.call_as("DELETE", &path, text, "{}".into()).await;
    assert_eq!(sent.0, 415);
    let query = format!("{path}?gracePeriodSeconds=soon");
    let json = "application/json";
    let sent = admin.call_as("DELETE", &query, json, String::new()).await;
    assert_eq!(sent.0, 400);

    // Every group has a kind of that name.
    let options = json!({"kind": "DeleteOptions", "apiVersion": "apps/v1", "color": "red"});
    assert_eq!(admin.call("DELETE", &path, options).await.0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_in_the_older_way_is_told_that_the_end_is_to_come() {
    let (server, mut admin) = Server::fresh().await;
    let mut held = config_map("x");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(admin.call("POST", CONFIG_MAPS, held).await.0, 201);
    let path = format!("{CONFIG_MAPS}/x");
    let older = json!({"orphanDependents": false});
    assert_eq!(admin.call("DELETE", &path, older).await.0, 202);
    let newer = json!({"propagationPolicy": "Background"});
    assert_eq!(admin.call("DELETE", &path, newer).await.0, 200);
    server.stop().await;
}

/// Upstream: `DeleteCollection` in `apiserver/pkg/registry/generic/registry/store.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_collection_can_be_deleted() {
    let (server, mut admin) = Server::fresh().await;
    let mut uids = Vec::new();
    for name in ["a", "b", "c"] {
        let (_, made) = admin.call("POST", CONFIG_MAPS, config_map(name)).await;
        uids.push(made["metadata"]["uid"].clone());
    }
    let page = format!("{CONFIG_MAPS}?limit=1");
    let (code, deleted) = admin.call("DELETE", &page, json!({})).await;
    assert_eq!((code, &deleted["kind"]), (200, &json!("ConfigMapList")));
    assert_eq!(deleted["items"][0]["metadata"]["name"], "a");
    assert_eq!(deleted["metadata"]["remainingItemCount"], 2);
    assert!(deleted["metadata"]["continue"].is_string());

    // One that is another object than was meant ends it.
    let second = json!({"preconditions": {"uid": uids[2]}});
    assert_eq!(admin.call("DELETE", CONFIG_MAPS, second).await.0, 409);
    let rehearsed = json!({"dryRun": ["All"]});
    assert_eq!(admin.call("DELETE", CONFIG_MAPS, rehearsed).await.0, 200);
    let (_, listed) = admin.get(CONFIG_MAPS).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    let one = format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Db");
    assert_eq!(admin.call("DELETE", &one, json!({})).await.0, 200);
    let (_, listed) = admin.get(CONFIG_MAPS).await;
    assert_eq!(listed["items"][0]["metadata"]["name"], "c");
    server.stop().await;
}
