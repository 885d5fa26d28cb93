//! Authentication: who asks.
//!
//! A request tells who it is from in one of five ways, tried in this order; then it may ask to be
//! treated as somebody else's ([`impersonate`]).
//!
//! | credential | user | groups |
//! | --- | --- | --- |
//! | client certificate of the cluster's CA | its subject's CN | its subject's Os |
//! | `Authorization: Bearer` with a service account's token | `system:serviceaccount:ns:name` | `system:serviceaccounts`, `…:ns` |
//! | the same with an older one, which stands in a Secret | the same | the same |
//! | `Authorization: Bearer` with a bootstrap token, if these are enabled | `system:bootstrap:id` | `system:bootstrappers`, and those its Secret names |
//! | none | `system:anonymous` | `system:unauthenticated` |
//!
//! Everyone who is known is also in `system:authenticated`. A credential that is there but wrong
//! is an error, 401, never anonymity. Whether the certificate is the CA's has been proved by TLS
//! when it gets here; a token's signature is verified in [`tokens`].
//!
//! Left out: other issuers of tokens; authenticators by webhook and by a proxy's headers. The older
//! tokens are taken, and not made: the one who would put them into their Secrets is a controller, such
//! as upstream's, that has this server's key.
//!
//! Upstream: `staging/src/k8s.io/apiserver/pkg/authentication/`, `pkg/serviceaccount/`.

pub mod bootstrap;
pub mod impersonate;
pub mod legacy;
pub mod tokens;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

pub use bootstrap::BootstrapToken;
pub use impersonate::{Impersonation, impersonation};
pub use legacy::Legacy;
pub use tokens::{Bound, TokenAuthority, TokenSpec, Verified};

/// Group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group of those who are not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of those who are not known.
pub const ANONYMOUS: &str = "system:anonymous";
/// Key of [`User::extra`] that says by which credential a user was known.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Why a credential will not do. The client reads 401 `Unauthorized`; a TokenReview, this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub String);

/// Who asks. Upstream: `user.Info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// `kubernetes-admin`, `system:serviceaccount:default:web`
    pub name: String,
    /// Tells apart users who had one name one after the other; often empty.
    pub uid: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
    /// More that the authenticator knows: a token's pod, a certificate's fingerprint.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The user of a request without credentials.
    pub fn anonymous() -> User {
        User {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..User::default()
        }
    }

    /// Whether the user is in the group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The name of the node that this user, a kubelet, is; `None` for anybody else.
    pub fn node(&self) -> Option<&str> {
        self.name
            .strip_prefix("system:node:")
            .filter(|_| self.in_group("system:nodes"))
    }
}

/// The namespace and name of `system:serviceaccount:{namespace}:{name}`.
pub fn service_account(user_name: &str) -> Option<(&str, &str)> {
    user_name
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')
}

/// The groups of a service account.
fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
    ]
}

/// The user of a client certificate, which TLS has verified: `CN` is the name, each `O` a group.
///
/// # Errors
/// The certificate is not one, or has no common name.
pub fn from_client_cert(der: &[u8]) -> Result<User, Rejected> {
    let (_, certificate) = X509Certificate::from_der(der)
        .map_err(|error| Rejected(format!("client certificate: {error}")))?;
    let subject = certificate.subject();
    let name = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok());
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Rejected(
            "client certificate without a common name".to_owned(),
        ));
    };
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok());
    let mut groups: Vec<String> = groups.map(str::to_owned).collect();
    groups.push(AUTHENTICATED.to_owned());
    let fingerprint: String = Sha256::digest(der)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let credential = vec![format!("X509SHA256={fingerprint}")];
    Ok(User {
        name: name.to_owned(),
        uid: String::new(),
        groups,
        extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), credential)]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_a_kubelet() {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "system:nodes");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "system:node:worker-1");
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let user = from_client_cert(certificate.der()).expect("a user");
        assert_eq!(user.groups, ["system:nodes", AUTHENTICATED]);
        assert_eq!(user.node(), Some("worker-1"));
        assert!(user.extra[CREDENTIAL_ID][0].starts_with("X509SHA256="));
        assert!(from_client_cert(b"no certificate").is_err());
    }
}
