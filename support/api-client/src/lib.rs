//! How scheduler, kubelet, proxy and controllers reach the API server, once for all of them.
//!
//! | what | why |
//! | --- | --- |
//! | a kubeconfig, or the service account of the pod that this runs in | who the component is, and where the server |
//! | a name: `kubelet/v1.36` | the server knows the owner of what is written by it |
//! | a limit for each request ([`limits`]) | a server that takes requests and hangs must not hold up a component for ever |
//!
//! Upstream: `client-go/tools/clientcmd`, `client-go/rest`.

pub mod limits;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};

use limits::Limits;

/// How long a component waits for its connection to the server, which is on a network that is
/// near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be read, or says nothing useful.
    #[error("kubeconfig {path}: {source}", path = path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KubeconfigError,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("no --kubeconfig, and not in a pod: {0}")]
    InCluster(#[from] InClusterError),
    /// No client can be made of the configuration.
    #[error("API client: {0}")]
    Client(#[source] Box<kube::Error>),
}

/// Where the API server is and who the component is: from a kubeconfig file, or else from the
/// service account of the pod that this runs in. `agent` is what it calls itself:
/// `kube-scheduler/v1.36`.
///
/// # Errors
/// See [`Error`].
pub async fn config(kubeconfig: Option<&Path>, agent: &str) -> Result<Config, Error> {
    let config = match kubeconfig {
        Some(path) => {
            let failed = |source| Error::Kubeconfig {
                path: path.to_owned(),
                source,
            };
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            config.map_err(failed)?
        }
        None => Config::incluster()?,
    };
    Ok(named(config, agent))
}

/// The configuration of a component that calls itself `agent`.
pub fn named(mut config: Config, agent: &str) -> Config {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let agent = ("user-agent".parse(), agent.parse());
    if let (Ok(header), Ok(agent)) = agent {
        config.headers.push((header, agent));
    }
    config
}

/// A client that waits for no answer longer than [`limits::REQUEST_TIMEOUT`].
///
/// # Errors
/// [`Error::Client`].
pub fn client(config: Config) -> Result<Client, Error> {
    client_within(config, limits::REQUEST_TIMEOUT)
}

/// As [`client`], with another limit.
///
/// # Errors
/// [`Error::Client`].
pub fn client_within(config: Config, limit: Duration) -> Result<Client, Error> {
    let builder = ClientBuilder::try_from(config);
    let builder = builder.map_err(|error| Error::Client(Box::new(error)))?;
    Ok(builder.with_layer(&Limits(limit)).build())
}
