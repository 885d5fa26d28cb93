//! What leads into a cluster and whose its addresses are, as clients see it.
//!
//! What upstream's conformance suite asks is held here: `test/e2e/network/{ingress,ingressclass,
//! service_cidrs,netpol/network_policy_api}.go`.

#[allow(dead_code, reason = "the server's own test uses all of it")]
mod support;

use serde_json::{Value, json};
use support::{Client, Server};

const API: &str = "/apis/networking.k8s.io/v1";
const MERGE: &str = "application/merge-patch+json";

async fn server() -> (tempfile::TempDir, Server, Client) {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let admin = server.client("admin").await;
    (dir, server, admin)
}

async fn create(client: &mut Client, path: &str, object: Value) -> Value {
    let (code, made) = client.call("POST", path, object).await;
    assert_eq!(code, 201, "{made}");
    made
}

async fn patch(client: &mut Client, path: &str, patch: Value) -> Value {
    let (code, patched) = client
        .call_as("PATCH", path, MERGE, patch.to_string())
        .await;
    assert_eq!(code, 200, "{patched}");
    patched
}

async fn names(client: &mut Client, path: &str) -> Vec<String> {
    let (code, list) = client.get(path).await;
    assert_eq!(code, 200, "{list}");
    let items = list["items"].as_array().expect("is a list");
    let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
    items.iter().filter_map(name).collect()
}

/// What the suite does with every kind: found in discovery, made, watched, listed, patched,
/// replaced, deleted alone and in a collection.
async fn lifecycle(server: &Server, plural: &str, path: &str, objects: [Value; 3]) {
    let mut client = server.client("admin").await;
    let (_, discovered) = client.get(API).await;
    let resources = discovered["resources"].as_array().expect("is a list");
    assert!(
        resources.iter().any(|resource| resource["name"] == plural),
        "{plural}"
    );
    let selected = format!("{path}?labelSelector=special%3Dx");
    let name = |object: &Value| object["metadata"]["name"].as_str().map(str::to_owned);
    let all: Vec<String> = objects.iter().filter_map(name).collect();
    for mut object in objects {
        object["metadata"]["labels"] = json!({"special": "x"});
        create(&mut client, path, object).await;
    }
    let (_, list) = client.get(&selected).await;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
    let watcher = server.client("admin").await;
    let mut watch = watcher
        .watch(&format!("{selected}&watch=1&resourceVersion={version}"))
        .await;
    let one = format!("{path}/{}", all[0]);
    let noted = json!({"metadata": {"annotations": {"patched": "true"}}});
    let mut patched = patch(&mut client, &one, noted).await;
    assert_eq!(
        watch.next_event().await,
        ("MODIFIED".into(), all[0].clone())
    );
    patched["metadata"]["annotations"]["updated"] = json!("true");
    let (code, updated) = client.call("PUT", &one, patched).await;
    assert_eq!(
        (code, &updated["metadata"]["annotations"]["updated"]),
        (200, &json!("true"))
    );
    assert_eq!(
        watch.next_event().await,
        ("MODIFIED".into(), all[0].clone())
    );
    assert_eq!(client.call("DELETE", &one, json!({})).await.0, 200);
    assert_eq!(watch.next_event().await, ("DELETED".into(), all[0].clone()));
    assert_eq!(client.get(&one).await.0, 404);
    assert_eq!(client.call("DELETE", &selected, json!({})).await.0, 200);
    assert_eq!(names(&mut client, &selected).await, Vec::<String>::new());
}

fn ingress(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"defaultBackend": {
        "service": {"name": "default-backend", "port": {"number": 80}}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingresses_and_their_classes() {
    let (_dir, server, mut admin) = server().await;
    let classes = format!("{API}/ingressclasses");
    let class = |name: &str| json!({"metadata": {"name": name}, "spec": {"controller": "example.com/controller"}});
    lifecycle(
        &server,
        "ingressclasses",
        &classes,
        [class("a"), class("b"), class("c")],
    )
    .await;
    let path = format!("{API}/namespaces/default/ingresses");
    let three = ["a", "b", "c"].map(ingress);
    lifecycle(&server, "ingresses", &path, three).await;

    let mut default = class("default");
    default["metadata"]["annotations"] =
        json!({"ingressclass.kubernetes.io/is-default-class": "true"});
    create(&mut admin, &classes, default).await;
    let made = create(&mut admin, &path, ingress("web")).await;
    assert_eq!(made["spec"]["ingressClassName"], "default");
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
    let status = format!("{path}/web/status");
    let point = json!({"status": {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
        "spec": {"ingressClassName": "other"}});
    let patched = patch(&mut admin, &status, point).await;
    assert_eq!(
        patched["status"]["loadBalancer"]["ingress"][0]["ip"],
        "169.1.1.1"
    );
    assert_eq!(patched["spec"]["ingressClassName"], "default");
    assert_eq!(patched["metadata"]["generation"], 1);
    let (code, read) = admin.get(&status).await;
    assert_eq!((code, &read["metadata"]["name"]), (200, &json!("web")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network_policies() {
    let (_dir, server, mut admin) = server().await;
    let path = format!("{API}/namespaces/default/networkpolicies");
    let policy = |name: &str| json!({"metadata": {"name": name}, "spec": {"podSelector": {}}});
    lifecycle(
        &server,
        "networkpolicies",
        &path,
        [policy("a"), policy("b"), policy("c")],
    )
    .await;
    let mut both = policy("both");
    both["spec"]["egress"] = json!([{"ports": [{"port": 53}]}]);
    let made = create(&mut admin, &path, both).await;
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(made["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_and_ranges() {
    let (_dir, server, mut admin) = server().await;
    let ips = format!("{API}/ipaddresses");
    let ip = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"parentRef": {"group": "",
        "resource": "pods", "namespace": "default", "name": "x"}}})
    };
    let three = ["192.168.1.1", "192.168.1.2", "2001:db8::ffff"].map(ip);
    lifecycle(&server, "ipaddresses", &ips, three).await;
    let cidrs = format!("{API}/servicecidrs");
    let cidr = |name: &str| json!({"metadata": {"name": name}, "spec": {"cidrs": ["10.1.0.0/24"]}});
    lifecycle(
        &server,
        "servicecidrs",
        &cidrs,
        [cidr("a"), cidr("b"), cidr("c")],
    )
    .await;

    // The range that the cluster begins with is there, ready, and comes back.
    let default = format!("{cidrs}/kubernetes");
    let (code, made) = admin.get(&default).await;
    assert_eq!(
        (code, &made["spec"]["cidrs"]),
        (200, &json!(["10.96.0.0/12"]))
    );
    assert_eq!(made["status"]["conditions"][0]["type"], "Ready");
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one");
    let watcher = server.client("admin").await;
    let mut watch = watcher
        .watch(&format!("{cidrs}?watch=1&resourceVersion={version}"))
        .await;
    assert_eq!(admin.call("DELETE", &default, json!({})).await.0, 200);
    let ours = |event: &(String, String)| event.1 == "kubernetes";
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let event = watch.next_event().await;
        kinds.extend(ours(&event).then_some(event.0));
    }
    assert_eq!(kinds, ["DELETED", "ADDED"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_s_addresses_are_objects() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    let services = "/api/v1/namespaces/default/services";
    let service =
        |name: &str| json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    let made = create(&mut admin, services, service("a")).await;
    let ip = made["spec"]["clusterIP"].as_str().expect("has one");
    let path = format!("{API}/ipaddresses/{ip}");
    let (code, object) = admin.get(&path).await;
    assert_eq!(code, 200, "{object}");
    assert_eq!(
        object["spec"]["parentRef"],
        json!({"resource": "services", "namespace": "default", "name": "a"})
    );
    assert_eq!(
        object["metadata"]["labels"],
        json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})
    );
    let outside = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    patch(&mut admin, &format!("{services}/a"), outside).await;
    assert_eq!(admin.get(&path).await.0, 404);

    // What was lost comes back with the server; what is nobody's goes.
    let made = create(&mut admin, services, service("b")).await;
    let ip = made["spec"]["clusterIP"]
        .as_str()
        .expect("has one")
        .to_owned();
    let path = format!("{API}/ipaddresses/{ip}");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    let stale = json!({"metadata": {"name": "10.96.9.9",
        "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "gone"}}});
    create(&mut admin, &format!("{API}/ipaddresses"), stale).await;
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    assert_eq!(names(&mut admin, &format!("{API}/ipaddresses")).await, [ip]);
    assert_eq!(
        admin
            .call("DELETE", &format!("{services}/b"), json!({}))
            .await
            .0,
        200
    );
    assert_eq!(admin.get(&path).await.0, 404);
    server.stop().await;
}
