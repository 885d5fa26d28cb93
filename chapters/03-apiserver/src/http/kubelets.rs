//! The way to kubelets: TLS, with this server's certificate, and a judge of theirs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::listen;
use crate::Error;
use crate::config::Config;

/// How long a kubelet may take to take the connection.
const CONNECT: Duration = Duration::from_secs(5);

/// The way to kubelets: how this server shows who it is, and knows who they are.
pub struct Kubelets {
    tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for Kubelets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubelets").finish_non_exhaustive()
    }
}

impl Kubelets {
    /// Reads the files of the config.
    ///
    /// # Errors
    /// If one will not do.
    pub fn new(config: &Config) -> Result<Kubelets, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match &config.kubelet_certificate_authority {
            Some(path) => builder.with_root_certificates(listen::authorities(path)?),
            None => {
                let anyone = Arc::new(TakeAny(provider));
                builder.dangerous().with_custom_certificate_verifier(anyone)
            }
        };
        let mut tls = match (
            &config.kubelet_client_certificate,
            &config.kubelet_client_key,
        ) {
            (Some(certificate), Some(key)) => builder.with_client_auth_cert(
                listen::certificates(certificate)?,
                listen::private_key(key)?,
            )?,
            _ => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Kubelets { tls: Arc::new(tls) })
    }

    /// Sends a request to a kubelet.
    ///
    /// # Errors
    /// If it cannot be reached, or is not the one it should be.
    pub async fn send(
        &self,
        address: &Address,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, std::io::Error> {
        let other = std::io::Error::other::<hyper::Error>;
        let Address { host, port } = address;
        let connect = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
            TlsConnector::from(self.tls.clone())
                .connect(name, stream)
                .await
        };
        let stream = tokio::time::timeout(CONNECT, connect)
            .await
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "i/o timeout"))??;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(other)?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.map_err(other)
    }
}

/// Where a kubelet listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// IP address or name.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Takes any kubelet for the one it says it is.
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
