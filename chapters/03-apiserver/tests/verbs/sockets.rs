//! Watches over WebSockets.

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{CONFIG_MAPS, config_map};
use crate::support::Server;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// Asks for a watch over a WebSocket, with these headers besides.
async fn ask(server: &Server, who: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let mut request = Request::get(format!("{CONFIG_MAPS}?watch=1"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).expect("is a request");
    server.client(who).await.send(request).await
}

const ORIGIN: (&str, &str) = ("origin", "https://example.com");

/// The next frame: its opcode and what it carries.
async fn frame(stream: &mut TokioIo<Upgraded>) -> (u8, Vec<u8>) {
    let head = stream.read_u16().await.expect("goes on");
    let length = match head & 0x7f {
        126 => stream.read_u16().await.expect("goes on").into(),
        127 => stream.read_u64().await.expect("goes on") as usize,
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.expect("goes on");
    ((head >> 8) as u8 & 0x0f, payload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_watches() {
    let (server, mut admin) = Server::fresh().await;
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("a")).await.0,
        201
    );
    let protocol = ("sec-websocket-protocol", "base64.binary.k8s.io");
    let mut answer = ask(&server, "admin", &[ORIGIN, protocol]).await;
    assert_eq!(answer.status(), 101);
    let headers = answer.headers();
    assert_eq!(
        headers["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(headers["sec-websocket-protocol"], "base64.binary.k8s.io");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgrades"));

    // What is told is JSON in text, whatever the protocol is called.
    let (opcode, message) = frame(&mut stream).await;
    let event: Value = serde_json::from_slice(&message).expect("is JSON");
    assert_eq!((opcode, &event["type"]), (TEXT, &json!("ADDED")));
    assert_eq!(message.last(), Some(&b'\n'));
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(admin.call("DELETE", &path, json!({})).await.0, 200);
    let (_, message) = frame(&mut stream).await;
    let event: Value = serde_json::from_slice(&message).expect("is JSON");
    assert_eq!(event["type"], "DELETED");
    // A ping is answered, what else a client says is not, and who goes is let go.
    let said = b"\x81\x82\0\0\0\0hi\x89\x82\0\0\0\0ok";
    stream.write_all(said).await.expect("is open");
    assert_eq!(frame(&mut stream).await, (PONG, b"ok".to_vec()));
    stream
        .write_all(b"\x88\x80\0\0\0\0")
        .await
        .expect("is open");
    assert_eq!(frame(&mut stream).await, (CLOSE, vec![0x03, 0xe8]));
    assert_eq!(stream.read(&mut [0; 1]).await.expect("ends"), 0);

    // A program takes protobuf, as messages of bytes; a server that stops says so.
    let protobuf = ("accept", "application/vnd.kubernetes.protobuf;stream=watch");
    let mut answer = ask(&server, "admin", &[ORIGIN, protobuf]).await;
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("upgrades"));
    assert_eq!(
        admin.call("POST", CONFIG_MAPS, config_map("b")).await.0,
        201
    );
    let (opcode, message) = frame(&mut stream).await;
    assert_eq!((opcode, &message[..7]), (BINARY, &b"\x0a\x05ADDED"[..]));
    let (ended, stopped) = tokio::join!(frame(&mut stream), server.stop());
    assert_eq!((ended, stopped), ((CLOSE, vec![0x03, 0xe8]), ()));
}

/// Upstream: `checkOrigin` in `golang.org/x/net/websocket`, and
/// `apiserver/pkg/authentication/request/websocket/protocol.go`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_everybody_is_let_in() {
    let (server, mut admin) = Server::fresh().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"metadata": {"name": "web"}});
    assert_eq!(admin.call("POST", accounts, account).await.0, 201);
    let path = format!("{accounts}/web/token");
    let (_, token) = admin.call("POST", &path, json!({})).await;
    let token = token["status"]["token"].as_str().expect("has one");
    use base64::Engine;
    let encoded = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(token);
    let bearer = format!("base64url.bearer.authorization.k8s.io.{encoded}");
    let protocols = |value: &'static str| ("sec-websocket-protocol", value);
    let both = format!("{bearer}, binary.k8s.io");
    let twice = format!("{bearer}, binary.k8s.io, {bearer}");
    for (who, headers, code) in [
        ("admin", vec![], 403),
        ("admin", vec![("origin", "null")], 403),
        ("admin", vec![ORIGIN, protocols("a, b")], 400),
        ("jane", vec![ORIGIN], 403),
        ("", vec![ORIGIN, ("sec-websocket-protocol", &*bearer)], 401),
        ("", vec![ORIGIN, ("sec-websocket-protocol", &*twice)], 401),
        ("", vec![ORIGIN, ("sec-websocket-protocol", &*both)], 403),
    ] {
        let answer = ask(&server, who, &headers).await;
        assert_eq!(answer.status(), code, "{who} {headers:?}");
    }
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let binding = json!({"metadata": {"name": "web"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "default"}]});
    assert_eq!(admin.call("POST", rbac, binding).await.0, 201);
    let answer = ask(&server, "", &[ORIGIN, ("sec-websocket-protocol", &both)]).await;
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "binary.k8s.io");
    server.stop().await;
}
