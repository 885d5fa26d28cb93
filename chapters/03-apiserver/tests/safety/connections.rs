//! Clients that want the server's time or memory, and not an answer.

use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Server, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_known_before_a_body_is_read() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    for (credential, code) in [
        ("", "403"),
        ("authorization: Bearer none\r\n", "401"),
        ("impersonate-user: admin\r\n", "403"),
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let mut stream = connect(&server.pki, server.address, "").await;
            let name = if method == "POST" { "" } else { "/x" };
            // Of the body that is announced, nothing comes.
            let head = format!(
                "{method} /api/v1/namespaces/default/configmaps{name} HTTP/1.1\r\n\
                 host: localhost\r\ncontent-type: application/json\r\n{credential}\
                 content-length: 3000000\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("is open");
            let mut line = [0; 12];
            stream.read_exact(&mut line).await.expect("is answered");
            assert_eq!(&line[9..], code.as_bytes(), "{method} {credential}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_long_is_refused_or_answered() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let maps = "/api/v1/configmaps";
    let values = vec!["v"; 20_000].join(",");
    let terms = vec!["a!=b"; 10_000].join(",");
    let fields = vec!["metadata.name!=b"; 3_000].join(",");
    for (path, expected) in [
        (format!("/{}", "a/".repeat(30_000)), 404),
        (format!("{maps}/{}", "a".repeat(60_000)), 404),
        (format!("/{}", "a".repeat(100_000)), 414),
        (format!("{maps}?labelSelector=a+in+({values})"), 200),
        (format!("{maps}?labelSelector={terms}"), 200),
        (format!("{maps}?labelSelector={}", "(".repeat(60_000)), 400),
        (format!("{maps}?fieldSelector={fields}"), 200),
        (format!("{maps}?continue={}", "A".repeat(60_000)), 400),
        (format!("{maps}?{}", "a&".repeat(30_000)), 200),
        (format!("{maps}?{}", "dryRun=All&".repeat(5_000)), 200),
    ] {
        let request = Request::get(&path)
            .header("host", "localhost")
            .body(Full::default());
        let Ok(request) = request else {
            // This client's own limit is the server's, too.
            assert_eq!(expected, 414, "{path:.40}");
            continue;
        };
        let mut client = server.client("admin").await;
        let code = client.send(request).await.status().as_u16();
        assert_eq!(code, expected, "{path:.40}");
    }
    for (name, value, code) in [
        ("x-long", "a".repeat(1 << 20), "431"),
        ("accept", "a/b,".repeat(10_000), "406"),
        (
            "authorization",
            format!("Bearer {}", "a".repeat(100_000)),
            "401",
        ),
        (
            "authorization",
            format!("Bearer {}", ".".repeat(100_000)),
            "401",
        ),
    ] {
        let file = if name == "authorization" { "" } else { "admin" };
        let mut stream = connect(&server.pki, server.address, file).await;
        let head = format!("GET {maps} HTTP/1.1\r\nhost: localhost\r\n{name}: {value}\r\n\r\n");
        // It may hang up before all of it is written.
        let _refused = stream.write_all(head.as_bytes()).await;
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.expect("is answered");
        assert_eq!(&line[9..], code.as_bytes(), "{name}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_at_their_ends_are_numbers() {
    let (server, mut admin) = Server::fresh().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for number in ["18446744073709551615", "x", "1e9", ""] {
        for query in ["limit", "watch=1&timeoutSeconds"] {
            let (code, _) = admin.get(&format!("{maps}?{query}={number}")).await;
            assert_eq!(code, 400, "{query}={number}");
        }
    }
    for number in ["9223372036854775807", "-1"] {
        let (code, _) = admin.get(&format!("{maps}?limit={number}")).await;
        assert_eq!(code, 200, "{number}");
        let watch = format!(
            "{maps}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true\
            &resourceVersionMatch=NotOlderThan&timeoutSeconds={number}"
        );
        let mut watch = server.client("admin").await.watch(&watch).await;
        let bookmark = watch.next().await.expect("goes on");
        assert_eq!(bookmark["type"], "BOOKMARK", "{number}");
    }
    // A pod that is given for ever to end.
    let account = json!({"metadata": {"name": "default"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    assert_eq!(admin.call("POST", accounts, account).await.0, 201);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n",
        "containers": [{"name": "c", "image": "x"}]}});
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(admin.call("POST", pods, pod).await.0, 201);
    for seconds in [i64::MAX, 1 << 40, 60] {
        let options = json!({"gracePeriodSeconds": seconds});
        let (code, ending) = admin.call("DELETE", &format!("{pods}/p"), options).await;
        assert_eq!(code, 200, "{ending}");
        assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], seconds);
        assert!(ending["metadata"]["deletionTimestamp"].is_string());
    }
    server.stop().await;
}

/// CVE-2023-44487: requests that are taken back as soon as they are made cost their client nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_back_every_request_is_sent_away() {
    let dir = tempfile::tempdir().expect("can be made");
    let server = Server::start(dir.path()).await;
    let stream = connect(&server.pki, server.address, "").await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len())
            .expect("is short")
            .to_be_bytes();
        [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
    };
    bytes.extend(frame(4, 0, 0, &[]));
    for id in (1..20_000).step_by(2) {
        // GET https /, all three of HPACK's table; then RST_STREAM: CANCEL.
        bytes.extend(frame(1, 0x5, id, &[0x82, 0x87, 0x84]));
        bytes.extend(frame(3, 0, id, &8_u32.to_be_bytes()));
    }
    let (mut read, mut write) = tokio::io::split(stream);
    let (said, _hung_up) = tokio::join!(
        async {
            let mut said = Vec::new();
            // It hangs up, cleanly or not.
            let _end = read.read_to_end(&mut said).await;
            said
        },
        write.write_all(&bytes)
    );
    // GOAWAY: ENHANCE_YOUR_CALM.
    assert!(frames(&said).any(|(kind, payload)| {
        kind == 7 && payload.get(4..8) == Some(&11_u32.to_be_bytes()[..])
    }));
    assert_eq!(server.client("admin").await.get("/readyz").await.0, 200);
    server.stop().await;
}

/// Type and payload of each frame.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (payload, rest) = rest.split_at_checked(length as usize)?;
        bytes = rest;
        Some((head[3], payload))
    })
}
