//! The server's flags: upstream's names, where it has them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How to serve, from what, to whom.
#[derive(clap::Args, Debug, Clone)]
pub struct Config {
    /// Folder of the embedded store.
    #[arg(long, conflicts_with = "etcd_servers")]
    pub data_dir: Option<PathBuf>,
    /// Members of an etcd cluster that are the store, `https://HOST:PORT` each, instead of the
    /// embedded one.
    #[arg(long, value_delimiter = ',')]
    pub etcd_servers: Vec<String>,
    /// Authority of the members' certificates, as PEM.
    #[arg(long)]
    pub etcd_cafile: Option<PathBuf>,
    /// Certificate to show to the members, as PEM.
    #[arg(long)]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of the certificate to show to the members, as PEM.
    #[arg(long)]
    pub etcd_keyfile: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port to serve HTTPS on; 0 for none but the inherited sockets.
    #[arg(long, default_value_t = 6443)]
    pub secure_port: u16,
    /// Listening socket to serve HTTPS on too, inherited from whoever starts the server. Repeatable.
    #[arg(long = "listen-fd")]
    pub listen_fds: Vec<i32>,
    /// Address at which the cluster reaches this server.
    #[arg(long)]
    pub advertise_address: Option<IpAddr>,
    /// The server's certificate, as PEM.
    #[arg(long)]
    pub tls_cert_file: PathBuf,
    /// Key of the server's certificate, as PEM.
    #[arg(long)]
    pub tls_private_key_file: PathBuf,
    /// Authority of client certificates, as PEM.
    #[arg(long)]
    pub client_ca_file: PathBuf,
    /// Key that signs service accounts' tokens: EC P-256, as PEM.
    #[arg(long)]
    pub service_account_signing_key_file: PathBuf,
    /// Issuer, and usual audience, of service accounts' tokens.
    #[arg(long, default_value = "https://kubernetes.default.svc.cluster.local")]
    pub service_account_issuer: String,
    /// Whether the bootstrap tokens in `kube-system` are accepted.
    #[arg(long)]
    pub enable_bootstrap_token_auth: bool,
    /// Addresses of Services.
    #[arg(long, default_value = "10.96.0.0/12")]
    pub service_cluster_ip_range: String,
    /// Ports of Services of type NodePort.
    #[arg(long, default_value = "30000-32767")]
    pub service_node_port_range: String,
    /// Certificate to show to kubelets, as PEM.
    #[arg(long)]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Key of the certificate to show to kubelets, as PEM.
    #[arg(long)]
    pub kubelet_client_key: Option<PathBuf>,
    /// Authority of kubelets' serving certificates, as PEM; without it they are not verified.
    #[arg(long)]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Seconds that a pod stays on a node that is not ready, unless it says otherwise.
    #[arg(long, default_value_t = 300)]
    pub default_not_ready_toleration_seconds: i64,
    /// Seconds that a pod stays on a node that cannot be reached, unless it says otherwise.
    #[arg(long, default_value_t = 300)]
    pub default_unreachable_toleration_seconds: i64,
    /// How long events are kept: `1h`, `90m`, `30s`.
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    pub event_ttl: Duration,
}

/// A duration as Go writes it: `1h30m`, `45s`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 1h30m or 45s");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        total += match &rest[digits..unit_end] {
            "h" => Duration::from_secs(number.saturating_mul(3600)),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return Err(wrong()),
        };
        rest = &rest[unit_end..];
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(parse_duration("").is_err() && parse_duration("5").is_err());
        assert!(parse_duration("5d").is_err());
    }
}
