//! Measures the API server beside upstream's: same requests, same clients, in turn.
//!
//! `cargo xtask bench apiserver` builds this and the server, and runs it. Upstream's kube-apiserver
//! stands on a real etcd, ours on its own store, which is part of the same process: so what is
//! counted of ours is more than what is counted of upstream's.

mod client;
mod figures;
mod objects;
mod pki;
mod rows;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use rows::{ROWS, Row};
use server::{Program, Server};

/// Measure the API server beside upstream's.
#[derive(Parser)]
#[command(override_usage = "cargo xtask bench apiserver [OPTIONS]")]
struct Args {
    /// The program of this workshop.
    #[arg(long, hide = true)]
    ours: PathBuf,
    /// An upstream kube-apiserver; without one only ours is measured.
    #[arg(long, env = "WORKSHOP_KUBE_APISERVER")]
    kube_apiserver: Option<PathBuf>,
    /// The etcd under it.
    #[arg(long, env = "WORKSHOP_ETCD", default_value = "etcd")]
    etcd: PathBuf,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each is measured, in turn; the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only rows whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// No list is of more pods than this.
    #[arg(long, default_value_t = 50_000)]
    pods: usize,
    /// Where the data is; on a disk, or nothing of durability is measured.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    component::install_crypto();
    let args = Args::parse();
    let ours = Program::Ours(args.ours.clone());
    let upstream = args
        .kube_apiserver
        .clone()
        .map(|server| Program::Upstream(server, args.etcd.clone()));
    let rows: Vec<Row> = ROWS
        .iter()
        .copied()
        .filter(|row| row.pods() <= args.pods && args.wants(&row.to_string()))
        .collect();
    if !rows.is_empty() {
        loads(&args, &rows, &ours, upstream.as_ref()).await?;
    }
    if args.wants("ready memory watch") {
        let upstream = match &upstream {
            Some(upstream) => Some(figures::of(upstream, &args.dir, args.pods).await?),
            None => None,
        };
        let ours = figures::of(&ours, &args.dir, args.pods).await?;
        print!("{}", figures::table(upstream.as_ref(), &ours));
    }
    Ok(())
}

async fn loads(
    args: &Args,
    rows: &[Row],
    ours: &Program,
    upstream: Option<&Program>,
) -> Result<()> {
    let time = Duration::from_secs_f64(args.seconds);
    let dirs = [
        tempfile::tempdir_in(&args.dir)?,
        tempfile::tempdir_in(&args.dir)?,
    ];
    let ours = Server::start(ours, dirs[0].path()).await?;
    let upstream = match upstream {
        Some(upstream) => Some(Server::start(upstream, dirs[1].path()).await?),
        None => None,
    };
    for server in upstream.iter().chain([&ours]) {
        objects::prepare(server, rows.iter().map(|row| row.pods())).await?;
    }
    let peer = ("upstream", upstream.as_ref());
    measure::compare(rows, args.rounds, peer, &ours, async |row: &Row, server| {
        row.measure(server, time).await
    })
    .await
}
