//! The load: clients in closed loops, that share connections.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use measure::Measured;
use tonic::transport::Channel;

use crate::server::Server;

/// The client of the service `KV`.
pub type KvClient = etcd::grpc::pb::etcdserverpb::kv_client::KvClient<Channel>;

/// Runs `clients` loops of `operation` for `time`. Clients share connections, at most
/// `connections`.
///
/// # Errors
/// The first error of an operation.
pub async fn run<F, R>(
    server: &Server,
    clients: usize,
    connections: usize,
    time: Duration,
    operation: F,
) -> Result<Measured>
where
    F: Fn(usize, u64, Channel) -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    let mut channels = Vec::new();
    for _ in 0..clients.min(connections) {
        channels.push(server.connect().await?);
    }
    measure::run(|| server.cpu(), &channels, clients, time, operation).await
}
