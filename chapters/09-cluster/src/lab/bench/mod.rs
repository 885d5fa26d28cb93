//! `bench`: what the workshop's speed is, and what it costs. Measured here, asserted nowhere.

mod alone;
mod boot;
mod calls;
mod figures;
mod kubelet;
mod pods;
mod process;
mod table;

use clap::Subcommand;

use super::Error;

/// `bench`
#[derive(Debug, clap::Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The start of a lab, the start of a pod, memory at rest
    Boot(boot::Boot),
    /// From a pod bound to a pod that runs, on each runtime; a node full of pods
    Kubelet(kubelet::Kubelet),
}

/// Measures and prints.
///
/// # Errors
/// When a lab does not start or a pod does not run.
pub fn run(options: &Bench) -> Result<(), Error> {
    match &options.what {
        What::Boot(options) => boot::run(options),
        What::Kubelet(options) => kubelet::run(options),
    }
}

/// What stops a measurement: of the API, of files, of pods that do not run.
type Failure = Box<dyn std::error::Error + Send + Sync>;
