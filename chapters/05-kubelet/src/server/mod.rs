//! The kubelet's own server: logs, exec, attach, port-forward.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::pods::KnownPods;
use crate::{Error, Result};

/// A bound server.
pub struct Server {
    listener: tokio::net::TcpListener,
    _context: Arc<Context>,
    _known: KnownPods,
}

impl Server {
    /// Takes the port.
    pub async fn bind(context: Arc<Context>, known: KnownPods) -> Result<Server> {
        let address = context.config.listen_address();
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|source| Error::Listen { address, source })?;
        Ok(Server {
            listener,
            _context: context,
            _known: known,
        })
    }

    /// Serves.
    pub async fn serve(self, shutdown: CancellationToken) {
        shutdown.cancelled().await;
        drop(self.listener);
    }
}
