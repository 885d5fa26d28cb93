//! Finds a Docker engine and asks it for its containers.

use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;

/// Where an engine listens unless `DOCKER_HOST` says otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// How long an engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers there: start an engine, or name another.
    #[error(
        "cannot connect to the Docker daemon at {host}: {reason}\nIs the docker daemon running? \
         DOCKER_HOST or --host names another one."
    )]
    Unreachable {
        /// The socket or address that was tried.
        host: String,
        /// What the system or the engine said.
        reason: String,
    },
    /// The host cannot be understood.
    #[error("invalid host {host:?}: {reason}")]
    Host {
        /// As given.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine answered with an error of its own.
    #[error("the Docker daemon at {host} says: {message}")]
    Refused {
        /// The engine.
        host: String,
        /// Its words.
        message: String,
    },
}

/// The containers of the engine at `host`, as it sorts them: the newest first. Those that have
/// ended are included with `all`.
///
/// # Errors
/// If no engine answers at `host`, or it refuses.
pub async fn list(host: &str, all: bool) -> Result<Vec<ContainerSummary>, Error> {
    let asked = tokio::time::timeout(TIMEOUT, ask(host, all)).await;
    asked.unwrap_or_else(|_elapsed| {
        let reason = format!("no answer within {} s", TIMEOUT.as_secs());
        Err(Error::Unreachable {
            host: host.to_owned(),
            reason,
        })
    })
}

async fn ask(host: &str, all: bool) -> Result<Vec<ContainerSummary>, Error> {
    let explain = |error: bollard::errors::Error| explain(host, error);
    let docker = connect(host)?.negotiate_version().await.map_err(explain)?;
    let options = ListContainersOptions {
        all,
        ..ListContainersOptions::default()
    };
    docker.list_containers(Some(options)).await.map_err(explain)
}

/// Connecting does nothing yet: an engine that is not there shows at the first request. For a
/// Unix socket that is missing the check here gives the plainer reason.
fn connect(host: &str) -> Result<Docker, Error> {
    if let Some(path) = host.strip_prefix("unix://")
        && let Err(error) = std::fs::metadata(path)
    {
        return Err(Error::Unreachable {
            host: host.to_owned(),
            reason: error.to_string(),
        });
    }
    let scheme = host.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("unix" | "tcp" | "http")) {
        let reason = "it starts with unix:// or tcp://".to_owned();
        return Err(Error::Host {
            host: host.to_owned(),
            reason,
        });
    }
    Docker::connect_with_host(host).map_err(|error| explain(host, error))
}

fn explain(host: &str, error: bollard::errors::Error) -> Error {
    use bollard::errors::Error as Bollard;
    match error {
        Bollard::DockerResponseServerError { message, .. } => Error::Refused {
            host: host.to_owned(),
            message,
        },
        // The innermost cause says most: "Connection refused", "Permission denied".
        other => {
            let mut cause: &dyn std::error::Error = &other;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            Error::Unreachable {
                host: host.to_owned(),
                reason: cause.to_string(),
            }
        }
    }
}
