//! Which member is spoken to, and how.
//!
//! The leader, if it can be found: every other member passes a write on to it, and a write that was
//! passed on to a leader that then dies is told seven seconds later, when etcd gives it up. A
//! connection to the leader breaks at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use grpc::client::{Code, Connection, Status};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::messages::StatusRequest;
use crate::Error;

/// How long a member may take to take a connection and say how it is.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a silent connection is tried. Upstream: `keepaliveTime` of the API server's client.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where the members are, and what they and this client show each other.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `http://HOST:PORT` or `https://HOST:PORT` of each member.
    pub endpoints: Vec<String>,
    /// The authority of the members' certificates: a PEM file.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate: a PEM file.
    pub cert_file: Option<PathBuf>,
    /// Its key: a PEM file.
    pub key_file: Option<PathBuf>,
}

/// A member's address.
struct Endpoint {
    url: String,
    /// `HOST:PORT`
    address: String,
    /// The name that its certificate must have; none without TLS.
    name: Option<ServerName<'static>>,
}

/// A member that was chosen.
pub struct Member {
    pub connection: Connection,
    /// Raft's term when it was chosen: in a later one there may be another leader.
    pub term: u64,
    /// Bytes that the member's database takes on disk.
    pub size_bytes: u64,
    /// Whether it says that it leads.
    pub is_leader: bool,
    has_leader: bool,
}

/// The members.
pub struct Endpoints {
    all: Vec<Endpoint>,
    tls: TlsConnector,
}

impl Endpoints {
    pub fn new(config: &Config) -> Result<Self, Error> {
        let all = config.endpoints.iter().map(|url| endpoint(url));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Err(Error::Unavailable("no endpoints are given".to_owned()));
        }
        let tls = TlsConnector::from(Arc::new(tls(config)?));
        Ok(Self { all, tls })
    }

    /// Asks all members how they are, and chooses the leader as soon as one says it is; else one
    /// that knows of a leader; else one that answers.
    pub async fn choose(&self) -> Result<Member, Status> {
        let mut asked: FuturesUnordered<_> = self.all.iter().map(|one| self.ask(one)).collect();
        let mut best: Option<Member> = None;
        let mut failed = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(member) if member.is_leader => return Ok(member),
                Ok(member) => {
                    if best.as_ref().is_none_or(|best| !best.has_leader) {
                        best = Some(member);
                    }
                }
                Err(status) => failed = Some(status),
            }
        }
        best.ok_or_else(|| failed.expect("each member has answered or failed, and there is one"))
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<Member, Status> {
        let asking = async {
            let mut connection = self.dial(endpoint).await?;
            let status = connection.call(&StatusRequest {}, DIAL_TIMEOUT).await?;
            let member_id = status.header.map_or(0, |header| header.member_id);
            Ok(Member {
                connection,
                term: status.raft_term,
                size_bytes: status.db_size.unsigned_abs(),
                is_leader: status.leader == member_id,
                has_leader: status.leader != 0,
            })
        };
        let answer = tokio::time::timeout(DIAL_TIMEOUT, asking).await;
        answer.unwrap_or_else(|_| Err(dialing(endpoint, &"no answer")))
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, Status> {
        let failed = |error: std::io::Error| dialing(endpoint, &error);
        let tcp = TcpStream::connect(&endpoint.address)
            .await
            .map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let url = endpoint.url.as_str();
        match &endpoint.name {
            None => Connection::start(tcp, url, Some(KEEP_ALIVE)).await,
            Some(name) => {
                let tls = self.tls.connect(name.clone(), tcp).await.map_err(failed)?;
                Connection::start(tls, url, Some(KEEP_ALIVE)).await
            }
        }
    }
}

/// As Go's library says that a server cannot be reached.
fn dialing(endpoint: &Endpoint, error: &dyn std::fmt::Display) -> Status {
    let message = format!(
        "connection error: desc = \"transport: Error while dialing: dial tcp {}: {error}\"",
        endpoint.address
    );
    Status::new(Code::Unavailable, message)
}

fn endpoint(url: &str) -> Result<Endpoint, Error> {
    let wrong = || Error::Unavailable(format!("{url:?} is not http(s)://HOST:PORT"));
    let (scheme, address) = url.split_once("://").ok_or_else(wrong)?;
    let address = address.trim_end_matches('/');
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    port.parse::<u16>().map_err(|_| wrong())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = match scheme {
        "http" => None,
        "https" => Some(ServerName::try_from(host.to_owned()).map_err(|_| wrong())?),
        _ => return Err(wrong()),
    };
    Ok(Endpoint {
        url: format!("{scheme}://{address}"),
        address: address.to_owned(),
        name,
    })
}

fn tls(config: &Config) -> Result<ClientConfig, Error> {
    let failed = |error: rustls::Error| Error::Unavailable(format!("TLS: {error}"));
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(failed)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots);
    let mut tls = match (&config.cert_file, &config.key_file) {
        (Some(certificate), Some(path)) => {
            let key =
                PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(path, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(failed)?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            let message = "a certificate needs its key, and a key its certificate";
            return Err(Error::Unavailable(message.to_owned()));
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec()];
    Ok(tls)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &rustls_pki_types::pem::Error) -> Error {
    Error::Unavailable(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls() {
        let address = |url| endpoint(url).map(|it| (it.address, it.name.is_some()));
        let of = |address: &str, tls| Ok((address.to_owned(), tls));
        assert_eq!(
            address("http://127.0.0.1:2379"),
            of("127.0.0.1:2379", false)
        );
        assert_eq!(address("https://etcd-0:2379/"), of("etcd-0:2379", true));
        assert_eq!(address("https://[::1]:2379"), of("[::1]:2379", true));
        for wrong in ["127.0.0.1:2379", "unix://x:1", "http://a", "http://a:b"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
