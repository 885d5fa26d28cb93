//! What the benchmarks share: a server beside another one, the same load on both, in turn.
//!
//! What counts most is the processor time that a server takes for each request: where many clients
//! are on the same few cores as the server, throughput is bound by both sides' processors, and half
//! of that is the client's.
//!
//! * [`compare`]: the rows of a table, each measured on both servers.
//! * [`run`]: clients in closed loops, each sending its next request when the last is answered.
//! * [`process`]: what a process has used.
//! * [`table`]: the tables that the book shows.

pub mod process;
pub mod table;

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

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

impl Measured {
    /// Of what was answered in `time`, at a cost of `cpu`.
    ///
    /// # Errors
    /// If nothing was.
    pub fn of(mut latencies: Vec<Duration>, time: Duration, cpu: Duration) -> Result<Self> {
        ensure!(!latencies.is_empty(), "nothing was answered in time");
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

/// Measures each row in so many rounds on the `peer` of that name, where there is one, and on ours,
/// in turn, and prints the table; of the rounds the middle one counts.
///
/// # Errors
/// The first error of a measurement.
pub async fn compare<R: Display, S>(
    rows: &[R],
    rounds: usize,
    (name, peer): (&str, Option<&S>),
    ours: &S,
    measure: impl AsyncFn(&R, &S) -> Result<Measured>,
) -> Result<()> {
    print!("{}", table::head(name));
    for row in rows {
        let (mut of_ours, mut of_peer) = (Vec::new(), Vec::new());
        for _ in 0..rounds.max(1) {
            if let Some(peer) = peer {
                let measured = measure(row, peer).await;
                of_peer.push(measured.with_context(|| format!("{name}: {row}"))?);
            }
            let measured = measure(row, ours).await;
            of_ours.push(measured.with_context(|| format!("ours: {row}"))?);
        }
        let of_ours = Measured::middle(of_ours).context("a round")?;
        let of_peer = Measured::middle(of_peer);
        println!("{}", table::row(&row.to_string(), of_peer, of_ours));
    }
    println!();
    Ok(())
}

/// `1 client`, `10 clients`
pub fn clients(count: usize) -> String {
    match count {
        1 => "1 client".to_owned(),
        count => format!("{count} clients"),
    }
}

/// Runs `clients` loops of `operation` for `time`, after a tenth of it to warm up; `cpu` is what
/// the server has used. Each client keeps a connection of `connections`, in turn.
///
/// # Errors
/// The first error of an operation.
pub async fn run<C, F, R>(
    cpu: impl Fn() -> Duration,
    connections: &[C],
    clients: usize,
    time: Duration,
    operation: F,
) -> Result<Measured>
where
    C: Clone + Send + 'static,
    F: Fn(usize, u64, C) -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    let begin = Instant::now() + time / 10;
    let end = begin + time;
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let connection = connections[client % connections.len()].clone();
            let operation = operation.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut count = 0;
                loop {
                    let start = Instant::now();
                    // What takes longer than the time is measured once.
                    if start >= end && !latencies.is_empty() {
                        return Ok::<_, anyhow::Error>(latencies);
                    }
                    operation(client, count, connection.clone()).await?;
                    count += 1;
                    if start >= begin {
                        latencies.push(start.elapsed());
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    let before = cpu();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let spent = cpu().saturating_sub(before);
    Measured::of(latencies, begin.elapsed(), spent)
}
