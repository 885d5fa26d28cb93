//! Chapter 6: Services, the pod network and cluster DNS on every node.
//!
//! A pod's address dies with the pod. A Service is a name and an address that stay, and somebody
//! on every node has to make them lead to the pods that are there now. That is this component:
//!
//! ```text
//!   Services, EndpointSlices, Nodes          (watched, reduced to records: `model`, `watch`)
//!        │
//!        ├──▶ rules     one nftables table: which address and port leads to which pods
//!        ├──▶ network   one route for every other node: where its pods are
//!        └──▶ dns       names for all of it, served by pods of the cluster itself
//! ```
//!
//! No packet passes through this process. It writes rules and the kernel follows them, so a proxy
//! that dies, or is replaced, breaks no connection.
//!
//! Read [`rules`] first, then `netlink::nft` for how a table reaches the kernel, [`network`], and
//! [`dns`]. [`node`] ties the first three together.
//!
//! Upstream: kube-proxy (`pkg/proxy/nftables`), a CNI plugin for the routes, and CoreDNS
//! (`plugin/kubernetes`). Left out: IPv6, topology aware routing, proxying in user space.

#![recursion_limit = "256"]

pub mod dns;
pub mod model;
pub mod network;
pub mod node;
pub mod rules;
pub mod watch;

use std::path::{Path, PathBuf};

use component::CancellationToken;
use netlink::nft::Network;

/// Flags of the proxy, named as kube-proxy's.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// File with the address of the API server and the credentials; in a pod, its service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of the Node object of this machine
    #[arg(
        long = "hostname-override",
        visible_alias = "node-name",
        value_name = "NAME"
    )]
    #[arg(default_value_t = hostname())]
    pub node_name: String,
    /// Network of all pods: whoever comes from outside is masqueraded
    #[arg(long, value_name = "CIDR")]
    pub cluster_cidr: Option<Network>,
    /// Remove the rules and end
    #[arg(long)]
    pub cleanup: bool,
}

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable kubeconfig, nor a service account.
    #[error(transparent)]
    Client(#[from] api_client::Error),
    /// The kernel refuses to take rules from us.
    #[error("{0}")]
    Kernel(#[from] netlink::Error),
    /// The DNS server cannot listen.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
}

/// Runs the proxy until `shutdown`.
///
/// # Errors
/// See [`Error`]; once it runs it keeps trying.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    node::run(config, shutdown).await
}

/// A client from a kubeconfig, or from the service account of the pod that this runs in.
async fn client(kubeconfig: Option<&Path>) -> Result<kube::Client, Error> {
    let config = api_client::config(kubeconfig, "kube-proxy/v1.36").await?;
    Ok(api_client::client(config)?)
}

fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase()
}
