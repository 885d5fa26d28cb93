//! The checks of the planted bugs.

use exercise::Check;
use serde_json::json;

use super::support::Server;

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
