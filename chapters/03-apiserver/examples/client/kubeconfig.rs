//! Where the server is, whom to trust, and who asks.

use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio_rustls::TlsConnector;

use crate::client::Client;

impl Client {
    // ANCHOR: connect
    /// Trusts the cluster's authority and nobody else, and shows a certificate: its common name
    /// is the user, its organisations are the groups.
    pub fn from_kubeconfig(headers: Vec<String>) -> Result<Self> {
        let path = std::env::var("KUBECONFIG").context("KUBECONFIG names no file")?;
        let config: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
        let cluster = &config["clusters"][0]["cluster"];
        let user = &config["users"][0]["user"];
        let pem = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap_or_default());
        let authority = pem(&cluster["certificate-authority-data"])?;
        let certificate = pem(&user["client-certificate-data"])?;
        let key = pem(&user["client-key-data"])?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&authority)?)?;
        let chain = vec![CertificateDer::from_pem_slice(&certificate)?];
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?;
        let server = cluster["server"].as_str().context("no server")?;
        let host = server.strip_prefix("https://").context("not https")?;
        Ok(Self {
            host: host.to_owned(),
            tls: TlsConnector::from(Arc::new(tls)),
            headers,
        })
    }
    // ANCHOR_END: connect
}
