//! The flags, which are etcd's by name, default and meaning.

use std::path::PathBuf;
use std::time::Duration;

use super::flags::{self, WithoutMeaning};

/// How the server runs.
#[derive(clap::Args, Debug, Clone)]
pub struct Config {
    /// The member's name.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Where the store is kept; `NAME.etcd` if not given.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Where clients are listened for: `http://ADDRESS:PORT`, `https://ADDRESS:PORT`,
    /// `unix://PATH` or `unixs://PATH`.
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    pub listen_client_urls: Vec<String>,
    /// Where clients are listened for that speak HTTP/1 only; `--listen-client-urls` then are for
    /// gRPC only.
    #[arg(long, value_delimiter = ',')]
    pub listen_client_http_urls: Vec<String>,
    /// Where `/metrics`, `/health`, `/livez` and `/readyz` are served besides.
    #[arg(long, value_delimiter = ',')]
    pub listen_metrics_urls: Vec<String>,
    /// What `member list` says; where clients are listened for, if not given.
    #[arg(long, value_delimiter = ',')]
    pub advertise_client_urls: Vec<String>,
    /// Serve the calls as JSON over HTTP/1 too, at `/v3/…`.
    #[arg(long, value_parser = flags::boolean, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true")]
    pub enable_grpc_gateway: bool,
    /// The members of the cluster, `NAME=URL`. There is one: more are refused.
    #[arg(long, default_value = "default=http://localhost:2380")]
    pub initial_cluster: String,

    /// The server's certificate, and those that lead to its authority's: a PEM file.
    #[arg(long, requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// Its key: a PEM file.
    #[arg(long, requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// The authorities whose certificates clients show: a PEM file.
    #[arg(long)]
    pub trusted_ca_file: Option<PathBuf>,
    /// Refuse a client without a certificate.
    #[arg(long, value_parser = flags::boolean, num_args = 0..=1, require_equals = true,
        default_value = "false", default_missing_value = "true")]
    pub client_cert_auth: bool,
    /// The certificates that were taken back: a PEM file.
    #[arg(long)]
    pub client_crl_file: Option<PathBuf>,
    /// The least version of TLS: TLS1.2 or TLS1.3.
    #[arg(long, default_value = "TLS1.2", value_parser = ["TLS1.2", "TLS1.3"])]
    pub tls_min_version: String,
    /// The greatest version of TLS.
    #[arg(long, default_value = "", value_parser = ["", "TLS1.2", "TLS1.3"])]
    pub tls_max_version: String,

    /// Bytes the store may take before writes are refused; 0 is etcd's own limit, 2 GiB.
    #[arg(long, default_value_t = QUOTA_BYTES, value_parser = quota)]
    pub quota_backend_bytes: u64,
    /// Most operations in a transaction.
    #[arg(long, default_value_t = 128)]
    pub max_txn_ops: usize,
    /// The largest request in bytes.
    #[arg(long, default_value_t = 1_572_864)]
    pub max_request_bytes: usize,
    /// What `--auto-compaction-retention` counts: `periodic` or `revision`.
    #[arg(long, default_value = "periodic", value_parser = ["periodic", "revision"])]
    pub auto_compaction_mode: String,
    /// How much of the past is kept: a time (`72h`, `10m`; a plain number is hours), or a number of
    /// revisions. 0 keeps all.
    #[arg(long, default_value = "0")]
    pub auto_compaction_retention: String,
    /// How often a watch that asks for it is told the revision while nothing happens.
    #[arg(long, alias = "watch-progress-notify-interval", default_value = "10m",
        value_parser = flags::duration)]
    pub experimental_watch_progress_notify_interval: Duration,

    /// The least severe lines to log: debug, info, warn, error, panic or fatal.
    #[arg(long, default_value = "info",
        value_parser = ["debug", "info", "warn", "error", "panic", "fatal"])]
    pub log_level: String,

    /// Those that are taken for the sake of who gives them.
    #[command(flatten)]
    pub without_meaning: WithoutMeaning,
}

/// A shorter interval is this one, as in etcd.
const PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What 0 stands for, and what there is by default.
const QUOTA_BYTES: u64 = 2 * 1024 * 1024 * 1024;

fn quota(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.parse()
        .map(|bytes| if bytes == 0 { QUOTA_BYTES } else { bytes })
}

impl Config {
    /// Where the store is kept.
    pub fn data_dir(&self) -> PathBuf {
        let default = || format!("{}.etcd", self.name).into();
        self.data_dir.clone().unwrap_or_else(default)
    }

    /// How often a watch that asks for it is told the revision while nothing happens.
    pub fn progress_interval(&self) -> Duration {
        self.experimental_watch_progress_notify_interval
            .max(PROGRESS_INTERVAL_MIN)
    }

    /// The level to log at.
    pub fn log_level(&self) -> &str {
        match self.log_level.as_str() {
            // What ends a Go program is an error here.
            "panic" | "fatal" => "error",
            level => level,
        }
    }

    /// How many members the cluster is said to have.
    pub fn members(&self) -> usize {
        self.initial_cluster.split(',').count()
    }
}
