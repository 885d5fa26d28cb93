//! The proxy as a program of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Services, the pod network and cluster DNS of one node.
#[derive(Parser)]
#[command(name = "proxy")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep this node's rules and routes in step with the cluster
    Run(proxy::Config),
    /// Print the rules that `run` would write, in nft's syntax; changes nothing
    Rules(proxy::Config),
    /// Serve the cluster's DNS names
    Dns(proxy::dns::DnsConfig),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(config) => component::main(|shutdown| proxy::run(config, shutdown)),
        Command::Rules(config) => component::main(|shutdown| proxy::node::print(config, shutdown)),
        Command::Dns(config) => component::main(|shutdown| proxy::dns::run(config, shutdown)),
    }
}
