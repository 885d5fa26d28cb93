//! `docker-ps`: what `docker ps` prints; `docker-ps keep`: what it should print, made so.

use std::cell::Cell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use component::CancellationToken;
use docker_ps::keep::{self, KeepArgs};
use docker_ps::ps::{self, Nodes, PsArgs};

/// List containers, of one engine or of several.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The engine to ask: `unix:///path`, `tcp://address:port`, `default`, or `NAME=` one of them;
    /// several make one table (default: $DOCKER_HOST, then unix:///var/run/docker.sock)
    #[arg(short = 'H', long, value_name = "[NAME=]HOST", global = true)]
    host: Vec<String>,
    /// A file that names engines, a line each: `NAME HOST`; without one, the nodes of labs that
    /// share an engine, by the label `workshop.node`
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    nodes: Option<Option<PathBuf>>,
    #[command(flatten)]
    ps: PsArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold an engine at the state that a file describes
    Keep(KeepArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failed = Cell::new(false);
    let flag = &failed;
    let ended = component::main(|shutdown| async move {
        // As it is, without a word before it: docker's messages are known by their beginnings.
        if let Err(error) = run(cli, shutdown).await {
            eprintln!("{error:#}");
            flag.set(true);
        }
        anyhow::Ok(())
    });
    if failed.get() {
        ExitCode::FAILURE
    } else {
        ended
    }
}

async fn run(cli: Cli, shutdown: CancellationToken) -> anyhow::Result<()> {
    let file = cli.nodes.clone().flatten();
    let hosts = ps::hosts(&cli.host, file.as_ref())?;
    if let Some(Command::Keep(args)) = cli.command {
        anyhow::ensure!(hosts.len() == 1, "keep holds one engine: name one --host");
        return keep::run(args, &hosts[0].host, shutdown).await;
    }
    let nodes = match &cli.nodes {
        Some(None) => Nodes::Labels,
        Some(Some(_)) => Nodes::Engines,
        None if hosts.len() > 1 => Nodes::Engines,
        None => Nodes::None,
    };
    let listed = ps::run(&cli.ps, &hosts, nodes).await?;
    std::io::stdout().write_all(listed.text.as_bytes())?;
    match listed.failed.len() {
        0 => Ok(()),
        failed => {
            let nodes = if failed == 1 { "node" } else { "nodes" };
            let all = listed.failed.join("\n");
            anyhow::bail!("{failed} {nodes} did not answer\n{all}")
        }
    }
}
