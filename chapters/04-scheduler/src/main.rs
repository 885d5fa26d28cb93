//! `cargo run -p scheduler -- --kubeconfig FILE`: the scheduler of any cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

/// Gives pods nodes.
#[derive(Parser)]
#[command(name = "scheduler", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    config: Option<scheduler::Config>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Says which node would take a pod, and why the others would not.
    Why {
        /// The pod, as NAMESPACE/NAME; NAME alone is one in `default`.
        pod: String,
        /// Kubeconfig file.
        #[arg(long)]
        kubeconfig: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match (cli.command, cli.config) {
        (Some(Command::Why { pod, kubeconfig }), _) => component::main(|_| why(pod, kubeconfig)),
        (None, Some(config)) => component::main(|shutdown| scheduler::run(config, shutdown)),
        (None, None) => {
            eprintln!("error: --kubeconfig FILE is required");
            ExitCode::FAILURE
        }
    }
}

async fn why(pod: String, kubeconfig: PathBuf) -> anyhow::Result<()> {
    let (namespace, name) = pod.split_once('/').unwrap_or(("default", &pod));
    let client = scheduler::client(&kubeconfig).await?;
    let table = scheduler::why::why(client, namespace, name)
        .await
        .with_context(|| format!("cannot ask about pod {namespace}/{name}"))?;
    print!("{table}");
    Ok(())
}
