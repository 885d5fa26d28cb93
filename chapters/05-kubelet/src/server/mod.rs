//! The kubelet's own server: logs, exec, attach and port-forward, asked for by the API server.
//!
//! | path | what |
//! | --- | --- |
//! | `/healthz` | `ok`, to anybody |
//! | `/pods` | the pods of this node |
//! | `/containerLogs/{namespace}/{pod}/{container}` | a log, followed if asked |
//! | `/exec/…/{container}`, `/attach/…/{container}` | a process's streams |
//! | `/portForward/{namespace}/{pod}` | connections to the pod's ports |
//! | `/metrics` | how many pods and containers run |
//!
//! Streams come as a WebSocket or as SPDY/3.1 (older clients), with the bytes as the client sent
//! them: the API server only connects the two ends. `/stats/summary`, which `kubectl top` needs,
//! is not there yet. Upstream: `pkg/kubelet/server/server.go`.

mod auth;
mod channels;
mod logs;
pub(crate) mod outbox;
mod port_forward;
mod remote;
pub(crate) mod spdy;
mod websocket;

use std::collections::HashMap;
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
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::pods::KnownPods;
use crate::runtime::Container;
use crate::{Error, Result};
use auth::Identity;

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
        identity: Option<Identity>,
    ) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if path == "/healthz" {
            return text(StatusCode::OK, "ok".to_owned());
        }
        match self.route(request, &path, identity).await {
            Ok(response) => response,
            Err(Refusal(status, message)) => text(status, message),
        }
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        path: &str,
        identity: Option<Identity>,
    ) -> std::result::Result<Response<Body>, Refusal> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        auth::authorize(&self.context, identity, request.method(), segments[0]).await?;
        let is_get = request.method() == Method::GET;
        let query = parse_query(request.uri().query().unwrap_or_default());
        match segments.as_slice() {
            ["pods"] if is_get => Ok(self.pods()),
            ["metrics"] if is_get => self.metrics().await,
            ["containerLogs", namespace, pod, container] if is_get => {
                let pod = self.pod(namespace, pod, None)?;
                logs::serve(&self.context, &pod, container, &query).await
            }
            ["exec", namespace, pod, container] => {
                let pod = self.pod(namespace, pod, None)?;
                remote::serve(&self.context, &pod, container, request, &query, true).await
            }
            ["exec", namespace, pod, uid, container] => {
                let pod = self.pod(namespace, pod, Some(uid))?;
                remote::serve(&self.context, &pod, container, request, &query, true).await
            }
            ["attach", namespace, pod, container] => {
                let pod = self.pod(namespace, pod, None)?;
                remote::serve(&self.context, &pod, container, request, &query, false).await
            }
            ["attach", namespace, pod, uid, container] => {
                let pod = self.pod(namespace, pod, Some(uid))?;
                remote::serve(&self.context, &pod, container, request, &query, false).await
            }
            ["portForward", namespace, pod] => {
                let pod = self.pod(namespace, pod, None)?;
                port_forward::serve(&self.context, &pod, request, &query).await
            }
            ["portForward", namespace, pod, uid] => {
                let pod = self.pod(namespace, pod, Some(uid))?;
                port_forward::serve(&self.context, &pod, request, &query).await
            }
            _ => Err(Refusal(
                StatusCode::NOT_FOUND,
                "404 page not found".to_owned(),
            )),
        }
    }

    fn pods(&self) -> Response<Body> {
        let known = self.known.lock().expect("no panics inside");
        let items: Vec<&Pod> = known.values().map(Arc::as_ref).collect();
        let list = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items });
        let mut response = text(StatusCode::OK, list.to_string());
        let json = http::HeaderValue::from_static("application/json");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        response
    }

    async fn metrics(&self) -> std::result::Result<Response<Body>, Refusal> {
        let containers = self
            .context
            .runtime
            .list_containers(None)
            .await
            .map_err(internal)?;
        let sandboxes = self
            .context
            .runtime
            .list_pod_sandboxes(None)
            .await
            .map_err(internal)?;
        let mut states: HashMap<&str, usize> = HashMap::new();
        for container in &containers {
            let state = match container.state {
                crate::runtime::ContainerState::Created => "created",
                crate::runtime::ContainerState::Running => "running",
                crate::runtime::ContainerState::Exited { .. } => "exited",
            };
            *states.entry(state).or_default() += 1;
        }
        let ready = |s: &&crate::runtime::Sandbox| s.state == crate::runtime::SandboxState::Ready;
        let mut page = String::from("# TYPE kubelet_running_pods gauge\n");
        page.push_str(&format!(
            "kubelet_running_pods {}\n",
            sandboxes.iter().filter(ready).count()
        ));
        page.push_str("# TYPE kubelet_running_containers gauge\n");
        for state in ["created", "exited", "running"] {
            let count = states.get(state).copied().unwrap_or(0);
            let line =
                format!("kubelet_running_containers{{container_state=\"{state}\"}} {count}\n");
            page.push_str(&line);
        }
        Ok(text(StatusCode::OK, page))
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

/// A query's names and values, decoded, in order.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// `1`, `true` or nothing after `=`, as Go's clients write it.
    fn flag(&self, name: &str) -> bool {
        matches!(
            self.get(name),
            Some("1" | "true" | "t" | "T" | "True" | "TRUE")
        )
    }
}

fn parse_query(query: &str) -> Query {
    let pairs = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name), percent_decode(value))
        });
    Query(pairs.collect())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match (
            bytes[at],
            hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries_as_go_writes_them() {
        let query =
            parse_query("command=sh&command=-c&command=echo+%22a%20b%22%25&tty=true&input=1");
        assert_eq!(query.all("command"), ["sh", "-c", "echo \"a b\"%"]);
        assert!(query.flag("tty") && query.flag("input") && !query.flag("output"));
        assert_eq!(parse_query("a=%zz&b=%").get("a"), Some("%zz"));
    }
}
