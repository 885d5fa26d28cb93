//! `cargo run -p etcd -- serve`: the store behind etcd's own API.

use std::process::ExitCode;

use clap::Parser;

/// A key-value store that speaks etcd's v3 API.
#[derive(Parser)]
#[command(name = "etcd")]
enum Cli {
    /// Serves clients until it is told to stop.
    Serve(etcd::grpc::Config),
}

fn main() -> ExitCode {
    let Cli::Serve(config) = Cli::parse();
    component::main(|shutdown| etcd::grpc::run(config, shutdown))
}
