//! Bootstrap tokens: what a new machine has, before anybody knows it.
//!
//! A token is `{id}.{secret}`, six letters and sixteen, and stands in a Secret of type
//! `bootstrap.kubernetes.io/token` in `kube-system`, under the name `bootstrap-token-{id}`. It is
//! good for as long as the Secret says, and for nothing but asking for a certificate.
//!
//! Upstream: `plugin/pkg/auth/authenticator/token/bootstrap`,
//! `cluster-bootstrap/util/secrets`.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AUTHENTICATED, User};

/// The group of all who have such a token; others that a token gives begin so.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
const TYPE: &str = "bootstrap.kubernetes.io/token";

/// A token in its two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootstrapToken<'a> {
    /// What its Secret is named by.
    pub id: &'a str,
    /// What nobody else knows.
    pub secret: &'a str,
}

impl<'a> BootstrapToken<'a> {
    /// Reads a token; `None` if it is one of another kind.
    pub fn parse(token: &'a str) -> Option<BootstrapToken<'a>> {
        let (id, secret) = token.split_once('.')?;
        let fits = |part: &str, length: usize| {
            let mut bytes = part.bytes();
            part.len() == length && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        (fits(id, 6) && fits(secret, 16)).then_some(BootstrapToken { id, secret })
    }

    /// The name of its Secret.
    pub fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// Whose token it is, if this Secret is its, and says that it is good.
    pub fn user(&self, secret: &Value, now: Timestamp) -> Option<User> {
        let data = |key: &str| {
            let encoded = secret["data"][key].as_str()?;
            String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
        };
        let is_dying = secret["metadata"]["deletionTimestamp"].is_string();
        if secret["type"] != TYPE || is_dying || data("token-id")? != self.id {
            return None;
        }
        // By their hashes: how long that takes says nothing about how much is right.
        let hash = |text: &str| Sha256::digest(text.as_bytes());
        if hash(&data("token-secret")?) != hash(self.secret) {
            return None;
        }
        if let Some(expiration) = data("expiration") {
            // A time that cannot be read has passed.
            let until: Timestamp = expiration.parse().ok()?;
            if until <= now {
                return None;
            }
        }
        if data("usage-bootstrap-authentication")? != "true" {
            return None;
        }
        Some(User {
            name: format!("system:bootstrap:{}", self.id),
            groups: groups(&data("auth-extra-groups").unwrap_or_default())?,
            ..User::default()
        })
    }
}

/// The groups of a token; `None` if it wants one that no such token may give.
fn groups(extra: &str) -> Option<Vec<String>> {
    let mut groups = BTreeSet::from([BOOTSTRAPPERS.to_owned()]);
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        let name = group.strip_prefix("system:bootstrappers:")?;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let inside = |b: u8| good(b) || matches!(b, b':' | b'-');
        if name.len() > 256 || !name.bytes().last().is_some_and(good) || !name.bytes().all(inside) {
            return None;
        }
        groups.insert(group.to_owned());
    }
    let mut groups: Vec<String> = groups.into_iter().collect();
    groups.push(AUTHENTICATED.to_owned());
    Some(groups)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(changes: &[(&str, &str)]) -> Value {
        let mut secret = json!({"type": TYPE, "data": {}});
        let good = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ];
        for (key, value) in good.iter().chain(changes) {
            secret["data"][*key] = STANDARD.encode(value).into();
        }
        secret
    }

    #[test]
    fn a_token_is_what_its_secret_says() {
        let token = BootstrapToken::parse("abcdef.0123456789abcdef").expect("is one");
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("is a time");
        let groups = |changes: &[(&str, &str)]| {
            let user = token.user(&secret(changes), now)?;
            assert_eq!(user.name, "system:bootstrap:abcdef");
            Some(user.groups)
        };
        assert_eq!(
            groups(&[]),
            Some(vec![BOOTSTRAPPERS.into(), AUTHENTICATED.into()])
        );
        let kubeadm = "system:bootstrappers:kubeadm:default-node-token";
        let with = groups(&[("auth-extra-groups", kubeadm)]).expect("is good");
        assert_eq!(with, [BOOTSTRAPPERS, kubeadm, AUTHENTICATED]);
        for bad in [
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:a,"),
            ("token-secret", "0123456789abcdee"),
            ("token-id", "abcdee"),
            ("usage-bootstrap-authentication", "false"),
            ("expiration", "2025-12-31T23:59:59Z"),
            ("expiration", "soon"),
        ] {
            assert_eq!(groups(&[bad]), None, "{bad:?}");
        }
        assert!(groups(&[("expiration", "2026-01-01T00:00:01Z")]).is_some());
        for other in ["abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef", "a.b.c"] {
            assert_eq!(BootstrapToken::parse(other), None, "{other}");
        }
    }
}
