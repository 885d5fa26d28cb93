//! `cargo run -p kubelet -- --kubeconfig FILE`: one node of any cluster.

use std::process::ExitCode;

use clap::Parser;

/// The node agent: runs the pods that are bound to its node.
#[derive(Parser)]
#[command(name = "kubelet", version)]
struct Cli {
    #[command(flatten)]
    config: kubelet::Config,
}

fn main() -> ExitCode {
    // The sandbox runs this very program as the shim of each pod.
    if let Some(code) = kubelet::runtime::sandbox::maybe_run_helper() {
        return code;
    }
    // A CRI runtime runs it to give a pod its network.
    if let Some(code) = kubelet::cni::maybe_run() {
        return code;
    }
    let cli = Cli::parse();
    component::main(|shutdown| kubelet::run(cli.config, shutdown))
}
