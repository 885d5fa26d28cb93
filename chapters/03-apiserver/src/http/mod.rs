//! The HTTP side: from a connection to an answer.
//!
//! Every request takes the same way, and may be answered at each step:
//!
//! ```text
//! connection ▸ what is it about? ▸ who asks? ▸ as whom? ▸ may they? ▸ the thing itself
//!   listen          path              gate        gate       gate      resource, subresource,
//!                                     401         403        403       reviews, streams, paths
//! ```
//!
//! * [`path`], [`options`] and [`negotiate`] read a request, purely; [`call`] is a request that is allowed.
//! * [`resource`] and [`patching`] have the verbs, [`watch`] the one that does not end, [`view`]
//!   the forms of answers, [`encode`] and [`yaml`] their formats; [`read_yaml`] reads bodies.
//! * [`websocket`] is what a browser needs for a stream: [`watch_socket`], [`log_socket`].
//! * [`subresource`], [`token`], [`reviews`] and [`access`] have what is no plain object, [`streams`]
//!   what goes on to a kubelet: logs, exec, attach, port-forward; [`proxy`] any other HTTP, by way
//!   of [`backends`].
//! * [`paths`] has what is no resource: discovery, health, OpenAPI, [`metrics`] and [`process`].
//!
//! Left out for now: request priority and fairness, audit logs, and CBOR, which upstream does not
//! serve unless told to.
//!
//! Upstream: `DefaultBuildHandlerChain` in `apiserver/pkg/server/config.go`.

pub mod access;
pub mod answer;
pub mod backends;
pub mod call;
pub mod connect;
pub mod encode;
pub mod eviction;
pub mod gate;

pub mod listen;
pub mod log_socket;
pub mod metrics;
pub mod negotiate;
pub mod options;
pub mod patching;
pub mod path;
pub mod paths;
pub mod process;
pub mod proxy;
pub mod read_yaml;
pub mod resource;
pub mod reviews;
pub mod streams;
pub mod subresource;
pub mod token;
pub mod view;
pub mod watch;
pub mod watch_socket;
pub mod websocket;
pub mod yaml;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use crate::authn::TokenAuthority;
use crate::registry::Registry;
use crate::registry::write::Warnings;
use crate::status::ApiError;
use crate::trace;
use answer::Body;
use call::Call;
use listen::Peer;
use path::{Query, RequestInfo};

/// The server: what every request can get at.
#[derive(Debug)]
pub struct Api {
    /// The objects.
    pub registry: Registry,
    /// Service accounts' tokens.
    pub tokens: TokenAuthority,
    /// The way to kubelets, pods and Services.
    pub backends: backends::Backends,
    /// What has been counted.
    pub metrics: metrics::Metrics,
    /// What is told to those who trace.
    pub tap: trace::Tap,
    /// What has to be there from the start is there.
    pub bootstrapped: AtomicBool,
    /// Cancelled when the server is to stop.
    pub shutdown: CancellationToken,
}

impl Api {
    /// Whether requests can be served.
    pub fn is_ready(&self) -> bool {
        self.bootstrapped.load(Ordering::Acquire) && !self.shutdown.is_cancelled()
    }
}

/// Answers a request.
pub async fn serve(
    api: Arc<Api>,
    peer: Peer,
    from: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let uri = request.uri();
    let query = Query::parse(uri.query().unwrap_or_default());
    let info = path::request_info(request.method(), uri.path(), &query);
    let started = std::time::Instant::now();
    let (accept, audit_id) = (accept_of(request.headers()), audit_id(request.headers()));
    let counted = info.clone();
    let under_way = api.metrics.begin(&counted);
    let mut response = if api.tap.is_on() && info.path != trace::PATH {
        traced(&api, peer, from, request, info, query, &accept).await
    } else {
        answered(
            respond(&api, peer, from, request, info, query).await,
            &accept,
        )
    };
    response.headers_mut().insert("audit-id", audit_id);
    drop(under_way);
    let (code, took) = (response.status().as_u16(), started.elapsed());
    api.metrics
        .count(&api.registry.catalog(), &counted, code, took);
    response
}

/// What of a request's headers says how an answer is to look.
fn accept_of(headers: &HeaderMap) -> HeaderMap {
    let names = [header::ACCEPT, header::ACCEPT_ENCODING, header::USER_AGENT];
    let mut kept = HeaderMap::new();
    for name in names {
        for value in headers.get_all(&name) {
            kept.append(&name, value.clone());
        }
    }
    kept
}

/// What a request is called by those who look into it: as its client says, or by a new name.
fn audit_id(headers: &HeaderMap) -> HeaderValue {
    headers.get("audit-id").cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().to_string();
        HeaderValue::from_str(&id).expect("letters, digits and dashes")
    })
}

/// Answers a request, and records it.
async fn traced(
    api: &Arc<Api>,
    peer: Peer,
    from: SocketAddr,
    request: Request<Incoming>,
    info: RequestInfo,
    query: Query,
    accept: &HeaderMap,
) -> Response<Body> {
    let user = gate::authenticate(api, &peer, request.headers())
        .and_then(|user| gate::impersonate(api, user, request.headers()));
    let user = user.map_or_else(|_| "unknown".into(), |user| user.name);
    let client = trace::Client::new(&user, request.headers(), from);
    let mut record = trace::Request {
        client,
        verb: info.verb.into(),
        object: info
            .is_resource
            .then(|| call::object_of(&api.registry.catalog(), &info)),
        subresource: info.subresource.clone(),
        path: if info.is_resource {
            String::new()
        } else {
            info.path.clone()
        },
        code: 0,
        seen: api.registry.cache.revision(),
        about: Vec::new(),
        writes: Vec::new(),
        calls: Vec::new(),
    };
    let (result, notes) = trace::noting(respond(api, peer, from, request, info, query)).await;
    let response = answered(result, accept);
    record.code = response.status().as_u16();
    (record.about, record.writes, record.calls) = (notes.about, notes.writes, notes.calls);
    api.tap.record(&trace::Record::Request(record));
    response
}

fn answered(result: Result<Response<Body>, ApiError>, accept: &HeaderMap) -> Response<Body> {
    result.unwrap_or_else(|error| answer::error(accept, &error))
}

async fn respond(
    api: &Arc<Api>,
    peer: Peer,
    from: SocketAddr,
    request: Request<Incoming>,
    info: RequestInfo,
    query: Query,
) -> Result<Response<Body>, ApiError> {
    let user = gate::authenticate(api, &peer, request.headers())?;
    let user = gate::impersonate(api, user, request.headers())?;
    gate::authorize(api, &user, &info, &query)?;
    if !info.is_resource {
        return paths::handle(api, &request, &info).await;
    }
    let catalog = api.registry.catalog();
    let Some(served) = catalog.by_path(&info.group, &info.version, &info.resource) else {
        return Err(ApiError::no_such_path());
    };
    drop(catalog);
    let held = served.clone();
    let resource = &held.resource();
    let subresource = match info.subresource.as_str() {
        "" => None,
        name => Some(
            resource
                .subresource(name)
                .ok_or_else(ApiError::no_such_path)?,
        ),
    };
    if !info.rest.is_empty() && info.subresource != "proxy" {
        return Err(ApiError::no_such_path());
    }
    let (mut parts, body) = request.into_parts();
    gate::forget_credentials(&mut parts.headers);
    let mut call = Call {
        api: api.clone(),
        manager: call::manager_of(&query, &parts.headers),
        dry_run: query.has("dryRun"),
        warnings: Warnings::default(),
        raw_query: parts.uri.query().map(str::to_owned),
        method: parts.method,
        headers: parts.headers,
        info,
        query,
        user,
        from,
        resource,
        served,
        subresource,
    };
    check_place(&mut call)?;
    if !resource::allows(&call) {
        return Err(ApiError::method_not_allowed());
    }
    let connects = call.info.subresource == "proxy" || streams::is_connection(&call);
    if connects && call.dry_run {
        return Err(ApiError::bad_request("dryRun is not supported"));
    }
    if connects {
        let options = connect::options(&call);
        let (registry, target) = (&call.api.registry, call.target());
        registry.admit_connect(&target, &options, &call.writer())?;
    }
    if streams::is_stream(&call) {
        return streams::handle(&call, parts.extensions).await;
    }
    if call.info.subresource == "proxy" {
        return proxy::handle(&call, parts.extensions, body).await;
    }
    if watch_socket::is_wanted(&call) {
        return watch_socket::handle(&call, parts.extensions).await;
    }
    let body = if matches!(call.method, Method::GET | Method::HEAD) {
        bytes::Bytes::new()
    } else {
        call::read_body(body, call::BODY_PATIENCE).await?
    };
    let answered = answer_to(&call, body).await;
    let mut response = answered.unwrap_or_else(|error| answer::error(&call.headers, &error));
    answer::warn(&mut response, &call.warnings.take());
    Ok(response)
}

/// Answers a request that has an end.
async fn answer_to(call: &Call<'_>, body: bytes::Bytes) -> Result<Response<Body>, ApiError> {
    options::check(call)?;
    if let Some(custom) = call.resource.custom
        && custom.is_deprecated()
    {
        call.warnings.add(vec![custom.deprecation_warning()]);
    }
    if call.subresource.is_some() {
        return subresource::handle(call, body).await;
    }
    if !call.resource.is_stored() {
        negotiate::accept(&call.headers, negotiate::Offer::Plain)?;
        return reviews::handle(call, body).await;
    }
    resource::handle(call, body).await
}

/// Checks that a path has a namespace exactly where its resource does.
fn check_place(call: &mut Call<'_>) -> Result<(), ApiError> {
    let is_namespaces = call.resource.group.is_empty() && call.resource.plural == "namespaces";
    let has_namespace = !call.info.namespace.is_empty();
    if !call.resource.namespaced {
        return if has_namespace && !is_namespaces {
            Err(ApiError::no_such_path())
        } else {
            Ok(())
        };
    }
    // All namespaces at once can be read, and nothing else.
    let everywhere = matches!(call.info.verb, "list" | "watch" | "deletecollection");
    if has_namespace || everywhere && call.info.verb != "deletecollection" {
        return Ok(());
    }
    match call.info.verb {
        "create" if call.info.name.is_empty() => Err(ApiError::method_not_allowed()),
        _ => Err(ApiError::no_such_path()),
    }
}
