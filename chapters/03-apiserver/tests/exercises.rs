//! The checks of the chapter's exercises, and of its planted bug.

#[allow(dead_code, reason = "the server's own test uses all of it")]
mod support;

use apiserver::patch::merge_patch;
use exercise::Check;
use serde_json::{Value, json};
use support::Server;

fn check(current: &Value, patch: &Value, expected: &Value, rule: &str) {
    Check::new(format!("the object {current}, the merge patch {patch}"))
        .because(rule)
        .expect_text(
            &merge_patch(current, patch).to_string(),
            &expected.to_string(),
        );
}

#[test]
fn exercise_03_1() {
    let object = json!({"a": 1, "b": 2});
    let rule = "what the patch names is set, what it does not name stays";
    check(&object, &json!({"a": 3}), &json!({"a": 3, "b": 2}), rule);
    check(
        &object,
        &json!({"c": 3}),
        &json!({"a": 1, "b": 2, "c": 3}),
        rule,
    );
    check(&object, &json!({}), &object, rule);
    let rule = "null takes the field away";
    check(&object, &json!({"a": null}), &json!({"b": 2}), rule);
    check(&object, &json!({"c": null}), &object, rule);
    let rule = "what is no object is replaced, whole";
    check(
        &json!({"a": "text"}),
        &json!({"a": 1}),
        &json!({"a": 1}),
        rule,
    );
    let lists = (json!({"a": [1, 2]}), json!({"a": [3]}));
    let rule = "a list is replaced, whole: its items have no names to merge them by";
    check(&lists.0, &lists.1, &lists.1, rule);
}

#[test]
fn exercise_03_1_deep() {
    let labels = |labels: Value| json!({"metadata": {"labels": labels, "name": "web"}});
    let patch = |labels: Value| json!({"metadata": {"labels": labels}});
    let rule = "objects are merged at every depth";
    check(
        &labels(json!({"app": "web", "tier": "front"})),
        &patch(json!({"tier": null, "zone": "a"})),
        &labels(json!({"app": "web", "zone": "a"})),
        rule,
    );
    let rule = "a null in an object that is new is no field either";
    let (before, change) = (json!({}), json!({"a": {"b": {"c": null}}}));
    check(&before, &change, &json!({"a": {"b": {}}}), rule);
    let rule = "what is no object counts as an empty one when an object is patched into it";
    let change = json!({"a": {"b": 1, "c": null}});
    check(&json!({"a": [1]}), &change, &json!({"a": {"b": 1}}), rule);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_03() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut client = server.client("admin").await;
    let all = "/api/v1/namespaces/default/configmaps";
    let object = json!({"metadata": {"name": "shared"}, "data": {"turn": "none"}});
    let (_, read) = client.call("POST", all, object).await;

    let path = format!("{all}/shared");
    let (mut theirs, mut mine) = (read.clone(), read);
    theirs["data"]["turn"] = "theirs".into();
    mine["data"]["turn"] = "mine".into();
    let (first, _) = client.call("PUT", &path, theirs).await;
    let (second, answer) = client.call("PUT", &path, mine).await;
    let (_, now) = client.get(&path).await;
    server.stop().await;

    let saw = format!(
        "first write {first}, second write {second} {}, stored: {}",
        answer["reason"].as_str().unwrap_or_default(),
        now["data"]["turn"]
    );
    Check::new("two clients read a ConfigMap and both write it back, one after the other")
        .because(
            "a write with a resourceVersion is for that version of the object and no other: \
             the second has not seen what the first wrote",
        )
        .expect_text(
            &saw,
            "first write 200, second write 409 Conflict, stored: \"theirs\"",
        );
}
