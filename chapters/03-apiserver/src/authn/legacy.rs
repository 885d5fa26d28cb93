//! The older tokens of service accounts: each stands in a Secret that somebody has asked for by hand,
//! and is good for as long as that Secret has it.
//!
//! A token controller signs them and puts them there. Such a token has no end of its own, so the day
//! it was last used is noted in a label, and a label can end it.
//!
//! Upstream: `pkg/serviceaccount/legacy.go`, KEP-2799.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{AUTHENTICATED, Rejected, User, service_account, service_account_groups};

/// Who is said to have issued them.
pub const ISSUER: &str = "kubernetes/serviceaccount";
/// The label with the day on which a token was last used.
pub const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// The label by which a token is good no more.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// What such a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    /// Namespace of the Secret and the service account.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// Name of the service account.
    pub account: String,
    /// Its uid.
    uid: String,
}

impl Legacy {
    /// Reads the claims of a token; none if it is a token of the newer kind.
    ///
    /// # Errors
    /// If a claim is missing, or two contradict each other.
    pub fn of(claims: &Map<String, Value>) -> Result<Option<Legacy>, Rejected> {
        let text = |key: &str| claims.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("iss") != ISSUER {
            return Ok(None);
        }
        let claim = |key: &str, called: &str| match text(key) {
            "" => Err(Rejected(format!("{called} claim is missing"))),
            value => Ok(value.to_owned()),
        };
        let own = |key: &str, called| claim(&format!("kubernetes.io/serviceaccount/{key}"), called);
        let subject = claim("sub", "sub")?;
        let legacy = Legacy {
            namespace: own("namespace", "namespace")?,
            secret: own("secret.name", "secretName")?,
            account: own("service-account.name", "serviceAccountName")?,
            uid: own("service-account.uid", "serviceAccountUID")?,
        };
        if service_account(&subject) != Some((&legacy.namespace, &legacy.account)) {
            return Err(Rejected("sub claim is invalid".to_owned()));
        }
        Ok(Some(legacy))
    }

    /// Whose a token is that says this, given its Secret and its service account as they are now.
    ///
    /// # Errors
    /// Why it is good no more.
    pub fn user(
        &self,
        token: &str,
        secret: Option<&Value>,
        account: Option<&Value>,
    ) -> Result<User, Rejected> {
        let ends = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
        let Some(secret) = secret.filter(|secret| !ends(secret)) else {
            return Err(Rejected("Token has been invalidated".to_owned()));
        };
        let copy = secret["data"]["token"].as_str().unwrap_or_default();
        if copy != STANDARD.encode(token) {
            return Err(Rejected("Token does not match server's copy".to_owned()));
        }
        let Legacy {
            namespace,
            account: name,
            ..
        } = self;
        let Some(account) = account else {
            return Err(Rejected(format!("serviceaccounts {name:?} not found")));
        };
        if ends(account) {
            let why = format!("ServiceAccount {namespace}/{name} has been deleted");
            return Err(Rejected(why));
        }
        let uid = account["metadata"]["uid"].as_str().unwrap_or_default();
        if uid != self.uid {
            return Err(Rejected(format!(
                "ServiceAccount UID ({uid}) does not match claim ({})",
                self.uid
            )));
        }
        if !secret["metadata"]["labels"][INVALID_SINCE].is_null() {
            return Err(Rejected(format!(
                "the token in secret {namespace}/{} for service account {namespace}/{name} has been \
                 marked invalid. Use tokens from the TokenRequest API or manually created \
                 secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to \
                 temporarily allow use of this token",
                self.secret
            )));
        }
        let mut groups = service_account_groups(namespace);
        groups.push(AUTHENTICATED.to_owned());
        Ok(User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups,
            extra: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims() -> Value {
        json!({"iss": ISSUER, "sub": "system:serviceaccount:ns:web",
            "kubernetes.io/serviceaccount/namespace": "ns",
            "kubernetes.io/serviceaccount/secret.name": "web-token",
            "kubernetes.io/serviceaccount/service-account.name": "web",
            "kubernetes.io/serviceaccount/service-account.uid": "u"})
    }

    fn read(claims: &Value) -> Result<Option<Legacy>, String> {
        Legacy::of(claims.as_object().expect("claims")).map_err(|why| why.0)
    }

    #[test]
    fn claims_are_all_there_and_agree() {
        let newer = json!({"iss": "https://kubernetes.default.svc"});
        assert_eq!(read(&newer), Ok(None));
        assert!(read(&claims()).is_ok_and(|legacy| legacy.is_some()));
        let mut without = claims();
        without["kubernetes.io/serviceaccount/secret.name"] = "".into();
        assert_eq!(read(&without), Err("secretName claim is missing".into()));
        let mut other = claims();
        other["sub"] = "system:serviceaccount:ns:other".into();
        assert_eq!(read(&other), Err("sub claim is invalid".into()));
    }

    #[test]
    fn a_token_lives_as_long_as_its_secret_has_it() {
        let legacy = read(&claims()).expect("agree").expect("is older");
        let secret = json!({"metadata": {"name": "web-token"},
            "data": {"token": STANDARD.encode("t")}});
        let account = json!({"metadata": {"name": "web", "uid": "u"}});
        let user = |token: &str, secret: Option<&Value>, account: Option<&Value>| {
            let user = legacy.user(token, secret, account);
            user.map(|user| user.name).map_err(|why| why.0)
        };
        assert_eq!(
            user("t", Some(&secret), Some(&account)),
            Ok("system:serviceaccount:ns:web".into())
        );
        let why = |text: &str| Err::<String, String>(text.into());
        let gone = why("Token has been invalidated");
        assert_eq!(user("t", None, Some(&account)), gone);
        let mut ending = secret.clone();
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(user("t", Some(&ending), Some(&account)), gone);
        assert_eq!(
            user("other", Some(&secret), Some(&account)),
            why("Token does not match server's copy")
        );
        let another = json!({"metadata": {"name": "web", "uid": "v"}});
        assert_eq!(
            user("t", Some(&secret), Some(&another)),
            why("ServiceAccount UID (v) does not match claim (u)")
        );
        let mut marked = secret.clone();
        marked["metadata"]["labels"][INVALID_SINCE] = "2026-01-01".into();
        let refused = user("t", Some(&marked), Some(&account)).expect_err("is marked");
        assert!(refused.starts_with("the token in secret ns/web-token for service account ns/web"));
    }
}
