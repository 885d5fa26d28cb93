//! What is measured: each row of the table, as a load on one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use etcd::grpc::pb::etcdserverpb::{self as rpc, compare, request_op, watch_request};
use futures::future::join_all;
use measure::Measured;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::load::{self, KvClient};
use crate::server::Server;

/// Connections that clients share, at most: what a server of many clients sees.
const CONNECTIONS: usize = 10;

/// Watchers of the rows about watches.
const WATCHERS: u64 = 1000;

/// A row.
#[derive(Debug, Clone, Copy)]
pub enum Row {
    /// Puts by so many clients of values of so many bytes.
    Put(usize, usize),
    /// Compare-and-puts by so many clients: what an API server's update is.
    Update(usize),
    /// Reads of so many keys by so many clients, and whether any member may answer.
    Range(u64, usize, bool),
    /// One key that a thousand watch: puts, each until all have heard.
    OneToMany,
    /// A thousand keys that one watches each: puts, each until its watcher has heard.
    OneToOne,
    /// Leases kept alive by so many clients.
    KeepAlive(usize),
    /// Nine reads, an update and a list of a hundred: about what API servers do.
    Mixed(usize),
}

/// All rows.
pub const ROWS: &[Row] = &[
    Row::Put(1, 256),
    Row::Put(10, 256),
    Row::Put(100, 256),
    Row::Put(1000, 256),
    Row::Put(1, 4096),
    Row::Put(100, 4096),
    Row::Put(1000, 4096),
    Row::Update(1),
    Row::Update(100),
    Row::Update(1000),
    Row::Range(1, 1, false),
    Row::Range(1, 100, false),
    Row::Range(1, 100, true),
    Row::Range(1000, 10, false),
    Row::Range(10_000, 2, false),
    Row::OneToMany,
    Row::OneToOne,
    Row::KeepAlive(100),
    Row::Mixed(100),
];

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clients = |n: &usize| measure::clients(*n);
        match self {
            Self::Put(n, bytes) => write!(f, "put {bytes} B, {}", clients(n)),
            Self::Update(n) => write!(f, "compare and put 256 B, {}", clients(n)),
            Self::Range(keys, n, any) => {
                let any = if *any { ", serializable" } else { "" };
                write!(f, "range of {keys}{any}, {}", clients(n))
            }
            Self::OneToMany => write!(f, "1 key to {WATCHERS} watchers"),
            Self::OneToOne => write!(f, "{WATCHERS} keys to a watcher each"),
            Self::KeepAlive(n) => write!(f, "lease keep-alive, {}", clients(n)),
            Self::Mixed(n) => write!(f, "mixed, {}", clients(n)),
        }
    }
}

impl Row {
    /// Measures it.
    ///
    /// # Errors
    /// If the server fails.
    pub async fn measure(self, server: &Server, time: Duration) -> Result<Measured> {
        match self {
            Self::Put(clients, bytes) => {
                let value = bytes::Bytes::from(vec![b'x'; bytes]);
                load::run(
                    server,
                    clients,
                    CONNECTIONS,
                    time,
                    move |client, n, channel| put(channel, key(client, n % 100), value.clone()),
                )
                .await
            }
            Self::Update(clients) => load::run(server, clients, CONNECTIONS, time, update).await,
            Self::Range(keys, clients, any) => {
                fill(server, keys).await?;
                let limit = keys as i64;
                load::run(server, clients, CONNECTIONS, time, move |_, _, channel| {
                    range(channel, limit, any)
                })
                .await
            }
            Self::OneToMany => fan_out(server, time, true).await,
            Self::OneToOne => fan_out(server, time, false).await,
            Self::KeepAlive(clients) => keep_alive(server, clients, time).await,
            Self::Mixed(clients) => {
                fill(server, 1000).await?;
                load::run(
                    server,
                    clients,
                    CONNECTIONS,
                    time,
                    move |client, n, channel| async move {
                        match n % 11 {
                            0 => update(client, n / 11, channel).await,
                            1 => range(channel, 100, false).await,
                            _ => range(channel, 1, false).await,
                        }
                    },
                )
                .await
            }
        }
    }
}

fn key(client: usize, n: u64) -> bytes::Bytes {
    format!("/registry/put/{client:04}/{n:04}").into()
}

async fn put(channel: Channel, key: bytes::Bytes, value: bytes::Bytes) -> Result<()> {
    let request = rpc::PutRequest {
        key,
        value,
        ..Default::default()
    };
    KvClient::new(channel).put(request).await?;
    Ok(())
}

/// As an API server writes: if the key is as it was, put; else say what it is.
async fn update(client: usize, n: u64, channel: Channel) -> Result<()> {
    let key = bytes::Bytes::from(format!("/registry/update/{client:04}/{:02}", n % 10));
    let mut kv = KvClient::new(channel);
    let mut revision = 0;
    loop {
        let get = rpc::RangeRequest {
            key: key.clone(),
            ..Default::default()
        };
        let put = rpc::PutRequest {
            key: key.clone(),
            value: vec![b'y'; 256].into(),
            ..Default::default()
        };
        let op = |request| rpc::RequestOp {
            request: Some(request),
        };
        let txn = rpc::TxnRequest {
            compare: vec![rpc::Compare {
                result: compare::CompareResult::Equal.into(),
                target: compare::CompareTarget::Mod.into(),
                key: key.clone(),
                target_union: Some(compare::TargetUnion::ModRevision(revision)),
                ..Default::default()
            }],
            success: vec![op(request_op::Request::RequestPut(put))],
            failure: vec![op(request_op::Request::RequestRange(get))],
        };
        let answer = kv.txn(txn).await?.into_inner();
        if answer.succeeded {
            return Ok(());
        }
        let found = answer
            .responses
            .first()
            .and_then(|response| match &response.response {
                Some(rpc::response_op::Response::ResponseRange(range)) => range.kvs.first(),
                _ => None,
            });
        revision = found.context("the key that another wrote")?.mod_revision;
    }
}

/// Makes keys to be read; they are there already after the first time.
async fn fill(server: &Server, keys: u64) -> Result<()> {
    let channel = server.connect().await?;
    let mut kv = KvClient::new(channel.clone());
    let count = rpc::RangeRequest {
        key: "/registry/range/".into(),
        range_end: "/registry/range0".into(),
        count_only: true,
        ..Default::default()
    };
    let there = kv.range(count).await?.into_inner().count as u64;
    fill_from(&channel, "/registry/range/", there, keys).await
}

/// Makes the keys `prefix` and a number, from the first to before the last.
async fn fill_from(channel: &Channel, prefix: &str, first: u64, last: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(first));
    let fillers = (0..200).map(|_| {
        let (next, channel, prefix) = (next.clone(), channel.clone(), prefix.to_owned());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= last {
                    return Ok::<_, anyhow::Error>(());
                }
                let key = format!("{prefix}{n:08}").into();
                put(channel.clone(), key, vec![b'z'; 256].into()).await?;
            }
        })
    });
    for filler in join_all(fillers).await {
        filler??;
    }
    Ok(())
}

/// Makes a million keys of 256 bytes, or however many.
///
/// # Errors
/// If the server fails.
pub async fn fill_keys(server: &Server, keys: u64) -> Result<()> {
    let channel = server.connect().await?;
    fill_from(&channel, "/registry/fill/", 0, keys).await
}

async fn range(channel: Channel, limit: i64, serializable: bool) -> Result<()> {
    let request = rpc::RangeRequest {
        key: "/registry/range/".into(),
        range_end: if limit == 1 {
            Default::default()
        } else {
            "/registry/range0".into()
        },
        limit,
        serializable,
        ..Default::default()
    };
    let request = match limit {
        1 => rpc::RangeRequest {
            key: "/registry/range/00000000".into(),
            limit: 0,
            ..request
        },
        _ => request,
    };
    let mut kv = KvClient::new(channel).max_decoding_message_size(64 << 20);
    let found = kv.range(request).await?.into_inner().kvs.len() as i64;
    anyhow::ensure!(found == limit, "{found} keys of {limit}");
    Ok(())
}

async fn keep_alive(server: &Server, clients: usize, time: Duration) -> Result<Measured> {
    // Each client has a stream of its own, and says one thing at a time on it.
    type Client = rpc::lease_client::LeaseClient<Channel>;
    let mut streams = Vec::new();
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(server.connect().await?);
    }
    for client in 0..clients {
        let mut lease = Client::new(channels[client % CONNECTIONS].clone());
        let grant = rpc::LeaseGrantRequest { ttl: 600, id: 0 };
        let id = lease.lease_grant(grant).await?.into_inner().id;
        let (sender, receiver) = mpsc::channel(1);
        sender.send(rpc::LeaseKeepAliveRequest { id }).await?;
        let answers = lease
            .lease_keep_alive(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        streams.push(Arc::new(tokio::sync::Mutex::new((id, sender, answers))));
    }
    let streams = Arc::new(streams);
    load::run(server, clients, CONNECTIONS, time, move |client, _, _| {
        let stream = streams[client].clone();
        async move {
            let mut stream = stream.lock().await;
            let (id, sender, answers) = &mut *stream;
            answers.message().await?.context("an answer")?;
            sender.send(rpc::LeaseKeepAliveRequest { id: *id }).await?;
            Ok(())
        }
    })
    .await
}

/// Puts one after the other, each until whoever watches it has heard.
async fn fan_out(server: &Server, time: Duration, is_one_key: bool) -> Result<Measured> {
    let channel = server.connect().await?;
    let key_of = move |n: u64| format!("/registry/watched/{:04}", if is_one_key { 0 } else { n });
    let watching = watchers(server, WATCHERS, key_of).await?;
    let heard = Arc::new(AtomicU64::new(0));
    let (all_heard, mut wait) = mpsc::channel::<()>(1);
    let wanted = if is_one_key { WATCHERS } else { 1 };
    let tasks: Vec<_> = watching
        .into_iter()
        .map(
            |Watching {
                 _requests,
                 mut answers,
             }| {
                let (heard, all_heard) = (heard.clone(), all_heard.clone());
                tokio::spawn(async move {
                    let _requests = _requests;
                    while let Some(Ok(answer)) = answers.next().await {
                        let events = answer.events.len() as u64;
                        if events > 0
                            && (heard.fetch_add(events, Ordering::Relaxed) + events)
                                .is_multiple_of(wanted)
                        {
                            let _ended = all_heard.send(()).await;
                        }
                    }
                })
            },
        )
        .collect();
    let cpu = server.cpu();
    let begun = Instant::now();
    let mut latencies = Vec::new();
    while begun.elapsed() < time {
        let start = Instant::now();
        let n = latencies.len() as u64 * 7 % WATCHERS;
        put(channel.clone(), key_of(n).into(), vec![b'w'; 256].into()).await?;
        wait.recv().await.context("the watchers have gone")?;
        latencies.push(start.elapsed());
    }
    let measured = Measured::of(latencies, begun.elapsed(), server.cpu() - cpu)?;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    // The next row must not find them still there.
    join_all(tasks).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(measured)
}

/// Watches that are on.
pub struct Watching {
    _requests: mpsc::Sender<rpc::WatchRequest>,
    answers: tonic::Streaming<rpc::WatchResponse>,
}

/// Watches `count` keys, a hundred on a stream, ten streams on a connection.
///
/// # Errors
/// If the server fails.
pub async fn watchers(
    server: &Server,
    count: u64,
    key: impl Fn(u64) -> String,
) -> Result<Vec<Watching>> {
    const PER_STREAM: u64 = 100;
    let mut channel = server.connect().await?;
    let mut streams = Vec::new();
    for first in (0..count).step_by(PER_STREAM as usize) {
        if first % (10 * PER_STREAM) == 0 && first > 0 {
            channel = server.connect().await?;
        }
        let (requests, receiver) = mpsc::channel(PER_STREAM as usize);
        let of_stream = first..(first + PER_STREAM).min(count);
        let watches = of_stream.end - of_stream.start;
        for n in of_stream {
            let create = rpc::WatchCreateRequest {
                key: key(n).into(),
                ..Default::default()
            };
            let request_union = Some(watch_request::RequestUnion::CreateRequest(create));
            requests.send(rpc::WatchRequest { request_union }).await?;
        }
        let mut watch = rpc::watch_client::WatchClient::new(channel.clone());
        let mut answers = watch
            .watch(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        for _ in 0..watches {
            let created = answers.message().await?.context("an answer")?;
            anyhow::ensure!(created.created && !created.canceled, "the watch is refused");
        }
        streams.push(Watching {
            _requests: requests,
            answers,
        });
    }
    Ok(streams)
}
