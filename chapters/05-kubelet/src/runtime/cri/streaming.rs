//! Exec, attach and port-forward: the runtime says where, and streams there over SPDY.
//!
//! CRI's calls for these answer with a URL of a small web server of the runtime's. The kubelet is
//! its client here, and passes the bytes on to its own: `kubectl ─► API server ─► kubelet ─►
//! runtime`, the same protocol each time. SPDY rather than a WebSocket since older runtimes serve
//! only `v4.channel.k8s.io` on the latter, which cannot say that stdin has ended.
//!
//! Upstream: `cri-streaming/pkg/streaming`; containerd `internal/cri/server/streaming.go`.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

use crate::runtime::{Duplex, ExecRequest, ProcessStreams, Result, RuntimeError, TerminalSize};
use crate::server::outbox::{Out, Outbox, Sink};
use crate::server::spdy::{self, Headers, Stream};

/// Bytes on their way to the runtime.
const PIPE: usize = 64 << 10;
/// How the runtime's server begins what it has to say of a process that it could not run, as the
/// kubelet's own does.
const FAILED: [&str; 2] = [
    "error executing command in container: ",
    "error attaching to container: ",
];

/// Holds the streams of the process behind `url`. That there is none, since it cannot be started,
/// is told where others tell their exit code.
pub async fn process(url: &str, asked: &ExecRequest) -> Result<ProcessStreams> {
    let upgraded = upgrade(url, "v4.channel.k8s.io").await?;
    let wanted = [
        ("error", true),
        ("stdin", asked.stdin),
        ("stdout", asked.stdout),
        ("stderr", asked.stderr && !asked.tty),
        ("resize", asked.tty),
    ];
    let wanted = wanted.iter().filter(|(_, wanted)| *wanted);
    let headers = wanted.map(|(name, _)| Headers::from([("streamtype".into(), (*name).into())]));
    let opened = spdy::open(upgraded, headers.collect()).await;
    let (mut streams, out) = opened.map_err(other)?;
    let mut take = |name: &str| {
        let at = streams
            .iter()
            .position(|stream| stream.headers["streamtype"] == name)?;
        Some(streams.swap_remove(at))
    };
    let error = take("error").expect("it was asked for");
    let (exited, exit) = oneshot::channel();
    tokio::spawn(watch(error, out, exited));

    let stdin = take("stdin").map(|stream| Box::pin(writer(stream.sink)) as _);
    let output = |stream: Stream| reader(ReceiverStream::new(stream.inbox));
    Ok(ProcessStreams {
        stdin,
        stdout: take("stdout").map(output),
        stderr: take("stderr").map(output),
        resize: take("resize").map(|stream| resizer(stream.sink)),
        exit,
    })
}

/// Waits for how the process ended, and closes the connection then, or when nobody wants to know
/// any more.
async fn watch(mut error: Stream, out: Outbox, mut exited: oneshot::Sender<Result<i32>>) {
    let status = async {
        let mut status = BytesMut::new();
        while let Some(piece) = error.inbox.recv().await {
            status.extend_from_slice(&piece);
        }
        status
    };
    let ended = tokio::select! {
        status = status => Some(exit_of(&status)),
        () = exited.closed() => None,
    };
    if let Some(ended) = ended {
        let _nobody_asks = exited.send(ended.map_err(RuntimeError::Other));
    }
    let _already_closed = out.send(Out::End).await;
}

/// What the error stream says: an exit code, or why there is none.
fn exit_of(status: &[u8]) -> std::result::Result<i32, String> {
    let Ok(status) = serde_json::from_slice::<Value>(status) else {
        return Err("the connection to the container runtime broke".to_owned());
    };
    if status["status"] == "Success" {
        return Ok(0);
    }
    let causes = status["details"]["causes"].as_array();
    let exit_code = causes
        .into_iter()
        .flatten()
        .find(|cause| cause["reason"] == "ExitCode")
        .and_then(|cause| cause["message"].as_str()?.parse().ok());
    exit_code.ok_or_else(|| {
        let why = status["details"]["causes"][0]["message"].as_str();
        let why = why
            .or(status["message"].as_str())
            .unwrap_or("unknown error");
        let begins = FAILED.iter().find_map(|begin| why.strip_prefix(begin));
        begins.unwrap_or(why).to_owned()
    })
}

/// Connects to a port of the pod behind `url`.
pub async fn port(url: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
    let upgraded = upgrade(url, "portforward.k8s.io").await?;
    let headers = |kind: &str| {
        let fields = [("streamtype", kind), ("requestid", "0")];
        let mut headers: Headers = fields
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        headers.insert("port".to_owned(), port.to_string());
        headers
    };
    let wanted = vec![headers("error"), headers("data")];
    let (streams, out) = spdy::open(upgraded, wanted).await.map_err(other)?;
    let [mut error, data]: [Stream; 2] = streams.try_into().expect("two were opened");
    error.sink.finish().await;
    tokio::spawn(async move {
        while let Some(said) = error.inbox.recv().await {
            tracing::debug!(port, said = %String::from_utf8_lossy(&said), "port-forward");
        }
    });
    let (alive, gone) = oneshot::channel::<()>();
    let (near, far) = tokio::io::duplex(PIPE);
    let sink = data.sink;
    // Held by the reader, so that its end is noticed below.
    let from = reader(ReceiverStream::new(data.inbox).map(move |bytes| {
        let _held = &alive;
        bytes
    }));
    tokio::spawn(async move {
        pump(far, sink).await;
        let _reader_dropped = gone.await;
        let _already_closed = out.send(Out::End).await;
    });
    Ok(Box::pin(tokio::io::join(from, near)))
}

fn reader(
    pieces: impl futures::Stream<Item = Bytes> + Send + 'static,
) -> Pin<Box<dyn AsyncRead + Send>> {
    Box::pin(StreamReader::new(pieces.map(io::Result::Ok).boxed()))
}

/// A writer whose bytes go to a stream, which ends with it.
fn writer(sink: Sink) -> impl AsyncWrite + Send {
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::spawn(pump(far, sink));
    near
}

async fn pump(mut from: DuplexStream, sink: Sink) {
    loop {
        let mut chunk = BytesMut::with_capacity(16 << 10);
        match from.read_buf(&mut chunk).await {
            Ok(length) if length > 0 && sink.send(chunk.freeze()).await => {}
            _ => return sink.finish().await,
        }
    }
}

fn resizer(sink: Sink) -> mpsc::Sender<TerminalSize> {
    let (sender, mut sizes) = mpsc::channel::<TerminalSize>(4);
    tokio::spawn(async move {
        while let Some(size) = sizes.recv().await {
            let size = json!({ "Width": size.width, "Height": size.height });
            if !sink.send(Bytes::from(size.to_string())).await {
                return;
            }
        }
        sink.finish().await;
    });
    sender
}

/// Asks the runtime's server to speak SPDY from here on.
async fn upgrade(url: &str, protocol: &str) -> Result<TokioIo<Upgraded>> {
    let uri: Uri = url.parse().map_err(other)?;
    let authority = uri.authority().ok_or_else(|| other("no host in the URL"))?;
    let stream = TcpStream::connect(authority.as_str()).await;
    let handshake = http1::handshake(TokioIo::new(stream.map_err(other)?)).await;
    let (mut sender, connection) = handshake.map_err(other)?;
    tokio::spawn(connection.with_upgrades());
    let request = Request::post(uri.path())
        .header("host", authority.as_str())
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .header("x-stream-protocol-version", protocol)
        .body(Empty::<Bytes>::new())
        .map_err(other)?;
    let response = sender.send_request(request).await.map_err(other)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let said = response.into_body().collect().await.map_err(other)?;
        let said = String::from_utf8_lossy(&said.to_bytes()).into_owned();
        return Err(other(format!("{status}: {}", said.trim())));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(other)?;
    Ok(TokioIo::new(upgraded))
}

fn other(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Other(format!("streaming from the container runtime: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_told_in_a_status() {
        let success = br#"{"metadata":{},"status":"Success"}"#;
        assert_eq!(exit_of(success), Ok(0));
        let failure = br#"{"status":"Failure","reason":"NonZeroExitCode","message":"command",
            "details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        assert_eq!(exit_of(failure), Ok(42));
        let internal = br#"{"status":"Failure","reason":"InternalError",
            "message":"Internal error occurred: error executing command in container: no sh",
            "details":{"causes":[{"message":"error executing command in container: no sh"}]}}"#;
        assert_eq!(exit_of(internal), Err("no sh".to_owned()));
        let other = br#"{"status":"Failure","message":"no container"}"#;
        assert_eq!(exit_of(other), Err("no container".to_owned()));
        assert!(exit_of(b"").is_err());
    }
}
