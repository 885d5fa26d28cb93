//! The kubelet's own server: logs, exec, attach and port-forward, asked for by the API server; and
//! what the node is doing, asked for by whoever watches it.
//!
//! | path | what | may ask who may, of `nodes/…` |
//! | --- | --- | --- |
//! | `/containerLogs/{namespace}/{pod}/{container}` | a log, followed if asked | `proxy` |
//! | `/exec/…/{container}`, `/attach/…/{container}` | a process's streams | `proxy` |
//! | `/portForward/{namespace}/{pod}` | connections to the pod's ports | `proxy` |
//! | `/pods`, `/runningpods/` | pods: those that should run, those that do | `pods`, or `proxy` |
//! | `/healthz`, `/healthz/ping`, `/healthz/syncloop` | whether the kubelet works | `healthz`, or `proxy` |
//! | `/configz` | the flags | `configz`, or `proxy` |
//! | `/stats/summary` | what node and pods use | `stats` |
//! | `/metrics`, `/metrics/probes` | what the kubelet does | `metrics` |
//! | `/metrics/resource` | what node and pods use, for `kubectl top` | `metrics` |
//! | `/metrics/cadvisor` | the same, for dashboards | `metrics` |
//! | `/checkpoint/{namespace}/{pod}/{container}` | a process in a file | `checkpoint` |
//!
//! Streams come as a WebSocket or as SPDY/3.1 (older clients), with the bytes as the client sent
//! them: the API server only connects the two ends.
//!
//! Left out: `/logs/` (files of the node), `/run`, `/debug`. Upstream: `pkg/kubelet/server/server.go`.

mod auth;
mod cadvisor;
mod channels;
mod configz;
mod exposition;
mod health;
mod kubelet_metrics;
mod logs;
pub(crate) mod outbox;
mod pages;
mod port_forward;
mod query;
mod remote;
mod resource;
pub(crate) mod spdy;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::api::core::v1::Pod;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::pods::KnownPods;
use crate::runtime::Container;
use crate::{Error, Result};
use auth::Identity;
pub(crate) use query::Query;

/// An answer's body: at once, or as it comes.
type Body = BoxBody<Bytes, Infallible>;

/// A server that has its port.
pub struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
}

/// What each request sees.
struct Shared {
    context: Arc<Context>,
    known: KnownPods,
}

impl Server {
    /// Takes the port and reads the certificates.
    ///
    /// # Errors
    /// When the port is taken or a file makes no sense.
    pub async fn bind(context: Arc<Context>, known: KnownPods) -> Result<Server> {
        let tls = TlsAcceptor::from(Arc::new(auth::server_config(&context)?));
        let address = context.config.listen_address();
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| Error::Listen { address, source })?;
        Ok(Server {
            listener,
            tls,
            shared: Arc::new(Shared { context, known }),
        })
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (tls, shared) = (self.tls.clone(), self.shared.clone());
                    tokio::spawn(connection(stream, tls, shared));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others have to end first.
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let _latency_matters_less_without = stream.set_nodelay(true);
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "no TLS");
            return;
        }
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let identity = certificates.and_then(|chain| Identity::of(chain.first()?));
    let service = service_fn(move |request| {
        let (shared, identity) = (shared.clone(), identity.clone());
        async move { Ok::<_, Infallible>(shared.answer(request, identity).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// Why a request is refused: a status and a line of text, which the API server passes on.
pub(crate) struct Refusal(StatusCode, String);

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        certified: Option<Identity>,
    ) -> Response<Body> {
        match self.route(request, certified).await {
            Ok(response) => response,
            Err(Refusal(status, message)) => text(status, message),
        }
    }

    /// What may be done and what is done is told from the same segments of the path, so that no
    /// spelling of a path is one thing to the one and another thing to the other.
    async fn route(
        &self,
        request: Request<Incoming>,
        certified: Option<Identity>,
    ) -> std::result::Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let identity = auth::authenticate(&self.context, request.headers(), certified).await?;
        // `*` and the like have none.
        let first = segments.first().copied().unwrap_or_default();
        auth::authorize(&self.context, identity, request.method(), first).await?;
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let get = request.method() == Method::GET;
        let post = request.method() == Method::POST;
        match segments.as_slice() {
            ["healthz"] if get => self.health(None, &query),
            ["healthz", check] if get => self.health(Some(check), &query),
            ["pods"] if get => Ok(self.pods()),
            ["runningpods", ""] if get => self.running_pods().await,
            ["stats", "summary"] if get || post => self.stats_summary(&query).await,
            ["metrics"] if get => self.kubelet_metrics().await,
            ["metrics", "probes"] if get => Ok(self.probe_metrics()),
            ["metrics", "cadvisor"] if get => self.cadvisor_metrics().await,
            ["metrics", "resource"] if get => Ok(self.resource_metrics().await),
            ["configz"] if get => Ok(pages::object(&configz::object(&self.context.config))),
            ["checkpoint", namespace, pod, container] if post => {
                self.checkpoint(namespace, pod, container).await
            }
            ["containerLogs", namespace, pod, container] if get => {
                let pod = self.pod(namespace, pod, None)?;
                logs::serve(&self.context, &pod, container, &query).await
            }
            [verb @ ("exec" | "attach"), namespace, pod, rest @ ..] if get || post => {
                let (uid, container) = match rest {
                    [container] => (None, container),
                    [uid, container] => (Some(*uid), container),
                    _ => return Err(not_found()),
                };
                let pod = self.pod(namespace, pod, uid)?;
                let is_exec = *verb == "exec";
                remote::serve(&self.context, &pod, container, request, &query, is_exec).await
            }
            ["portForward", namespace, pod] if get || post => {
                let pod = self.pod(namespace, pod, None)?;
                port_forward::serve(&self.context, &pod, request, &query).await
            }
            ["portForward", namespace, pod, uid] if get || post => {
                let pod = self.pod(namespace, pod, Some(uid))?;
                port_forward::serve(&self.context, &pod, request, &query).await
            }
            ["healthz"]
            | ["healthz", _]
            | ["pods" | "metrics" | "configz"]
            | ["runningpods", ""]
            | ["stats", "summary"]
            | ["metrics", "probes" | "cadvisor" | "resource"]
            | ["checkpoint" | "containerLogs" | "exec" | "attach", _, _, _]
            | ["exec" | "attach", _, _, _, _]
            | ["portForward", _, _]
            | ["portForward", _, _, _] => Err(Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "405: Method Not Allowed".to_owned(),
            )),
            _ => Err(not_found()),
        }
    }

    fn health(
        &self,
        check: Option<&str>,
        query: &Query,
    ) -> std::result::Result<Response<Body>, Refusal> {
        let entered = *self.context.loop_entered.lock().expect("no panics inside");
        let verbose = query.get("verbose").is_some();
        let answer = health::answer(check, verbose, entered, std::time::Instant::now());
        let (status, message) = answer.ok_or_else(not_found)?;
        Ok(text(status, message))
    }

    fn pod(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> std::result::Result<Arc<Pod>, Refusal> {
        let known = self.known.lock().expect("no panics inside");
        let mut found: Vec<&Arc<Pod>> = known
            .values()
            .filter(|pod| {
                pod.metadata.name.as_deref() == Some(name)
                    && pod.metadata.namespace.as_deref() == Some(namespace)
                    && uid.is_none_or(|uid| pod.metadata.uid.as_deref() == Some(uid))
            })
            .collect();
        // A namesake may still be going: the newest is meant.
        found.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        found.pop().cloned().ok_or_else(|| {
            Refusal(
                StatusCode::NOT_FOUND,
                format!("pod \"{name}_{namespace}\" does not exist"),
            )
        })
    }
}

/// The records of one container of a pod, newest first.
async fn containers_of(
    context: &Context,
    pod: &Pod,
    name: &str,
) -> std::result::Result<Vec<Container>, Refusal> {
    let uid = pod.metadata.uid.as_deref();
    let mut containers = context
        .runtime
        .list_containers(uid)
        .await
        .map_err(internal)?;
    containers.retain(|container| container.name == name);
    Ok(containers)
}

fn not_found() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "404 page not found".to_owned())
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn bad_request(message: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message.into())
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    response
}
