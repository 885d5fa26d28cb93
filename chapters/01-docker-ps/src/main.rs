//! Prints what `docker ps` prints.

use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use docker_ps::{engine, table};

/// List containers.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The engine to ask: `unix:///path` or `tcp://address:port`.
    #[arg(short = 'H', long, env = "DOCKER_HOST", default_value = engine::DEFAULT_HOST)]
    host: String,
    /// Show all containers, not only those that run.
    #[arg(short, long)]
    all: bool,
    /// Don't truncate output.
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs.
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    component::main(|_| async move {
        let containers = engine::list(&args.host, args.all).await?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        let options = table::Options {
            no_trunc: args.no_trunc,
            quiet: args.quiet,
        };
        let text = table::render(&containers, options, now as i64);
        std::io::stdout().write_all(text.as_bytes())?;
        anyhow::Ok(())
    })
}
