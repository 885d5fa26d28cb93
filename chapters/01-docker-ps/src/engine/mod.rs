//! Asks a Docker engine for its containers.
//!
//! An engine is an HTTP server on a Unix socket (or a TCP port). `GET /version` says which API it
//! speaks, `GET /v1.41/containers/json` lists containers; `curl --unix-socket` can do both.
//!
//! ```text
//! host ── connect ──► GET /version ──► GET /containers/json ──► containers, the newest first
//!           │              │                    │
//!       Unreachable   NotDocker, TooOld   Refused, Gone
//! ```
//!
//! Upstream: `client/client.go` in moby/moby; what is listed is the Go type `container.Summary`.

mod error;
mod host;

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;
use tokio::time::timeout;

pub use error::Error;
pub use host::{DEFAULT_HOST, Node, default_host, read_nodes};

/// The oldest API that we ask for: that of Docker 20.10.
const API_MINOR_MIN: usize = 41;
/// How long an engine may take until it says its version, and until it has made a list.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// Which containers are wanted, and what of them.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Those that do not run, too.
    pub all: bool,
    /// So many of the newest, whether they run or not.
    pub last: Option<i32>,
    /// Have their sizes counted, which takes the engine a while.
    pub size: bool,
    /// What `--filter` says: the engine knows the keys.
    pub filters: HashMap<String, Vec<String>>,
}

/// A connection to the engine at `host`, in a version of the API that both sides speak.
///
/// # Errors
/// If no engine answers at `host`, or one that is too old.
pub async fn connect(host: &str) -> Result<Docker, Error> {
    host::check(host)?;
    let docker =
        Docker::connect_with_host(host).map_err(|error| Error::connecting(host, &error))?;
    let docker = timeout(CONNECT_TIMEOUT, docker.negotiate_version())
        .await
        .map_err(|_elapsed| Error::silent(host, CONNECT_TIMEOUT))?
        .map_err(|error| Error::connecting(host, &error))?;
    let version = docker.client_version();
    if version.major_version == 1 && version.minor_version < API_MINOR_MIN {
        return Err(Error::TooOld {
            host: host.to_owned(),
            version: version.to_string(),
        });
    }
    Ok(docker)
}

// ANCHOR: list
/// The containers of the engine at `host`, as it sorts them: the newest first.
///
/// # Errors
/// If no engine answers at `host`, it refuses, or goes away before it has answered.
pub async fn list(host: &str, query: &Query) -> Result<Vec<ContainerSummary>, Error> {
    let docker = connect(host).await?;
    let options = ListContainersOptions {
        all: query.all,
        limit: query.last,
        size: query.size,
        filters: (!query.filters.is_empty()).then(|| query.filters.clone()),
    };
    timeout(LIST_TIMEOUT, docker.list_containers(Some(options)))
        .await
        .map_err(|_elapsed| Error::silent(host, LIST_TIMEOUT))?
        .map_err(|error| Error::asking(host, &error))
}
// ANCHOR_END: list
