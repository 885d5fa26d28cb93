//! The roles that a process of the cluster can have, each a component with its own flags.

use std::process::ExitCode;

use clap::Subcommand;

/// `cluster ROLE …`
#[derive(Debug, Subcommand)]
pub enum Role {
    /// The node agent: runs the pods that are bound to its node
    Kubelet(kubelet::Config),
}

impl Role {
    /// Runs the component until a signal ends it.
    pub fn run(self) -> ExitCode {
        match self {
            Self::Kubelet(config) => component::main(|shutdown| kubelet::run(config, shutdown)),
        }
    }
}
