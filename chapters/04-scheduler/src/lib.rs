//! Chapter 4: pods get nodes.
//!
//! A pod is made without a node. The scheduler watches for such pods, decides for each where it
//! goes, and says so to the API server with a *binding*; the node's kubelet, which watches for
//! pods of its own, does the rest.
//!
//! ```text
//!   watch pods ──► queue ──► schedule(pod, cluster) ──► bind ──► event "Scheduled"
//!   watch nodes ─► cache ───────────┘      └─ nothing fits ─► condition, event
//!                    ▲                                        "FailedScheduling"
//!                    └── the decision, assumed at once
//! ```
//!
//! The decision is [`schedule()`], a function of the pod and a [`Snapshot`] of the cluster and of
//! nothing else: every node is asked by the filters ([`filter`]) whether the pod may go there at
//! all, and those that remain are scored ([`score`]). `scheduler why NAMESPACE/POD` calls the
//! same function and prints what each node was told.
//!
//! Read [`schedule()`] first, then [`filter`] and [`score`], then [`queue`] and [`driver`].
//!
//! Left out: preemption (a pod of high priority does not push others off a node; the message says
//! where it could), volumes that a provisioner would make for a node, resource claims, pod groups, image locality, several profiles,
//! leader election. Upstream: `pkg/scheduler`.

pub mod cache;
pub mod driver;
pub mod events;
pub mod filter;
mod inputs;
pub mod labels;
pub mod node_info;
pub mod quantity;
pub mod queue;
mod requests;
pub mod resources;
pub mod schedule;
pub mod score;
pub mod volumes;
mod watch;
pub mod why;

use std::path::{Path, PathBuf};

use component::CancellationToken;
use kube::Client;

pub use schedule::{Decision, FitError, Snapshot, schedule};

/// How the scheduler runs.
#[derive(clap::Args, Debug, Clone)]
pub struct Config {
    /// Kubeconfig file: where the API server is and who the scheduler is.
    #[arg(long)]
    pub kubeconfig: PathBuf,
}

/// Why the scheduler cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig file is not there or says nothing usable.
    #[error(transparent)]
    Client(#[from] api_client::Error),
    /// The API server refused.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

/// Runs the scheduler until `shutdown`.
///
/// # Errors
///
/// If the kubeconfig cannot be used. An API server that is not there is waited for.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let client = client(&config.kubeconfig).await?;
    tracing::info!("scheduling");
    driver::Driver::new(client).run(shutdown).await;
    Ok(())
}

/// A client for the API server that a kubeconfig file names.
///
/// # Errors
///
/// If the file cannot be used.
pub async fn client(path: &Path) -> Result<Client, Error> {
    let config = api_client::config(Some(path), "kube-scheduler/v1.36").await?;
    Ok(api_client::client(config)?)
}
