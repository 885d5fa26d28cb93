//! The server around the calls: flags, TLS, and what is served over HTTP/1.

mod process;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use process::Server;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};

const ANY_PORT: &str = "http://127.0.0.1:0";

/// Says one request and hears all of the answer: its status, its headers, its text.
fn exchange(mut socket: impl Read + Write, request: &str) -> (String, String, String) {
    let (method, path) = request.split_once(' ').unwrap();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    let status = status.strip_prefix("HTTP/1.1 ").unwrap();
    (status.to_owned(), headers.to_lowercase(), text.to_owned())
}

fn get(address: &str, path: &str) -> (String, String) {
    let socket = TcpStream::connect(address).unwrap();
    let (status, _, text) = exchange(socket, &format!("GET {path}"));
    (status, text)
}

/// `etcdctl` with `args` at an endpoint; skipped with a word where it is not installed.
fn etcdctl(endpoint: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", endpoint, "--command-timeout=2s"])
        .args(args)
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "etcdctl is needed");
        eprintln!("skipped: there is no etcdctl (Debian: apt install etcd-client)");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

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

/// An authority, and certificates of it.
struct Authority {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(name.as_bytes()));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Writes `crl.pem`, which takes back what was issued by that name.
    fn revoke(&self, name: &str) {
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(name.as_bytes()),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap().pem().unwrap();
        fs::write(self.dir.join("crl.pem"), list).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A request over TLS, with HTTP/1, by the client `name`, if with one.
    fn get(&self, address: &str, path: &str, name: Option<&str>) -> std::io::Result<String> {
        self.get_by(rustls::ALL_VERSIONS, address, path, name)
    }

    /// As [`Authority::get`], by one of these versions of TLS.
    fn get_by(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        address: &str,
        path: &str,
        name: Option<&str>,
    ) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let certificate = self.path(&format!("{name}.pem"));
                let key = self.path(&format!("{name}.key"));
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = "127.0.0.1".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), host).unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

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

#[test]
fn flags_are_etcds() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let refused = |args: &[&str], why: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_etcd"))
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    refused(&["serve", "--wal-dir=x"], "unexpected argument '--wal-dir'");
    refused(
        &["--initial-cluster=a=http://a:2380,b=http://b:2380"],
        "names 2 members",
    );
    refused(&["serve", "--auto-compaction-mode=yearly"], "yearly");
    refused(
        &["-listen-client-urls", "https://127.0.0.1:0"],
        "--cert-file and --key-file are needed",
    );
    refused(
        &["serve", "--auto-compaction-retention=soon"],
        "\"soon\" is no duration",
    );
    refused(&["serve", "--cert-file=x"], "--key-file");
    refused(&["--listen-client-urls=ftp://x"], "cannot listen at");

    // What a unit file or a manifest for etcd usually says, and what is said by the environment.
    let server = Server::start_with(
        &data,
        &[
            "-name",
            "node-1",
            "--initial-cluster-state=new",
            "--initial-cluster-token",
            "token",
            "--snapshot-count=10000",
            "--heartbeat-interval=100",
            "--experimental-initial-corrupt-check=true",
            "--compact-hash-check-enabled",
            "--enable-pprof",
            "--logger=zap",
            "--experimental-watch-progress-notify-interval=5s",
            "--auto-compaction-retention=8h",
        ],
        &[
            ("ETCD_LISTEN_CLIENT_URLS", ANY_PORT),
            ("ETCD_ELECTION_TIMEOUT", "1000"),
            ("ETCD_NAME", "is given by a flag"),
            ("ETCD_PRE_VOTE", "true"),
        ],
    );
    let mode = fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    if let Some((ok, said)) = etcdctl(server.address(0), &["member", "list"]) {
        assert!(ok && said.contains("started, node-1,"), "{said}");
    }
}

#[test]
fn the_past_is_compacted_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(
        dir.path(),
        &[
            "--listen-client-urls",
            ANY_PORT,
            "--auto-compaction-retention=500ms",
        ],
    );
    let address = server.address(0);
    let Some((true, _)) = etcdctl(address, &["put", "a", "1"]) else {
        return;
    };
    etcdctl(address, &["put", "a", "2"]);
    // Revision 2 is readable until the compactor has been; the test ends when it has.
    let compacted = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (_, said) = etcdctl(address, &["get", "a", "--rev=2"]).unwrap();
        said.contains("mvcc: required revision has been compacted")
    });
    assert!(compacted);
    let (_, said) = etcdctl(address, &["get", "a"]).unwrap();
    assert_eq!(said, "a\n2\n");
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

/// The names of the services that `ask` is told of by one version of reflection.
macro_rules! services_by {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new($channel);
        let asked = client.server_reflection_info(tokio_stream::once(ask));
        let answer = asked.await.unwrap().into_inner().message().await.unwrap();
        match answer.unwrap().message_response {
            Some(MessageResponse::ListServicesResponse(list)) => {
                let names = list.service.into_iter().map(|service| service.name);
                names.collect::<std::collections::BTreeSet<String>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn clients_ask_what_there_is_and_how_it_is() {
    use etcd::grpc::pb::health::{HealthCheckRequest, HealthCheckResponse};
    use tonic::Request;

    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--listen-client-urls", ANY_PORT]);
    let endpoint = tonic::transport::Endpoint::from_shared(server.urls[0].clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();

    let ask = |service: &str| {
        Request::new(HealthCheckRequest {
            service: service.to_owned(),
        })
    };
    let mut client = tonic::client::Grpc::new(channel.clone());
    let path = http::uri::PathAndQuery::from_static;
    let check = || path("/grpc.health.v1.Health/Check");
    let watch = || path("/grpc.health.v1.Health/Watch");
    let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default;
    client.ready().await.unwrap();
    let answer = client.unary(ask(""), check(), codec()).await.unwrap();
    assert_eq!(answer.into_inner().status().as_str_name(), "SERVING");
    client.ready().await.unwrap();
    let refused = client
        .unary(ask("other"), check(), codec())
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::NotFound, "unknown service")
    );
    for (service, expect) in [("", "SERVING"), ("other", "SERVICE_UNKNOWN")] {
        client.ready().await.unwrap();
        let answers = client
            .server_streaming(ask(service), watch(), codec())
            .await;
        let first = answers.unwrap().into_inner().message().await.unwrap();
        assert_eq!(first.unwrap().status().as_str_name(), expect);
    }

    let services = services_by!(v1, channel.clone());
    for name in [
        "etcdserverpb.KV",
        "etcdserverpb.Watch",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ] {
        assert!(services.contains(name), "{name} of {services:?}");
    }
    assert_eq!(services_by!(v1alpha, channel), services);
}

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
