//! What a runtime can fail at.

/// An error of the runtime, named by what the kubelet does about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The sandbox, container or image is not known (any more).
    #[error("{0} not found")]
    NotFound(String),
    /// The image reference cannot be parsed: reason `InvalidImageName`.
    #[error("{0}")]
    InvalidImage(String),
    /// The image cannot be had: reason `ErrImagePull`, then back-off.
    #[error("{0}")]
    Pull(String),
    /// The container cannot be made from its config: reason `CreateContainerError`.
    #[error("{0}")]
    Create(String),
    /// The container's process cannot be started: reason `StartError`, exit code 128 (or
    /// `ContainerCannotRun` with 127 when the program does not exist).
    #[error("{0}")]
    Start(String),
    /// Anything else; the kubelet tries again with back-off.
    #[error("{0}")]
    Other(String),
}

/// Result of a call to the runtime.
pub type Result<T> = std::result::Result<T, RuntimeError>;
