//! Chapter 5: pods become containers.
mod config;
pub mod decide;
mod error;
pub mod runtime;

pub use config::Config;
pub use error::{Error, Result};

use tokio_util::sync::CancellationToken;

/// Runs the node agent until `shutdown`.
///
/// # Errors
/// When a flag or a file it names makes no sense, or the server's port is taken.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<()> {
    tracing::info!(node = config.node_name(), "kubelet starts");
    shutdown.cancelled().await;
    Ok(())
}
