//! The sockets: queries in over UDP and TCP, replies out.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use component::CancellationToken;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};

use super::answer::{Answer, answer_bytes, encode, udp_limit};
use super::forward::{Transport, Upstreams};
use super::zone::Zone;
use crate::Error;

/// Queries that wait for an upstream at the same time; more are told to come again.
const FORWARDS_MAX: usize = 256;

/// Connections at the same time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);

/// What all queries are answered from.
#[derive(Debug)]
pub struct Shared {
    zone: RwLock<Option<Arc<Zone>>>,
    ready: watch::Sender<bool>,
    empty: Arc<Zone>,
    upstreams: Upstreams,
    forwards: Semaphore,
    connections: Arc<Semaphore>,
}

impl Shared {
    /// From now on, the names are these.
    pub fn replace(&self, zone: Zone) {
        *self.zone.write().expect("no panic holds it") = Some(Arc::new(zone));
        self.ready.send_replace(true);
    }

    /// Whether the names are known.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    fn zone(&self) -> Option<Arc<Zone>> {
        self.zone.read().expect("no panic holds it").clone()
    }

    /// The reply to a packet; `None` if it deserves none.
    async fn reply(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let zone = self.zone();
        let limit = match transport {
            Transport::Udp => Message::from_vec(packet).map_or(512, |query| udp_limit(&query)),
            Transport::Tcp => usize::from(u16::MAX),
        };
        // Before the names are known, only what is not ours can be answered: "no such name"
        // would be remembered by the client.
        let known = zone.is_some();
        match answer_bytes(&zone.unwrap_or_else(|| self.empty.clone()), packet) {
            Answer::Ignore => None,
            Answer::Reply(reply) | Answer::Chase { reply, .. }
                if !known && !reply.queries.is_empty() =>
            {
                Some(encode(failure(reply), limit))
            }
            Answer::Reply(mut reply) => {
                reply.metadata.recursion_available = !self.upstreams.is_empty();
                Some(encode(reply, limit))
            }
            Answer::Chase { mut reply, target } => {
                reply.metadata.recursion_available = !self.upstreams.is_empty();
                self.chase(&mut reply, target).await;
                Some(encode(reply, limit))
            }
            Answer::Forward(refusal) if self.upstreams.is_empty() => Some(encode(refusal, limit)),
            Answer::Forward(refusal) => {
                let _permit = match self.forwards.try_acquire() {
                    Ok(permit) => permit,
                    Err(_) => return Some(encode(failure(refusal), limit)),
                };
                match self.upstreams.ask(packet, transport).await {
                    Some(answer) => Some(answer),
                    None => Some(encode(failure(refusal), limit)),
                }
            }
        }
    }

    /// Adds what upstream knows of an alias's target. What it does not know is left to the client.
    async fn chase(&self, reply: &mut Message, target: Name) {
        let Some(question) = reply.queries.first() else {
            return;
        };
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        let kind: RecordType = question.query_type();
        query.add_query(Query::query(target, kind));
        let Ok(query) = query.to_vec() else {
            return;
        };
        let Ok(_permit) = self.forwards.try_acquire() else {
            return;
        };
        let answer = self.upstreams.ask(&query, Transport::Udp).await;
        if let Some(answer) = answer.and_then(|answer| Message::from_vec(&answer).ok()) {
            reply.answers.extend(answer.answers);
        }
    }
}

fn failure(mut reply: Message) -> Message {
    reply.answers.clear();
    reply.authorities.clear();
    reply.additionals.clear();
    reply.metadata.authoritative = false;
    reply.metadata.response_code = ResponseCode::ServFail;
    reply
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on `address`. Until the first [`Shared::replace`] names of the cluster (those under
    /// the domain of `empty`) are answered with SERVFAIL.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        empty: Zone,
        upstreams: Upstreams,
    ) -> Result<Self, Error> {
        let failed = |error| Error::Listen { address, error };
        let udp = UdpSocket::bind(address).await.map_err(failed)?;
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Server {
            udp: Arc::new(udp),
            tcp,
            shared: Arc::new(Shared {
                zone: RwLock::new(None),
                ready: watch::Sender::new(false),
                empty: Arc::new(empty),
                upstreams,
                forwards: Semaphore::new(FORWARDS_MAX),
                connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            }),
        })
    }

    /// What queries are answered from.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = serve_udp(self.udp, self.shared.clone()) => {}
            () = serve_tcp(self.tcp, self.shared) => {}
        }
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error here is an ICMP message about an earlier reply: nothing to do about it.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let packet = &buffer[..length];
        let answering = {
            let (socket, shared, packet) = (socket.clone(), shared.clone(), packet.to_vec());
            async move {
                if let Some(reply) = shared.reply(&packet, Transport::Udp).await {
                    let _client_gone = socket.send_to(&reply, client).await;
                }
            }
        };
        // Our own names are answered without waiting, but who waits for upstream must not keep
        // the others waiting.
        tokio::spawn(answering);
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let permit = shared.connections.clone().acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others have to end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _until_the_end = permit;
            let _client_gone = serve_connection(stream, &shared).await;
        });
    }
}

async fn serve_connection(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let length = tokio::time::timeout(IDLE, stream.read_u16()).await??;
        let mut packet = vec![0; usize::from(length)];
        tokio::time::timeout(IDLE, stream.read_exact(&mut packet)).await??;
        let Some(reply) = shared.reply(&packet, Transport::Tcp).await else {
            return Ok(());
        };
        let length = u16::try_from(reply.len()).map_err(std::io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(reply);
        tokio::time::timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
