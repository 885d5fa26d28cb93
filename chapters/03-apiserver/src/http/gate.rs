//! Who asks, as whom, and whether they may.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

use super::Api;
use super::listen::Peer;
use super::path::{Query, RequestInfo};
use super::websocket;
use crate::authn::legacy::LAST_USED;
use crate::authn::{self, BootstrapToken, Legacy, User, Verified};
use crate::authz::{Attributes, Decision};
use crate::registry::{Target, bootstrap, meta};
use crate::resources;
use crate::selectors::FieldSelector;
use crate::status::{ApiError, Subject};

/// Subprotocol by which a browser's WebSocket, which cannot set headers, brings its token.
const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Finds out who asks.
///
/// # Errors
/// 401 if a credential is there, but wrong.
pub fn authenticate(api: &Arc<Api>, peer: &Peer, headers: &HeaderMap) -> Result<User, ApiError> {
    match peer {
        Peer::Certified(user) => return Ok(User::clone(user)),
        Peer::Rejected => return Err(ApiError::unauthorized()),
        Peer::Unknown => {}
    }
    let Some(token) = bearer_token(headers)? else {
        return Ok(User::anonymous());
    };
    match verify_token(api, &token, &[]) {
        Ok(verified) => Ok(verified.user),
        Err(error) => {
            tracing::debug!(%error, "a bearer token was refused");
            Err(ApiError::unauthorized())
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if let Some((scheme, token)) = given.and_then(|value| value.split_once(' '))
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Ok(Some(token.trim().to_owned()));
    }
    if !websocket::is_wanted(headers) {
        return Ok(None);
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) = websocket::offered(headers)
        .into_iter()
        .partition(|protocol| protocol.starts_with(BEARER_PROTOCOL));
    // One token, and one protocol beside it to agree to: the token is no answer.
    let encoded = match (tokens.as_slice(), others.as_slice()) {
        ([], _) => return Ok(None),
        ([token], [_, ..]) => &token[BEARER_PROTOCOL.len()..],
        _ => return Err(ApiError::unauthorized()),
    };
    use base64::Engine;
    let token = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    token.map(Some).ok_or_else(ApiError::unauthorized)
}

/// Takes the credentials out of a request's headers, once it is known who asks: what stands behind
/// this server has no use for them but to be them.
pub fn forget_credentials(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
    let impersonating = |name: &&HeaderName| name.as_str().starts_with("impersonate-");
    let names: Vec<HeaderName> = headers.keys().filter(impersonating).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols: Vec<&str> = protocols
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if !protocols.iter().any(|p| p.starts_with(BEARER_PROTOCOL)) {
        return;
    }
    let others: Vec<&str> = protocols
        .into_iter()
        .filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL))
        .collect();
    // They were a header's text before.
    match HeaderValue::from_str(&others.join(",")) {
        Ok(others) if !others.is_empty() => {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
        }
        _ => {
            headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        }
    }
}

/// Verifies a service account's token, or a bootstrap token, for some audiences (none: this server's own).
///
/// # Errors
/// Why it is refused.
pub fn verify_token(
    api: &Arc<Api>,
    token: &str,
    audiences: &[String],
) -> Result<Verified, authn::Rejected> {
    let uid_of = |kind: &str, namespace: &str, name: &str| {
        let resource = resources::by_kind("", "v1", kind)?;
        let namespace = if resource.namespaced { namespace } else { "" };
        let target = Target {
            resource,
            subresource: "",
            namespace,
            name,
        };
        let object: Value = api.registry.cached(&target).ok()?;
        Some(meta::uid(&object).to_owned())
    };
    let now = Timestamp::now();
    let user = match bootstrap_user(api, token, now) {
        Some(user) => Some(user),
        None => legacy_user(api, token, now)?,
    };
    if let Some(user) = user {
        // Such a token is for this server, whoever else was asked for.
        let mine = [api.tokens.issuer().to_owned()];
        let asked = if audiences.is_empty() {
            &mine
        } else {
            audiences
        };
        let audiences: Vec<String> = asked.iter().filter(|a| mine.contains(a)).cloned().collect();
        if !audiences.is_empty() {
            return Ok(Verified { user, audiences });
        }
    }
    api.tokens
        .verify(token, audiences, now.as_second(), &uid_of)
}

/// Whose bootstrap token it is, if it is one.
fn bootstrap_user(api: &Api, token: &str, now: Timestamp) -> Option<User> {
    if !api.registry.config.enable_bootstrap_token_auth {
        return None;
    }
    let token = BootstrapToken::parse(token)?;
    let target = Target {
        resource: resources::by_kind("", "v1", "Secret")?,
        subresource: "",
        namespace: "kube-system",
        name: &token.secret_name(),
    };
    token.user(&api.registry.cached(&target).ok()?, now)
}

/// Whose token it is, if it is one that stands in a Secret.
fn legacy_user(
    api: &Arc<Api>,
    token: &str,
    now: Timestamp,
) -> Result<Option<User>, authn::Rejected> {
    let Some(legacy) = api.tokens.legacy(token)? else {
        return Ok(None);
    };
    let object = |kind: &str, name: &str| {
        let target = Target {
            resource: resources::by_kind("", "v1", kind)?,
            subresource: "",
            namespace: &legacy.namespace,
            name,
        };
        api.registry.cached(&target).ok()
    };
    let secret = object("Secret", &legacy.secret);
    let account = object("ServiceAccount", &legacy.account);
    let user = legacy.user(token, secret.as_ref(), account.as_ref())?;
    let today = now.strftime("%Y-%m-%d").to_string();
    if secret.is_some_and(|secret| secret["metadata"]["labels"][LAST_USED] != today) {
        tokio::spawn(note_use(api.clone(), legacy, today));
    }
    Ok(Some(user))
}

/// Notes in its Secret that a token is still in use.
async fn note_use(api: Arc<Api>, legacy: Legacy, today: String) {
    let target = Target {
        resource: resources::by_kind("", "v1", "Secret").expect("are served"),
        subresource: "",
        namespace: &legacy.namespace,
        name: &legacy.secret,
    };
    let noted = |live: Option<&Value>| {
        let mut secret = live.cloned().unwrap_or_default();
        secret["metadata"]["labels"][LAST_USED] = today.as_str().into();
        Ok(secret)
    };
    let user = bootstrap::loopback();
    let writer = bootstrap::writer(&user);
    if let Err(error) = api.registry.update(&target, &writer, noted).await {
        tracing::debug!(%error, secret = legacy.secret, "that a token was used cannot be noted");
    }
}

/// Goes on as whom the headers name, if the user may.
///
/// # Errors
/// 403 if not.
pub fn impersonate(api: &Api, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
    let Some(impersonation) = authn::impersonation(headers)? else {
        return Ok(user);
    };
    let authorizer = api.registry.authorizer();
    for check in impersonation.checks(&user) {
        if let Decision::Deny(why) = authorizer.authorize(&check) {
            return Err(denied(&check, &why));
        }
    }
    Ok(impersonation.user)
}

/// Lets a request pass, if its user may.
///
/// # Errors
/// 403 if not.
pub fn authorize(
    api: &Api,
    user: &User,
    info: &RequestInfo,
    query: &Query,
) -> Result<(), ApiError> {
    let fields = match info.verb {
        "list" | "watch" | "deletecollection" => {
            FieldSelector::parse(query.get("fieldSelector")).ok()
        }
        _ => None,
    };
    let attributes = if info.is_resource {
        Attributes {
            group: &info.group,
            version: &info.version,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            fields: fields.as_ref(),
            ..Attributes::of(user, info.verb, &info.resource)
        }
    } else {
        Attributes::of_path(user, info.verb, &info.path)
    };
    match api.registry.authorizer().authorize(&attributes) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(why) => Err(denied(&attributes, &why)),
    }
}

fn denied(attributes: &Attributes, why: &str) -> ApiError {
    let subject = Subject {
        group: attributes.group,
        resource: attributes.resource,
        kind: "",
        name: attributes.name,
    };
    ApiError::forbidden(subject, why)
}
