//! The checks of the planted bugs.

use apiserver::authn::User;
use apiserver::authz::Attributes;
use apiserver::authz::rbac::RbacState;
use exercise::Check;
use serde_json::{Value, json};

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

#[test]
fn bug_03_2() {
    let mut rbac = RbacState::default();
    let role = |verbs: &[&str], resources: &[&str]| json!([{"verbs": verbs, "apiGroups": [""], "resources": resources}]);
    let to_jane = json!([{"kind": "User", "name": "jane"}]);
    let rules = role(&["get", "list"], &["secrets", "nodes"]);
    let reader = json!({"metadata": {"name": "reader"}, "rules": rules});
    rbac.set("clusterroles", &reader);
    let binding = json!({"metadata": {"name": "jane", "namespace": "dev"}, "subjects": to_jane,
        "roleRef": {"kind": "ClusterRole", "name": "reader"}});
    rbac.set("rolebindings", &binding);
    let jane = User {
        name: "jane".to_owned(),
        ..User::default()
    };
    let check = |resource: &str, namespace: &str, expected: bool, rule: &str| {
        let asked = Attributes {
            namespace,
            ..Attributes::of(&jane, "list", resource)
        };
        let told = |yes: bool| if yes { "allowed" } else { "not allowed" };
        let place = match namespace {
            "" => "of the whole cluster".to_owned(),
            namespace => format!("of the namespace {namespace}"),
        };
        Check::new(format!(
            "a RoleBinding in dev gives jane a ClusterRole that reads secrets and nodes; she lists \
             the {resource} {place}"
        ))
        .because(rule)
        .expect_text(told(rbac.authorize(&asked).is_allowed()), told(expected));
    };
    let rule = "a RoleBinding gives its role in its own namespace, and nowhere else";
    check("secrets", "dev", true, rule);
    check("secrets", "prod", false, rule);
    check("secrets", "", false, rule);
    check("nodes", "", false, rule);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_03_3() {
    let (server, mut client) = Server::fresh().await;
    let all = "/api/v1/namespaces/default/configmaps";
    for name in ["web", "web-1", "web-2", "web.old", "zoo"] {
        let object = json!({"metadata": {"name": name}});
        client.call("POST", all, object).await;
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().into_iter().flatten();
        let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
        items.filter_map(name).collect()
    };
    let mut seen = Vec::new();
    let mut next = format!("{all}?limit=1");
    // One more page than there are objects, should it go round in circles.
    for _ in 0..6 {
        let (_, list) = client.get(&next).await;
        seen.extend(names(&list));
        match list["metadata"]["continue"].as_str() {
            Some(token) => next = format!("{all}?limit=1&continue={token}"),
            None => break,
        }
    }
    server.stop().await;
    Check::new("the ConfigMaps web, web-1, web-2, web.old and zoo, listed in pages of one")
        .because("each page begins right after the last object of the page before")
        .expect_text(&seen.join(" "), "web web-1 web-2 web.old zoo");
}
