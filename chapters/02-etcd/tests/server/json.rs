//! The calls as JSON over HTTP/1.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::process::Server;
use crate::{ANY_PORT, get};

/// What a POST of JSON is answered: the status, and the text with what each server has of its own
/// left out.
fn post(address: &str, path: &str, json: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    let length = json.len();
    write!(
        socket,
        "POST {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{json}"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/json"), "{head}");
    let (status, _) = head.split_once("\r\n").unwrap();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap();
    let ids = r#""cluster_id":"1","member_id":"1","#;
    let text = text.replace(ids, "").replace(r#","raft_term":"1""#, "");
    (status.to_owned(), text)
}

#[test]
fn calls_are_json_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--listen-client-urls", ANY_PORT]);
    let address = server.address(0);
    let check = |path: &str, json: &str, status: &str, expect: &str| {
        let answer = post(address, &format!("/v3/{path}"), json);
        assert_eq!(
            answer,
            (status.to_owned(), expect.to_owned()),
            "{path} {json}"
        );
    };
    // The answers are those of etcd 3.5, without the blanks.
    check(
        "kv/put",
        r#"{"key":"YQ==","value":"Yg=="}"#,
        "200 OK",
        r#"{"header":{"revision":"2"}}"#,
    );
    check(
        "kv/range",
        r#"{"key":"YQ==","limit":"1","sort_order":"DESCEND","sortTarget":"MOD","nix":1}"#,
        "200 OK",
        r#"{"header":{"revision":"2"},"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"2","version":"1","value":"Yg=="}],"count":"1"}"#,
    );
    let txn = r#"{"compare":[{"result":"EQUAL","target":"CREATE","key":"YQ==","createRevision":"2"}],
        "success":[{"requestPut":{"key":"YQ==","value":"Yw=="}}]}"#;
    let answer = r#"{"header":{"revision":"3"},"succeeded":true,"responses":[{"response_put":{"header":{"revision":"3"}}}]}"#;
    check("kv/txn", txn, "200 OK", answer);
    check(
        "kv/range",
        r#"{"key":"YQ==","revision":99}"#,
        "400 Bad Request",
        r#"{"code":11,"message":"etcdserver: mvcc: required revision is a future revision"}"#,
    );
    check(
        "kv/range",
        "",
        "400 Bad Request",
        r#"{"code":3,"message":"etcdserver: key is not provided"}"#,
    );
    check(
        "lease/grant",
        r#"{"TTL":60,"ID":77}"#,
        "200 OK",
        r#"{"header":{"revision":"3"},"ID":"77","TTL":"60"}"#,
    );
    check(
        "lease/revoke",
        r#"{"ID":78}"#,
        "404 Not Found",
        r#"{"code":5,"message":"etcdserver: requested lease not found"}"#,
    );
    check(
        "nix",
        "{}",
        "404 Not Found",
        r#"{"code":5,"message":"Not Found"}"#,
    );
    assert_eq!(post(address, "/v3/kv/put", "nix").0, "400 Bad Request");
    let (status, said) = get(address, "/v3/kv/range");
    assert_eq!(
        (status.as_str(), said.as_str()),
        (
            "501 Not Implemented",
            r#"{"code":12,"message":"Method Not Allowed"}"#
        )
    );

    // A stream has a line for each answer, and each is a chunk of the body.
    let (_, said) = post(address, "/v3/lease/keepalive", r#"{"ID":77}{"ID":"78"}"#);
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    let expect = [
        r#"{"result":{"header":{"revision":"3"},"ID":"77","TTL":"60"}}"#,
        r#"{"result":{"header":{"revision":"3"},"ID":"78"}}"#,
    ];
    assert_eq!(lines, expect);

    // A watch goes on when all was asked.
    let mut watch = TcpStream::connect(address).unwrap();
    let ask = r#"{"create_request":{"key":"YQ==","start_revision":3}}"#;
    write!(
        watch,
        "POST /v3/watch HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n{ask}",
        ask.len()
    )
    .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watch));
    let mut heard = |what: &str| {
        let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(what)));
        assert!(found.is_some(), "{what}");
    };
    heard(r#""created":true"#);
    heard(
        r#""events":[{"kv":{"key":"YQ==","create_revision":"2","mod_revision":"3","version":"2","value":"Yw=="}}]"#,
    );
    post(address, "/v3/kv/deleterange", r#"{"key":"YQ=="}"#);
    heard(r#""events":[{"type":"DELETE","kv":{"key":"YQ==","mod_revision":"4"}}]"#);
}
