//! The roles that a process of the cluster can have, each a component with its own flags.

use std::process::ExitCode;

use clap::Subcommand;

/// `cluster ROLE …`
#[derive(Debug, Subcommand)]
pub enum Role {
    /// The Kubernetes API, over an embedded store
    Apiserver(Box<apiserver::Config>),
    /// What gives pods nodes
    Scheduler(scheduler::Config),
    /// The node agent: runs the pods that are bound to its node
    Kubelet(Box<kubelet::Config>),
    /// Services and the pod network of one node
    Proxy(proxy::Config),
    /// The cluster's DNS names, served from a pod
    Dns(proxy::dns::DnsConfig),
    /// What keeps the cluster as it was declared
    Controllers(controllers::Config),
}

impl Role {
    /// Runs the component until a signal ends it.
    pub fn run(self) -> ExitCode {
        match self {
            // The one that serves everyone has a second thread.
            Self::Apiserver(config) => {
                component::main_threaded(2, |shutdown| apiserver::run(*config, shutdown))
            }
            Self::Scheduler(config) => component::main(|shutdown| scheduler::run(config, shutdown)),
            Self::Kubelet(config) => component::main(|shutdown| kubelet::run(*config, shutdown)),
            Self::Proxy(config) => component::main(|shutdown| proxy::run(config, shutdown)),
            Self::Dns(config) => component::main(|shutdown| proxy::dns::run(config, shutdown)),
            Self::Controllers(config) => {
                component::main(|shutdown| controllers::run(config, shutdown))
            }
        }
    }
}
