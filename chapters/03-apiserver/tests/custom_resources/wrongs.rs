//! What is refused: by the schema, by rules, for want of a webhook.

use serde_json::json;

use super::support::Server;
use super::{CRDS, MERGE, TABS, condition, define, definition, established, schema, tab};

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
