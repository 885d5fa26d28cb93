//! The checks of the planted bugs.

use apiserver::authn::{Bound, Rejected, TokenAuthority, TokenSpec, User};
use apiserver::authz::Attributes;
use apiserver::authz::rbac::RbacState;
use exercise::Check;
use rcgen::KeyPair;
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

#[test]
fn bug_03_4() {
    let key = KeyPair::generate().expect("keys can be made");
    let authority = TokenAuthority::from_pem(&key.serialize_pem(), "https://here");
    let authority = authority.expect("is a key");
    let bound = |kind: &str, name: &str| {
        Some(Bound {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: "first".to_owned(),
        })
    };
    let spec = TokenSpec {
        namespace: "default".to_owned(),
        service_account: "web".to_owned(),
        service_account_uid: "first".to_owned(),
        audiences: Vec::new(),
        expiration_seconds: 3600,
        bound: bound("Pod", "web-0"),
        node: bound("Node", "worker-1"),
    };
    let token = authority.mint(&spec, 0);
    let check = |pod: Option<&str>, node: Option<&str>, expected: &str, rule: &str| {
        let there = |kind: &str, _: &str, _: &str| {
            let uid = match kind {
                "Pod" => pod,
                "Node" => node,
                _ => Some("first"),
            };
            uid.map(str::to_owned)
        };
        let saw = match authority.verify(&token, &[], 60, &there) {
            Ok(verified) => format!("it is {}", verified.user.name),
            Err(Rejected(why)) => format!("refused: {why}"),
        };
        let told = |uid: Option<&str>| match uid {
            None => "is gone",
            Some("first") => "is there",
            Some(_) => "was made anew, under the same name",
        };
        Check::new(format!(
            "a token that was made for the pod web-0, on worker-1; the pod {}, the node {}",
            told(pod),
            told(node)
        ))
        .because(rule)
        .expect_text(&saw, expected);
    };
    let (first, second) = (Some("first"), Some("second"));
    let good = "it is system:serviceaccount:default:web";
    let rule = "a token that is bound to a pod ends with that pod";
    check(first, first, good, rule);
    let gone = "refused: service account token has been invalidated";
    check(None, first, gone, rule);
    let other = "refused: pod UID (second) does not match service account pod ref claim (first)";
    check(second, first, other, rule);
    let rule = "the node is only told: the pod is what ends the token";
    check(first, None, good, rule);
}
