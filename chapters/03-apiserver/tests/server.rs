//! The server as its clients see it: over TLS, with certificates.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "a"}}, "data": {"key": "value"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_come_change_and_go() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;

    let (code, made) = admin.call("POST", CONFIG_MAPS, config_map("x")).await;
    assert_eq!(code, 201);
    let (code, again) = admin.call("POST", CONFIG_MAPS, config_map("x")).await;
    assert_eq!(
        (code, &again["message"]),
        (409, &json!("configmaps \"x\" already exists"))
    );

    // Two read it, both write it: the second is told.
    let path = format!("{CONFIG_MAPS}/x");
    let mut first = made.clone();
    first["data"]["key"] = "first".into();
    assert_eq!(admin.call("PUT", &path, first).await.0, 200);
    let (code, conflict) = admin.call("PUT", &path, made).await;
    assert_eq!((code, &conflict["reason"]), (409, &json!("Conflict")));

    // What holds it keeps it, until it lets go.
    let merge = "application/merge-patch+json";
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, merge, hold).await.0, 200);
    let (code, ending) = admin.call("DELETE", &path, json!({})).await;
    assert_eq!(code, 200);
    assert!(ending["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(admin.get(&path).await.0, 200);
    let release = json!({"metadata": {"finalizers": null}}).to_string();
    assert_eq!(admin.call_as("PATCH", &path, merge, release).await.0, 200);
    assert_eq!(admin.get(&path).await.0, 404);

    // All of it is there after a restart.
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("kept")).await.0,
        201
    );
    server.stop().await;
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    let (code, kept) = admin.get(&format!("{CONFIG_MAPS}/kept")).await;
    assert_eq!((code, &kept["data"]["key"]), (200, &json!("value")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_tell_everything_once() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut admin = server.client("admin").await;
    let (_, first) = admin.call("POST", CONFIG_MAPS, config_map("a")).await;
    let version = first["metadata"]["resourceVersion"]
        .as_str()
        .expect("has one")
        .to_owned();

    let streaming = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
        &resourceVersionMatch=NotOlderThan&labelSelector=app%3Da";
    let client = server.client("admin").await;
    let mut list = client.watch(&format!("{CONFIG_MAPS}?{streaming}")).await;
    assert_eq!(list.next_event().await, ("ADDED".into(), "a".into()));
    let bookmark = list.next().await.expect("goes on");
    assert_eq!(bookmark["type"], "BOOKMARK");
    let annotations = &bookmark["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");

    let client = server.client("admin").await;
    let mut resumed = client
        .watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}"))
        .await;
    let merge = "application/merge-patch+json";
    let other = json!({"metadata": {"labels": {"app": "b"}}}).to_string();
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(admin.call_as("PATCH", &path, merge, other).await.0, 200);
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    // To the watch of app=a it left; to the watch of all it changed, then went.
    assert_eq!(list.next_event().await, ("DELETED".into(), "a".into()));
    assert_eq!(resumed.next_event().await, ("MODIFIED".into(), "a".into()));
    assert_eq!(resumed.next_event().await, ("DELETED".into(), "a".into()));

    // A server that stops ends its watches; one that starts knows nothing of before.
    server.stop().await;
    assert_eq!(resumed.next().await, None);
    let server = Server::start(dir.path()).await;
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}");
    let mut expired = server.client("admin").await.watch(&path).await;
    let event = expired.next().await.expect("an event says so");
    assert_eq!(event["type"], "ERROR");
    assert_eq!(event["object"]["code"], 410);
    assert_eq!(event["object"]["reason"], "Expired");
    assert_eq!(expired.next().await, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_of_one_moment() {
    let (server, mut admin) = Server::fresh().await;
    for name in ["a", "b", "c"] {
        assert_eq!(
            admin.call("POST", CONFIG_MAPS, config_map(name)).await.0,
            201
        );
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("is a list");
        items
            .iter()
            .map(|item| item["metadata"]["name"].to_string())
            .collect()
    };
    let (_, page) = admin.get(&format!("{CONFIG_MAPS}?limit=2")).await;
    assert_eq!(names(&page), ["\"a\"", "\"b\""]);
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
    assert_eq!(
        admin
            .call("DELETE", &format!("{CONFIG_MAPS}/c"), json!({}))
            .await
            .0,
        200
    );
    let next = page["metadata"]["continue"].as_str().expect("goes on");
    let (_, page) = admin
        .get(&format!("{CONFIG_MAPS}?limit=2&continue={next}"))
        .await;
    assert_eq!(names(&page), ["\"c\""]);
    let (_, now) = admin.get(CONFIG_MAPS).await;
    assert_eq!(names(&now), ["\"a\"", "\"b\""]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_matters() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let (code, denied) = server.client("").await.get("/api/v1/nodes").await;
    assert_eq!(code, 403);
    assert_eq!(
        denied["message"],
        "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API \
         group \"\" at the cluster scope"
    );
    assert_eq!(server.client("").await.get("/version").await.0, 200);

    // A right that has been granted holds at once.
    let mut jane = server.client("jane").await;
    assert_eq!(jane.get(CONFIG_MAPS).await.0, 403);
    let binding = json!({"metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let mut admin = server.client("admin").await;
    assert_eq!(admin.call("POST", bindings, binding).await.0, 201);
    assert_eq!(jane.get(CONFIG_MAPS).await.0, 200);
    assert_eq!(jane.get("/api/v1/configmaps").await.0, 403);

    // Somebody else's authority vouches for nobody here.
    let elsewhere = tempfile::tempdir().expect("can be made");
    let others = support::Pki::new(elsewhere.path());
    others.certify("mallory", "kubernetes-admin", Some("system:masters"));
    for end in ["crt", "key"] {
        let file = format!("mallory.{end}");
        std::fs::copy(others.path(&file), server.pki.path(&file)).expect("can be copied");
    }
    let (code, refused) = server.client("mallory").await.get("/api/v1/nodes").await;
    assert_eq!((code, &refused["message"]), (401, &json!("Unauthorized")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told() {
    let (server, mut admin) = Server::fresh().await;
    let mut codes = Vec::new();
    let json = "application/json";
    for (method, path, content_type, body) in [
        ("POST", CONFIG_MAPS, json, "{"),
        ("POST", CONFIG_MAPS, "application/cbor", "{}"),
        ("POST", CONFIG_MAPS, json, r#"{"metadata":{"name":"No"}}"#),
        (
            "POST",
            "/api/v1/namespaces/none/configmaps",
            json,
            r#"{"metadata":{"name":"x"}}"#,
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/configmaps/y",
            json,
            r#"{"metadata":{"name":"x"}}"#,
        ),
        ("PATCH", "/api/v1/nodes/n", "text/plain", "{}"),
        ("POST", "/api/v1/nodes/n", json, "{}"),
        ("GET", "/api/v1/namespaces/default/mice", json, ""),
        ("GET", "/apis/example.com", json, ""),
        ("GET", "/api/v1/pods?fieldSelector=spec.x%3D1", json, ""),
        ("DELETE", "/api/v1/namespaces/kube-system", json, ""),
    ] {
        codes.push(
            admin
                .call_as(method, path, content_type, body.into())
                .await
                .0,
        );
    }
    assert_eq!(
        codes,
        [400, 415, 422, 404, 400, 415, 405, 404, 404, 400, 403]
    );
    let large = format!(r#"{{"data":{{"x":"{}"}}}}"#, "x".repeat(4 << 20));
    assert_eq!(admin.call_as("POST", CONFIG_MAPS, json, large).await.0, 413);
    server.stop().await;
}

/// A kubelet that knows two paths: it has one line of logs, and echoes whoever upgrades.
async fn kubelet(tls: Arc<rustls::ServerConfig>, listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.clone());
        tokio::spawn(async move {
            let stream = acceptor.accept(stream).await.expect("speaks TLS");
            let service = hyper::service::service_fn(
                |mut request: Request<hyper::body::Incoming>| async move {
                    let answer = http::Response::builder();
                    let target = request.uri().to_string();
                    if target.starts_with("/containerLogs/default/p/c?tailLines=1") {
                        answer.body(Full::new(Bytes::from("a line\n")))
                    } else if target.starts_with("/echo") {
                        let authorized = request.headers().contains_key("authorization");
                        let method = request.method().to_string();
                        let body = request.into_body().collect().await.expect("is whole");
                        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                        let text = format!("{method} {target} {body} {authorized}");
                        answer
                            .header("location", "/elsewhere")
                            .body(Full::new(Bytes::from(text)))
                    } else if target == "/exec/default/p/c?command=cat&command=a%20b&input=1" {
                        tokio::spawn(async move {
                            let upgraded =
                                hyper::upgrade::on(&mut request).await.expect("upgrades");
                            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                            tokio::io::copy(&mut read, &mut write).await
                        });
                        answer
                            .status(101)
                            .header("connection", "Upgrade")
                            .header("upgrade", "SPDY/3.1")
                            .header("x-stream-protocol-version", "v4.channel.k8s.io")
                            .body(Full::default())
                    } else {
                        answer.status(400).body(Full::new(Bytes::from(target)))
                    }
                },
            );
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            let _ended = connection.with_upgrades().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_to_the_kubelet() {
    let (server, mut admin) = Server::fresh().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback is there");
    let port = listener.local_addr().expect("is bound").port();
    server
        .pki
        .certify("kubelet", "system:node:n", Some("system:nodes"));
    tokio::spawn(kubelet(server.pki.server("kubelet"), listener));

    let node = json!({"metadata": {"name": "n"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    assert_eq!(admin.call("POST", "/api/v1/nodes", node).await.0, 201);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"name": "default"}});
    assert_eq!(admin.call("POST", accounts, account).await.0, 201);
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "x"}]}});
    assert_eq!(
        admin
            .call("POST", "/api/v1/namespaces/default/pods", pod)
            .await
            .0,
        201
    );
    let path = "/api/v1/namespaces/default/pods/p";
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(
        admin
            .call("POST", &format!("{path}/binding"), binding.clone())
            .await
            .0,
        201
    );
    let (code, bound) = admin
        .call("POST", &format!("{path}/binding"), binding)
        .await;
    assert_eq!(code, 409);
    assert_eq!(
        bound["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \
         \"n\""
    );

    let request = |path: String| {
        Request::builder()
            .uri(path)
            .header("host", "localhost")
            .header("connection", "Upgrade")
    };
    let logs = request(format!("{path}/log?tailLines=1")).body(Full::default());
    let logs = admin.send(logs.expect("is a request")).await;
    assert_eq!(
        logs.into_body()
            .collect()
            .await
            .expect("is whole")
            .to_bytes(),
        "a line\n"
    );

    // As WebSocket messages, too: one of seven bytes, and the end.
    let logs = request(format!("{path}/log?tailLines=1"))
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "binary.k8s.io")
        .body(Full::default());
    let mut client = server.client("admin").await;
    let mut answer = client.send(logs.expect("is a request")).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "binary.k8s.io");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgrades"));
    let mut frames = Vec::new();
    stream.read_to_end(&mut frames).await.expect("ends");
    assert_eq!(frames, b"\x82\x07a line\n\x88\x02\x03\xe8");

    // Any other path of the kubelet's, with the body, and without who asks.
    let proxied = Request::post("/api/v1/nodes/n/proxy/echo/a//b?c=d%20e")
        .header("host", "localhost")
        .body(Full::from("hello"));
    let mut client = server.client("admin").await;
    let answer = client.send(proxied.expect("is a request")).await;
    assert_eq!(answer.status(), 200);
    let location = &answer.headers()["location"];
    assert_eq!(location, "/api/v1/nodes/n/proxy/elsewhere");
    let said = answer.into_body().collect().await.expect("is whole");
    assert_eq!(said.to_bytes(), "POST /echo/a//b?c=d%20e hello false");
    let root = Request::get("/api/v1/nodes/n/proxy?x=y")
        .header("host", "localhost")
        .body(Full::default());
    let answer = client.send(root.expect("is a request")).await;
    assert_eq!(answer.status(), 301);
    assert_eq!(answer.headers()["location"], "/api/v1/nodes/n/proxy/?x=y");
    // A pod that has no address yet leads nowhere.
    let (code, refused) = client.get(&format!("{path}/proxy/")).await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("address not allowed"))
    );

    let exec = request(format!(
        "{path}/exec?command=cat&command=a+b&stdin=true&stdout=false"
    ))
    .method("POST")
    .header("upgrade", "SPDY/3.1")
    .body(Full::default());
    let mut answer = admin.send(exec.expect("is a request")).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(
        answer.headers()["x-stream-protocol-version"],
        "v4.channel.k8s.io"
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgrades"));
    stream.write_all(b"both ways").await.expect("is open");
    let mut echo = [0; 9];
    stream.read_exact(&mut echo).await.expect("is open");
    assert_eq!(&echo, b"both ways");

    let (code, refused) = server
        .client("admin")
        .await
        .get(&format!("{path}/log"))
        .await;
    assert_eq!((code, &refused["reason"]), (400, &json!("BadRequest")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_tells_who_did_what_and_who_was_told() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut jane = server.client("jane").await;
    assert_eq!(jane.get(apiserver::trace::PATH).await.0, 403);

    // Who watches before the trace begins is told of, too.
    let watcher = server.client("admin").await;
    let selected = format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Dx");
    let mut watch = watcher.watch(&selected).await;
    let mut records = server
        .client("admin")
        .await
        .watch(apiserver::trace::PATH)
        .await;
    let mut admin = server.client("admin").await;
    let (_, made) = admin.call("POST", CONFIG_MAPS, config_map("x")).await;
    assert_eq!(watch.next_event().await, ("ADDED".into(), "x".into()));
    assert_eq!(jane.get(&format!("{CONFIG_MAPS}/x")).await.0, 403);

    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(records.next().await.expect("goes on"));
    }
    // A watcher may be told before the writer is.
    lines[..2].sort_by_key(|line| line["step"] == "delivery");
    let revision: i64 = made["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|version| version.parse().ok())
        .expect("has a revision");
    let object = json!({"resource": "configmaps", "namespace": "default", "name": "x"});
    assert_eq!(
        (
            &lines[0]["client"]["user"],
            &lines[0]["verb"],
            &lines[0]["code"]
        ),
        (&json!("kubernetes-admin"), &json!("create"), &json!(201))
    );
    assert_eq!(
        lines[0]["writes"],
        json!([{"object": object, "revision": revision}])
    );
    assert_eq!(
        (
            &lines[1]["type"],
            &lines[1]["object"],
            &lines[1]["revision"]
        ),
        (&json!("ADDED"), &object, &json!(revision))
    );
    assert_eq!(
        (
            &lines[2]["client"]["user"],
            &lines[2]["verb"],
            &lines[2]["code"]
        ),
        (&json!("jane"), &json!("get"), &json!(403))
    );
    server.stop().await;
}
