//! Asking a container something: what probes and hooks do.
//!
//! Errors read as upstream's, since users search for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Pod, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::health;
use crate::context::Context;
use crate::decide::spec;
use crate::runtime::Duplex;

/// The container that is asked.
#[derive(Clone)]
pub struct Target {
    /// Its pod.
    pub pod: Arc<Pod>,
    /// Its spec.
    pub container: Container,
    /// Its id.
    pub container_id: String,
    /// Where its ports are.
    pub pod_ip: String,
}

/// What an action asks, whichever it is.
#[derive(Debug, Clone, Copy)]
pub enum Action<'a> {
    /// A command, fine if it exits with 0.
    Exec(&'a ExecAction),
    /// A GET, fine below 400.
    Http(&'a HTTPGetAction),
    /// A connection, fine if it is accepted.
    Tcp(&'a TCPSocketAction),
    /// `grpc.health.v1.Health/Check`, fine if it answers `SERVING`.
    Grpc(&'a GRPCAction),
}

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All is well.
    Fine,
    /// Good enough, but somebody should know: what `ProbeWarning` says.
    Warning(String),
}

/// Carries out an action. The error is what the container said, or why it could not be asked.
///
/// # Errors
/// When the answer is not a good one.
pub async fn run(
    context: &Context,
    target: &Target,
    action: Action<'_>,
    timeout: Duration,
) -> Result<Answer, String> {
    match action {
        Action::Exec(action) => {
            let asked = exec(context, target, action, timeout).await;
            asked.map(|()| Answer::Fine)
        }
        Action::Http(action) => {
            let asked = http_get(target, action);
            let url = || url_of(target, action).unwrap_or_default();
            tokio::time::timeout(timeout, asked)
                .await
                .unwrap_or_else(|_| {
                    Err(format!(
                        "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while \
                     awaiting headers)",
                        url()
                    ))
                })
        }
        Action::Tcp(action) => {
            let host = action.host.as_deref().unwrap_or(&target.pod_ip);
            let port = port(&target.container, &action.port)?;
            let address = join(host, port);
            let connected = tokio::time::timeout(timeout, TcpStream::connect(&address)).await;
            match connected {
                Ok(Ok(_)) => Ok(Answer::Fine),
                Ok(Err(error)) => Err(dial_error(&address, &error)),
                Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
            }
        }
        Action::Grpc(action) => {
            let asked = tokio::time::timeout(timeout, health::check(target, action)).await;
            let asked = asked.map(|answer| answer.map(|()| Answer::Fine));
            asked.unwrap_or_else(|_| {
                let port = action.port;
                Err(format!(
                    "timeout: failed to connect service \"{}:{port}\" within {timeout:?}",
                    target.pod_ip
                ))
            })
        }
    }
}

async fn exec(
    context: &Context,
    target: &Target,
    action: &ExecAction,
    timeout: Duration,
) -> Result<(), String> {
    let command = action.command.clone().unwrap_or_default();
    let words = command.join(" ");
    let asked = context
        .runtime
        .exec_sync(&target.container_id, command, timeout);
    // The runtime keeps to the timeout; this is for one that does not.
    let output = tokio::time::timeout(timeout + Duration::from_secs(2), asked).await;
    match output {
        Ok(Ok(output)) if output.exit_code == 0 => Ok(()),
        Ok(Ok(output)) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Err(text.trim_end().to_owned())
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "command timed out: \"{words}\" timed out after {timeout:?}"
        )),
    }
}

fn url_of(target: &Target, action: &HTTPGetAction) -> Result<String, String> {
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let host = action
        .host
        .as_deref()
        .filter(|host| !host.is_empty())
        .unwrap_or(&target.pod_ip);
    let port = port(&target.container, &action.port)?;
    let path = action.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok(format!("{scheme}://{}{slash}{path}", join(host, port)))
}

/// Most redirects that are followed, as upstream.
const REDIRECTS: usize = 10;

/// Asks, and follows redirects to the same host. One to another host is a good answer with a
/// warning: what is there says nothing about this container.
async fn http_get(target: &Target, action: &HTTPGetAction) -> Result<Answer, String> {
    let mut url = url_of(target, action)?;
    let first = host_of(&url);
    for _ in 0..=REDIRECTS {
        let (status, location) = http_get_once(&url, action).await?;
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return judge(status);
        };
        url = redirected(&url, &location);
        if host_of(&url) != first {
            return Ok(Answer::Warning("Probe terminated redirects".to_owned()));
        }
    }
    Err(format!(
        "Get \"{url}\": stopped after {REDIRECTS} redirects"
    ))
}

fn host_of(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    uri.host().map(str::to_owned)
}

/// Where a `Location` leads, seen from a page.
fn redirected(from: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let (scheme, rest) = from.split_once("://").unwrap_or(("http", from));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some(other) = location.strip_prefix("//") {
        format!("{scheme}://{other}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        let path = path.split('?').next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let slash = if folder.is_empty() { "" } else { "/" };
        format!("{scheme}://{host}/{folder}{slash}{location}")
    }
}

/// One request: its status, and where it leads.
async fn http_get_once(
    url: &str,
    action: &HTTPGetAction,
) -> Result<(StatusCode, Option<String>), String> {
    let said = |error: String| format!("Get \"{url}\": {error}");
    let uri: http::Uri = url.parse().map_err(|error| said(format!("{error}")))?;
    let address = uri.authority().map(ToString::to_string).unwrap_or_default();
    let stream = TcpStream::connect(&address).await;
    let stream = stream.map_err(|error| said(dial_error(&address, &error)))?;
    let stream: std::pin::Pin<Box<dyn Duplex>> = if uri.scheme_str() == Some("https") {
        let name = uri
            .host()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        Box::pin(super::tls::connect(stream, name).await.map_err(said)?)
    } else {
        Box::pin(stream)
    };

    let mut request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header("host", &address)
        .header("user-agent", "kube-probe/1.36")
        .header("accept", "*/*")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| said(error.to_string()))?;
    for header in action.http_headers.iter().flatten() {
        let name = HeaderName::try_from(&header.name);
        let value = HeaderValue::try_from(&header.value);
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().insert(name, value);
        }
    }
    let broken = |error: hyper::Error| said(error.to_string());
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broken);
    let result = answer.map(|answer| {
        let location = answer.headers().get("location");
        let location = location.and_then(|location| location.to_str().ok());
        (answer.status(), location.map(str::to_owned))
    });
    connection.abort();
    result
}

fn judge(status: StatusCode) -> Result<Answer, String> {
    if (200..400).contains(&status.as_u16()) {
        return Ok(Answer::Fine);
    }
    Err(format!(
        "HTTP probe failed with statuscode: {}",
        status.as_u16()
    ))
}

/// A port by number, or by its name in the container.
fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let ports = container.ports.as_deref().unwrap_or_default();
            let named = ports.iter().find(|port| port.name.as_deref() == Some(name));
            named
                .map(|port| port.container_port)
                .or_else(|| name.parse().ok())
        }
    };
    match number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port > 0)
    {
        Some(port) => Ok(port),
        None => Err(match port {
            IntOrString::Int(number) => format!("invalid port number: {number}"),
            IntOrString::String(name) => format!("couldn't find port: {name:?}"),
        }),
    }
}

pub(super) fn join(host: &str, port: u16) -> String {
    match host.parse() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{host}:{port}"),
    }
}

/// Whether a failed check means that nobody listens, yet.
pub fn nobody_listens(error: &str) -> bool {
    error.contains("connect: connection refused")
}

pub(super) fn dial_error(address: &str, error: &std::io::Error) -> String {
    let what = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: connect: {what}")
}

/// Where a pod's ports are: its own address, or the node's.
pub fn pod_ip(context: &Context, pod: &Pod, ips: &[std::net::IpAddr]) -> String {
    let ip = if spec::host_network(pod) {
        context.node_ips.first()
    } else {
        ips.first()
    };
    ip.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_seen_from_its_page() {
        let from = "http://10.0.0.1:80/a/b?c";
        for (location, expected) in [
            ("/d", "http://10.0.0.1:80/d"),
            ("d?e", "http://10.0.0.1:80/a/d?e"),
            ("//other/d", "http://other/d"),
            ("https://other/", "https://other/"),
        ] {
            assert_eq!(redirected(from, location), expected);
        }
        assert_eq!(redirected("http://h/", "d"), "http://h/d");
        assert_eq!(host_of("http://10.0.0.1:80/d").as_deref(), Some("10.0.0.1"));
    }
}
