//! Who may call this kubelet: clients with a certificate of the cluster's CA.

use std::sync::Arc;

use http::{Method, StatusCode};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Refusal;
use crate::context::Context;
use crate::{Error, Result};

/// Who a client is, by its certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: String,
    groups: Vec<String>,
}

impl Identity {
    /// `CN` is the user, each `O` a group.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Identity> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let subject = parsed.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject
            .iter_organization()
            .filter_map(|group| group.as_str().ok());
        Some(Identity {
            user,
            groups: groups.map(str::to_owned).collect(),
        })
    }
}

/// Refuses whoever may not do this. Cluster administrators, among them the API server, may do
/// everything; for others the API server is asked, as upstream's `--authorization-mode=Webhook`.
pub async fn authorize(
    context: &Context,
    identity: Option<Identity>,
    method: &Method,
    what: &str,
) -> std::result::Result<(), Refusal> {
    let Some(identity) = identity else {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned()));
    };
    if identity
        .groups
        .iter()
        .any(|group| group == "system:masters")
    {
        return Ok(());
    }
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    };
    let subresource = match what {
        "containerLogs" | "exec" | "attach" | "portForward" | "pods" => "proxy",
        "metrics" => "metrics",
        _ => "proxy",
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(identity.user.clone()),
            groups: Some(identity.groups),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(context.node_name.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(context.client.clone());
    let answer = api
        .create(&PostParams::default(), &review)
        .await
        .map_err(super::internal)?;
    if answer.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    let message = format!(
        "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])",
        identity.user
    );
    Err(Refusal(StatusCode::FORBIDDEN, message))
}

/// The server's TLS: its certificate, and the CA of its clients. A client without a certificate
/// is let in, to `/healthz` only.
///
/// # Errors
/// When one of the files makes no sense.
pub fn server_config(context: &Context) -> Result<ServerConfig> {
    let config = &context.config;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config(error.to_string()))?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let malformed = |error: &dyn std::fmt::Display| {
                Error::Config(format!("--client-ca-file {}: {error}", path.display()))
            };
            let mut roots = RootCertStore::empty();
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|error| malformed(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| malformed(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = match (&config.tls_cert_file, &config.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            let parsed = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                Error::Config(format!("--tls-private-key-file {}: {error}", key.display()))
            })?;
            (read_certificates(certificate)?, parsed)
        }
        _ => self_signed(context)?,
    };
    builder
        .with_single_cert(chain, key)
        .map_err(|error| Error::Config(format!("the server's certificate: {error}")))
}

fn read_certificates(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>> {
    let malformed =
        |error: rustls_pki_types::pem::Error| Error::Config(format!("{}: {error}", path.display()));
    CertificateDer::pem_file_iter(path)
        .map_err(malformed)?
        .collect::<std::result::Result<_, _>>()
        .map_err(malformed)
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn self_signed(context: &Context) -> Result<ChainAndKey> {
    let mut names = vec![context.node_name.clone()];
    names.extend(context.node_ips.iter().map(ToString::to_string));
    let made = rcgen::generate_simple_self_signed(names);
    let made = made.map_err(|error| Error::Config(format!("no certificate: {error}")))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key)))
}
