//! What goes on to the kubelet: logs, exec, attach, port-forward.
//!
//! ```text
//! kubectl ◀── upgraded bytes ──▶ API server ◀── upgraded bytes ──▶ kubelet of the pod's node
//! ```
//!
//! The server checks who asks, finds the node and the container, repeats the upgrade (WebSocket or
//! SPDY) to the kubelet, and from then on carries bytes both ways without looking at them.
//!
//! Upstream: `pkg/registry/core/pod/rest/subresources.go`, `apimachinery/pkg/util/proxy`.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::answer::Body;
use super::backends::{Address, Security};
use super::call::Call;
use super::log_socket;
use super::path::is_true;
use super::websocket;
use crate::registry::{Target, meta};
use crate::resources;
use crate::status::ApiError;
use crate::trace;

/// Headers of an upgrade, which are meant for the next hop and have to be repeated.
const UPGRADE_HEADERS: &[&str] = &[
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "x-stream-protocol-version",
    "origin",
];

/// Whether a request is for the kubelet.
pub fn is_stream(call: &Call) -> bool {
    call.resource.group.is_empty()
        && call.resource.plural == "pods"
        && matches!(
            call.info.subresource.as_str(),
            "log" | "exec" | "attach" | "portforward"
        )
}

/// Whether a request is to become a connection, which cannot be rehearsed.
pub fn is_connection(call: &Call) -> bool {
    is_stream(call) && call.info.subresource != "log"
}

/// Passes a request on to the kubelet of the pod's node.
///
/// # Errors
/// 400 if the pod or the container cannot be meant, 500 if the kubelet cannot be reached.
pub async fn handle(
    call: &Call<'_>,
    mut extensions: Extensions,
) -> Result<Response<Body>, ApiError> {
    let log = call.info.subresource == "log";
    // Since a WebSocket begins with a GET, the right to `get` would be enough to run commands: the
    // right to `create` is asked for, however it begins. Upstream: KEP-4006.
    if !log && call.method == Method::GET {
        call.check_create()?;
    }
    let target = call.target();
    let pod = call.api.registry.get(&target).await?;
    let container = match call.info.subresource.as_str() {
        "portforward" => String::new(),
        _ => container_of(&pod, call.query.get("container"))?,
    };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        if log {
            return Ok(super::answer::text(200, ""));
        }
        return Err(ApiError::bad_request(format!(
            "pod {} does not have a host assigned",
            target.name
        )));
    }
    let address = address_of(call, node)?;
    let path = kubelet_path(call, &container);
    let url = format!("https://{}:{}{path}", address.host, address.port);
    let unreachable = |error: std::io::Error| {
        let verb = if log { "Get" } else { "error dialing backend:" };
        let message = match log {
            true => format!("{verb} {url:?}: {error}"),
            false => format!("{verb} {error}"),
        };
        ApiError::new(500, "InternalError", message)
    };

    let mut request = Request::new(Empty::new());
    *request.method_mut() = if log {
        Method::GET
    } else {
        call.method.clone()
    };
    *request.uri_mut() = path
        .parse::<PathAndQuery>()
        .map_err(|error| ApiError::bad_request(error.to_string()))?
        .into();
    let host = HeaderValue::from_str(&format!("{}:{}", address.host, address.port));
    request.headers_mut().insert(
        header::HOST,
        host.map_err(|e| ApiError::internal(e.to_string()))?,
    );
    if !log {
        if !call.headers.contains_key(header::UPGRADE) {
            return Err(ApiError::bad_request("Upgrade request required"));
        }
        for name in UPGRADE_HEADERS {
            for value in call.headers.get_all(*name) {
                request
                    .headers_mut()
                    .append(HeaderName::from_static(name), value.clone());
            }
        }
    }
    let method = request.method().clone();
    let response = call
        .api
        .backends
        .send(&address, Security::Kubelet, request)
        .await
        .map_err(unreachable)?;
    trace::note(|notes| {
        notes.calls.push(trace::KubeletCall {
            node: node.into(),
            request: format!("{method} {}", path.split('?').next().unwrap_or_default()),
            code: response.status().as_u16(),
        });
    });
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(call, response, &mut extensions);
    }
    if log && response.status().is_success() && websocket::is_wanted(&call.headers) {
        return log_socket::answer(&call.headers, &mut extensions, response.into_body());
    }
    if log && response.status().is_success() {
        let (parts, body) = response.into_parts();
        let mut answer = Response::new(body.map_err(std::io::Error::other).boxed_unsync());
        let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
        let plain = HeaderValue::from_static("text/plain");
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.unwrap_or(plain));
        answer.headers_mut().insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
        return Ok(answer);
    }
    Err(refusal(response).await)
}

/// Joins the two connections, once both have switched protocols.
///
/// # Errors
/// 400 if the client's connection cannot be upgraded.
pub fn switch(
    call: &Call,
    mut response: Response<Incoming>,
    extensions: &mut Extensions,
) -> Result<Response<Body>, ApiError> {
    let Some(client) = extensions.remove::<OnUpgrade>() else {
        return Err(ApiError::bad_request(
            "this connection cannot be upgraded: use HTTP/1.1",
        ));
    };
    let kubelet = hyper::upgrade::on(&mut response);
    let stopping = call.api.shutdown.clone();
    tokio::spawn(async move {
        let (client, kubelet) = match tokio::try_join!(client, kubelet) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "an upgrade failed"),
        };
        let (mut client, mut kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
        tokio::select! {
            _ended = tokio::io::copy_bidirectional(&mut client, &mut kubelet) => {}
            () = stopping.cancelled() => {}
        }
    });
    let mut answer = Response::new(super::answer::body(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = response.headers().clone();
    Ok(answer)
}

/// An error in the kubelet's words.
async fn refusal(response: Response<Incoming>) -> ApiError {
    const WORDS: usize = 16 * 1024;
    let code = response.status().as_u16();
    let body = Limited::new(response.into_body(), WORDS).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    let message = status["message"].as_str().map_or(text, str::to_owned);
    match code {
        400 => ApiError::bad_request(message),
        401 | 403 => ApiError::new(code, "Forbidden", format!("the kubelet refused: {message}")),
        404 => ApiError::new(404, "NotFound", message),
        _ => ApiError::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        ),
    }
}

/// The container that is meant: the one that is named, or the only one.
fn container_of(pod: &Value, named: &str) -> Result<String, ApiError> {
    let names = |field: &str| -> Vec<String> {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers
            .filter_map(|c| c["name"].as_str().map(str::to_owned))
            .collect()
    };
    let containers = names("containers");
    let init = names("initContainers");
    let ephemeral = names("ephemeralContainers");
    let pod = meta::name(pod);
    if named.is_empty() {
        return match containers.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {pod}"
            ))),
            many => {
                let listed = |names: &[String]| format!("[{}]", names.join(" "));
                let mut message = format!(
                    "a container name must be specified for pod {pod}, choose one of: {}",
                    listed(many)
                );
                if !init.is_empty() {
                    message += &format!(" or one of the init containers: {}", listed(&init));
                }
                if !ephemeral.is_empty() {
                    message += &format!(
                        " or one of the ephemeral containers: {}",
                        listed(&ephemeral)
                    );
                }
                Err(ApiError::bad_request(message))
            }
        };
    }
    if [containers, init, ephemeral]
        .iter()
        .flatten()
        .any(|name| name == named)
    {
        return Ok(named.to_owned());
    }
    Err(ApiError::bad_request(format!(
        "container {named} is not valid for pod {pod}"
    )))
}

/// Where the kubelet of a node listens.
///
/// # Errors
/// 404 if there is no such node, 500 if it has no address yet.
pub fn address_of(call: &Call, node: &str) -> Result<Address, ApiError> {
    let resource = resources::by_kind("", "v1", "Node").expect("nodes are served");
    let target = Target {
        resource,
        subresource: "",
        namespace: "",
        name: node,
    };
    let node = call.api.registry.cached(&target)?;
    let addresses = node["status"]["addresses"].as_array();
    let of_type = |wanted: &str| {
        let address = addresses?
            .iter()
            .find(|address| address["type"] == wanted)?;
        address["address"].as_str().map(str::to_owned)
    };
    let host = ["InternalIP", "ExternalIP", "Hostname"]
        .into_iter()
        .find_map(of_type);
    let host = host.ok_or_else(|| {
        ApiError::internal(format!(
            "no preferred addresses found for node {:?}",
            target.name
        ))
    })?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    let port = port
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(10250);
    Ok(Address { host, port })
}

/// The kubelet's path for what was asked.
fn kubelet_path(call: &Call, container: &str) -> String {
    let (namespace, pod) = (&call.info.namespace, &call.info.name);
    let (base, passed): (String, &[&str]) = match call.info.subresource.as_str() {
        "log" => (
            format!("/containerLogs/{namespace}/{pod}/{container}"),
            &[
                "follow",
                "previous",
                "sinceSeconds",
                "sinceTime",
                "timestamps",
                "tailLines",
                "limitBytes",
                "stream",
            ],
        ),
        "portforward" => (format!("/portForward/{namespace}/{pod}"), &["ports"]),
        verb => (
            format!("/{verb}/{namespace}/{pod}/{container}"),
            &["command", "stdin", "stdout", "stderr", "tty"],
        ),
    };
    let mut pairs = Vec::new();
    for name in passed {
        for value in call.query.all(name) {
            // The kubelet has names of its own for these.
            let flag = matches!(*name, "stdin" | "stdout" | "stderr" | "tty");
            let name = match *name {
                "stdin" => "input",
                "stdout" => "output",
                "stderr" => "error",
                name => name,
            };
            match flag {
                true if is_true(value) => pairs.push(format!("{name}=1")),
                true => {}
                false => pairs.push(format!("{name}={}", encode(value))),
            }
        }
    }
    if pairs.is_empty() {
        base
    } else {
        format!("{base}?{}", pairs.join("&"))
    }
}

/// Percent-encodes a parameter's value.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers() {
        let one = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container_of(&one, "").expect("is the only one"), "a");
        let error = container_of(&one, "c").expect_err("is none");
        assert_eq!(error.message, "container c is not valid for pod x");
        let two = json!({"metadata": {"name": "x"},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        let error = container_of(&two, "").expect_err("could be either");
        assert_eq!(
            error.message,
            "a container name must be specified for pod x, choose one of: [a b]"
        );
        assert_eq!(container_of(&two, "b").expect("is named"), "b");
    }
}
