//! Sockets, TLS and connections.
//!
//! A client's certificate is taken as it comes and judged after the handshake, so that who shows a
//! wrong one reads 401 `Unauthorized`, as upstream answers, and not a TLS alert.

use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Api, serve};
use crate::Error;
use crate::authn::{self, User};
use crate::config::Config;

/// How long a handshake may take.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);
/// How long answers that are under way may take after shutdown.
const DRAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// The sockets to serve on.
///
/// # Errors
/// If one cannot be had: the port is in use, or the inherited descriptor is none.
pub fn sockets(config: &Config) -> Result<Vec<TcpListener>, Error> {
    let mut listeners = Vec::new();
    if config.secure_port != 0 {
        let address = (config.bind_address, config.secure_port);
        let what = format!("{}:{}", config.bind_address, config.secure_port);
        let listener = std::net::TcpListener::bind(address).map_err(|source| Error::Listen {
            what: what.clone(),
            source,
        })?;
        listeners.push((what, listener));
    }
    for &fd in &config.listen_fds {
        listeners.push((
            format!("descriptor {fd}"),
            std::net::TcpListener::from(inherited(fd)?),
        ));
    }
    listeners
        .into_iter()
        .map(|(what, listener)| {
            let ready = listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener));
            ready.map_err(|source| Error::Listen { what, source })
        })
        .collect()
}

/// Takes over a descriptor that whoever started the server has opened.
fn inherited(fd: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/self/fd/{fd}");
    let target = std::fs::read_link(&path).map_err(|source| Error::Listen {
        what: format!("descriptor {fd}"),
        source,
    })?;
    if fd < 3 || !target.to_string_lossy().starts_with("socket:") {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no socket");
        return Err(Error::Listen {
            what: format!("descriptor {fd}"),
            source,
        });
    }
    // SAFETY: the descriptor is open, and is named on the command line for this server alone.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// If it cannot be read, or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| Error::pem(path, error))?;
    if certificates.is_empty() {
        return Err(Error::Pem {
            path: path.into(),
            reason: "it has no certificate".into(),
        });
    }
    Ok(certificates)
}

/// Reads the key of a PEM file.
///
/// # Errors
/// If it cannot be read, or has none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| Error::pem(path, error))
}

/// The authorities of a PEM file.
///
/// # Errors
/// If it cannot be read, or has none.
pub fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// The server's half of TLS, and the judge of its clients' certificates.
///
/// # Errors
/// If a file of the config will not do.
pub fn tls(config: &Config) -> Result<(Arc<ServerConfig>, Arc<dyn ClientCertVerifier>), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(authorities(&config.client_ca_file)?);
    let judge = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| Error::Tls(rustls::Error::General(error.to_string())))?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(TakeAny(judge.clone())))
        .with_single_cert(
            certificates(&config.tls_cert_file)?,
            private_key(&config.tls_private_key_file)?,
        )?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(tls), judge))
}

/// Takes any client certificate whose key the client has, or none.
#[derive(Debug)]
struct TakeAny(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for TakeAny {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Nobody said.
    Unknown,
    /// The subject of a certificate of the cluster's authority.
    Certified(Arc<User>),
    /// Somebody with a certificate that is not.
    Rejected,
}

/// Accepts connections until shutdown, then lets those under way come to an end.
pub async fn accept(
    api: Arc<Api>,
    listeners: Vec<TcpListener>,
    tls: Arc<ServerConfig>,
    judge: Arc<dyn ClientCertVerifier>,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    let acceptor = TlsAcceptor::from(tls);
    for listener in listeners {
        let (api, acceptor, judge) = (api.clone(), acceptor.clone(), judge.clone());
        let (shutdown, tracker) = (shutdown.clone(), connections.clone());
        connections.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = shutdown.cancelled() => return,
                };
                match accepted {
                    Ok((stream, from)) => {
                        let connection = connection(
                            api.clone(),
                            stream,
                            from,
                            acceptor.clone(),
                            judge.clone(),
                            shutdown.clone(),
                        );
                        tracker.spawn(connection);
                    }
                    // Out of descriptors, say: wait for some to be freed.
                    Err(error) => {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
        });
    }
    shutdown.cancelled().await;
    connections.close();
    let _still_open = tokio::time::timeout(DRAIN, connections.wait()).await;
}

async fn connection(
    api: Arc<Api>,
    stream: TcpStream,
    from: SocketAddr,
    acceptor: TlsAcceptor,
    judge: Arc<dyn ClientCertVerifier>,
    shutdown: CancellationToken,
) {
    let _no_delay = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let peer = peer(stream.get_ref().1.peer_certificates(), &*judge);
    let service = hyper::service::service_fn(move |request| {
        let (api, peer) = (api.clone(), peer.clone());
        // Of all that a request may need on its way, a watch that has begun needs little: what
        // made the answer is gone by then, and does not stay in the task that sends it.
        Box::pin(
            async move { Ok::<_, std::convert::Infallible>(serve(api, peer, from, request).await) },
        )
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .keep_alive_interval(std::time::Duration::from_secs(30));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke off");
    }
}

/// Judges the certificate that a client has shown.
fn peer(shown: Option<&[CertificateDer<'_>]>, judge: &dyn ClientCertVerifier) -> Peer {
    let Some((own, others)) = shown.and_then(<[_]>::split_first) else {
        return Peer::Unknown;
    };
    if let Err(error) = judge.verify_client_cert(own, others, UnixTime::now()) {
        tracing::debug!(%error, "a client certificate was refused");
        return Peer::Rejected;
    }
    match authn::from_client_cert(own) {
        Ok(user) => Peer::Certified(Arc::new(user)),
        Err(_) => Peer::Rejected,
    }
}
