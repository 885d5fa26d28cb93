//! Port-forward: connections to a pod's ports.
//!
//! Newer clients tunnel SPDY through a WebSocket, older ones speak SPDY at once: either way each
//! connection is a pair of streams, `error` and `data`, with one `requestid`. Clients with plain
//! WebSocket channels (kube-rs) name their ports in the query; port `i` has the channels `2i` for
//! data and `2i+1` for errors, each of which begins with the port's number.
//!
//! Upstream: `cri-streaming/pkg/streaming/portforward`.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::outbox::{Out, Sink, outbox};
use super::remote::{switch_to_spdy, switch_to_websocket};
use super::spdy::{self, Stream};
use super::websocket::{self, Message};
use super::{Body, Query, Refusal, bad_request, internal};
use crate::context::Context;
use crate::runtime::SandboxState;

const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
const SPDY: &str = "portforward.k8s.io";
const CHANNELS: &str = "v4.channel.k8s.io";

/// Answers a port-forward request by switching protocols.
pub(super) async fn serve(
    context: &Arc<Context>,
    pod: &Pod,
    request: Request<Incoming>,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let sandboxes = context
        .runtime
        .list_pod_sandboxes(Some(uid))
        .await
        .map_err(internal)?;
    let sandbox = sandboxes
        .into_iter()
        .find(|sandbox| sandbox.state == SandboxState::Ready)
        .ok_or_else(|| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            Refusal(StatusCode::NOT_FOUND, format!("pod {name} is not running"))
        })?;
    let to = Destination {
        context: context.clone(),
        sandbox_id: sandbox.id,
    };

    let headers = request.headers();
    if !websocket::is_wanted(headers) {
        let response = switch_to_spdy(headers, SPDY)?;
        spawn(request, move |io| to.over_spdy(io));
        return Ok(response);
    }
    let offered = websocket::offered(headers);
    if offered.iter().any(|name| name == TUNNELLED) {
        let response = switch_to_websocket(headers, TUNNELLED)?;
        spawn(request, move |io| to.over_spdy(websocket::tunnel(io)));
        return Ok(response);
    }
    if !offered.iter().any(|name| name == CHANNELS) {
        let message = format!("unable to upgrade: none of {offered:?} is served");
        return Err(Refusal(StatusCode::FORBIDDEN, message));
    }
    let ports = query.all("ports").into_iter().chain(query.all("port"));
    let ports: Vec<String> = ports
        .flat_map(|p| p.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let ports: Result<Vec<u16>, _> = ports.iter().map(|port| port.parse()).collect();
    let ports = ports.map_err(|_| bad_request("invalid port"))?;
    if ports.is_empty() || ports.len() > 100 {
        return Err(bad_request("query parameter \"port\" is required"));
    }
    let response = switch_to_websocket(headers, CHANNELS)?;
    spawn(request, move |io| to.over_channels(io, ports));
    Ok(response)
}

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

fn spawn<F, Fut>(request: Request<Incoming>, serve: F)
where
    F: FnOnce(Upgraded) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(upgraded) => serve(TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "not upgraded"),
        }
    });
}

/// The pod that is connected to.
#[derive(Clone)]
struct Destination {
    context: Arc<Context>,
    sandbox_id: String,
}

impl Destination {
    async fn over_spdy<IO>(self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut streams, _out) = spdy::serve(io);
        let mut errors: HashMap<String, Stream> = HashMap::new();
        while let Some(stream) = streams.recv().await {
            let header = |name: &str| stream.headers.get(name).cloned().unwrap_or_default();
            let request_id = header("requestid");
            if header("streamtype") == "error" {
                errors.insert(request_id, stream);
                continue;
            }
            let port = header("port").parse().unwrap_or(0);
            let error = errors.remove(&request_id);
            let to = self.clone();
            tokio::spawn(async move {
                let failed = to.connect(port, stream.inbox, &stream.sink).await;
                if let Some(error) = &error {
                    if let Err(message) = failed {
                        error.sink.send(Bytes::from(message)).await;
                    }
                    error.sink.finish().await;
                }
                stream.sink.finish().await;
            });
        }
    }

    async fn over_channels<IO>(self, io: IO, ports: Vec<u16>)
    where
        IO: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(io);
        let (out, mut pieces) = outbox();
        let writer = tokio::spawn(async move {
            let mut write = std::pin::pin!(write);
            while let Some(piece) = pieces.recv().await {
                let frame = match piece {
                    Out::Data(id, bytes) => websocket::binary(&[&[id as u8], &bytes]),
                    Out::Pong(bytes) => websocket::pong(&bytes),
                    Out::End => websocket::close(),
                    _ => continue,
                };
                if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
                    return;
                }
            }
        });
        let mut inboxes = Vec::new();
        let mut connections = Vec::new();
        for (index, port) in ports.into_iter().enumerate() {
            let id = index as u32 * 2;
            let (data, error) = (Sink::new(id, out.clone()), Sink::new(id + 1, out.clone()));
            data.send(Bytes::copy_from_slice(&port.to_le_bytes())).await;
            error
                .send(Bytes::copy_from_slice(&port.to_le_bytes()))
                .await;
            let (sender, inbox) = mpsc::channel(16);
            inboxes.push(sender);
            let to = self.clone();
            connections.push(tokio::spawn(async move {
                if let Err(message) = to.connect(port, inbox, &data).await {
                    error.send(Bytes::from(message)).await;
                }
            }));
        }
        let reading = async {
            let mut reader = websocket::Reader::new(read);
            while let Some(message) = reader.next().await {
                match message {
                    Message::Data(mut bytes) if !bytes.is_empty() => {
                        let id = bytes.split_to(1)[0];
                        let inbox = inboxes.get(usize::from(id / 2)).filter(|_| id % 2 == 0);
                        if let Some(inbox) = inbox {
                            let _pod_closed = inbox.send(bytes).await;
                        }
                    }
                    Message::Data(_) => {}
                    Message::Ping(bytes) => {
                        let _client_gone = out.send(Out::Pong(bytes)).await;
                    }
                    Message::Close => return,
                }
            }
        };
        tokio::select! {
            () = reading => {}
            () = async { for connection in &mut connections { let _ended = connection.await; } } => {
                let _client_gone = out.send(Out::End).await;
            }
        }
        for connection in connections {
            connection.abort();
        }
        drop(out);
        let _written = tokio::time::timeout(std::time::Duration::from_secs(1), writer).await;
    }

    /// Carries bytes between a stream and a port until both directions are done, or the client
    /// is gone.
    async fn connect(
        &self,
        port: u16,
        mut inbox: mpsc::Receiver<Bytes>,
        sink: &Sink,
    ) -> Result<(), String> {
        let connected = self
            .context
            .runtime
            .port_forward(&self.sandbox_id, port)
            .await;
        let connection = connected.map_err(|error| {
            format!(
                "an error occurred forwarding {port}: error forwarding port {port} to pod {}, \
                 uid : {error}",
                self.sandbox_id
            )
        })?;
        let (mut read, mut write) = tokio::io::split(connection);
        let inbound = async {
            while let Some(bytes) = inbox.recv().await {
                if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                    return;
                }
            }
            let _pod_closed = write.shutdown().await;
        };
        let outbound = async {
            loop {
                let mut chunk = BytesMut::with_capacity(16 << 10);
                match read.read_buf(&mut chunk).await {
                    Ok(length) if length > 0 => {
                        if !sink.send(chunk.freeze()).await {
                            return;
                        }
                    }
                    _ => return sink.finish().await,
                }
            }
        };
        tokio::select! {
            // When the pod is done there is nobody to talk to, whatever the client still sends.
            () = outbound => {}
            () = async { inbound.await; sink.closed().await } => {}
        }
        Ok(())
    }
}
