//! `apiserver`: serves the Kubernetes API.

use std::process::ExitCode;

use clap::Parser;

/// The Kubernetes API server, over an embedded store.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    config: apiserver::Config,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    component::main_threaded(2, |shutdown| apiserver::run(arguments.config, shutdown))
}
