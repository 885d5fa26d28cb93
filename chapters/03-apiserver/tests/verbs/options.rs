//! What a query and a body's form may be.

use serde_json::json;

use super::{APPLY, CONFIG_MAPS, MERGE, config_map, told};
use crate::support::Server;

/// Upstream: `apimachinery/pkg/apis/meta/v1/validation/validation.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_are_those_of_the_verb() {
    let (server, mut admin) = Server::fresh().await;
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("x")).await.0,
        201
    );
    let path = format!("{CONFIG_MAPS}/x");
    let refused = "is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"";
    for (method, path, options) in [
        ("POST", CONFIG_MAPS, "CreateOptions"),
        ("PUT", path.as_str(), "UpdateOptions"),
        ("DELETE", path.as_str(), "DeleteOptions"),
        ("DELETE", CONFIG_MAPS, "DeleteOptions"),
    ] {
        let body = match method {
            "DELETE" => String::new(),
            _ => config_map("x").to_string(),
        };
        let path = format!("{path}?dryRun=Some");
        let json = "application/json";
        assert_eq!(
            told(admin.call_as(method, &path, json, body).await),
            (422, format!("{options}.meta.k8s.io \"\" {refused}"))
        );
    }
    let patched = admin
        .call_as("PATCH", &format!("{path}?dryRun=Some"), MERGE, "{}".into())
        .await;
    assert_eq!(
        told(patched),
        (422, format!("PatchOptions.meta.k8s.io \"\" {refused}"))
    );
    let applied = admin
        .call_as("PATCH", &path, APPLY, config_map("x").to_string())
        .await;
    assert_eq!(
        told(applied),
        (
            422,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required \
             for apply patch"
                .into()
        )
    );
    // A read has no such options, and what nobody knows is passed over.
    let read = format!("{path}?dryRun=Some&fieldManager=%0a&color=red");
    assert_eq!(admin.get(&read).await.0, 200);
    assert_eq!(
        told(admin.get(&format!("{CONFIG_MAPS}?limit=few")).await),
        (
            400,
            "strconv.ParseInt: parsing \"few\": invalid syntax".into()
        )
    );
    // What becomes a connection cannot be rehearsed.
    let exec = "/api/v1/namespaces/default/pods/p/exec?dryRun=All";
    assert_eq!(
        told(admin.call("POST", exec, json!({})).await),
        (400, "dryRun is not supported".into())
    );
    server.stop().await;
}

/// Upstream: `transformDecodeError` in `apiserver/pkg/endpoints/handlers/rest.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_says_nothing_is_shown() {
    let (server, mut admin) = Server::fresh().await;
    let begin = "the object provided is unrecognized (must be of type ConfigMap): couldn't get \
                 version/kind; json parse error: ";
    for (body, why) in [
        ("", "unexpected end of JSON input (<empty>)"),
        (
            "{\"kind\": \"ConfigMap\", \"metadata\"",
            "unexpected end of JSON input ({\"kind\": \"ConfigMap\", \"metadat ...)",
        ),
        (
            "\u{1}\u{2}",
            "invalid character '\\u{1}' looking for beginning of value (0102)",
        ),
    ] {
        let json = "application/json";
        let sent = admin.call_as("POST", CONFIG_MAPS, json, body.into()).await;
        assert_eq!(told(sent), (400, format!("{begin}{why}")));
    }
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "other"}});
    assert_eq!(
        told(admin.call("POST", CONFIG_MAPS, other).await),
        (
            400,
            "the namespace of the provided object does not match the namespace sent on the request"
                .into()
        )
    );
    server.stop().await;
}
