//! What a Secret that asks for a service account's token lacks: pure.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::{Value, json};

/// Annotation: whose token it is to be. Whoever makes the Secret says it.
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
/// Annotation: the uid of that account, so that a later one of the same name is another.
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

const TOKEN: &str = "token";
const NAMESPACE: &str = "namespace";
const ROOT_CA: &str = "ca.crt";

/// What is to be done with such a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// All is there, or it names no account.
    Nothing,
    /// Its account is gone: so is who could speak with it.
    Delete,
    /// See [`fill`].
    Fill,
}

/// Name of the account that a Secret asks for a token of; empty if it names none.
pub fn account_of(secret: &Secret) -> &str {
    annotation(secret, ACCOUNT_NAME)
}

/// Whether it is this very account that the Secret names, not merely one of that name.
/// Upstream: `IsServiceAccountToken`, which wants the uid where this takes its absence for a
/// Secret that is yet to be filled in.
pub fn is_of(secret: &Secret, account: &ServiceAccount) -> bool {
    let uid = annotation(secret, ACCOUNT_UID);
    account.metadata.name.as_deref() == Some(account_of(secret))
        && (uid.is_empty() || account.metadata.uid.as_deref() == Some(uid))
}

/// What to do with `secret`, whose account is `account`, if there is one. `root_ca` is the
/// certificate of the cluster's authority.
pub fn plan(secret: &Secret, account: Option<&ServiceAccount>, root_ca: Option<&str>) -> Plan {
    if account_of(secret).is_empty() {
        return Plan::Nothing;
    }
    if !account.is_some_and(|account| is_of(secret, account)) {
        return Plan::Delete;
    }
    let is_stale = |root_ca: &str| data(secret, ROOT_CA) != root_ca.as_bytes();
    let lacks = |key| data(secret, key).is_empty();
    match root_ca.is_some_and(is_stale) || lacks(NAMESPACE) || lacks(TOKEN) {
        true => Plan::Fill,
        false => Plan::Nothing,
    }
}

/// The Secret with what it lacks. `sign` makes a token of claims; a token that is there stays.
pub fn fill(
    secret: &Secret,
    account: &ServiceAccount,
    root_ca: Option<&str>,
    sign: impl FnOnce(&Value) -> String,
) -> Secret {
    let mut filled = secret.clone();
    let mut set = |key: &str, text: String| {
        let data = filled.data.get_or_insert_default();
        data.insert(key.to_owned(), ByteString(text.into_bytes()));
    };
    if let Some(root_ca) = root_ca {
        set(ROOT_CA, root_ca.to_owned());
    }
    if data(secret, NAMESPACE).is_empty() {
        set(
            NAMESPACE,
            secret.metadata.namespace.clone().unwrap_or_default(),
        );
    }
    if data(secret, TOKEN).is_empty() {
        set(TOKEN, sign(&claims(secret, account)));
    }
    let uid = account.metadata.uid.clone().unwrap_or_default();
    let annotations = filled.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT_UID.to_owned(), uid);
    filled
}

/// The account without its reference to a Secret that is gone; none if it has no such reference.
pub fn without_reference(account: &ServiceAccount, secret: &str) -> Option<ServiceAccount> {
    let is_it = |name: Option<&str>| name == Some(secret);
    let mut secrets = account.secrets.clone()?;
    let before = secrets.len();
    secrets.retain(|reference| !is_it(reference.name.as_deref()));
    (secrets.len() < before).then(|| ServiceAccount {
        secrets: Some(secrets),
        ..account.clone()
    })
}

/// What the token says. It has no end of its own: its Secret is its end.
/// Upstream: `LegacyClaims` in `pkg/serviceaccount/legacy.go`.
fn claims(secret: &Secret, account: &ServiceAccount) -> Value {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let namespace = text(&account.metadata.namespace);
    let name = text(&account.metadata.name);
    json!({
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": text(&secret.metadata.name),
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": text(&account.metadata.uid),
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    })
}

fn annotation<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let annotations = secret.metadata.annotations.as_ref();
    let text = annotations.and_then(|all| all.get(key));
    text.map_or("", String::as_str)
}

fn data<'a>(secret: &'a Secret, key: &str) -> &'a [u8] {
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    data.map_or(&[], |ByteString(bytes)| bytes.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: Value) -> Secret {
        let mut secret = json!({
            "metadata": {"name": "web-token", "namespace": "shop",
                "annotations": {ACCOUNT_NAME: "web"}},
            "type": "kubernetes.io/service-account-token",
        });
        for (field, value) in value.as_object().expect("fields") {
            secret[field] = value.clone();
        }
        serde_json::from_value(secret).expect("it is a Secret")
    }

    fn account(uid: &str) -> ServiceAccount {
        let account = json!({"metadata": {"name": "web", "namespace": "shop", "uid": uid},
            "secrets": [{"name": "web-token"}, {"name": "other"}]});
        serde_json::from_value(account).expect("it is a ServiceAccount")
    }

    #[test]
    fn a_secret_by_hand_is_filled_in_once() {
        let (asked, web) = (secret(json!({})), account("u"));
        assert_eq!(plan(&asked, Some(&web), Some("CA")), Plan::Fill);
        let sign = |claims: &Value| {
            assert_eq!(claims["sub"], "system:serviceaccount:shop:web");
            let own = |key: &str| claims[format!("kubernetes.io/serviceaccount/{key}")].clone();
            assert_eq!(own("secret.name"), "web-token");
            assert_eq!(own("service-account.uid"), "u");
            "signed".to_owned()
        };
        let filled = fill(&asked, &web, Some("CA"), sign);
        let text = |key| String::from_utf8_lossy(data(&filled, key)).into_owned();
        assert_eq!(
            ["token", "namespace", "ca.crt"].map(text),
            ["signed", "shop", "CA"]
        );
        assert_eq!(annotation(&filled, ACCOUNT_UID), "u");
        assert_eq!(plan(&filled, Some(&web), Some("CA")), Plan::Nothing);
        assert_eq!(
            plan(&filled, Some(&web), None),
            Plan::Nothing,
            "no authority is given"
        );
    }

    #[test]
    fn what_is_lost_comes_back_and_a_token_that_is_there_stays() {
        let web = account("u");
        // "dA==" is "t".
        let stale =
            secret(json!({"data": {"token": "dA==", "namespace": "dA==", "ca.crt": "dA=="}}));
        assert_eq!(plan(&stale, Some(&web), Some("CA")), Plan::Fill);
        let filled = fill(&stale, &web, Some("CA"), |_| {
            unreachable!("there is a token")
        });
        assert_eq!(data(&filled, "token"), b"t");
        assert_eq!(
            data(&filled, "namespace"),
            b"t",
            "what somebody chose is left alone"
        );
        assert_eq!(data(&filled, "ca.crt"), b"CA");
    }

    #[test]
    fn it_goes_with_its_account_and_only_with_that() {
        let of = |uid: &str| {
            let annotations = json!({ACCOUNT_NAME: "web", ACCOUNT_UID: uid});
            secret(json!({"metadata": {"name": "s", "annotations": annotations}}))
        };
        assert_eq!(plan(&of("u"), None, None), Plan::Delete);
        assert_eq!(
            plan(&of(""), None, None),
            Plan::Delete,
            "nobody was ever there"
        );
        assert_eq!(
            plan(&of("u"), Some(&account("another")), None),
            Plan::Delete
        );
        assert_eq!(plan(&of("u"), Some(&account("u")), None), Plan::Fill);
        let nobodys = secret(json!({"metadata": {"name": "s"}}));
        assert_eq!(plan(&nobodys, None, None), Plan::Nothing);
    }

    #[test]
    fn an_account_forgets_a_secret_that_is_gone() {
        let left = without_reference(&account("u"), "web-token").expect("it had one");
        let names = left.secrets.unwrap_or_default().into_iter();
        assert_eq!(
            names.map(|it| it.name).collect::<Vec<_>>(),
            [Some("other".into())]
        );
        assert_eq!(without_reference(&account("u"), "nobody's"), None);
        assert_eq!(
            without_reference(&ServiceAccount::default(), "web-token"),
            None
        );
    }
}
