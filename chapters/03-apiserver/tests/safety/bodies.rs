//! Bodies that are too large, too deep, or grow when they are read.

use std::io::Write;

use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::support::{Client, Server};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const LIMIT: usize = 3 << 20;

/// Sends bytes, with what a client may say of them.
async fn send(client: &mut Client, kind: &str, encoding: &str, body: Vec<u8>) -> (u16, Value) {
    let mut request = Request::post(CONFIG_MAPS)
        .header("host", "localhost")
        .header("content-type", kind);
    if !encoding.is_empty() {
        request = request.header("content-encoding", encoding);
    }
    let request = request.body(Full::from(body)).expect("is a request");
    let response = client.send(request).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.expect("is whole");
    (
        code,
        serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_read_up_to_its_limit() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let mut too_large = vec![b' '; LIMIT + 1];
    too_large[0] = b'{';
    let mut client = server.client("admin").await;
    let (code, refused) = send(&mut client, JSON, "", too_large.clone()).await;
    assert_eq!(
        (code, &refused["reason"], &refused["message"]),
        (
            413,
            &json!("RequestEntityTooLarge"),
            &json!("Request entity too large: limit is 3145728")
        )
    );
    // What fits is read, and is no object.
    too_large.pop();
    let mut client = server.client("admin").await;
    assert_eq!(send(&mut client, JSON, "", too_large).await.0, 400);

    // What is packed is not unpacked: more than the limit would come out.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..4 {
        packed.write_all(&spaces).expect("memory is there");
    }
    let packed = packed.finish().expect("memory is there");
    assert!(packed.len() < LIMIT);
    assert_eq!(send(&mut client, JSON, "gzip", packed).await.0, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_is_deeper_or_larger_than_it_looks() {
    let (server, mut admin) = Server::fresh().await;
    let made = admin
        .call("POST", CONFIG_MAPS, json!({"metadata": {"name": "x"}}))
        .await;
    assert_eq!(made.0, 201);
    let mut aliases = String::from("kind: ConfigMap\napiVersion: v1\nmetadata: {name: y}\n");
    aliases += "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
    for (of, name) in ('a'..'k').zip('b'..) {
        let nine = vec![format!("*{of}"); 9].join(",");
        aliases += &format!("{name}: &{name} [{nine}]\n");
    }
    let deep = 100_000;
    let bodies = [
        (YAML, aliases.clone()),
        (YAML, "a: &a [*a]\n".to_owned()),
        (YAML, "[".repeat(deep)),
        (YAML, "{a: ".repeat(deep)),
        (YAML, "- ".repeat(deep)),
        (YAML, "? ".repeat(deep)),
        (YAML, "!".repeat(deep)),
        (YAML, "&a ".repeat(deep)),
        (JSON, "[".repeat(deep)),
        (JSON, r#"{"data":"#.repeat(deep)),
        (JSON, format!(r#"{{"metadata":{}"#, r#"{"a":"#.repeat(deep))),
        (JSON, "9".repeat(deep)),
        (
            JSON,
            format!(r#"{{"data":{{"a":1e{}}}}}"#, "9".repeat(deep)),
        ),
        (JSON, r#"{"data":{"a":"\ud800"}}"#.to_owned()),
    ];
    for (kind, body) in bodies {
        let sent = admin.call_as("POST", CONFIG_MAPS, kind, body.clone()).await;
        assert_eq!(sent.0, 400, "{kind} {:.40}: {}", body, sent.1);
    }
    // YAML may have braces, too.
    let flow = "{kind: ConfigMap, apiVersion: v1, metadata: {name: flow}}";
    let sent = admin.call_as("POST", CONFIG_MAPS, YAML, flow.into()).await;
    assert_eq!(sent.0, 201, "{}", sent.1);
    let path = format!("{CONFIG_MAPS}/x");
    let nested = |depth: usize| format!("{}1{}", r#"{"data":"#.repeat(depth), "}".repeat(depth));
    for (kind, body) in [
        (MERGE, nested(deep)),
        (STRATEGIC, nested(deep)),
        (
            JSON_PATCH,
            format!(
                r#"[{{"op":"add","path":"/data","value":{}}}]"#,
                nested(deep)
            ),
        ),
        (APPLY, nested(deep)),
        (APPLY, aliases),
    ] {
        let path = format!(
            "{path}{}",
            if kind == APPLY { "?fieldManager=m" } else { "" }
        );
        let sent = admin.call_as("PATCH", &path, kind, body).await;
        assert_eq!(sent.0, 400, "{kind}: {}", sent.1);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_makes_no_more_than_a_body_could() {
    let (server, mut admin) = Server::fresh().await;
    let word = "x".repeat(1 << 10);
    let object = json!({"metadata": {"name": "x", "annotations": {"a": word}}});
    assert_eq!(admin.call("POST", CONFIG_MAPS, object).await.0, 201);
    let path = format!("{CONFIG_MAPS}/x");

    let many: Vec<Value> = (0..10_001)
        .map(|_| json!({"op": "test", "path": "/kind", "value": "ConfigMap"}))
        .collect();
    let (code, refused) = admin
        .call_as("PATCH", &path, JSON_PATCH, json!(many).to_string())
        .await;
    assert_eq!(code, 413);
    assert_eq!(
        refused["message"],
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got \
         10001"
    );
    let allowed = json!(many[1..]).to_string();
    assert_eq!(
        admin.call_as("PATCH", &path, JSON_PATCH, allowed).await.0,
        200
    );

    // Each doubles what is there.
    let doubling: Vec<Value> = (0..40)
        .map(|i| {
            json!({"op": "copy", "from": "/metadata/annotations",
            "path": format!("/metadata/annotations/{i}")})
        })
        .collect();
    let sent = admin
        .call_as("PATCH", &path, JSON_PATCH, json!(doubling).to_string())
        .await;
    assert_eq!((sent.0, &sent.1["reason"]), (422, &json!("Invalid")));
    let (_, now) = admin.get(&path).await;
    assert_eq!(now["metadata"]["annotations"], json!({"a": word}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_lie_are_not_believed() {
    let (server, mut admin) = Server::fresh().await;
    let magic = b"k8s\0";
    let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let field =
        |number: u8, length: &[u8], bytes: &[u8]| [&[number << 3 | 2], length, bytes].concat();
    let type_meta = field(1, &[15], b"\x0a\x02v1\x12\x09ConfigMap");
    for raw in [
        Vec::new(),
        field(1, &longest, b""),
        field(2, &longest, b""),
        [&type_meta[..], &field(2, &[0xff, 0xff, 0xff, 0x7f], b"x")].concat(),
        [
            &type_meta[..],
            &field(2, &[11], &field(1, &longest[..9], b"")),
        ]
        .concat(),
        vec![0xff; 1 << 20],
        // A field of every number, each a message in a message.
        b"\x0a\x7f".repeat(1 << 16),
    ] {
        let body = [&magic[..], &raw].concat();
        let (code, answered) = send(&mut admin, PROTOBUF, "", body).await;
        assert_eq!(code, 400, "{answered}");
    }
    server.stop().await;
}
