//! The way to what stands behind this server: kubelets by TLS, with this server's certificate and
//! a judge of theirs; pods and Services, which a proxied request goes to, with TLS or without.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::listen;
use crate::Error;
use crate::config::Config;

/// How long a backend may take to take the connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Both sides show certificates, and judge them by the config.
    Kubelet,
    /// TLS with whoever answers: what `https:` before a pod's name asks for. Upstream's proxy
    /// does not judge certificates of pods either, which nobody told it.
    AnyCertificate,
    /// Plain HTTP.
    None,
}

/// The way to backends: how this server shows who it is, and knows who they are.
pub struct Backends {
    kubelet: Arc<ClientConfig>,
    any_certificate: Arc<ClientConfig>,
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

impl Backends {
    /// Reads the files of the config.
    ///
    /// # Errors
    /// If one will not do.
    pub fn new(config: &Config) -> Result<Backends, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
        };
        let anyone = || {
            let anyone = Arc::new(TakeAny(provider.clone()));
            Ok::<_, Error>(
                builder()?
                    .dangerous()
                    .with_custom_certificate_verifier(anyone),
            )
        };
        let judging = match &config.kubelet_certificate_authority {
            Some(path) => builder()?.with_root_certificates(listen::authorities(path)?),
            None => anyone()?,
        };
        let kubelet = match (
            &config.kubelet_client_certificate,
            &config.kubelet_client_key,
        ) {
            (Some(certificate), Some(key)) => judging.with_client_auth_cert(
                listen::certificates(certificate)?,
                listen::private_key(key)?,
            )?,
            _ => judging.with_no_client_auth(),
        };
        let http1 = |mut tls: ClientConfig| {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(tls)
        };
        Ok(Backends {
            kubelet: http1(kubelet),
            any_certificate: http1(anyone()?.with_no_client_auth()),
        })
    }

    /// Sends a request to a backend.
    ///
    /// # Errors
    /// If it cannot be reached, or is not the one it should be.
    pub async fn send<B>(
        &self,
        address: &Address,
        security: Security,
        request: Request<B>,
    ) -> Result<Response<Incoming>, std::io::Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Address { host, port } = address;
        let connect = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let tls = match security {
                Security::None => return Ok::<Box<dyn Stream>, std::io::Error>(Box::new(stream)),
                Security::Kubelet => &self.kubelet,
                Security::AnyCertificate => &self.any_certificate,
            };
            let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
            let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
            Ok(Box::new(stream?))
        };
        let stream = tokio::time::timeout(CONNECT, connect)
            .await
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "i/o timeout"))??;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        sender
            .send_request(request)
            .await
            .map_err(std::io::Error::other)
    }
}

/// A connection, whatever it is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a backend listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// IP address or name.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Takes anyone for who they say they are.
#[derive(Debug)]
struct TakeAny(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
