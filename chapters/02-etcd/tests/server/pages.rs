//! What is served beside the calls: health, version, and on which ports; and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::process::Server;
use crate::{ANY_PORT, etcdctl, exchange, get};

#[test]
fn pages_are_served_beside_calls() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let unix = format!("unix://{}", socket.display());
    // A server that was killed left this behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let urls = format!("{ANY_PORT},{unix}");
    let server = Server::start(
        &dir.path().join("data"),
        &[
            "--listen-client-urls",
            &urls,
            "--listen-metrics-urls",
            ANY_PORT,
        ],
    );
    let (clients, metrics) = (server.address(0), server.address(2));

    let ok = |text: &str| ("200 OK".to_owned(), text.to_owned());
    let well = ok(r#"{"health":"true","reason":""}"#);
    assert_eq!(get(clients, "/health"), well);
    assert_eq!(get(metrics, "/health"), well);
    assert_eq!(get(clients, "/livez"), ok("ok\n"));
    let (_, verbose) = get(metrics, "/readyz?verbose");
    assert!(verbose.contains("[+]linearizable_read ok\n"), "{verbose}");
    let version = ok(r#"{"etcdserver":"3.5.21","etcdcluster":"3.5.0"}"#);
    assert_eq!(get(clients, "/version"), version);
    // As in etcd only clients are told.
    assert_eq!(get(metrics, "/version").0, "404 Not Found");
    let not_found = (
        "404 Not Found".to_owned(),
        "404 page not found\n".to_owned(),
    );
    assert_eq!(get(clients, "/nothing"), not_found);

    let (status, headers, text) = exchange(UnixStream::connect(&socket).unwrap(), "POST /health");
    assert_eq!(
        (status.as_str(), text.as_str()),
        ("405 Method Not Allowed", "Method Not Allowed\n")
    );
    assert!(headers.contains("allow: get"), "{headers}");
    assert!(
        headers.contains("access-control-allow-origin: *"),
        "{headers}"
    );

    let (status, _, _) = exchange(TcpStream::connect(clients).unwrap(), "OPTIONS /health");
    assert_eq!(status, "200 OK");

    if let Some(said) = etcdctl(clients, &["put", "a", "b"]) {
        assert_eq!(said, (true, "OK\n".to_owned()));
    }
}

#[test]
fn http_can_have_a_port_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(
        dir.path(),
        &[
            "--listen-client-urls",
            ANY_PORT,
            "--listen-client-http-urls",
            ANY_PORT,
            "--enable-grpc-gateway=false",
        ],
    );
    let (grpc, http) = (server.address(0), server.address(1));
    assert_eq!(get(http, "/livez").1, "ok\n");
    assert_eq!(get(http, "/v3/kv/range").1, "404 page not found\n");
    let mut socket = TcpStream::connect(grpc).unwrap();
    socket.write_all(b"GET /livez HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // Closed, or reset as what was sent is not read.
    let _closed = socket.read_to_end(&mut answer);
    assert!(answer.is_empty());
    if let Some((ok, said)) = etcdctl(http, &["get", "a"]) {
        assert!(!ok, "{said}");
        assert_eq!(etcdctl(grpc, &["get", "a"]), Some((true, String::new())));
    }
}

#[test]
fn sigterm_ends_it_whoever_watches() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--listen-client-urls", ANY_PORT]);
    let address = server.address(0).to_owned();
    // One that says nothing, and one in the middle of a request.
    let _silent = TcpStream::connect(&address).unwrap();
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nHost:").unwrap();
    let id = rustix::process::Pid::from_child(&server.process);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(server.process.wait().unwrap().success());
    // The directory is free for the next one.
    drop(Server::start(
        dir.path(),
        &["--listen-client-urls", ANY_PORT],
    ));
}
