//! Service account tokens: JSON web tokens (RFC 7519) signed with ES256.
//!
//! A token is bound: it says which service account it is for and, if a kubelet asked for it,
//! which pod (and node) will carry it. It is good only while all of these are still the same
//! objects, by uid, so that deleting a pod ends its token.
//!
//! Upstream: `pkg/serviceaccount/claims.go`, `jwt.go`, `openidmetadata.go`.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use token_key::TokenKey;

use super::{AUTHENTICATED, CREDENTIAL_ID, Legacy, Rejected, User, service_account_groups};

/// Clocks may differ by this much. Upstream: `jwt.DefaultLeeway`.
const LEEWAY_SECONDS: i64 = 60;

/// An object that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// `Pod`, `Secret` or `Node`
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What a token is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// Namespace of the service account, and of the pod.
    pub namespace: String,
    /// Name of the service account.
    pub service_account: String,
    /// Its uid.
    pub service_account_uid: String,
    /// Who may take the token; empty means the API server itself.
    pub audiences: Vec<String>,
    /// How long it is good.
    pub expiration_seconds: i64,
    /// The object that must outlive it.
    pub bound: Option<Bound>,
    /// The node of the pod it is bound to; told, not required.
    pub node: Option<Bound>,
}

/// A token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub user: User,
    /// Those of the asked-for audiences that it is meant for.
    pub audiences: Vec<String>,
}

/// Signs tokens, and knows its own.
pub struct TokenAuthority {
    issuer: String,
    key: TokenKey,
}

impl std::fmt::Debug for TokenAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAuthority")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl TokenAuthority {
    /// An authority with the P-256 key of a PEM text. `issuer` is the URL that tokens name.
    ///
    /// # Errors
    /// The text holds no such key.
    pub fn from_pem(pem: &str, issuer: &str) -> Result<TokenAuthority, Rejected> {
        let key = TokenKey::from_pem(pem)
            .map_err(|why| Rejected(format!("service account signing key: {why}")))?;
        Ok(TokenAuthority {
            issuer: issuer.to_owned(),
            key,
        })
    }

    /// The URL that tokens name as `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A new token. `now` in seconds since 1970.
    pub fn mint(&self, spec: &TokenSpec, now: i64) -> String {
        self.sign(&self.claims(spec, now))
    }

    /// A token of these claims, whatever they say.
    pub fn sign(&self, claims: &Value) -> String {
        self.key.sign(claims)
    }

    fn claims(&self, spec: &TokenSpec, now: i64) -> Value {
        let TokenSpec {
            namespace,
            service_account,
            ..
        } = spec;
        let reference = |name: &str, uid: &str| json!({"name": name, "uid": uid});
        let mut kubernetes = json!({
            "namespace": namespace,
            "serviceaccount": reference(service_account, &spec.service_account_uid),
        });
        for bound in spec.bound.iter().chain(&spec.node) {
            kubernetes[bound.kind.to_lowercase()] = reference(&bound.name, &bound.uid);
        }
        let audiences = match spec.audiences.as_slice() {
            [] => std::slice::from_ref(&self.issuer),
            audiences => audiences,
        };
        json!({
            "aud": audiences,
            "exp": now + spec.expiration_seconds,
            "iat": now,
            "iss": self.issuer,
            "jti": uuid::Uuid::new_v4().to_string(),
            "kubernetes.io": kubernetes,
            "nbf": now,
            "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
        })
    }

    /// Who a token is for. `audiences` are those asked for, empty meaning the API server itself;
    /// `lookup` gives the uid of what is there now, by kind, namespace and name.
    ///
    /// # Errors
    /// It is not ours, not for these audiences, too old, or what it is bound to is gone.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        now: i64,
        lookup: &dyn Fn(&str, &str, &str) -> Option<String>,
    ) -> Result<Verified, Rejected> {
        let claims = self.open(token)?;
        if claims["iss"].as_str() != Some(self.issuer.as_str()) {
            return Err(rejected("invalid bearer token"));
        }
        let asked_for = match audiences {
            [] => std::slice::from_ref(&self.issuer),
            audiences => audiences,
        };
        let audiences = audiences_of(&claims, asked_for, now)?;
        let user = bound_user(&claims, lookup)?;
        Ok(Verified { user, audiences })
    }

    /// What a token of the older kind says that this key has signed; none if it is of the newer.
    ///
    /// # Errors
    /// It is not ours, or its claims will not do.
    pub fn legacy(&self, token: &str) -> Result<Option<Legacy>, Rejected> {
        Legacy::of(&self.open(token)?)
    }

    /// The claims of a token that this key has signed.
    fn open(&self, token: &str) -> Result<Map<String, Value>, Rejected> {
        let claims = self.key.open(token);
        claims.ok_or_else(|| rejected("invalid bearer token"))
    }

    /// The public key as a JSON web key set (RFC 7517): `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        let (x, y) = self.key.coordinates();
        json!({"keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": self.key.id(),
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }

    /// `/.well-known/openid-configuration`; `jwks_uri` is where the keys can be had.
    pub fn openid_configuration(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }
}

/// Those of the audiences asked for that a token is meant for, if now is its time.
fn audiences_of(
    claims: &Map<String, Value>,
    asked_for: &[String],
    now: i64,
) -> Result<Vec<String>, Rejected> {
    // ANCHOR: exercise-03.3
    let meant_for = strings(&claims["aud"]);
    let common: Vec<String> = asked_for
        .iter()
        .filter(|audience| meant_for.contains(audience))
        .cloned()
        .collect();
    if common.is_empty() {
        return Err(meant_for_others(&meant_for, asked_for));
    }
    let expiry = claims["exp"].as_i64();
    if expiry.is_none_or(|expiry| now > expiry + LEEWAY_SECONDS) {
        return Err(rejected("service account token has expired"));
    }
    let start = claims["nbf"].as_i64();
    if start.is_some_and(|start| now < start - LEEWAY_SECONDS) {
        return Err(rejected("service account token is not valid yet"));
    }
    Ok(common)
    // ANCHOR_END: exercise-03.3
}

fn meant_for_others(meant_for: &[String], asked_for: &[String]) -> Rejected {
    Rejected(format!(
        "token audiences {} is invalid for the target audiences {}",
        quoted(meant_for),
        quoted(asked_for)
    ))
}

/// The user of the claims, if all that they name is still there.
fn bound_user(
    claims: &Map<String, Value>,
    lookup: &dyn Fn(&str, &str, &str) -> Option<String>,
) -> Result<User, Rejected> {
    let empty = Value::Null;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kubernetes = claims.get("kubernetes.io").unwrap_or(&empty);
    let namespace = text(&kubernetes["namespace"]);
    let account = &kubernetes["serviceaccount"];
    let (name, uid) = (text(&account["name"]), text(&account["uid"]));
    match lookup("ServiceAccount", &namespace, &name) {
        None => return Err(Rejected(format!("serviceaccounts {name:?} not found"))),
        Some(found) if found != uid => {
            return Err(Rejected(format!(
                "service account UID ({found}) does not match claim ({uid})"
            )));
        }
        Some(_) => {}
    }
    let mut extra = BTreeMap::new();
    if let Some(id) = claims.get("jti").and_then(Value::as_str) {
        extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
    }
    let pod_bound = kubernetes["pod"].is_object();
    for kind in ["Pod", "Secret", "Node"] {
        let lower = kind.to_lowercase();
        let bound = &kubernetes[&lower];
        if !bound.is_object() {
            continue;
        }
        let (name, uid) = (text(&bound["name"]), text(&bound["uid"]));
        // A pod's token only tells the node; the pod is what ends it.
        if kind != "Node" || !pod_bound {
            let namespace = if kind == "Node" { "" } else { &namespace };
            match lookup(kind, namespace, &name) {
                None => return Err(rejected("service account token has been invalidated")),
                Some(found) if found != uid => {
                    return Err(Rejected(format!(
                        "{lower} UID ({found}) does not match service account {lower} ref claim \
                         ({uid})"
                    )));
                }
                Some(_) => {}
            }
        }
        if kind != "Secret" {
            extra.insert(
                format!("authentication.kubernetes.io/{lower}-name"),
                vec![name],
            );
            extra.insert(
                format!("authentication.kubernetes.io/{lower}-uid"),
                vec![uid],
            );
        }
    }
    let mut groups = service_account_groups(&namespace);
    groups.push(AUTHENTICATED.to_owned());
    Ok(User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid,
        groups,
        extra,
    })
}

fn rejected(why: &str) -> Rejected {
    Rejected(why.to_owned())
}

/// A claim that may be one string or a list of them.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many
            .iter()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// As Go's `%q` prints a list of strings.
fn quoted(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|s| format!("{s:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

    fn authority() -> TokenAuthority {
        let key = rcgen::KeyPair::generate().expect("a key");
        TokenAuthority::from_pem(&key.serialize_pem(), ISSUER).expect("an authority")
    }

    fn spec() -> TokenSpec {
        let bound = |kind: &str, name: &str| {
            Some(Bound {
                kind: kind.into(),
                name: name.into(),
                uid: format!("uid-of-{name}"),
            })
        };
        TokenSpec {
            namespace: "default".into(),
            service_account: "web".into(),
            service_account_uid: "uid-of-web".into(),
            audiences: Vec::new(),
            expiration_seconds: 3600,
            bound: bound("Pod", "web-1"),
            node: bound("Node", "worker-1"),
        }
    }

    #[test]
    fn a_token_lives_as_long_as_its_pod() {
        let authority = authority();
        let token = authority.mint(&spec(), 1000);
        let verify = |now, gone: &str| {
            authority.verify(&token, &[], now, &|_, _, name| {
                (name != gone).then(|| format!("uid-of-{name}"))
            })
        };
        let verified = verify(1000, "").expect("good");
        assert_eq!(verified.user.name, "system:serviceaccount:default:web");
        assert_eq!(
            verified.user.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:default",
                AUTHENTICATED
            ]
        );
        assert_eq!(
            verified.user.extra["authentication.kubernetes.io/pod-name"],
            ["web-1"]
        );
        assert_eq!(
            verified.user.extra["authentication.kubernetes.io/node-name"],
            ["worker-1"]
        );
        assert_eq!(verified.audiences, [ISSUER]);
        let why = |result: Result<Verified, Rejected>| result.expect_err("rejected").0;
        assert_eq!(why(verify(4661, "")), "service account token has expired");
        assert_eq!(
            why(verify(900, "")),
            "service account token is not valid yet"
        );
        assert_eq!(
            why(verify(1000, "web-1")),
            "service account token has been invalidated"
        );
        assert_eq!(
            why(verify(1000, "web")),
            "serviceaccounts \"web\" not found"
        );
        let vault = ["vault".to_owned()];
        assert!(why(authority.verify(&token, &vault, 1000, &|_, _, _| None)).contains("audiences"));
    }

    #[test]
    fn a_token_of_another_key_is_not_ours() {
        let token = authority().mint(&spec(), 1000);
        let why = authority()
            .verify(&token, &[], 1000, &|_, _, _| None)
            .expect_err("rejected");
        assert_eq!(why.0, "invalid bearer token");
    }

    proptest! {
        #[test]
        fn any_text_is_refused(token in "[A-Za-z0-9_.-]{0,80}") {
            let authority = authority();
            prop_assert!(authority.verify(&token, &[], 0, &|_, _, _| None).is_err());
        }
    }
}
