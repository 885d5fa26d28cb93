//! `cluster`: one program that is any part of the cluster, and the lab that starts them.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cluster::{image, lab, pause, role};

/// One program that is any part of a Kubernetes cluster.
#[derive(Parser)]
#[command(name = "cluster", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Role(Box<role::Role>),
    /// Look after a node's images
    #[command(subcommand)]
    Image(image::Image),
    /// A whole cluster on this machine
    Lab(Box<lab::Lab>),
    /// Measure: the start of labs, the start of pods, a node full of pods
    Bench(lab::bench::Bench),
    /// Hold a pod's namespaces by being there, and reap whom it inherits
    #[command(hide = true)]
    Pause,
}

/// The lab's errors have their cause in their text.
fn text(error: lab::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn main() -> ExitCode {
    // Before anything else: the helpers are this program again, and want no threads.
    if let Some(code) = kubelet::runtime::sandbox::maybe_run_helper() {
        return code;
    }
    if let Some(code) = kubelet::cni::maybe_run() {
        return code;
    }
    let result = match Cli::parse().command {
        Command::Role(role) => return role.run(),
        Command::Image(image) => image::run(image),
        Command::Pause => pause::run(),
        // The lab's own code may have a hole, too; components see to theirs.
        Command::Lab(lab) => {
            component::open_exercise::end_at_holes();
            lab::run(*lab).map_err(text)
        }
        Command::Bench(bench) => lab::bench::run(&bench).map_err(text),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
