//! A node that runs nothing: the whole kubelet over a runtime that is only a table.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use kubelet::runtime::fake::FakeRuntime;

/// A hollow node: registers, keeps its lease and reports pods as running.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: kubelet::Config,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    component::main(|shutdown| {
        kubelet::run_with(cli.config, Arc::new(FakeRuntime::new()), shutdown)
    })
}
