//! What one server takes, beside its time: until it is ready, and in memory.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use measure::table;

use crate::client::JSON;
use crate::objects::{namespace_of, pods, prepare};
use crate::rows;
use crate::server::{Program, Server};

/// Watches that are open while their memory is measured.
const WATCHES: usize = 5000;
/// Pods that are listed while memory is measured, at most.
const PODS: usize = 10_000;

/// The figures of a server.
pub struct Figures {
    ready: Duration,
    idle: u64,
    pods: usize,
    filled: u64,
    listed: u64,
    per_watch: f64,
}

/// Measures a server that has nothing else to do.
///
/// # Errors
/// If it fails.
pub async fn of(program: &Program, dir: &Path, pods_max: usize) -> Result<Figures> {
    let dir = tempfile::tempdir_in(dir)?;
    let server = Server::start(program, dir.path()).await?;
    let idle = server.memory();
    let count = PODS.min(pods_max);
    prepare(&server, [count].into_iter()).await?;
    let filled = server.memory();
    let path = pods(&namespace_of(count));
    server.connect().await?.drain(&path, JSON).await?;
    let listed = server.memory();
    let open = rows::watches(&server, WATCHES).await?;
    let watched = server.memory();
    drop(open);
    Ok(Figures {
        ready: server.ready_after,
        idle,
        pods: count,
        filled,
        listed,
        per_watch: watched.saturating_sub(listed) as f64 / WATCHES as f64,
    })
}

/// The table of both.
pub fn table(upstream: Option<&Figures>, ours: &Figures) -> String {
    let mut text =
        "| | upstream | ours | ours/upstream |\n| --- | ---: | ---: | ---: |\n".to_owned();
    let mut row = |name: &str, of: fn(&Figures) -> f64, unit| {
        text += &table::figure(name, upstream.map(of), of(ours), unit);
        text.push('\n');
    };
    let pods = ours.pods;
    row("ready after", |it| it.ready.as_secs_f64() * 1e3, "ms");
    row("memory at rest", |it| it.idle as f64 / 1e6, "MB");
    row(
        &format!("memory with {pods} pods"),
        |it| it.filled as f64 / 1e6,
        "MB",
    );
    row(
        "memory after a list of them in JSON",
        |it| it.listed as f64 / 1e6,
        "MB",
    );
    row("memory of an open watch", |it| it.per_watch / 1e3, "KB");
    text
}
