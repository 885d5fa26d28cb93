//! What is served over HTTP/1: health, version and metrics, for those who look after the server,
//! and the calls as JSON.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;

use super::gateway::Gateway;
use super::{API_VERSION, CLUSTER_VERSION, Server, checks, metrics};

/// The pages.
pub struct Pages {
    pub(super) server: Server,
    /// All of them, or those of `--listen-metrics-urls`.
    pub(super) all: bool,
    /// The calls as JSON, if there are.
    pub(super) gateway: Option<Gateway>,
}

/// A page's status, the type of its text, and the text.
type Page = (StatusCode, &'static str, String);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Serves the requests of a connection.
pub async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<Pages>) {
    let service = service_fn(async |request| Ok::<_, Infallible>(pages.answer(request).await));
    // The timer bounds how long a client may take over a request's head.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

impl Pages {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut response = match &self.gateway {
            Some(gateway)
                if request.uri().path().starts_with("/v3/")
                    && request.method() != Method::OPTIONS =>
            {
                gateway.answer(request).await
            }
            _ => self.text(request.method(), request.uri()),
        };
        // Any page of a browser may read, as in etcd.
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                "POST, GET, OPTIONS, PUT, DELETE",
            ),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "accept, content-type, authorization",
            ),
        ] {
            let headers = response.headers_mut();
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn text(&self, method: &Method, uri: &http::Uri) -> Response<Body> {
        let page = self.page(uri.path());
        let is_read = method == Method::GET;
        let (status, content_type, text) = match page {
            // A browser asks so whether a page may be read.
            _ if method == Method::OPTIONS => (StatusCode::OK, TEXT, String::new()),
            Some(page) if is_read => page(self, uri),
            Some(_) => error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            None => error(StatusCode::NOT_FOUND, "404 page not found"),
        };
        let mut response = Response::new(Body::new(Full::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }

    fn page(&self, path: &str) -> Option<fn(&Self, &http::Uri) -> Page> {
        match path {
            "/health" => Some(|pages, uri| {
                let query = uri.query().unwrap_or_default();
                let metrics = &pages.server.metrics;
                match checks::health(&pages.server.condition(), query) {
                    Ok(text) => {
                        metrics.health_successes.add(1);
                        (StatusCode::OK, TEXT, text)
                    }
                    Err(text) => {
                        metrics.health_failures.add(1);
                        error(StatusCode::SERVICE_UNAVAILABLE, &text)
                    }
                }
            }),
            "/metrics" => Some(|pages, _| {
                let text = metrics::page(&pages.server);
                (StatusCode::OK, metrics::CONTENT_TYPE, text)
            }),
            "/version" if self.all => Some(|_, _| {
                let text = format!(
                    r#"{{"etcdserver":"{API_VERSION}","etcdcluster":"{CLUSTER_VERSION}"}}"#
                );
                (StatusCode::OK, JSON, text)
            }),
            _ if checks::exists(path) => Some(|pages, uri| {
                let query = uri.query().unwrap_or_default();
                match checks::check(&pages.server.condition(), uri.path(), query) {
                    Ok(text) => (StatusCode::OK, TEXT, text),
                    Err(text) => error(StatusCode::SERVICE_UNAVAILABLE, &text),
                }
            }),
            _ => None,
        }
    }
}

/// An error's page ends its line, as Go's do.
fn error(status: StatusCode, text: &str) -> Page {
    (status, TEXT, format!("{text}\n"))
}
