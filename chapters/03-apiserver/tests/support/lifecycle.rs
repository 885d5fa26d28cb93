//! What upstream's conformance tests demand of every kind's API.

use serde_json::{Value, json};

use super::Server;

/// Takes three objects of a kind through all verbs. `template` gets a generated name.
pub async fn lifecycle(server: &Server, collection: &str, template: Value) {
    let mut admin = server.client("admin").await;
    // Discovery tells of it.
    let (group_path, plural) = match collection.split_once("/namespaces/") {
        Some((group, rest)) => (group, rest.split_once('/').expect("a collection").1),
        None => collection.rsplit_once('/').expect("a collection"),
    };
    let (code, discovered) = admin.get(group_path).await;
    assert_eq!(code, 200, "{group_path}");
    let resources = discovered["resources"].as_array().expect("a list");
    assert!(resources.iter().any(|r| r["name"] == plural), "{plural}");

    let mut template = template;
    template["metadata"]["labels"] = json!({"test": "one"});
    let mut names = Vec::new();
    for index in 0..3 {
        template["metadata"]["name"] = format!("lifecycle-{index}").into();
        let (code, made) = admin.call("POST", collection, template.clone()).await;
        assert_eq!(code, 201, "{made}");
        names.push(
            made["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned(),
        );
    }
    let (code, again) = admin.call("POST", collection, template.clone()).await;
    assert_eq!((code, &again["reason"]), (409, &json!("AlreadyExists")));
    let path = format!("{collection}/{}", names[0]);
    let (code, got) = admin.get(&path).await;
    assert_eq!((code, &got["metadata"]["name"]), (200, &json!(names[0])));

    let selected = format!("{collection}?labelSelector=test%3Done");
    let (_, listed) = admin.get(&selected).await;
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(3),
        "{listed}"
    );
    let version = listed["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one");
    let watch = format!("{collection}?watch=1&resourceVersion={version}");
    let mut watch = server.client("admin").await.watch(&watch).await;

    let merge = "application/merge-patch+json";
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}}).to_string();
    let (code, patched) = admin.call_as("PATCH", &path, merge, patch).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    assert_eq!(
        patched["metadata"]["generation"],
        got["metadata"]["generation"]
    );
    let mut new = patched.clone();
    new["metadata"]["annotations"]["updated"] = "true".into();
    let (code, updated) = admin.call("PUT", &path, new).await;
    assert_eq!(code, 200, "{updated}");
    assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
    // Somebody else's wish stands beside.
    let wish = json!({"apiVersion": updated["apiVersion"], "kind": updated["kind"],
        "metadata": {"name": names[0], "annotations": {"applied": "true"}}});
    let apply = format!("{path}?fieldManager=test");
    let media = "application/apply-patch+yaml";
    let (code, applied) = admin
        .call_as("PATCH", &apply, media, wish.to_string())
        .await;
    assert_eq!(code, 200, "{applied}");
    assert_eq!(applied["metadata"]["annotations"]["applied"], "true");
    assert_eq!(applied["metadata"]["annotations"]["patched"], "true");
    for _ in 0..3 {
        let event = watch.next_event().await;
        assert_eq!(event, ("MODIFIED".into(), names[0].clone()));
    }

    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(
        watch.next_event().await,
        ("DELETED".into(), names[0].clone())
    );
    assert_eq!(admin.get(&path).await.0, 404);
    assert_eq!(admin.call("DELETE", &selected, json!({})).await.0, 200);
    let (_, listed) = admin.get(&selected).await;
    assert_eq!(listed["items"], json!([]));
}
