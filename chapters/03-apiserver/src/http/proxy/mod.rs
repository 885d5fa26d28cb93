//! `proxy`: HTTP through the API server, to what runs behind a pod, a Service or a node.
//!
//! ```text
//! GET /api/v1/namespaces/default/pods/http:web:8080/proxy/healthz
//!                                     ▲scheme ▲name ▲port  ▲the path that the pod sees
//! ```
//!
//! [`place`] says where a request goes; here it is sent there, bodies as streams, upgrades too.
//! What the client sent to say who it is stays here. Left out: links in HTML are not rewritten,
//! as upstream does for dashboards that know nothing of where they are served.
//!
//! Upstream: `apimachinery/pkg/util/proxy/upgradeaware.go`, `registry/core/*/rest` and `strategy.go`.

mod place;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::answer::{self, Body};
use super::call::Call;
use super::streams;
use crate::status::ApiError;
use place::Place;

/// Headers that are meant for the next hop only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// Sends a request on, and answers with what comes back.
///
/// # Errors
/// 400 if the name makes no sense or leads where nobody may be sent, 404 if there is no such
/// object, 503 if nothing answers there.
pub async fn handle(
    call: &Call<'_>,
    mut extensions: Extensions,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let place = place::find(call)?;
    let upgrade = call.headers.contains_key(header::UPGRADE);
    if !upgrade && let Some(redirect) = to_root(call) {
        return Ok(redirect);
    }
    let request = request(call, &place, upgrade, body)?;
    let sent = call
        .api
        .backends
        .send(&place.address, place.security, request);
    let mut response = sent.await.map_err(|error| {
        let message = format!("error trying to reach service: {error}");
        ApiError::new(503, "ServiceUnavailable", message)
    })?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return streams::switch(call, response, &mut extensions);
    }
    without_hops(response.headers_mut());
    if let Some(location) = location(call, response.headers()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response.map(|body| body.map_err(std::io::Error::other).boxed_unsync()))
}

/// The request as the backend sees it.
fn request(
    call: &Call,
    place: &Place,
    upgrade: bool,
    body: Incoming,
) -> Result<Request<Incoming>, ApiError> {
    let malformed = |error: &dyn std::fmt::Display| ApiError::bad_request(error.to_string());
    let path = match call.info.rest.as_str() {
        "" => "/",
        rest => rest,
    };
    let query = call.raw_query.as_deref();
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let target: PathAndQuery = target.parse().map_err(|error| malformed(&error))?;
    let mut headers = call.headers.clone();
    let kept = ["connection", "upgrade"].map(|name| (name, headers.get(name).cloned()));
    without_hops(&mut headers);
    for (name, value) in kept {
        if let Some(value) = value.filter(|_| upgrade) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let address = &place.address;
    let host = HeaderValue::from_str(&format!("{}:{}", address.host, address.port));
    if let Some(asked) = headers.insert(header::HOST, host.map_err(|error| malformed(&error))?) {
        headers.insert("x-forwarded-host", asked);
    }
    let from = HeaderValue::from_str(&call.from.ip().to_string());
    headers.append("x-forwarded-for", from.map_err(|error| malformed(&error))?);
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    let uri = HeaderValue::from_str(&prefix(call));
    headers.insert("x-forwarded-uri", uri.map_err(|error| malformed(&error))?);

    let mut request = Request::new(body);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = target.into();
    *request.headers_mut() = headers;
    Ok(request)
}

fn without_hops(headers: &mut HeaderMap) {
    let listed = headers.get_all(header::CONNECTION).iter();
    let listed: Vec<String> = listed
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in listed {
        headers.remove(name.as_str());
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// `…/proxy` without a slash would make relative links of the page miss it.
fn to_root(call: &Call) -> Option<Response<Body>> {
    let wants_root = call.info.rest.is_empty() && matches!(call.method, Method::GET | Method::HEAD);
    if !wants_root {
        return None;
    }
    let query = call.raw_query.as_deref().map(|query| format!("?{query}"));
    let location = format!("{}/{}", prefix(call), query.unwrap_or_default());
    let mut answer = Response::new(answer::body(Bytes::new()));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::from_str(&location).ok()?;
    answer.headers_mut().insert(header::LOCATION, location);
    Some(answer)
}

/// A redirect within the backend leads through here as well.
fn location(call: &Call, headers: &HeaderMap) -> Option<HeaderValue> {
    let location = headers.get(header::LOCATION)?.to_str().ok()?;
    let path = location
        .strip_prefix('/')
        .filter(|rest| !rest.starts_with('/'))?;
    HeaderValue::from_str(&format!("{}/{path}", prefix(call))).ok()
}

/// The path up to and with `proxy`.
fn prefix(call: &Call) -> String {
    let info = &call.info;
    let place = match call.resource.namespaced {
        true => format!("namespaces/{}/", info.namespace),
        false => String::new(),
    };
    format!("/api/v1/{place}{}/{}/proxy", info.resource, info.name)
}
