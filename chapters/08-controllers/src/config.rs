//! Flags of the controllers; the names are kube-controller-manager's.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// Which informers feed the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Informers {
    /// Chapter 7's: list and watch, by hand.
    Workshop,
    /// `kube::runtime::watcher`.
    Kube,
}

/// How the controllers run.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Kubeconfig of the cluster; else `KUBECONFIG`, the usual places or the pod's own account.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// PEM file of the cluster's certificate authority, published to every namespace in the
    /// ConfigMap `kube-root-ca.crt`; nothing is published without it.
    #[arg(long)]
    pub root_ca_file: Option<PathBuf>,
    /// PEM file of the key that signs the tokens in Secrets of the type
    /// `kubernetes.io/service-account-token`; without it these Secrets stay as they were made.
    #[arg(long)]
    pub service_account_private_key_file: Option<PathBuf>,
    /// Addresses of all pods; each node is given a /24 of it.
    #[arg(long, default_value = "10.244.0.0/16")]
    pub cluster_cidr: String,
    /// How long a node may be silent before it counts as lost, in seconds.
    #[arg(long, default_value = "50", value_parser = seconds)]
    pub node_monitor_grace_period: Duration,
    /// How often the nodes are looked at, in seconds.
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub node_monitor_period: Duration,
    /// Work only while holding the Lease `kube-system/kube-controller-manager`.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// Which informers to use.
    #[arg(long, value_enum, default_value = "workshop")]
    pub informers: Informers,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds.is_finite() => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text:?} is not a number of seconds above zero")),
    }
}
