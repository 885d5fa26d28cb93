//! Exec and attach: a process's streams, over a WebSocket or SPDY.
//!
//! | channel (WebSocket) | `streamtype` (SPDY) | what |
//! | --- | --- | --- |
//! | 0 | `stdin` | bytes for the process |
//! | 1 | `stdout` | bytes from it |
//! | 2 | `stderr` | bytes from it |
//! | 3 | `error` | how it ended: a `metav1.Status` |
//! | 4 | `resize` | `{"Width":80,"Height":24}` |
//! | 255 | (FIN) | the client has no more for the channel in the next byte (v5) |
//!
//! Upstream: `cri-streaming/pkg/streaming/remotecommand`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::channels::{self, Dialect};
use super::outbox::{Out, Outbox, Sink};
use super::websocket;
use super::{Body, Query, Refusal, bad_request, containers_of, spdy};
use crate::context::Context;
use crate::runtime::{ContainerState, ExecRequest, ProcessStreams, RuntimeError, TerminalSize};

/// How long a client has to open the streams it asked for.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long what a process left in its pipes is waited for after its end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers an exec or attach request by switching protocols.
pub(super) async fn serve(
    context: &Arc<Context>,
    pod: &Pod,
    container: &str,
    request: Request<Incoming>,
    query: &Query,
    exec: bool,
) -> Result<Response<Body>, Refusal> {
    let either = |a: &str, b: &str| query.flag(a) || query.flag(b);
    let asked = ExecRequest {
        command: query.all("command"),
        tty: query.flag("tty"),
        stdin: either("input", "stdin"),
        stdout: either("output", "stdout"),
        // A terminal has no stderr of its own.
        stderr: either("error", "stderr") && !query.flag("tty"),
    };
    if !(asked.stdin || asked.stdout || asked.stderr) {
        return Err(bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    if exec && asked.command.is_empty() {
        return Err(bad_request("you must specify a command"));
    }
    let containers = containers_of(context, pod, container).await?;
    let running = containers
        .into_iter()
        .find(|c| c.state == ContainerState::Running);
    let Some(running) = running else {
        let message = format!("container not found (\"{container}\")");
        return Err(Refusal(StatusCode::NOT_FOUND, message));
    };

    let accepted = accept(request.headers())?;
    let session = Session {
        context: context.clone(),
        id: running.id,
        asked,
        exec,
    };
    let way = accepted.way;
    tokio::spawn(async move {
        let upgraded = match hyper::upgrade::on(request).await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(%error, "not upgraded"),
        };
        let client = match way {
            Way::WebSocket(dialect) => Some(channels::open(upgraded, dialect)),
            Way::Spdy => {
                let opening = over_spdy(upgraded, &session.asked);
                tokio::time::timeout(STREAMS_TIMEOUT, opening)
                    .await
                    .ok()
                    .flatten()
            }
        };
        if let Some(client) = client {
            session.run(client).await;
        }
    });
    Ok(accepted.response)
}

/// How the client wants to talk.
#[derive(Debug, Clone, Copy)]
enum Way {
    WebSocket(Dialect),
    Spdy,
}

struct Accepted {
    response: Response<Body>,
    way: Way,
}

/// Chooses among the protocols that the client offers.
fn accept(headers: &HeaderMap) -> Result<Accepted, Refusal> {
    if websocket::is_wanted(headers) {
        let offered = websocket::offered(headers);
        let Some(dialect) = Dialect::choose(&offered) else {
            return Err(Refusal(
                StatusCode::FORBIDDEN,
                format!("unable to upgrade: none of {offered:?} is served"),
            ));
        };
        return Ok(Accepted {
            response: switch_to_websocket(headers, dialect.name)?,
            way: Way::WebSocket(dialect),
        });
    }
    let response = switch_to_spdy(headers, "v4.channel.k8s.io")?;
    Ok(Accepted {
        response,
        way: Way::Spdy,
    })
}

/// The answer that begins a WebSocket.
pub(super) fn switch_to_websocket(
    headers: &HeaderMap,
    protocol: &str,
) -> Result<Response<Body>, Refusal> {
    let key = headers
        .get("sec-websocket-key")
        .and_then(|key| key.to_str().ok());
    let key = key.ok_or_else(|| bad_request("no Sec-WebSocket-Key"))?;
    let mut response = switching("websocket");
    let fields = [
        ("sec-websocket-accept", websocket::accept_key(key)),
        ("sec-websocket-protocol", protocol.to_owned()),
    ];
    // Who asked for no protocol is told none.
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        let value = HeaderValue::try_from(value).map_err(|_| bad_request("bad protocol"))?;
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// The answer that begins SPDY, if the client offers it and the protocol on it.
pub(super) fn switch_to_spdy(
    headers: &HeaderMap,
    protocol: &'static str,
) -> Result<Response<Body>, Refusal> {
    let upgrade = headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok());
    if !upgrade.is_some_and(|value| value.eq_ignore_ascii_case("SPDY/3.1")) {
        return Err(bad_request(
            "unable to upgrade: missing upgrade headers in request",
        ));
    }
    let name = "x-stream-protocol-version";
    let offered = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut offered = offered.flat_map(|list| list.split(',')).map(str::trim);
    if !offered.any(|offer| offer == protocol) {
        return Err(Refusal(
            StatusCode::FORBIDDEN,
            format!("unable to upgrade: {protocol} is not among the client's protocols"),
        ));
    }
    let mut response = switching("SPDY/3.1");
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(protocol));
    Ok(response)
}

fn switching(protocol: &'static str) -> Response<Body> {
    let mut response = Response::new(Empty::<Bytes>::new().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// The client's streams, whichever way they come.
pub(super) struct Client {
    /// Bytes for the process.
    pub stdin: mpsc::Receiver<Bytes>,
    /// Sizes of the terminal, as JSON.
    pub resize: mpsc::Receiver<Bytes>,
    /// Where stdout goes.
    pub stdout: Option<Sink>,
    /// Where stderr goes.
    pub stderr: Option<Sink>,
    /// Where it is told how it ended.
    pub error: Sink,
    /// How it ended is a `Status`; else a text, and nothing when all is well.
    pub tells_status: bool,
    /// The connection's writer.
    pub out: Outbox,
}

/// Waits for the streams that a client opens one by one.
async fn over_spdy<IO>(io: IO, asked: &ExecRequest) -> Option<Client>
where
    IO: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut streams, out) = spdy::serve(io);
    let (_, nothing) = mpsc::channel(1);
    let (_, no_sizes) = mpsc::channel(1);
    let (mut stdin, mut resize) = (nothing, no_sizes);
    let (mut stdout, mut stderr, mut error) = (None, None, None);
    let wanted = [true, asked.stdin, asked.stdout, asked.stderr, asked.tty];
    for _ in 0..wanted.into_iter().filter(|wanted| *wanted).count() {
        let stream = streams.recv().await?;
        match stream.headers.get("streamtype").map(String::as_str) {
            Some("error") => error = Some(stream.sink),
            Some("stdin") => stdin = stream.inbox,
            Some("stdout") => stdout = Some(stream.sink),
            Some("stderr") => stderr = Some(stream.sink),
            Some("resize") => resize = stream.inbox,
            _ => stream.sink.reset().await,
        }
    }
    // The connection is read as long as somebody could take further streams.
    tokio::spawn({
        let out = out.clone();
        async move {
            tokio::select! {
                () = async { while streams.recv().await.is_some() {} } => {}
                () = out.closed() => {}
            }
        }
    });
    Some(Client {
        stdin,
        resize,
        stdout,
        stderr,
        error: error?,
        tells_status: true,
        out,
    })
}

/// An exec or attach that is under way.
struct Session {
    context: Arc<Context>,
    id: String,
    asked: ExecRequest,
    exec: bool,
}

impl Session {
    async fn run(self, client: Client) {
        let runtime = &self.context.runtime;
        let started = if self.exec {
            runtime.exec(&self.id, self.asked.clone()).await
        } else {
            runtime.attach(&self.id, self.asked.clone()).await
        };
        let (error, out) = (client.error.clone(), client.out.clone());
        let tells_status = client.tells_status;
        let status = match started {
            Ok(process) => tokio::select! {
                ended = connect(process, client) => match ended {
                    Ok(code) => exit_status(if self.exec { code } else { 0 }),
                    Err(failed) => failure(&failed.to_string(), self.exec),
                },
                () = out.closed() => return,
            },
            Err(failed) => failure(&failed.to_string(), self.exec),
        };
        let ended = match &status["message"] {
            _ if tells_status => status.to_string(),
            Value::String(message) => message.clone(),
            _ => String::new(),
        };
        if !ended.is_empty() {
            error.send(Bytes::from(ended)).await;
        }
        error.finish().await;
        let _client_gone = out.send(Out::End).await;
    }
}

/// Carries bytes between a process and the client until the process ends. Returns its exit code,
/// or why there was none.
async fn connect(mut process: ProcessStreams, client: Client) -> Result<i32, RuntimeError> {
    let Client {
        mut stdin,
        mut resize,
        stdout,
        stderr,
        ..
    } = client;
    let process_stdin = process.stdin.take();
    let input = tokio::spawn(async move {
        let Some(mut process_stdin) = process_stdin else {
            return;
        };
        while let Some(bytes) = stdin.recv().await {
            let written = process_stdin.write_all(&bytes).await.is_ok();
            if !written || process_stdin.flush().await.is_err() {
                return;
            }
        }
        let _process_ended = process_stdin.shutdown().await;
    });
    let sizes = process.resize.take();
    let resizing = tokio::spawn(async move {
        let Some(sizes) = sizes else { return };
        let mut text = BytesMut::new();
        while let Some(bytes) = resize.recv().await {
            text.extend_from_slice(&bytes);
            // Sizes are JSON values one after another; a stream may cut them anywhere.
            while let Some((size, length)) = next_size(&text) {
                let _rest = text.split_to(length);
                if sizes.send(size).await.is_err() {
                    return;
                }
            }
        }
    });
    let outputs = async {
        tokio::join!(
            pump(process.stdout.take(), stdout),
            pump(process.stderr.take(), stderr)
        )
    };
    let mut outputs = std::pin::pin!(outputs);
    let mut exit = process.exit;
    let code = tokio::select! {
        code = &mut exit => {
            // What it wrote last is still on its way; a child of its that holds the pipe is not
            // waited for.
            let _still_held = tokio::time::timeout(DRAIN_TIMEOUT, &mut outputs).await;
            code.unwrap_or(Ok(0))
        }
        _ = &mut outputs => exit.await.unwrap_or(Ok(0)),
    };
    input.abort();
    resizing.abort();
    code
}

async fn pump(from: Option<std::pin::Pin<Box<dyn AsyncRead + Send>>>, to: Option<Sink>) {
    let (Some(mut from), Some(to)) = (from, to) else {
        return;
    };
    loop {
        let mut chunk = BytesMut::with_capacity(16 << 10);
        match from.read_buf(&mut chunk).await {
            Ok(length) if length > 0 => {
                if !to.send(chunk.freeze()).await {
                    return;
                }
            }
            _ => return to.finish().await,
        }
    }
}

fn next_size(text: &[u8]) -> Option<(TerminalSize, usize)> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    let side = |name: &str| u16::try_from(value[name].as_u64().unwrap_or(0)).unwrap_or(u16::MAX);
    let size = TerminalSize {
        width: side("Width"),
        height: side("Height"),
    };
    Some((size, values.byte_offset()))
}

/// How a command ended. Upstream: `remotecommand/websocket.go: v4WriteStatusFunc`.
fn exit_status(code: i32) -> Value {
    if code == 0 {
        return json!({ "metadata": {}, "status": "Success" });
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit code {code}"),
        "reason": "NonZeroExitCode",
        "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
    })
}

fn failure(why: &str, exec: bool) -> Value {
    let what = if exec {
        "error executing command in container"
    } else {
        "error attaching to container"
    };
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {what}: {why}"),
        "reason": "InternalError",
        "details": { "causes": [{ "message": format!("{what}: {why}") }] },
        "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_come_in_pieces() {
        let text = b"{\"Width\":80,\"Height\":24}\n{\"Width\":1";
        let (size, length) = next_size(text).unwrap();
        assert_eq!(
            size,
            TerminalSize {
                width: 80,
                height: 24
            }
        );
        assert_eq!(next_size(&text[length..]), None);
    }
}
