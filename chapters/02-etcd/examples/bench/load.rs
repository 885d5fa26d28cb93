//! The load: clients in closed loops, each sending its next request when the last is answered.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use tonic::transport::Channel;

use crate::server::Server;

/// The client of the service `KV`.
pub type KvClient = etcd::grpc::pb::etcdserverpb::kv_client::KvClient<Channel>;

/// What a run of requests took.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Requests a second.
    pub rate: f64,
    /// Half were answered within this.
    pub p50: Duration,
    /// Ninety-nine of a hundred were answered within this.
    pub p99: Duration,
    /// Processor time of the server for each.
    pub cpu: Duration,
}

/// Runs `clients` loops of `operation` for `time`, after a tenth of it to warm up. Clients share
/// connections, at most `connections`.
///
/// # Errors
/// The first error of an operation.
pub async fn run<F, R>(
    server: &Server,
    clients: usize,
    connections: usize,
    time: Duration,
    operation: F,
) -> Result<Measured>
where
    F: Fn(usize, u64, Channel) -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    let mut channels = Vec::new();
    for _ in 0..clients.min(connections) {
        channels.push(server.connect().await?);
    }
    let begin = Instant::now() + time / 10;
    let end = begin + time;
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let channel = channels[client % channels.len()].clone();
            let operation = operation.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut count = 0;
                loop {
                    let start = Instant::now();
                    if start >= end {
                        return Ok::<_, anyhow::Error>(latencies);
                    }
                    operation(client, count, channel.clone()).await?;
                    count += 1;
                    if start >= begin {
                        latencies.push(start.elapsed());
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    let cpu = server.cpu();
    tokio::time::sleep_until(end.into()).await;
    let cpu = server.cpu() - cpu;
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Measured::of(latencies, time, cpu)
}

impl Measured {
    /// Of what was answered in `time`, at a cost of `cpu`.
    ///
    /// # Errors
    /// If nothing was.
    pub fn of(mut latencies: Vec<Duration>, time: Duration, cpu: Duration) -> Result<Self> {
        anyhow::ensure!(!latencies.is_empty(), "nothing was answered in time");
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        Ok(Self {
            rate: latencies.len() as f64 / time.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            cpu: cpu / u32::try_from(latencies.len())?,
        })
    }

    /// The middle one of several, by throughput.
    pub fn middle(mut all: Vec<Self>) -> Option<Self> {
        all.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        all.get(all.len() / 2).copied()
    }
}
