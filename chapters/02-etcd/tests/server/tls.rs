//! Clients that show who they are, and what is taken back from them.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::version;

use crate::authority::Authority;
use crate::etcdctl;
use crate::process::Server;

#[test]
fn a_client_shows_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    ours.issue("server", &["127.0.0.1", "localhost"]);
    ours.issue("client", &["a client"]);
    let other = Authority::new(dir.path(), "other");
    other.issue("client", &["a stranger"]);
    let server = Server::start(
        &dir.path().join("data"),
        &[
            "--listen-client-urls=https://127.0.0.1:0",
            "--client-cert-auth",
            &format!("--cert-file={}", ours.path("server.pem")),
            &format!("--key-file={}", ours.path("server.key")),
            &format!("--trusted-ca-file={}", ours.path("ca.pem")),
        ],
    );
    let address = server.address(0);

    let healthy = ours.get(address, "/health", Some("client")).unwrap();
    assert!(healthy.ends_with(r#"{"health":"true","reason":""}"#));
    assert!(ours.get(address, "/health", None).is_err());
    // Without TLS there is no answer but an alert.
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _closed = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));

    let ca = format!("--cacert={}", ours.path("ca.pem"));
    let with = |authority: &Authority, args: &[&str]| {
        let cert = format!("--cert={}", authority.path("client.pem"));
        let key = format!("--key={}", authority.path("client.key"));
        etcdctl(address, &[&[&ca as &str, &cert, &key], args].concat())
    };
    let Some(said) = with(&ours, &["put", "a", "b"]) else {
        return;
    };
    assert_eq!(said, (true, "OK\n".to_owned()));
    let (ok, said) = etcdctl(address, &[&ca, "get", "a"]).unwrap();
    assert!(!ok, "without a certificate: {said}");
    let (ok, said) = with(&other, &["get", "a"]).unwrap();
    assert!(!ok, "with somebody else's: {said}");

    // A certificate that is renewed is used at once.
    let renewed = Authority::new(dir.path(), "ours");
    renewed.issue("server", &["127.0.0.1"]);
    let (ok, said) = with(&ours, &["get", "a"]).unwrap();
    assert!(
        ok,
        "as the new authority's file is the one that is read: {said}"
    );
}

#[test]
fn certificates_and_versions_of_tls_are_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    ours.issue("server", &["127.0.0.1"]);
    ours.issue("client", &["a client"]);
    ours.issue("former", &["who was one"]);
    ours.revoke("former");
    let server = Server::start(
        &dir.path().join("data"),
        &[
            "--listen-client-urls=https://127.0.0.1:0",
            "--tls-min-version=TLS1.3",
            &format!("--cert-file={}", ours.path("server.pem")),
            &format!("--key-file={}", ours.path("server.key")),
            // As in etcd this alone asks for certificates.
            &format!("--trusted-ca-file={}", ours.path("ca.pem")),
            &format!("--client-crl-file={}", ours.path("crl.pem")),
        ],
    );
    let get = |version, name| ours.get_by(&[version], server.address(0), "/livez", name);
    assert!(
        get(&version::TLS13, Some("client"))
            .unwrap()
            .ends_with("ok\n")
    );
    assert!(get(&version::TLS13, Some("former")).is_err());
    assert!(get(&version::TLS13, None).is_err());
    assert!(get(&version::TLS12, Some("client")).is_err());
}
