//! A server in this process, and a client with certificates of the same authority.

pub mod lifecycle;

use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiserver::Config;
use bytes::Bytes;
use clap::Parser;
use component::CancellationToken;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority, and the files of those it vouches for.
pub struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// A new authority whose files go to a folder.
    pub fn new(dir: &Path) -> Pki {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.self_signed(&key).expect("can sign itself");
        std::fs::write(dir.join("ca.crt"), certificate.pem()).expect("the folder can be written");
        Pki {
            dir: dir.into(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Makes `{file}.crt` and `{file}.key`.
    pub fn certify(&self, file: &str, name: &str, group: Option<&str>) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("are names");
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("can be signed");
        let write = |end: &str, pem: String| {
            std::fs::write(self.path(&format!("{file}.{end}")), pem).expect("can be written");
        };
        write("crt", certificate.pem());
        write("key", key.serialize_pem());
    }

    /// A file of the folder.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn chain(&self, file: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{file}.crt")));
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key")));
        (vec![certificate.expect("is PEM")], key.expect("is PEM"))
    }

    /// TLS of a server with the certificate of that name.
    pub fn server(&self, file: &str) -> Arc<ServerConfig> {
        let (chain, key) = self.chain(file);
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Arc::new(config.expect("fit together"))
    }
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    config: Config,
}

/// A server, until it is stopped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its authority.
    pub pki: Arc<Pki>,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), apiserver::Error>>,
    /// Its folder, where nobody else keeps that.
    folder: Option<TempDir>,
}

impl Server {
    /// Starts a server on a folder of its own, and connects as its admin.
    pub async fn fresh() -> (Server, Client) {
        let folder = tempfile::tempdir().expect("can be made");
        let mut server = Server::start(folder.path()).await;
        server.folder = Some(folder);
        let admin = server.client("admin").await;
        (server, admin)
    }

    /// Starts a server on the data of a folder; waits until it is ready.
    pub async fn start(dir: &Path) -> Server {
        Server::start_with(dir, &[]).await
    }

    /// Starts a server with more flags.
    pub async fn start_with(dir: &Path, more: &[&str]) -> Server {
        component::install_crypto();
        let pki = Pki::new(dir);
        pki.certify("server", "kube-apiserver", None);
        pki.certify("admin", "kubernetes-admin", Some("system:masters"));
        pki.certify("jane", "jane", None);
        let key = KeyPair::generate().expect("keys can be made");
        std::fs::write(pki.path("sa.key"), key.serialize_pem()).expect("can be written");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let address = listener.local_addr().expect("is bound");
        let file = |name: &str| pki.path(name).display().to_string();
        let flags = [
            "apiserver",
            "--data-dir",
            &file("data"),
            "--secure-port=0",
            "--listen-fd",
            // The server takes the descriptor over, and closes it.
            &listener.into_raw_fd().to_string(),
            "--tls-cert-file",
            &file("server.crt"),
            "--tls-private-key-file",
            &file("server.key"),
            "--client-ca-file",
            &file("ca.crt"),
            "--service-account-signing-key-file",
            &file("sa.key"),
            "--kubelet-certificate-authority",
            &file("ca.crt"),
        ];
        let flags = Flags::parse_from(flags.iter().chain(more));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(apiserver::run(flags.config, shutdown.clone()));
        let server = Server {
            address,
            pki: Arc::new(pki),
            shutdown,
            running,
            folder: None,
        };
        let mut client = server.client("admin").await;
        while client.get("/readyz").await.0 != 200 {
            tokio::task::yield_now().await;
        }
        server
    }

    /// A client with the certificate of that name; `""` is none.
    pub async fn client(&self, file: &str) -> Client {
        let stream = connect(&self.pki, self.address, file).await;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("speaks HTTP");
        tokio::spawn(connection.with_upgrades());
        Client { sender }
    }

    /// Stops the server, and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running
            .await
            .expect("does not panic")
            .expect("stops well");
    }
}

/// Connects with the certificate of that name; `""` is none.
pub async fn connect(pki: &Pki, address: SocketAddr, file: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(pki.path("ca.crt")).expect("is PEM");
    roots.add(ca).expect("is an authority");
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match file {
        "" => builder.with_no_client_auth(),
        file => {
            let (chain, key) = pki.chain(file);
            builder
                .with_client_auth_cert(chain, key)
                .expect("fit together")
        }
    };
    let stream = TcpStream::connect(address).await.expect("listens");
    let name = ServerName::try_from("localhost").expect("is a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .expect("speaks TLS")
}

/// A connection to the server.
pub struct Client {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

impl Client {
    /// Sends a request as it is.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.sender.ready().await.expect("is connected");
        self.sender
            .send_request(request)
            .await
            .expect("is answered")
    }

    /// Sends JSON; answers with the code and the JSON that came back.
    pub async fn call(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call_as(method, path, "application/json", body.to_string())
            .await
    }

    /// Sends a body of some type.
    pub async fn call_as(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: String,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .expect("is a request");
        let response = self.send(request).await;
        let code = response.status().as_u16();
        let bytes = response
            .into_body()
            .collect()
            .await
            .expect("is whole")
            .to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Creates what is invalid; answers with what is wrong, `field: message` each.
    pub async fn refused(&mut self, path: &str, object: Value) -> Vec<String> {
        let (code, answer) = self.call("POST", path, object).await;
        assert_eq!(code, 422, "{answer}");
        let causes = answer["details"]["causes"].as_array().expect("causes");
        let told = causes.iter().map(|cause| {
            let text = |key: &str| cause[key].as_str().expect("text");
            format!("{}: {}", text("field"), text("message"))
        });
        told.collect()
    }

    /// Gets a path.
    pub async fn get(&mut self, path: &str) -> (u16, Value) {
        self.call_as("GET", path, "application/json", String::new())
            .await
    }

    /// Begins a watch.
    pub async fn watch(mut self, path: &str) -> Lines {
        let request = Request::builder().uri(path).header("host", "localhost");
        let request = request.body(Full::default()).expect("is a request");
        let response = self.send(request).await;
        assert_eq!(response.status(), 200);
        Lines {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }
}

/// The lines of a watch.
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line; none at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("is JSON"));
            }
            let frame = self.body.frame().await?.expect("does not break off");
            self.buffer.extend_from_slice(frame.data_ref()?);
        }
    }

    /// Type, name and resource version of the next line.
    pub async fn next_event(&mut self) -> (String, String) {
        let event = self.next().await.expect("goes on");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (
            text(&event["type"]),
            text(&event["object"]["metadata"]["name"]),
        )
    }
}

/// Gets a path in some form.
pub async fn get_as(client: &mut Client, path: &str, accept: &str) -> Value {
    let request = Request::builder()
        .uri(path)
        .header("host", "localhost")
        .header("accept", accept);
    let response = client
        .send(request.body(Full::default()).expect("is a request"))
        .await;
    let body = response.into_body().collect().await.expect("is whole");
    serde_json::from_slice(&body.to_bytes()).expect("is JSON")
}

/// Sends a request with more headers; answers with the code and the JSON that came back.
pub async fn call_with(
    client: &mut Client,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Value,
) -> (u16, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = request.body(Full::new(body.into())).expect("is a request");
    let response = client.send(request).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.expect("is whole");
    (
        code,
        serde_json::from_slice(&body.to_bytes()).unwrap_or_default(),
    )
}
