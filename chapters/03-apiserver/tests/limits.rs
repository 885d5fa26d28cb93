//! What holds a namespace back: limits of its containers, and quotas of all that is in it.
//!
//! What upstream's conformance suite asks of the API alone is held here:
//! `test/e2e/scheduling/limit_range.go`, `test/e2e/apimachinery/resource_quota.go`.

#[allow(dead_code, reason = "the server's own test uses all of it")]
mod support;

use serde_json::{Value, json};
use support::{Client, Server};

const MERGE: &str = "application/merge-patch+json";
const PODS: &str = "/api/v1/namespaces/ns/pods";

/// A server with a namespace `ns` and its account.
async fn server() -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    for (path, name) in [
        ("/api/v1/namespaces", "ns"),
        ("/api/v1/namespaces/ns/serviceaccounts", "default"),
    ] {
        create(&mut admin, path, json!({"metadata": {"name": name}})).await;
    }
    (dir, server, admin)
}

async fn create(client: &mut Client, path: &str, object: Value) -> Value {
    let (code, made) = client.call("POST", path, object).await;
    assert_eq!(code, 201, "{made}");
    made
}

fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [
        {"name": "c", "image": "i", "resources": resources}]}})
}

/// A quota whose status says that nothing of it is used: what its controller would write.
async fn quota(client: &mut Client, name: &str, mut spec: Value) {
    let path = "/api/v1/namespaces/ns/resourcequotas";
    create(
        client,
        path,
        json!({"metadata": {"name": name}, "spec": spec}),
    )
    .await;
    let hard = spec["hard"].take();
    let names = hard.as_object().expect("is a map").keys();
    let used: serde_json::Map<_, _> = names.map(|name| (name.clone(), json!("0"))).collect();
    let status = json!({"status": {"hard": hard, "used": used}}).to_string();
    let path = format!("{path}/{name}/status");
    assert_eq!(client.call_as("PATCH", &path, MERGE, status).await.0, 200);
}

async fn used(client: &mut Client, name: &str) -> Value {
    let path = format!("/api/v1/namespaces/ns/resourcequotas/{name}");
    client.get(&path).await.1["status"]["used"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_filled_in_and_held() {
    let (_dir, server, mut admin) = server().await;
    let range = json!({"metadata": {"name": "limits"}, "spec": {"limits": [{
        "type": "Container",
        "min": {"cpu": "50m", "memory": "100Mi"},
        "max": {"cpu": "500m", "memory": "500Mi"},
        "default": {"cpu": "500m", "memory": "500Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
    }]}});
    create(&mut admin, "/api/v1/namespaces/ns/limitranges", range).await;

    let made = create(&mut admin, PODS, pod("none", json!({}))).await;
    let expected = json!({"requests": {"cpu": "100m", "memory": "200Mi"},
        "limits": {"cpu": "500m", "memory": "500Mi"}});
    assert_eq!(made["spec"]["containers"][0]["resources"], expected);
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let partial = pod("partial", json!({"limits": {"cpu": "300m"}}));
    let made = create(&mut admin, PODS, partial).await;
    let expected = json!({"requests": {"cpu": "300m", "memory": "200Mi"},
        "limits": {"cpu": "300m", "memory": "500Mi"}});
    assert_eq!(made["spec"]["containers"][0]["resources"], expected);

    for (resources, why) in [
        (
            json!({"requests": {"cpu": "10m"}}),
            "minimum cpu usage per Container is 50m, but request is 10m",
        ),
        (
            json!({"limits": {"cpu": "600m"}}),
            "[maximum cpu usage per Container is 500m, but limit is 600m]",
        ),
    ] {
        let (code, status) = admin.call("POST", PODS, pod("wrong", resources)).await;
        let message = status["message"].as_str().expect("has one");
        assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
        let why = why.trim_matches(['[', ']']);
        assert_eq!(message, format!("pods \"wrong\" is forbidden: {why}"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_charged() {
    let (_dir, server, mut admin) = server().await;
    quota(
        &mut admin,
        "compute",
        json!({"hard": {"pods": "2", "requests.cpu": "1"}}),
    )
    .await;
    quota(
        &mut admin,
        "objects",
        json!({"hard": {"configmaps": "1", "count/replicasets.apps": "1",
        "services.nodeports": "1"}}),
    )
    .await;
    let half = json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "500m"}});
    create(&mut admin, PODS, pod("a", half.clone())).await;
    assert_eq!(
        used(&mut admin, "compute").await,
        json!({"pods": "1", "requests.cpu": "500m"})
    );

    // A dry run is checked, and not charged.
    let dry = format!("{PODS}?dryRun=All");
    create(&mut admin, &dry, pod("b", half.clone())).await;
    assert_eq!(used(&mut admin, "compute").await["pods"], "1");

    let whole = json!({"requests": {"cpu": "1"}});
    let (code, status) = admin.call("POST", PODS, pod("b", whole)).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        status["message"],
        "pods \"b\" is forbidden: exceeded quota: compute, requested: requests.cpu=1, used: \
         requests.cpu=500m, limited: requests.cpu=1"
    );
    let (_, status) = admin.call("POST", PODS, pod("b", json!({}))).await;
    assert_eq!(
        status["message"],
        "pods \"b\" is forbidden: failed quota: compute: must specify requests.cpu for: c"
    );

    // A Service that comes to need more is charged for the rest.
    let services = "/api/v1/namespaces/ns/services";
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    create(&mut admin, services, service).await;
    assert_eq!(used(&mut admin, "objects").await["services.nodeports"], "0");
    let outside = json!({"spec": {"type": "NodePort"}}).to_string();
    let path = format!("{services}/s");
    assert_eq!(admin.call_as("PATCH", &path, MERGE, outside).await.0, 200);
    assert_eq!(used(&mut admin, "objects").await["services.nodeports"], "1");
    let more = json!({"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}});
    let (code, status) = admin.call_as("PATCH", &path, MERGE, more.to_string()).await;
    assert_eq!(
        (code, &status["reason"]),
        (403, &json!("Forbidden")),
        "{status}"
    );

    // What cannot be made is not charged: it is checked first.
    let wrong = json!({"metadata": {"name": "UPPER"}});
    let maps = "/api/v1/namespaces/ns/configmaps";
    assert_eq!(admin.call("POST", maps, wrong).await.0, 422);
    assert_eq!(used(&mut admin, "objects").await["configmaps"], "0");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_at_once_do_not_overrun_a_quota() {
    const AT_ONCE: usize = 8;
    const ALLOWED: usize = 3;
    let (_dir, server, mut admin) = server().await;
    quota(
        &mut admin,
        "q",
        json!({"hard": {"configmaps": ALLOWED.to_string()}}),
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        clients.push(server.client("admin").await);
    }
    let creates = clients.iter_mut().enumerate().map(|(index, client)| {
        let object = json!({"metadata": {"name": format!("m-{index}")}});
        client.call("POST", "/api/v1/namespaces/ns/configmaps", object)
    });
    let answers = futures::future::join_all(creates).await;
    let count = |code: u16| answers.iter().filter(|(c, _)| *c == code).count();
    assert_eq!((count(201), count(403)), (ALLOWED, AT_ONCE - ALLOWED));
    assert_eq!(
        used(&mut admin, "q").await,
        json!({"configmaps": ALLOWED.to_string()})
    );
    server.stop().await;
}

/// A pod that runs and is ready, behind a budget.
async fn running(client: &mut Client, name: &str, ready: &str) {
    let mut object = pod(name, json!({}));
    object["metadata"]["labels"] = json!({"app": "a"});
    create(client, PODS, object).await;
    let status = json!({"status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": ready}]}});
    let path = format!("{PODS}/{name}/status");
    assert_eq!(
        client
            .call_as("PATCH", &path, MERGE, status.to_string())
            .await
            .0,
        200
    );
}

async fn evict(client: &mut Client, name: &str) -> (u16, Value) {
    let object = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    client
        .call("POST", &format!("{PODS}/{name}/eviction"), object)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evictions_honour_budgets() {
    let (_dir, server, mut admin) = server().await;
    let budgets = "/apis/policy/v1/namespaces/ns/poddisruptionbudgets";
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1,
        "selector": {"matchLabels": {"app": "a"}}}});
    create(&mut admin, budgets, budget).await;
    for name in ["a", "b", "c"] {
        running(&mut admin, name, "True").await;
    }
    running(&mut admin, "sick", "False").await;

    // Its controller has not seen it yet.
    let (code, status) = evict(&mut admin, "a").await;
    assert_eq!((code, &status["reason"]), (429, &json!("TooManyRequests")));
    assert_eq!(
        status["message"],
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        status["details"],
        json!({"retryAfterSeconds": 10, "causes": [{"reason": "DisruptionBudget",
            "message": "The disruption budget b is still being processed by the server."}]})
    );
    let seen = json!({"status": {"observedGeneration": 1, "currentHealthy": 3,
        "desiredHealthy": 1, "expectedPods": 4, "disruptionsAllowed": 1}});
    let path = format!("{budgets}/b/status");
    assert_eq!(
        admin
            .call_as("PATCH", &path, MERGE, seen.to_string())
            .await
            .0,
        200
    );

    // Two at once: there is one to spare.
    let mut other = server.client("admin").await;
    let (a, b) = tokio::join!(evict(&mut admin, "a"), evict(&mut other, "b"));
    let mut codes = [a.0, b.0];
    codes.sort_unstable();
    assert_eq!(codes, [201, 429]);
    let (gone, left) = if a.0 == 201 { ("a", "b") } else { ("b", "a") };
    let (_, budget) = admin.get(&format!("{budgets}/b")).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"][gone].is_string());
    assert_eq!(admin.get(&format!("{PODS}/{gone}")).await.0, 404);
    assert_eq!(admin.get(&format!("{PODS}/{left}")).await.0, 200);

    // What is not ready is not missed, as long as enough others are.
    assert_eq!(evict(&mut admin, "sick").await.0, 201);
    let request = http::Request::post(format!("{PODS}/c/eviction"))
        .header("host", "localhost")
        .header("content-type", "application/json");
    let unseen = json!({"spec": {"minAvailable": 2}}).to_string();
    let path = format!("{budgets}/b");
    assert_eq!(admin.call_as("PATCH", &path, MERGE, unseen).await.0, 200);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "c"}})
    .to_string();
    let request = request.body(eviction.into()).expect("is a request");
    let response = admin.send(request).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "10");
    server.stop().await;
}
