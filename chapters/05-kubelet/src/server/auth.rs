//! Who may call this kubelet: clients with a certificate of the cluster's CA, or with a token that
//! the API server knows; and of them those whom the API server allows it.
//!
//! The API server is asked each time, so what it decides holds at once; upstream remembers its
//! answers for some minutes.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
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

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
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
            uid: None,
            groups: groups.map(str::to_owned).collect(),
            extra: BTreeMap::new(),
        })
    }
}

/// Who asks: whom the certificate names, or whom the API server knows by the bearer token.
///
/// # Errors
/// When nobody is named, or the token is nobody's.
pub async fn authenticate(
    context: &Context,
    headers: &HeaderMap,
    certified: Option<Identity>,
) -> std::result::Result<Identity, Refusal> {
    if let Some(identity) = certified {
        return Ok(identity);
    }
    let unauthorized = || Refusal(StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
    let token = bearer_token(headers).ok_or_else(unauthorized)?;
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.to_owned(),
            ..TokenReviewSpec::default()
        },
        ..TokenReview::default()
    };
    let api: Api<TokenReview> = Api::all(context.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer.map_err(|error| {
        tracing::warn!(%error, "a bearer token could not be reviewed");
        unauthorized()
    })?;
    let status = answer.status.unwrap_or_default();
    let user = status.user.unwrap_or_default();
    match (status.authenticated, user.username) {
        (Some(true), Some(name)) if !name.is_empty() => Ok(Identity {
            user: name,
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }),
        _ => Err(unauthorized()),
    }
}

/// The token of `Authorization: Bearer …`.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Refuses whoever may not do this. Cluster administrators, among them the API server, may do
/// everything; for others the API server is asked, as upstream's `--authorization-mode=Webhook`.
///
/// # Errors
/// 403 and what would have to be allowed, or 500 if the API server does not say.
pub async fn authorize(
    context: &Context,
    identity: Identity,
    method: &Method,
    what: &str,
) -> std::result::Result<(), Refusal> {
    if identity
        .groups
        .iter()
        .any(|group| group == "system:masters")
    {
        return Ok(());
    }
    let verb = verb(method);
    let subresources = subresources(what);
    let api: Api<SubjectAccessReview> = Api::all(context.client.clone());
    for subresource in subresources {
        let review = review(&identity, verb, subresource, &context.node_name);
        let answer = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(super::internal)?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
    }
    let message = format!(
        "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])",
        identity.user,
        subresources.join(" ")
    );
    Err(Refusal(StatusCode::FORBIDDEN, message))
}

/// The API's word for a method. What has none nobody is granted by name.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// What of `nodes` whoever asks for a path must be granted, by its first segment: any of these.
/// What only looks has a name of its own (KEP-2862), and everything else is `proxy`, which is as
/// good as being root of the node.
///
/// Upstream: `pkg/kubelet/server/auth.go`.
fn subresources(first: &str) -> &'static [&'static str] {
    match first {
        "stats" => &["stats"],
        "metrics" => &["metrics"],
        "logs" => &["log"],
        "checkpoint" => &["checkpoint"],
        "pods" | "runningpods" => &["pods", "proxy"],
        "healthz" => &["healthz", "proxy"],
        "configz" => &["configz", "proxy"],
        _ => &["proxy"],
    }
}

fn review(
    identity: &Identity,
    verb: &str,
    subresource: &str,
    node_name: &str,
) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(identity.user.clone()),
            uid: identity.uid.clone(),
            groups: Some(identity.groups.clone()),
            extra: (!identity.extra.is_empty()).then(|| identity.extra.clone()),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(node_name.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

/// The server's TLS: its certificate, and the CA of its clients. A client without a certificate
/// is let in: it may have a token.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_looks_has_names_of_its_own() {
        assert_eq!(subresources("stats"), ["stats"]);
        assert_eq!(subresources("pods"), ["pods", "proxy"]);
        for powerful in [
            "exec",
            "attach",
            "portForward",
            "containerLogs",
            "run",
            "",
            "Stats",
        ] {
            assert_eq!(subresources(powerful), ["proxy"], "{powerful}");
        }
        assert_eq!(verb(&Method::HEAD), "");
    }

    #[test]
    fn a_token_comes_after_its_scheme() {
        let token = |header: &str| {
            let value = header.parse().unwrap();
            bearer_token(&HeaderMap::from_iter([(header::AUTHORIZATION, value)])).map(str::to_owned)
        };
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc ").as_deref(), Some("abc"));
        for none in ["Bearer", "Bearer ", "Basic abc", "abc", ""] {
            assert_eq!(token(none), None, "{none:?}");
        }
    }
}
