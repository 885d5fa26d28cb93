//! Who asks, as whom, and whether they may, over HTTP. Upstream:
//! `test/e2e/auth/{service_accounts,subjectreviews}.go`, `test/integration/auth/`.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use support::{Client, Server, call_with};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";
const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const MERGE: &str = "application/merge-patch+json";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

async fn whoami(client: &mut Client, headers: &[(&str, &str)]) -> (u16, Value) {
    let path = format!("{AUTHENTICATION}/selfsubjectreviews");
    let (code, answer) = call_with(client, ("POST", &path), headers, json!({})).await;
    let user = answer.pointer("/status/userInfo").cloned();
    (code, user.unwrap_or_default())
}

async fn make(admin: &mut Client, path: &str, object: Value) -> Value {
    let (code, made) = admin.call("POST", path, object).await;
    assert_eq!(code, 201, "{made}");
    made
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_token_is_good_for_a_certificate() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start_with(dir.path(), &["--enable-bootstrap-token-auth"]).await;
    let mut admin = server.client("admin").await;
    let data = |key: &str, value: &str| (key.to_owned(), Value::from(STANDARD.encode(value)));
    let data: serde_json::Map<String, Value> = [
        data("token-id", "abcdef"),
        data("token-secret", "0123456789abcdef"),
        data("usage-bootstrap-authentication", "true"),
        data("auth-extra-groups", "system:bootstrappers:workshop"),
    ]
    .into_iter()
    .collect();
    let secrets = "/api/v1/namespaces/kube-system/secrets";
    let secret = json!({"metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token", "data": data});
    make(&mut admin, secrets, secret).await;

    let mut machine = server.client("").await;
    let token = bearer("abcdef.0123456789abcdef");
    let token = [("authorization", token.as_str())];
    let (code, user) = whoami(&mut machine, &token).await;
    assert_eq!(code, 201);
    assert_eq!(
        user,
        json!({"username": "system:bootstrap:abcdef", "groups": ["system:bootstrappers",
            "system:bootstrappers:workshop", "system:authenticated"]})
    );
    // It may nothing but what its group is given.
    let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let listed = call_with(&mut machine, ("GET", requests), &token, Value::Null).await;
    assert_eq!(listed.0, 403);
    let binding = json!({"metadata": {"name": "bootstrap"},
        "roleRef": {"kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"kind": "Group", "name": "system:bootstrappers"}]});
    make(&mut admin, &format!("{RBAC}/clusterrolebindings"), binding).await;
    let listed = call_with(&mut machine, ("GET", requests), &token, Value::Null).await;
    assert_eq!(listed.0, 200);

    let wrong = bearer("abcdef.0123456789abcdee");
    let (code, _) = whoami(&mut machine, &[("authorization", &wrong)]).await;
    assert_eq!(code, 401);
    // What ends the Secret ends the token.
    let path = format!("{secrets}/bootstrap-token-abcdef");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(whoami(&mut machine, &token).await.0, 401);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_says_for_whom_it_is_and_ends_with_what_it_is_bound_to() {
    let (server, mut admin) = Server::fresh().await;
    let account = make(&mut admin, ACCOUNTS, json!({"metadata": {"name": "web"}})).await;
    let secret = json!({"metadata": {"name": "hold"}});
    let secret = make(&mut admin, "/api/v1/namespaces/default/secrets", secret).await;
    let path = format!("{ACCOUNTS}/web/token");
    let request = |spec: Value| json!({"spec": spec});
    let reference = json!({"kind": "Secret", "apiVersion": "v1", "name": "hold"});
    let spec = json!({"audiences": ["vault", ISSUER], "boundObjectRef": reference});
    let made = make(&mut admin, &path, request(spec)).await;
    assert_eq!(made["spec"]["expirationSeconds"], 3600);
    let token = made["status"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();

    let reviews = format!("{AUTHENTICATION}/tokenreviews");
    let review = |audiences: Value| json!({"spec": {"token": token, "audiences": audiences}});
    for (audiences, good) in [
        (json!([]), json!([ISSUER])),
        (json!(["vault", "other"]), json!(["vault"])),
    ] {
        let status = make(&mut admin, &reviews, review(audiences)).await["status"].take();
        assert_eq!(
            (&status["authenticated"], &status["audiences"]),
            (&json!(true), &good)
        );
        assert_eq!(
            status["user"]["username"],
            "system:serviceaccount:default:web"
        );
        assert_eq!(status["user"]["uid"], account["metadata"]["uid"]);
    }
    let status = make(&mut admin, &reviews, review(json!(["other"]))).await["status"].take();
    assert_eq!(status["authenticated"], Value::Null);
    assert_eq!(
        status["error"],
        format!(
            "token audiences [\"vault\" \"{ISSUER}\"] is invalid for the target audiences \
             [\"other\"]"
        )
    );
    let mut web = server.client("").await;
    let header = bearer(&token);
    let header = [("authorization", header.as_str())];
    let (code, user) = whoami(&mut web, &header).await;
    assert_eq!(
        (code, &user["groups"][0]),
        (201, &json!("system:serviceaccounts"))
    );

    // For others only, it is not for this server.
    let other = make(&mut admin, &path, request(json!({"audiences": ["vault"]}))).await;
    let other = bearer(other["status"]["token"].as_str().expect("a token"));
    assert_eq!(whoami(&mut web, &[("authorization", &other)]).await.0, 401);

    let short = request(json!({"expirationSeconds": 60}));
    let (code, refused) = admin.call("POST", &path, short).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["message"]),
        (
            422,
            &json!("Invalid value: 60: may not specify a duration less than 10 minutes")
        )
    );
    let mut stale = reference.clone();
    stale["uid"] = "stale".into();
    let stale = request(json!({"boundObjectRef": stale}));
    assert_eq!(admin.call("POST", &path, stale).await.0, 409);

    let hold = "/api/v1/namespaces/default/secrets/hold";
    assert_eq!(admin.call("DELETE", hold, json!({})).await.0, 200);
    assert_eq!(whoami(&mut web, &header).await.0, 401, "{secret}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_can_be_asked_by_accounts() {
    let (server, mut admin) = Server::fresh().await;
    make(&mut admin, ACCOUNTS, json!({"metadata": {"name": "web"}})).await;
    let made = make(
        &mut admin,
        &format!("{ACCOUNTS}/web/token"),
        json!({"spec": {}}),
    )
    .await;
    let token = made["status"]["token"].as_str().expect("a token");
    let header = bearer(token);
    let header = [("authorization", header.as_str())];
    let mut anybody = server.client("").await;
    let configuration = "/.well-known/openid-configuration";
    let keys = "/openid/v1/jwks";
    for path in [configuration, keys] {
        assert_eq!(anybody.get(path).await.0, 403, "{path}");
    }
    let get = ("GET", configuration);
    let (code, told) = call_with(&mut anybody, get, &header, Value::Null).await;
    assert_eq!(
        (code, &told["issuer"], &told["jwks_uri"]),
        (
            200,
            &json!(ISSUER),
            &json!(format!("{ISSUER}/openid/v1/jwks"))
        )
    );
    let (_, told) = call_with(&mut anybody, ("GET", keys), &header, Value::Null).await;
    let id = token.split('.').next().expect("a header");
    let id = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(id)
        .expect("is base64");
    let id: Value = serde_json::from_slice(&id).expect("is JSON");
    assert_eq!(told["keys"][0]["kid"], id["kid"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acts_for_others_must_be_allowed_each_part() {
    let (server, mut admin) = Server::fresh().await;
    let as_joe = [
        ("impersonate-user", "joe"),
        ("impersonate-group", "dev"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-scopes", "view"),
    ];
    let (code, user) = whoami(&mut admin, &as_joe).await;
    assert_eq!(
        (code, user),
        (
            201,
            json!({"username": "joe", "uid": "7", "groups": ["dev", "system:authenticated"],
                "extra": {"scopes": ["view"]}})
        )
    );
    let account = [("impersonate-user", "system:serviceaccount:default:web")];
    let (_, user) = whoami(&mut admin, &account).await;
    assert_eq!(
        user["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ])
    );

    // Each part is a right of its own.
    let mut jane = server.client("jane").await;
    let rules = [
        json!({"apiGroups": [""], "resources": ["users"], "resourceNames": ["joe"]}),
        json!({"apiGroups": [""], "resources": ["groups"], "resourceNames": ["dev"]}),
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["uids"]}),
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"],
            "resourceNames": ["view"]}),
    ];
    let role = json!({"metadata": {"name": "act"}, "rules": []});
    make(&mut admin, &format!("{RBAC}/clusterroles"), role).await;
    let binding = json!({"metadata": {"name": "act"},
        "roleRef": {"kind": "ClusterRole", "name": "act"},
        "subjects": [{"kind": "User", "name": "jane"}]});
    make(&mut admin, &format!("{RBAC}/clusterrolebindings"), binding).await;
    let mut held = Vec::new();
    for mut rule in rules {
        assert_eq!(whoami(&mut jane, &as_joe).await.0, 403, "with {held:?}");
        rule["verbs"] = json!(["impersonate"]);
        held.push(rule);
        let change = json!({"rules": held}).to_string();
        let path = format!("{RBAC}/clusterroles/act");
        assert_eq!(admin.call_as("PATCH", &path, MERGE, change).await.0, 200);
    }
    let (code, user) = whoami(&mut jane, &as_joe).await;
    assert_eq!((code, &user["username"]), (201, &json!("joe")));
    let mallory = [
        ("impersonate-user", "joe"),
        ("impersonate-group", "system:masters"),
    ];
    assert_eq!(whoami(&mut jane, &mallory).await.0, 403);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_of_roles_follow_their_parts() {
    let (server, mut admin) = Server::fresh().await;
    let roles = format!("{RBAC}/clusterroles");
    let label = json!({"example.com/to-sum": "true"});
    let sum = json!({"metadata": {"name": "sum"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]}});
    let made = make(&mut admin, &roles, sum).await;
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one");
    let watch =
        format!("{roles}?watch=1&fieldSelector=metadata.name%3Dsum&resourceVersion={version}");
    let mut watch = server.client("admin").await.watch(&watch).await;
    let rule =
        |resource: &str| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
    for (name, resource) in [("part-b", "pods"), ("part-a", "nodes")] {
        let part = json!({"metadata": {"name": name, "labels": label}, "rules": [rule(resource)]});
        make(&mut admin, &roles, part).await;
    }
    let mut last = Value::Null;
    while last != json!([rule("nodes"), rule("pods")]) {
        last = watch.next().await.expect("goes on")["object"]["rules"].take();
    }
    let part = format!("{roles}/part-a");
    assert_eq!(admin.call("DELETE", &part, json!({})).await.0, 200);
    while last != json!([rule("pods")]) {
        last = watch.next().await.expect("goes on")["object"]["rules"].take();
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_system_s_roles_lack_comes_back_at_the_start() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    let roles = format!("{RBAC}/clusterroles");
    let bindings = format!("{RBAC}/clusterrolebindings");
    let more = json!({"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["mice"]});
    let (_, before) = admin.get(&format!("{roles}/system:basic-user")).await;
    let widened = json!({"rules": [more]}).to_string();
    let keep = json!({"rules": [more],
        "metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}});
    for (name, change) in [
        ("system:basic-user", widened),
        ("system:monitoring", keep.to_string()),
    ] {
        let path = format!("{roles}/{name}");
        assert_eq!(admin.call_as("PATCH", &path, MERGE, change).await.0, 200);
    }
    let path = format!("{bindings}/system:discovery");
    let nobody = json!({"subjects": null}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, MERGE, nobody).await.0, 200);
    // A binding of another role in the place of one of the system's.
    let path = format!("{bindings}/system:basic-user");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    let other = json!({"metadata": {"name": "system:basic-user"},
        "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": []});
    make(&mut admin, &bindings, other).await;
    server.stop().await;

    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    let (_, after) = admin.get(&format!("{roles}/system:basic-user")).await;
    assert_eq!(after["rules"][0], more);
    let wanted = before["rules"].as_array().expect("rules").len();
    assert!(
        after["rules"]
            .as_array()
            .is_some_and(|rules| rules.len() > wanted)
    );
    let (_, kept) = admin.get(&format!("{roles}/system:monitoring")).await;
    assert_eq!(kept["rules"], json!([more]));
    let (_, binding) = admin.get(&format!("{bindings}/system:discovery")).await;
    assert_eq!(binding["subjects"][0]["name"], "system:authenticated");
    let (_, binding) = admin.get(&format!("{bindings}/system:basic-user")).await;
    assert_eq!(binding["roleRef"]["name"], "system:basic-user");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_access_are_answered() {
    let (server, mut admin) = Server::fresh().await;
    let all = format!("{AUTHORIZATION}/subjectaccessreviews");
    let local = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    let pods = json!({"verb": "list", "resource": "pods", "namespace": "default"});
    let of = |user: &str, attributes: &Value| json!({"spec": {"user": user, "resourceAttributes": attributes}});
    let binding = json!({"metadata": {"name": "jane"},
        "roleRef": {"kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "jane"}]});
    make(
        &mut admin,
        &format!("{RBAC}/namespaces/default/rolebindings"),
        binding,
    )
    .await;
    for path in [&all, &local] {
        let answer = make(&mut admin, path, of("jane", &pods)).await;
        assert_eq!(answer["status"]["allowed"], true);
        assert_eq!(
            answer["status"]["reason"],
            "RBAC: allowed by RoleBinding \"jane/default\" of ClusterRole \"view\" to User \"jane\""
        );
        let answer = make(&mut admin, path, of("joe", &pods)).await;
        assert_eq!(answer["status"]["allowed"], false);
    }

    // A node may list the pods of its own, and only these.
    let node = |selector: Value| {
        json!({"spec": {"user": "system:node:n", "groups": ["system:nodes"],
            "resourceAttributes": {"verb": "list", "resource": "pods",
                "fieldSelector": selector}}})
    };
    let requirement = |node: &str| json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": [node]}]});
    for (selector, allowed) in [
        (requirement("n"), true),
        (json!({"rawSelector": "spec.nodeName=n"}), true),
        (requirement("m"), false),
    ] {
        let answer = make(&mut admin, &all, node(selector.clone())).await;
        assert_eq!(answer["status"]["allowed"], allowed, "{selector}");
    }
    let answer = make(&mut admin, &all, node(json!({"rawSelector": "what"}))).await;
    assert_eq!(
        answer["status"],
        json!({"allowed": false, "evaluationError":
            "spec.resourceAttributes.fieldSelector ignored due to parse error"})
    );

    let mut jane = server.client("jane").await;
    let own = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let mine = json!({"spec": {"resourceAttributes": pods}});
    let answer = make(&mut jane, &own, mine).await;
    assert_eq!(answer["status"]["allowed"], true);
    let rules = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
    let answer = make(&mut jane, &rules, json!({"spec": {"namespace": "default"}})).await;
    let status = &answer["status"];
    assert_eq!(status["incomplete"], false);
    let allowed = status["resourceRules"].as_array().expect("rules");
    assert!(
        allowed
            .iter()
            .any(|rule| rule["resources"] == json!(["namespaces"]))
    );

    let told = admin
        .refused(&all, json!({"metadata": {"name": "x"}, "spec": {}}))
        .await;
    assert_eq!(
        told[..2],
        [
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes \
             or resourceAttributes must be specified",
            "spec.user: Invalid value: \"\": at least one of user or group must be specified",
        ]
    );
    assert!(told[2].ends_with(": must be empty"), "{told:?}");
    let elsewhere = json!({"verb": "get", "resource": "pods", "namespace": "other",
        "fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]}});
    let told = admin.refused(&local, of("jane", &elsewhere)).await;
    let at = "spec.resourceAttributes.fieldSelector";
    assert_eq!(
        told,
        [
            format!(
                "{at}.rawSelector: Invalid value: \"a=b\": may not specified at the same time as \
                 requirements"
            ),
            format!("{at}.requirements[0].key: Required value: must be specified"),
            format!(
                "{at}.requirements[0].values: Required value: must be specified when `operator` \
                 is 'In' or 'NotIn'"
            ),
            "spec.resourceAttributes.namespace: Invalid value: \"other\": must match \
             metadata.namespace"
                .to_owned(),
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_live_and_go() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    support::lifecycle::lifecycle(&server, ACCOUNTS, json!({"metadata": {}})).await;
    server.stop().await;
}

/// Upstream: `pkg/serviceaccount/legacy.go`; what puts such a token there is a controller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_stands_in_a_secret_is_good_while_it_does() {
    let (server, mut admin) = Server::fresh().await;
    let account = make(&mut admin, ACCOUNTS, json!({"metadata": {"name": "web"}})).await;
    let pem = std::fs::read_to_string(server.pki.path("sa.key")).expect("is there");
    let authority = apiserver::authn::TokenAuthority::from_pem(&pem, ISSUER).expect("is a key");
    let token = authority.sign(&json!({
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:web",
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/secret.name": "web-token",
        "kubernetes.io/serviceaccount/service-account.name": "web",
        "kubernetes.io/serviceaccount/service-account.uid": account["metadata"]["uid"],
    }));
    let header = bearer(&token);
    let header = [("authorization", header.as_str())];
    let mut client = server.client("").await;
    assert_eq!(whoami(&mut client, &header).await.0, 401);

    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"metadata": {"name": "web-token",
            "annotations": {"kubernetes.io/service-account.name": "web"}},
        "type": "kubernetes.io/service-account-token", "data": {"token": STANDARD.encode(&token)}});
    let made = make(&mut admin, secrets, secret).await;
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one");
    let watch = format!("{secrets}?watch=1&resourceVersion={version}");
    let mut watch = server.client("admin").await.watch(&watch).await;
    let (code, user) = whoami(&mut client, &header).await;
    assert_eq!(
        (code, &user["username"]),
        (201, &json!("system:serviceaccount:default:web"))
    );
    assert_eq!(
        user["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:default",
            "system:authenticated"
        ])
    );
    // That it is still in use is noted, by the day.
    let noted = watch.next().await.expect("goes on");
    let day = noted["object"]["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].clone();
    let day = day.as_str().expect("is noted");
    assert!(day.len() == 10 && day.starts_with("20"), "{day}");

    // A review says who it is, and for whom it is good: for this server alone.
    let reviews = format!("{AUTHENTICATION}/tokenreviews");
    let review = |audiences: Value| json!({"spec": {"token": token, "audiences": audiences}});
    let (_, reviewed) = admin.call("POST", &reviews, review(json!([]))).await;
    assert_eq!(reviewed["status"]["authenticated"], true, "{reviewed}");
    let (_, reviewed) = admin.call("POST", &reviews, review(json!(["vault"]))).await;
    assert_ne!(reviewed["status"]["authenticated"], true, "{reviewed}");

    let path = format!("{secrets}/web-token");
    let label = "kubernetes.io/legacy-token-invalid-since";
    for (mark, code) in [(json!("2026-01-01"), 401), (Value::Null, 201)] {
        let patch = json!({"metadata": {"labels": {label: mark}}}).to_string();
        assert_eq!(admin.call_as("PATCH", &path, MERGE, patch).await.0, 200);
        assert_eq!(whoami(&mut client, &header).await.0, code, "{mark}");
    }
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(whoami(&mut client, &header).await.0, 401);
    server.stop().await;
}
