//! What can go wrong, named by what the kubelet does about it.

use std::path::PathBuf;

use crate::runtime::RuntimeError;

/// An error of the kubelet.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or a file it names makes no sense: the kubelet does not start.
    #[error("{0}")]
    Config(String),
    /// A file of the node cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The API server said no, or did not answer.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The container runtime said no.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The port of the kubelet's server cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// For `map_err`: an IO error with the path it is about.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { path, source }
    }

    /// Whether the API server says that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Api(kube::Error::Api(status)) if status.code == 404)
    }
}

/// Result of the kubelet's own functions.
pub type Result<T> = std::result::Result<T, Error>;
