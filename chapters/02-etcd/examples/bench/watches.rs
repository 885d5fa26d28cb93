//! Watchers, and what a write costs that they hear of or do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use etcd::grpc::pb::etcdserverpb::{self as rpc, watch_request};
use futures::future::join_all;
use measure::Measured;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::calls::put;
use crate::server::Server;

/// Puts one after the other, each until whoever watches it has heard.
/// `count` watch one key, or one each.
///
/// # Errors
/// If the server fails.
pub async fn fan_out(
    server: &Server,
    time: Duration,
    count: u64,
    is_one_key: bool,
) -> Result<Measured> {
    let channel = server.connect().await?;
    let key_of = move |n: u64| format!("/registry/watched/{:04}", if is_one_key { 0 } else { n });
    let watching = watchers(server, count, key_of).await?;
    let heard = Arc::new(AtomicU64::new(0));
    let (all_heard, mut wait) = mpsc::channel::<()>(1);
    let wanted = if is_one_key { count } else { 1 };
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
        let n = latencies.len() as u64 * 7 % count;
        put(channel.clone(), key_of(n).into(), vec![b'w'; 256].into()).await?;
        wait.recv().await.context("the watchers have gone")?;
        latencies.push(start.elapsed());
    }
    let measured = Measured::of(latencies, begun.elapsed(), server.cpu() - cpu)?;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(tasks).await;
    gone().await;
    Ok(measured)
}

/// Puts of others, while `count` watch keys that nobody puts.
///
/// # Errors
/// If the server fails.
pub async fn put_beside(
    server: &Server,
    count: u64,
    put: impl Future<Output = Result<Measured>>,
) -> Result<Measured> {
    let watching = watchers(server, count, |n| format!("/registry/quiet/{n:08}")).await?;
    let measured = put.await;
    drop(watching);
    gone().await;
    measured
}

/// The next row must not find the watchers still there.
async fn gone() {
    tokio::time::sleep(Duration::from_millis(100)).await;
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
