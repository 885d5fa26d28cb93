//! Rights that cannot be got around: by selectors, by roles, by headers, by the form of a path.

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::support::{Client, Server};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Makes a cluster role, and gives it to jane.
async fn grant(admin: &mut Client, name: &str, rules: Value) {
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let (code, made) = admin
        .call("POST", &format!("{RBAC}/clusterroles"), role)
        .await;
    assert_eq!(code, 201, "{made}");
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    let (code, made) = admin
        .call("POST", &format!("{RBAC}/clusterrolebindings"), binding)
        .await;
    assert_eq!(code, 201, "{made}");
}

fn rule(verbs: &[&str], group: &str, resource: &str) -> Value {
    json!({"verbs": verbs, "apiGroups": [group], "resources": [resource]})
}

/// Names of a list.
fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

async fn send_with(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = Request::get(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client
        .send(request.body(Full::default()).expect("is a request"))
        .await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.expect("is whole");
    (
        code,
        serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_to_one_name_is_no_right_to_others() {
    let (server, mut admin) = Server::fresh().await;
    for name in ["mine", "yours"] {
        let object = json!({"metadata": {"name": name}});
        assert_eq!(admin.call("POST", CONFIG_MAPS, object).await.0, 201);
    }
    let mut rules = rule(&["list", "watch", "deletecollection"], "", "configmaps");
    rules["resourceNames"] = json!(["mine"]);
    grant(&mut admin, "mine", json!([rules])).await;
    let mut jane = server.client("jane").await;

    for (selector, expected) in [
        ("", None),
        ("metadata.name%3Dmine", Some(vec!["mine"])),
        (
            "metadata.namespace%3Ddefault,metadata.name%3D%3Dmine",
            Some(vec!["mine"]),
        ),
        ("metadata.name%3Dyours", None),
        ("metadata.name!%3Dmine", None),
        (
            "metadata.name%3Dmine,metadata.name%3Dyours",
            Some(Vec::new()),
        ),
        // Of a parameter that is repeated, the same one counts for the right and for the list.
        (
            "metadata.name%3Dmine&fieldSelector=metadata.name%3Dyours",
            Some(vec!["mine"]),
        ),
        ("&fieldSelector=metadata.name%3Dmine", None),
    ] {
        let (code, list) = jane
            .get(&format!("{CONFIG_MAPS}?fieldSelector={selector}"))
            .await;
        match expected {
            None => assert_eq!(code, 403, "{selector}"),
            Some(expected) => assert_eq!((code, names(&list)), (200, expected), "{selector}"),
        }
    }

    // The old form of watches, whose path has a name.
    let old = "/api/v1/watch/namespaces/default/configmaps";
    assert_eq!(jane.get(old).await.0, 403);
    assert_eq!(jane.get(&format!("{old}/yours")).await.0, 403);
    let client = server.client("jane").await;
    let mut watch = client.watch(&format!("{old}/mine")).await;
    assert_eq!(watch.next_event().await, ("ADDED".into(), "mine".into()));
    let label = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    for name in ["yours", "mine"] {
        let path = format!("{CONFIG_MAPS}/{name}");
        assert_eq!(
            admin.call_as("PATCH", &path, MERGE, label.clone()).await.0,
            200
        );
    }
    // Of the two changes, one is hers.
    assert_eq!(watch.next_event().await, ("MODIFIED".into(), "mine".into()));

    // Collections cannot be deleted by name. Settled by the docs of RBAC, "Referring to resources".
    let one = format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dmine");
    let (code, refused) = jane.call("DELETE", &one, json!({})).await;
    assert_eq!(
        (code, &refused["reason"]),
        (403, &json!("Forbidden")),
        "{refused}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_begins_in_its_own_namespace() {
    use base64::Engine;
    let (server, mut admin) = Server::fresh().await;
    let secret = json!({"metadata": {"name": "s"}});
    let made = admin
        .call("POST", "/api/v1/namespaces/default/secrets", secret.clone())
        .await;
    let version = made.1["metadata"]["resourceVersion"].as_str();
    let version: i64 = version.expect("has one").parse().expect("is a number");
    let after = "/api/v1/namespaces/kube-system/secrets";
    for start in [
        "",
        "a",
        "../configmaps",
        "default/",
        "default/\u{0}",
        "default/../kube-public",
    ] {
        let token = json!({"v": "meta.k8s.io/v1", "rv": version, "start": start}).to_string();
        let token = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(token);
        for limit in ["", "&limit=1"] {
            let (code, list) = admin.get(&format!("{after}?continue={token}{limit}")).await;
            assert!(matches!(code, 200 | 400), "{list}");
            assert_eq!(names(&list), Vec::<&str>::new(), "{start:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_makes_a_role_that_is_more_than_they_are() {
    let (server, mut admin) = Server::fresh().await;
    let all = ["create", "update", "patch", "get"];
    let own = json!([
        rule(&all, "rbac.authorization.k8s.io", "clusterroles"),
        rule(&all, "rbac.authorization.k8s.io", "clusterrolebindings"),
        rule(&all, "rbac.authorization.k8s.io", "roles"),
        rule(&all, "rbac.authorization.k8s.io", "rolebindings"),
        rule(&["get"], "", "configmaps"),
    ]);
    grant(&mut admin, "roles", own).await;
    let secrets =
        json!({"metadata": {"name": "secrets"}, "rules": [rule(&["get"], "", "secrets")]});
    let roles = format!("{RBAC}/clusterroles");
    assert_eq!(admin.call("POST", &roles, secrets.clone()).await.0, 201);
    let mut jane = server.client("jane").await;

    // Every way to write a role.
    let mine = json!({"metadata": {"name": "mine"}, "rules": [rule(&["get"], "", "configmaps")]});
    assert_eq!(jane.call("POST", &roles, mine).await.0, 201);
    let more = json!({"metadata": {"name": "more"}, "rules": [rule(&["get"], "", "secrets")]});
    let (code, refused) = jane.call("POST", &roles, more.clone()).await;
    assert_eq!(code, 403);
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with("{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"),
        "{message}"
    );
    let rules = json!({"rules": [rule(&["*"], "", "*")]});
    let path = format!("{roles}/mine");
    assert_eq!(
        jane.call("PUT", &format!("{roles}/more"), more).await.0,
        403
    );
    assert_eq!(
        jane.call_as("PATCH", &path, MERGE, rules.to_string())
            .await
            .0,
        403
    );
    let patch = json!([{"op": "add", "path": "/rules/-", "value": rule(&["*"], "", "*")}]);
    let json_patch = "application/json-patch+json";
    assert_eq!(
        jane.call_as("PATCH", &path, json_patch, patch.to_string())
            .await
            .0,
        403
    );
    for name in ["mine", "new"] {
        let config = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name}, "rules": [rule(&["*"], "", "*")]});
        let path = format!("{roles}/{name}?fieldManager=jane&force=true");
        let applied = jane
            .call_as("PATCH", &path, APPLY, config.to_string())
            .await;
        assert_eq!(applied.0, 403, "{}", applied.1);
    }
    let local = json!({"metadata": {"name": "more"}, "rules": [rule(&["get"], "", "secrets")]});
    let namespaced = format!("{RBAC}/namespaces/default/roles");
    assert_eq!(jane.call("POST", &namespaced, local).await.0, 403);

    // A role that gathers others, and one that is to be gathered: a label is all it takes.
    // Settled by `pkg/registry/rbac/clusterrole/policybased/storage.go`.
    let gathering = json!({"metadata": {"name": "gathering"}, "aggregationRule": {
        "clusterRoleSelectors": [{"matchLabels": {"gather": "yes"}}]}});
    let (code, refused) = jane.call("POST", &roles, gathering).await;
    assert_eq!(code, 403);
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with("must have cluster-admin privileges to use the aggregationRule"),
        "{message}"
    );
    let label = json!({"metadata": {"labels":
        {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    let path = format!("{roles}/secrets");
    assert_eq!(
        jane.call_as("PATCH", &path, MERGE, label.to_string())
            .await
            .0,
        403
    );
    let collected = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    assert_eq!(
        jane.call_as("PATCH", &path, MERGE, collected.to_string())
            .await
            .0,
        200
    );

    // Every way to bind one.
    let binding = |kind: &str, name: &str| {
        json!({"metadata": {"name": "b"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]})
    };
    for collection in [
        format!("{RBAC}/clusterrolebindings"),
        format!("{RBAC}/namespaces/default/rolebindings"),
    ] {
        for role in ["secrets", "cluster-admin"] {
            let (code, refused) = jane
                .call("POST", &collection, binding("ClusterRole", role))
                .await;
            assert_eq!(code, 403, "{refused}");
        }
        let absent = jane.call("POST", &collection, binding("ClusterRole", "none"));
        assert_eq!(absent.await.0, 404);
    }
    // Somebody's binding to what jane does not hold is not hers to hand on.
    let theirs = format!("{RBAC}/clusterrolebindings/cluster-admin");
    let subjects = json!({"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
        "name": "jane"}]});
    assert_eq!(
        jane.call_as("PATCH", &theirs, MERGE, subjects.to_string())
            .await
            .0,
        403
    );
    // With the right to do so, it is.
    let mut bind = rule(&["bind"], "rbac.authorization.k8s.io", "clusterroles");
    bind["resourceNames"] = json!(["secrets"]);
    grant(&mut admin, "binds", json!([bind])).await;
    let collection = format!("{RBAC}/clusterrolebindings");
    let bound = jane.call("POST", &collection, binding("ClusterRole", "secrets"));
    assert_eq!(bound.await.0, 201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_whom_they_may_not_be() {
    let (server, mut admin) = Server::fresh().await;
    let mut users = rule(&["impersonate"], "", "users");
    users["resourceNames"] = json!(["bob"]);
    grant(&mut admin, "as-bob", json!([users])).await;
    let mut jane = server.client("jane").await;
    const NODES: &str = "/api/v1/nodes";

    // As bob, she may; bob may nothing. As anybody else she may not, in whatever form she asks.
    let (code, denied) = send_with(&mut jane, NODES, &[("Impersonate-User", "bob")]).await;
    assert_eq!(code, 403);
    let message = denied["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("nodes is forbidden: User \"bob\""),
        "{message}"
    );
    let refusals: [&[(&str, &str)]; 7] = [
        &[("impersonate-user", "kubernetes-admin")],
        &[("IMPERSONATE-USER", "root"), ("Impersonate-User", "bob")],
        &[
            ("Impersonate-User", "bob"),
            ("Impersonate-Group", "system:masters"),
        ],
        &[
            ("Impersonate-User", "bob"),
            ("impersonate-group", "a"),
            ("IMPERSONATE-GROUP", "system:masters"),
        ],
        &[("Impersonate-User", "bob"), ("Impersonate-Uid", "1")],
        &[
            ("Impersonate-User", "bob"),
            ("Impersonate-Extra-Scopes", "all"),
        ],
        &[(
            "Impersonate-User",
            "system:serviceaccount:kube-system:default",
        )],
    ];
    for headers in refusals {
        let (code, denied) = send_with(&mut jane, NODES, headers).await;
        assert_eq!(code, 403, "{headers:?}");
        let message = denied["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("User \"jane\" cannot impersonate"),
            "{message}"
        );
    }
    // The first of repeated headers counts, as in Go: what a proxy in front has checked.
    let twice = [
        ("Impersonate-User", "bob"),
        ("Impersonate-User", "kubernetes-admin"),
    ];
    let (_, denied) = send_with(&mut jane, NODES, &twice).await;
    let message = denied["message"].as_str().unwrap_or_default();
    assert!(message.contains("User \"bob\""), "{message}");
    // Parts of a user without the user are an error, even for who may do anything.
    for headers in [
        [("Impersonate-Group", "system:masters")],
        [("Impersonate-Uid", "1")],
        [("Impersonate-Extra-Scopes", "all")],
    ] {
        assert_eq!(send_with(&mut admin, NODES, &headers).await.0, 500);
    }
    // Nobody without a name becomes somebody by it.
    let mut nobody = server.client("").await;
    let (code, _) = send_with(&mut nobody, NODES, &[("Impersonate-User", "bob")]).await;
    assert_eq!(code, 403);
    // Who a proxy in front says it is counts for nothing where no such proxy is known.
    let front = [
        ("X-Remote-User", "kubernetes-admin"),
        ("X-Remote-Group", "system:masters"),
    ];
    assert_eq!(send_with(&mut nobody, NODES, &front).await.0, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_means_to_its_judge_what_it_means_to_its_server() {
    let (server, mut admin) = Server::fresh().await;
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"word": "hidden"}});
    assert_eq!(admin.call("POST", secrets, secret).await.0, 201);
    // In `default`, jane may read secrets; anywhere, what is public.
    let binding = json!({"metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    assert_eq!(admin.call("POST", &bindings, binding).await.0, 201);
    let mut jane = server.client("jane").await;
    let own = "/api/v1/namespaces/default/secrets";
    assert_eq!(jane.get(own).await.0, 200);
    for path in [
        "/api/v1/namespaces/default/secrets/..%2f..%2fkube-system%2fsecrets%2fs",
        "/api/v1/namespaces/default/secrets/../../kube-system/secrets/s",
        "/api/v1/namespaces/default/../kube-system/secrets/s",
        "/api/v1/namespaces/default%2f..%2fkube-system/secrets/s",
        "/api/v1/namespaces/default/secrets/%2e%2e/%2e%2e/kube-system/secrets/s",
        "/api/v1/namespaces/./kube-system/secrets/s",
        "/api/v1/namespaces//kube-system/secrets/s",
        "//api/v1/namespaces/kube-system/secrets/s",
        "/api//v1/namespaces/kube-system/secrets/s",
        "/api/v1/namespaces/kube-system/secrets/s/",
        "/api/v1/namespaces/kube-system%00/secrets/s",
        "/healthz/../api/v1/namespaces/kube-system/secrets/s",
        "/healthz/..%2fapi%2fv1%2fnamespaces%2fkube-system%2fsecrets%2fs",
        "/version/../metrics",
        "/healthz/%2e%2e/metrics",
        "/%6detrics",
        "/api/v1/secrets?namespace=default",
        "/api/v1/namespaces/default/secrets/s/status",
    ] {
        let (code, answered) = jane.get(path).await;
        assert!(matches!(code, 400 | 403 | 404 | 405), "{path}: {code}");
        assert!(
            !answered.to_string().contains("aGlkZGVu"),
            "{path}: {answered}"
        );
    }
    server.stop().await;
}
