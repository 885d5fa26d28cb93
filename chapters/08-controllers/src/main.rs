//! Runs the controllers against any cluster.

use std::process::ExitCode;

use clap::Parser;

/// What kube-controller-manager does.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    config: controllers::Config,
}

fn main() -> ExitCode {
    let args = Args::parse();
    component::main(|shutdown| controllers::run(args.config, shutdown))
}
