//! TLS: the server's certificate, and whose certificates clients must show.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{Config, Error};

/// The server's half of TLS; none if it was given no certificate.
///
/// As in etcd a client needs a certificate as soon as authorities are named, `--client-cert-auth`
/// or not.
///
/// # Errors
///
/// If a file cannot be read or is not what it should be.
pub fn acceptor(config: &Config) -> Result<Option<TlsAcceptor>, Error> {
    let (Some(cert_file), Some(key_file)) = (&config.cert_file, &config.key_file) else {
        return Ok(None);
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| Error::Tls(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(config))
        .map_err(failed)?;
    let builder = match &config.trusted_ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(failed)?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
                    .with_crls(revoked(config.client_crl_file.as_deref())?)
                    // What the list says nothing of was not taken back.
                    .allow_unknown_revocation_status();
            let verifier = verifier.build();
            builder
                .with_client_cert_verifier(verifier.map_err(|error| Error::Tls(error.to_string()))?)
        }
        None if config.client_cert_auth => {
            return Err(Error::Tls(
                "--client-cert-auth needs --trusted-ca-file".to_owned(),
            ));
        }
        None => builder.with_no_client_auth(),
    };
    let files = Files {
        cert_file: cert_file.clone(),
        key_file: key_file.clone(),
        provider,
    };
    let last = Mutex::new(Arc::new(files.read()?));
    let mut tls = builder.with_cert_resolver(Arc::new(Certificate { files, last }));
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

fn versions(config: &Config) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::new();
    if config.tls_max_version != "TLS1.2" {
        versions.push(&version::TLS13);
    }
    if config.tls_min_version != "TLS1.3" {
        versions.push(&version::TLS12);
    }
    versions
}

/// Where the server's certificate is.
#[derive(Debug)]
struct Files {
    cert_file: PathBuf,
    key_file: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, Error> {
        let key = PrivateKeyDer::from_pem_file(&self.key_file);
        let key = key.map_err(|error| cannot_read(&self.key_file, &error))?;
        CertifiedKey::from_der(certificates(&self.cert_file)?, key, &self.provider)
            .map_err(|error| Error::Tls(format!("{}: {error}", self.cert_file.display())))
    }
}

/// The server's certificate, read again for each connection as etcd does: whoever renews it need
/// not restart the server. If the files are not whole, what was read last is good enough.
#[derive(Debug)]
struct Certificate {
    files: Files,
    last: Mutex<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.read() {
            Ok(read) => *last = Arc::new(read),
            Err(error) => tracing::warn!(%error, "cannot renew the certificate"),
        }
        Some(last.clone())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(none) if none.is_empty() => {
            Err(Error::Tls(format!("{} has no certificate", path.display())))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(cannot_read(path, &error)),
    }
}

fn revoked(path: Option<&Path>) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    CertificateRevocationListDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &rustls_pki_types::pem::Error) -> Error {
    Error::Tls(format!("cannot read {}: {error}", path.display()))
}
