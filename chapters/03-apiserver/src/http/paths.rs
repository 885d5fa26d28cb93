//! What is no resource: discovery, version, health, OpenAPI, metrics, token issuer.

use std::sync::Arc;

use futures::stream;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::Api;
use super::answer::{self, Body};
use super::metrics;
use super::negotiate;
use super::path::{Query, RequestInfo};
use crate::resources::Catalog;
use crate::status::ApiError;
use crate::{discovery, openapi};

/// The Kubernetes version whose API is served. The program that serves it is this workshop's.
const GIT_VERSION: &str = "v1.36.2";

/// Paths that `/` lists, beside the groups.
const PATHS: &[&str] = &[
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
];

/// Answers a request for a path.
///
/// # Errors
/// 404 if there is nothing there.
pub async fn handle<B>(
    api: &Arc<Api>,
    request: &Request<B>,
    info: &RequestInfo,
) -> Result<Response<Body>, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::no_such_path());
    }
    let headers = request.headers();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let parts: Vec<&str> = info
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let catalog = api.registry.catalog();
    let found = match parts.as_slice() {
        [] => Some(paths(&catalog)),
        ["api"] | ["apis"] if negotiate::wants_aggregated(headers)? => {
            return Ok(aggregated(&catalog, headers, parts[0] == "api"));
        }
        ["api"] => Some(discovery::core_versions(&server_address(api))),
        ["apis"] => Some(discovery::groups(&catalog)),
        ["api", version] => discovery::resources(&catalog, "", version),
        ["apis", group] => discovery::group(&catalog, group),
        ["apis", group, version] => discovery::resources(&catalog, group, version),
        ["version"] => Some(version()),
        ["healthz" | "livez" | "readyz", ..] => return health(api, &parts, &query).await,
        ["debug", "workshop", "trace"] => return Ok(records(api)),
        ["metrics"] => {
            let content_type = "text/plain; version=0.0.4; charset=utf-8";
            return Ok(answer::bytes(200, content_type, metrics::page(api).await));
        }
        ["openapi", "v2"] => {
            let make = match negotiate::openapi_v2(headers)? {
                negotiate::OpenApi::Json => openapi::v2,
                negotiate::OpenApi::Protobuf => openapi::v2_protobuf,
            };
            let document = off_thread(move || Some(make(&catalog))).await?;
            return Ok(openapi_document(headers, &document));
        }
        ["openapi", "v3"] => Some(openapi::v3_index(&catalog)),
        ["openapi", "v3", rest @ ..] => {
            let group_version = rest.join("/");
            let document = off_thread(move || openapi::v3(&catalog, &group_version)).await?;
            return Ok(openapi_document(headers, &document));
        }
        [".well-known", "openid-configuration"] => {
            let issuer = api.tokens.issuer().to_owned();
            Some(
                api.tokens
                    .openid_configuration(&format!("{issuer}/openid/v1/jwks")),
            )
        }
        ["openid", "v1", "jwks"] => Some(api.tokens.jwks()),
        _ => None,
    };
    let found = found.ok_or_else(ApiError::no_such_path)?;
    if matches!(parts.first(), Some(&("api" | "apis"))) {
        negotiate::accept(headers, negotiate::Offer::Plain)?;
        return Ok(answer::negotiated(headers, 200, &found));
    }
    Ok(answer::maybe_gzip(
        headers,
        200,
        "application/json",
        found.to_string().into_bytes(),
    ))
}

/// What is traced from now on, until whoever asks hangs up or the server ends.
fn records(api: &Arc<Api>) -> Response<Body> {
    let state = (api.tap.listen(), api.shutdown.clone());
    let lines = stream::unfold(state, |(mut records, shutdown)| async move {
        let line = tokio::select! {
            line = records.recv() => line?,
            () = shutdown.cancelled() => return None,
        };
        Some((Ok(Frame::data(line)), (records, shutdown)))
    });
    let mut response = answer::bytes(200, "application/json", bytes::Bytes::new());
    *response.body_mut() = StreamBody::new(lines).boxed_unsync();
    response
}

fn paths(catalog: &Catalog) -> Value {
    let groups = discovery::groups(catalog);
    let mut paths: Vec<String> = PATHS.iter().map(|path| (*path).to_owned()).collect();
    for group in groups["groups"].as_array().into_iter().flatten() {
        let name = group["name"].as_str().unwrap_or_default();
        paths.push(format!("/apis/{name}"));
        for version in group["versions"].as_array().into_iter().flatten() {
            let version = version["groupVersion"].as_str().unwrap_or_default();
            paths.push(format!("/apis/{version}"));
        }
    }
    paths.sort();
    json!({"paths": paths})
}

fn server_address(api: &Api) -> String {
    let config = &api.registry.config;
    let address = config.advertise_address.unwrap_or(config.bind_address);
    format!("{address}:{}", config.secure_port)
}

/// `/version`: of the API. `platform` and `compiler` are this program's.
pub fn version() -> Value {
    let (major, minor) = ("1", "36");
    json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "rust",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform_arch()),
    })
}

/// The machine's architecture as Go calls it.
fn platform_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn aggregated(catalog: &Catalog, headers: &HeaderMap, core: bool) -> Response<Body> {
    let bytes = discovery::aggregated(catalog, core)
        .to_string()
        .into_bytes();
    let hash = Sha512::digest(&bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    let mut response = if knows(headers, &hash) {
        answer::bytes(304, discovery::AGGREGATED, Vec::new())
    } else {
        answer::maybe_gzip(headers, 200, discovery::AGGREGATED, bytes)
    };
    tag(&mut response, &hash);
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// Whether a client has what is tagged so.
fn knows(headers: &HeaderMap, hash: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|value| value.to_str().ok());
    let is_it = |tag: &str| tag.trim().trim_matches('"') == hash;
    known.is_some_and(|known| known.split(',').any(is_it))
}

/// Tags an answer, so that its client need not be told again what it knows.
fn tag(response: &mut Response<Body>, hash: &str) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// `/healthz`, `/livez`, `/readyz`: whether it works, checked part by part.
async fn health(api: &Api, parts: &[&str], query: &Query) -> Result<Response<Body>, ApiError> {
    let endpoint = parts[0];
    let bootstrapped = api.bootstrapped.load(std::sync::atomic::Ordering::Acquire);
    let mut checks = vec![
        ("ping", true),
        ("etcd", api.registry.is_healthy().await),
        ("poststarthook/rbac/bootstrap-roles", bootstrapped),
        (
            "poststarthook/scheduling/bootstrap-system-priority-classes",
            bootstrapped,
        ),
        (
            "poststarthook/start-system-namespaces-controller",
            bootstrapped,
        ),
        (
            "poststarthook/start-kubernetes-service-controller",
            bootstrapped,
        ),
    ];
    if endpoint == "readyz" {
        checks.push(("shutdown", !api.shutdown.is_cancelled()));
    }
    if parts.len() > 1 {
        let name = parts[1..].join("/");
        let (_, ok) = checks
            .into_iter()
            .find(|(check, _)| *check == name)
            .ok_or_else(ApiError::no_such_path)?;
        return Ok(if ok {
            answer::text(200, "ok")
        } else {
            answer::text(500, format!("internal server error: {name} failed\n"))
        });
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let names: Vec<&str> = checks.iter().map(|(name, _)| *name).collect();
    let mut page = String::new();
    let mut healthy = true;
    for (name, ok) in checks {
        if excluded.contains(&name) {
            page.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if ok {
            page.push_str(&format!("[+]{name} ok\n"));
        } else {
            healthy = false;
            page.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    let known = |name: &&str| names.contains(name);
    let mut unknown: Vec<String> = (excluded.iter().filter(|name| !known(name)))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        unknown.sort();
        unknown.dedup();
        let unknown = unknown.join(",");
        page.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {unknown}\n"
        ));
    }
    Ok(match (healthy, query.has("verbose")) {
        (true, false) => answer::text(200, "ok"),
        (true, true) => answer::text(200, format!("{page}{endpoint} check passed\n")),
        (false, _) => answer::text(500, format!("{page}{endpoint} check failed\n")),
    })
}

/// Makes a document, which takes a while when it is the first of its kind.
async fn off_thread<T: Send + 'static>(
    make: impl FnOnce() -> Option<T> + Send + 'static,
) -> Result<T, ApiError> {
    let made = tokio::task::spawn_blocking(make).await;
    made.map_err(|error| ApiError::internal(error.to_string()))?
        .ok_or_else(ApiError::no_such_path)
}

/// An OpenAPI document, which clients keep as long as its tag is the same.
fn openapi_document(headers: &HeaderMap, document: &openapi::Document) -> Response<Body> {
    let mut response = if knows(headers, &document.hash) {
        answer::bytes(304, document.media_type, Vec::new())
    } else if answer::accepts_gzip(headers) {
        let mut response = answer::bytes(200, document.media_type, document.gzip.clone());
        answer::gzip_headers(&mut response);
        response
    } else {
        answer::bytes(200, document.media_type, document.plain())
    };
    tag(&mut response, &document.hash);
    response
}
