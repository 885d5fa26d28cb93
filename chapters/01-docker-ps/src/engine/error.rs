//! Why there is no list, in words that say what to do.

use std::io::ErrorKind;
use std::time::Duration;

use bollard::errors::Error as Bollard;

/// Why there is no list. Each `host` is the socket or address that was tried.
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
        /// What the system says.
        reason: String,
    },
    /// The socket is there and closed to this user: join its group.
    #[error(
        "permission denied on the socket of the Docker daemon at {host}\nIts group may open it: \
         `sudo usermod -aG docker $USER`, then log in anew; or run this command with sudo."
    )]
    Denied {
        /// The socket or address that was tried.
        host: String,
    },
    /// Somebody answers there, and it is no Docker engine: name another.
    #[error("what answers at {host} is not a Docker daemon: {reason}")]
    NotDocker {
        /// The socket or address that was tried.
        host: String,
        /// What it said.
        reason: String,
    },
    /// An engine of before 2020: update it.
    #[error("the Docker daemon at {host} speaks API {version} only; 1.41 is needed (Docker 20.10)")]
    TooOld {
        /// The socket or address that was tried.
        host: String,
        /// The newest API that it speaks.
        version: String,
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
    #[error("Error response from daemon: {message}")]
    Refused {
        /// The engine's own words.
        message: String,
    },
    /// A name belongs to a container that is not ours to touch: choose another.
    #[error("it is that of a container that is not ours")]
    NotOurs,
    /// It answered, and then no more: try again.
    #[error("the Docker daemon at {host} went away before it had answered: {reason}")]
    Gone {
        /// The socket or address that was tried.
        host: String,
        /// What the connection says.
        reason: String,
    },
}

impl Error {
    /// What went wrong at the first request, which is also when the connection is made.
    pub(super) fn connecting(host: &str, error: &Bollard) -> Error {
        let host = host.to_owned();
        let reason = innermost(error).to_string();
        let is_denied = |io: &std::io::Error| io.kind() == ErrorKind::PermissionDenied;
        match error {
            Bollard::SocketNotFoundError(_) => Error::Unreachable {
                host,
                reason: "there is no such socket".into(),
            },
            _ if io_cause(error).is_some_and(is_denied) => Error::Denied { host },
            _ if io_cause(error).is_some() => Error::Unreachable { host, reason },
            // Such as 400, and that it speaks TLS only.
            Bollard::DockerResponseServerError {
                status_code,
                message,
            } => Error::NotDocker {
                host,
                reason: format!(
                    "it answers GET /version with {status_code} {}",
                    message.trim()
                ),
            },
            Bollard::JsonDataError { .. } | Bollard::APIVersionParseError {} => Error::NotDocker {
                host,
                reason: "it answers GET /version with something else".into(),
            },
            _ if is_hyper(error) => Error::NotDocker { host, reason },
            _ => Error::Unreachable { host, reason },
        }
    }

    /// It did not answer in time.
    pub(super) fn silent(host: &str, timeout: Duration) -> Error {
        Error::Unreachable {
            host: host.to_owned(),
            reason: format!("no answer within {} s", timeout.as_secs()),
        }
    }

    /// What went wrong at a later request.
    pub(crate) fn asking(host: &str, error: &Bollard) -> Error {
        match error {
            Bollard::DockerResponseServerError { message, .. } => Error::Refused {
                message: message.clone(),
            },
            other => Error::Gone {
                host: host.to_owned(),
                reason: innermost(other).to_string(),
            },
        }
    }
}

/// The innermost cause says most: "Connection refused", "invalid HTTP version parsed".
fn innermost(error: &Bollard) -> &dyn std::error::Error {
    causes(error)
        .last()
        .expect("an error is its own first cause")
}

fn io_cause(error: &Bollard) -> Option<&std::io::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Whether HTTP itself failed, after there was a connection.
fn is_hyper(error: &Bollard) -> bool {
    causes(error).any(|cause| cause.to_string().contains("invalid HTTP"))
}

fn causes(error: &Bollard) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source())
}
