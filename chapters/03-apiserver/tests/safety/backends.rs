//! What stands behind the server: it is reached by who may, where it is, and learns nothing of who.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::{Client, Server};

const POD: &str = "/api/v1/namespaces/default/pods/p";

/// A kubelet that would lead elsewhere whoever asks, and tells what it was asked.
async fn kubelet(
    tls: Arc<rustls::ServerConfig>,
    listener: TcpListener,
    asked: UnboundedSender<Request<()>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, asked) = (tokio_rustls::TlsAcceptor::from(tls.clone()), asked.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let answer = match request.uri().path() {
                    "/exec/default/p/c" => Response::builder().status(400),
                    _ => Response::builder()
                        .status(302)
                        .header("location", "https://169.254.169.254/latest/meta-data"),
                };
                let (parts, _) = request.into_parts();
                let _gone = asked.send(Request::from_parts(parts, ()));
                async { answer.body(Full::new(Bytes::new())) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            let _ended = connection.await;
        });
    }
}

/// A server, and a pod on a node whose kubelet is [`kubelet`].
async fn start(dir: &std::path::Path) -> (Server, Client, UnboundedReceiver<Request<()>>) {
    let server = Server::start(dir).await;
    let mut admin = server.client("admin").await;
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback is there");
    let port = listener.local_addr().expect("is bound").port();
    server
        .pki
        .certify("kubelet", "system:node:n", Some("system:nodes"));
    let (tell, asked) = unbounded_channel();
    tokio::spawn(kubelet(server.pki.server("kubelet"), listener, tell));
    let node = json!({"metadata": {"name": "n"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    assert_eq!(admin.call("POST", "/api/v1/nodes", node).await.0, 201);
    let account = json!({"metadata": {"name": "default"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_eq!(admin.call("POST", accounts, account).await.0, 201);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n",
        "containers": [{"name": "c", "image": "x"}]}});
    let (code, made) = admin
        .call("POST", "/api/v1/namespaces/default/pods", pod)
        .await;
    assert_eq!(code, 201, "{made}");
    (server, admin, asked)
}

async fn send(
    client: &mut Client,
    request: http::request::Builder,
) -> (http::HeaderMap, u16, Value) {
    let request = request.header("host", "localhost").body(Full::default());
    let (parts, body) = client
        .send(request.expect("is a request"))
        .await
        .into_parts();
    let body = body.collect().await.expect("is whole").to_bytes();
    let answered = serde_json::from_slice(&body).unwrap_or_default();
    (parts.headers, parts.status.as_u16(), answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_leads_the_server_elsewhere() {
    let dir = tempfile::tempdir().expect("can be made");
    let (server, mut admin, mut asked) = start(dir.path()).await;

    // CVE-2020-8559 and its kin: a redirect is told to the client or is an error, never followed.
    let (code, refused) = admin.get(&format!("{POD}/log")).await;
    assert_eq!((code, &refused["reason"]), (500, &json!("InternalError")));
    let log = asked.recv().await.expect("was asked");
    assert_eq!(log.uri(), "/containerLogs/default/p/c");
    let through = Request::get("/api/v1/nodes/n/proxy/logs/");
    let (headers, code, _) = send(&mut admin, through).await;
    assert_eq!(code, 302);
    assert_eq!(
        headers["location"],
        "https://169.254.169.254/latest/meta-data"
    );
    assert_eq!(asked.recv().await.expect("was asked").uri(), "/logs/");

    // Nor does a status that says it is somewhere that it may not be.
    let (code, refused) = admin.get("/api/v1/nodes/n:22/proxy/").await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("address not allowed"))
    );
    let merge = "application/merge-patch+json";
    for ip in [
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "0.0.0.0",
        "::ffff:127.0.0.1",
    ] {
        let status = json!({"status": {"podIP": ip, "podIPs": [{"ip": ip}]}}).to_string();
        let (code, _) = admin
            .call_as("PATCH", &format!("{POD}/status"), merge, status)
            .await;
        // Some are no addresses of pods to begin with.
        assert!(matches!(code, 200 | 422), "{ip}: {code}");
        let (code, refused) = admin.get(&format!("{POD}:80/proxy/")).await;
        assert_eq!(
            (code, &refused["message"]),
            (400, &json!("address not allowed")),
            "{ip}"
        );
    }
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let services = "/api/v1/namespaces/default/services";
    assert_eq!(admin.call("POST", services, service).await.0, 201);
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice = |kind: &str, address: &str| {
        json!({"metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": kind, "ports": [{"port": 80}], "endpoints": [{"addresses": [address]}]})
    };
    for (kind, address, code) in [
        ("IPv4", "127.0.0.1", 422),
        ("IPv4", "169.254.169.254", 422),
        ("IPv6", "::1", 422),
        ("FQDN", "metadata.example.com", 201),
    ] {
        // Most are no addresses of endpoints to begin with.
        let made = admin.call("POST", slices, slice(kind, address)).await;
        assert_eq!(made.0, code, "{address}: {}", made.1);
        let (code, refused) = admin.get(&format!("{services}/s:80/proxy/")).await;
        let message = refused["message"].as_str().unwrap_or_default();
        let none = "no endpoints available for service \"s\"";
        assert!(
            matches!((code, message), (400, "address not allowed"))
                || (code, message) == (503, none),
            "{address}: {refused}"
        );
        let path = format!("{slices}/s");
        let (code, _) = admin.call("DELETE", &path, json!({})).await;
        assert!(matches!(code, 200 | 404), "{address}: {code}");
    }
    // Nor are they of Endpoints, or of what leads to a Service from outside.
    let all = "/api/v1/namespaces/default/endpoints";
    let endpoints = json!({"metadata": {"name": "s"}, "subsets": [
        {"addresses": [{"ip": "169.254.169.254"}], "ports": [{"port": 80}]}]});
    assert_eq!(
        admin.refused(all, endpoints).await,
        [
            "subsets[0].addresses[0].ip: Invalid value: \"169.254.169.254\": may not be in the \
          link-local range (169.254.0.0/16, fe80::/10)"
        ]
    );
    let service = json!({"metadata": {"name": "t"},
        "spec": {"ports": [{"port": 80}], "externalIPs": ["127.0.0.1"]}});
    assert_eq!(
        admin.refused(services, service).await,
        [
            "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range \
          (127.0.0.0/8, ::1/128)"
        ]
    );
    assert!(asked.try_recv().is_err(), "nobody else was asked");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_of_a_log_is_the_servers_to_make() {
    let dir = tempfile::tempdir().expect("can be made");
    let (server, mut admin, mut asked) = start(dir.path()).await;
    for container in ["..%2f..%2fetc", "../..", "c%2f..%2fd", "c%3fx", "C", "%00"] {
        let (code, refused) = admin.get(&format!("{POD}/log?container={container}")).await;
        assert_eq!(code, 400);
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(message.ends_with("is not valid for pod p"), "{message}");
    }
    for path in [
        "/api/v1/namespaces/default/pods/..%2fp/log",
        "/api/v1/namespaces/default%2fx/pods/p/log",
        "/api/v1/namespaces/default/pods/p/log/../../../etc",
    ] {
        assert_eq!(admin.get(path).await.0, 404, "{path}");
    }
    // What a value says stays a value.
    admin
        .get(&format!("{POD}/log?sinceTime=x%26previous%3d1%23"))
        .await;
    let log = asked.recv().await.expect("was asked");
    assert_eq!(
        log.uri(),
        "/containerLogs/default/p/c?sinceTime=x%26previous%3D1%23"
    );
    // No pod has a container of such a name.
    let pod = json!({"metadata": {"name": "q"}, "spec": {
        "containers": [{"name": "../../etc", "image": "x"}]}});
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(admin.call("POST", pods, pod).await.0, 422);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_get_is_not_to_run() {
    let dir = tempfile::tempdir().expect("can be made");
    let (server, mut admin, mut asked) = start(dir.path()).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let parts = ["pods/exec", "pods/attach", "pods/portforward"];
    let role = |verb: &str| {
        json!({"metadata": {"name": verb},
            "rules": [{"verbs": ["get", verb], "apiGroups": [""], "resources": parts}]})
    };
    let binding = |verb: &str| {
        json!({"metadata": {"name": verb},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": verb},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]})
    };
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": []}});
    let (code, token) = admin
        .call(
            "POST",
            "/api/v1/namespaces/default/serviceaccounts/default/token",
            request,
        )
        .await;
    assert_eq!(code, 201, "{token}");
    let token = token["status"]["token"]
        .as_str()
        .expect("has one")
        .to_owned();
    // A browser's WebSocket, which has no other place for its token.
    let upgrade = |part: &str| {
        use base64::Engine;
        let encoded = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(&token);
        let bearer = format!("base64url.bearer.authorization.k8s.io.{encoded}");
        Request::get(format!("{POD}/{part}?command=id&ports=80"))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header(
                "sec-websocket-protocol",
                format!("v4.channel.k8s.io, {bearer}"),
            )
    };
    for verb in ["watch", "create"] {
        let roles = format!("{rbac}/roles");
        assert_eq!(admin.call("POST", &roles, role(verb)).await.0, 201);
        let bindings = format!("{rbac}/rolebindings");
        assert_eq!(admin.call("POST", &bindings, binding(verb)).await.0, 201);
        for part in ["exec", "attach", "portforward"] {
            let mut client = server.client("").await;
            let (_, code, refused) = send(&mut client, upgrade(part)).await;
            if verb == "watch" {
                assert_eq!(code, 403, "{part}: {refused}");
                let message = refused["message"].as_str().unwrap_or_default();
                assert!(message.contains("cannot create resource"), "{message}");
                continue;
            }
            assert_ne!(code, 403, "{part}: {refused}");
            let seen = asked.recv().await.expect("was asked");
            // The kubelet sees what is asked, and not by what right.
            assert_eq!(
                seen.headers()["sec-websocket-protocol"],
                "v4.channel.k8s.io"
            );
            for name in ["authorization", "impersonate-user"] {
                assert!(!seen.headers().contains_key(name), "{name}");
            }
        }
    }
    assert!(asked.try_recv().is_err(), "and nobody before");

    // Neither does what a node's proxy leads to, with every way to say who one is.
    let binding = json!({"metadata": {"name": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(admin.call("POST", bindings, binding).await.0, 201);
    let mut client = server.client("").await;
    let through = Request::get("/api/v1/nodes/n/proxy/x")
        .header("authorization", format!("Bearer {token}"))
        .header("impersonate-user", "kubernetes-admin")
        .header("impersonate-group", "system:masters")
        .header("impersonate-extra-a", "b");
    assert_eq!(send(&mut client, through).await.1, 302);
    let seen = asked.recv().await.expect("was asked");
    let telling = |name: &str| name.starts_with("impersonate-") || name == "authorization";
    assert!(!seen.headers().keys().any(|name| telling(name.as_str())));
    server.stop().await;
}
