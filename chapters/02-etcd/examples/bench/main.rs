//! Measures the store's server beside a real etcd: same disk, same clients, same durability, in
//! turn.
//!
//! `cargo xtask bench store` builds this and the server, and runs it. What counts most is the
//! processor time that the server takes for each request: where many clients are on the same few
//! cores as the server, throughput is bound by both sides' processors, and half of that is the
//! client's. A raw `fdatasync` of the same disk says how near a single client's write is to what
//! the disk allows.

mod calls;
mod keys;
mod load;
mod rows;
mod server;
mod watches;

use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use measure::table;

use rows::{ROWS, Row};
use server::{Program, Server};

/// Measure the store beside a real etcd.
#[derive(Parser)]
#[command(override_usage = "cargo xtask bench store [OPTIONS]")]
struct Args {
    /// The program of this workshop.
    #[arg(long, hide = true)]
    ours: PathBuf,
    /// A real etcd, 3.5 or newer; without one only ours is measured.
    #[arg(long, env = "WORKSHOP_ETCD")]
    etcd: Option<PathBuf>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each is measured, in turn; the middle one counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only rows whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Keys for the figures of memory and restart, and most keys of the rows about how cost grows
    /// with them; 0 leaves these out.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Where the data is; on a disk, or nothing of durability is measured.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let ours = Program::Ours(args.ours.clone());
    let etcd = args.etcd.clone().map(Program::Etcd);
    println!("What the disk takes for a write and fdatasync, p50:\n");
    println!("| | at the end of a file | over zeros |\n| --- | ---: | ---: |");
    for bytes in [512, 4096, 32_768] {
        let millis = |is_over_zeros| -> Result<f64> {
            Ok(raw_sync(&args.dir, bytes, is_over_zeros)?.as_secs_f64() * 1e3)
        };
        let (at_end, over_zeros) = (millis(false)?, millis(true)?);
        println!("| {bytes} B | {at_end:.3} ms | {over_zeros:.3} ms |");
    }
    println!();
    let wanted = |name: &str| {
        args.only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let rows: Vec<Row> = ROWS
        .iter()
        .copied()
        .filter(|row| wanted(&row.to_string()))
        .filter(|row| row.keys().is_none_or(|keys| keys <= args.keys))
        .collect();
    if !rows.is_empty() {
        loads(&args, &rows, &ours, etcd.as_ref()).await?;
    }
    if args.keys > 0 && wanted("memory restart watcher connection") {
        figures(&args, &ours, etcd.as_ref()).await?;
    }
    Ok(())
}

async fn loads(args: &Args, rows: &[Row], ours: &Program, etcd: Option<&Program>) -> Result<()> {
    let time = Duration::from_secs_f64(args.seconds);
    let dirs = [
        tempfile::tempdir_in(&args.dir)?,
        tempfile::tempdir_in(&args.dir)?,
    ];
    let ours = Server::start(ours, dirs[0].path()).await?;
    let etcd = match etcd {
        Some(etcd) => Some(Server::start(etcd, dirs[1].path()).await?),
        None => None,
    };
    let peer = ("etcd", etcd.as_ref());
    measure::compare(rows, args.rounds, peer, &ours, async |row: &Row, server| {
        row.measure(server, time).await
    })
    .await
}

/// What one server takes, beside its time.
struct Figures {
    fill: Duration,
    memory: u64,
    disk: u64,
    restart: Duration,
    memory_restarted: u64,
    per_watcher: f64,
    per_connection: f64,
}

async fn figures(args: &Args, ours: &Program, etcd: Option<&Program>) -> Result<()> {
    let etcd = match etcd {
        Some(etcd) => Some(figures_of(args, etcd).await?),
        None => None,
    };
    let ours = figures_of(args, ours).await?;
    let print = |name: &str, of: &dyn Fn(&Figures) -> f64, unit| {
        println!(
            "{}",
            table::figure(name, etcd.as_ref().map(of), of(&ours), unit)
        );
    };
    println!(
        "| with {} keys of 256 B | etcd | ours | ours/etcd |\n| --- | ---: | ---: | ---: |",
        args.keys
    );
    print("written in", &|it| it.fill.as_secs_f64(), "s");
    print("memory", &|it| it.memory as f64 / 1e6, "MB");
    // No server that has keys and values in memory can do with less than these.
    let own = args.keys * (keys::key_of(keys::FOLDER, 0).len() + keys::VALUE_BYTES) as u64;
    print(
        "memory beside the keys and values themselves",
        &|it| it.memory.saturating_sub(own) as f64 / 1e6,
        "MB",
    );
    print("disk", &|it| it.disk as f64 / 1e6, "MB");
    print(
        "answers after a restart in",
        &|it| it.restart.as_secs_f64(),
        "s",
    );
    print(
        "memory after it",
        &|it| it.memory_restarted as f64 / 1e6,
        "MB",
    );
    print("memory of a watcher", &|it| it.per_watcher, "B");
    print("memory of a connection", &|it| it.per_connection, "B");
    Ok(())
}

async fn figures_of(args: &Args, program: &Program) -> Result<Figures> {
    const WATCHERS: u64 = 100_000;
    const CONNECTIONS: u64 = 1000;
    let dir = tempfile::tempdir_in(&args.dir)?;
    let server = Server::start(program, dir.path()).await?;
    let begun = Instant::now();
    keys::fill_keys(&server, args.keys).await?;
    let fill = begun.elapsed();
    let memory = server.memory();
    let disk = bytes_in(&dir.path().join("data"))?;
    drop(server);
    let begun = Instant::now();
    let server = Server::start(program, dir.path()).await?;
    let restart = begun.elapsed();
    let memory_restarted = server.memory();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(server.connect().await?);
    }
    let with_connections = server.memory();
    let watching = watches::watchers(&server, WATCHERS, |n| {
        format!("/registry/pods/default/{n:08}")
    })
    .await?;
    let with_watchers = server.memory();
    drop(watching);
    let grown = |from: u64, to: u64, count| to.saturating_sub(from) as f64 / count as f64;
    Ok(Figures {
        fill,
        memory,
        disk,
        restart,
        memory_restarted,
        per_watcher: grown(with_connections, with_watchers, WATCHERS),
        per_connection: grown(memory_restarted, with_connections, CONNECTIONS),
    })
}

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let of_entry = entry.metadata()?;
        bytes += if of_entry.is_dir() {
            bytes_in(&entry.path())?
        } else {
            of_entry.len()
        };
    }
    Ok(bytes)
}

/// What the disk itself takes to make a write durable: one that makes a file longer, as most logs
/// do, or one where the file has bytes already, as ours does (`log.rs` says why).
fn raw_sync(dir: &Path, bytes: usize, is_over_zeros: bool) -> Result<Duration> {
    const WRITES: usize = 300;
    // With a name: one without is slower to sync on some file systems.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    if is_over_zeros {
        file.write_all(&vec![0; bytes * WRITES])?;
        file.as_file().sync_all()?;
        file.rewind()?;
    }
    let mut times = Vec::new();
    for _ in 0..WRITES {
        let start = Instant::now();
        file.write_all(&vec![7; bytes])?;
        file.as_file().sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
