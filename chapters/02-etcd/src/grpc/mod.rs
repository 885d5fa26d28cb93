//! The server: etcd's v3 gRPC API over the store, so that `etcdctl` and etcd's own clients work.
//!
//! Each service maps its messages to the store's types and back ([`convert`]); what there is to
//! say is said by the store. The header of every answer carries the store's revision.
//!
//! Left out: TLS, users and roles, snapshots, hashes, defragmentation, and whatever else needs
//! more members than one. A client is told that these are unimplemented. One thing a client may
//! stumble over: `etcdctl endpoint status` of version 3.4 takes an endpoint given as a URL for the
//! host's name, which etcd lets pass and the HTTP library here does not; give `ADDRESS:PORT`.

mod calls;
mod convert;
mod encode;
mod keep_alive;
mod kv;
mod lease;
mod maintenance;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use component::CancellationToken;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use calls::Calls;

use crate::api::Revision;
use crate::store::{Options, Store};

/// The messages and services of `proto/`.
pub mod pb {
    #![allow(missing_docs, clippy::all)]

    /// `proto/kv.proto`
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }

    /// `proto/rpc.proto`
    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }
}

/// The version of etcd whose API this is; clients decide by it what they may ask for.
pub const API_VERSION: &str = "3.5.21";

/// The ids of a cluster of one.
const CLUSTER_ID: u64 = 1;
const MEMBER_ID: u64 = 1;
const RAFT_TERM: u64 = 1;

/// How long to wait when no connection could be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the server runs; the flags are etcd's.
#[derive(clap::Args, Debug, Clone)]
pub struct Config {
    /// Where the store is kept.
    #[arg(long, default_value = "default.etcd")]
    pub data_dir: PathBuf,
    /// Where clients are listened for: `http://ADDRESS:PORT` or `unix://PATH`.
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:2379")]
    pub listen_client_urls: Vec<String>,
    /// What `member list` says; where clients are listened for, if not given.
    #[arg(long, value_delimiter = ',')]
    pub advertise_client_urls: Vec<String>,
    /// The member's name.
    #[arg(long, default_value = "default")]
    pub name: String,
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] crate::api::Error),
    /// A URL that is not of a kind that can be listened at.
    #[error("cannot listen at {0:?}: expected http://ADDRESS:PORT or unix://PATH")]
    Url(String),
    /// An address that cannot be listened at.
    #[error("cannot listen at {url}: {source}")]
    Listen {
        /// The address.
        url: String,
        /// Why.
        source: std::io::Error,
    },
}

/// What every service has.
#[derive(Clone)]
struct Server {
    store: Store,
    config: Config,
}

impl Server {
    fn header(&self) -> Option<pb::etcdserverpb::ResponseHeader> {
        header_at(self.store.revision())
    }
}

fn header_at(revision: Revision) -> Option<pb::etcdserverpb::ResponseHeader> {
    Some(pb::etcdserverpb::ResponseHeader {
        cluster_id: CLUSTER_ID,
        member_id: MEMBER_ID,
        revision,
        raft_term: RAFT_TERM,
    })
}

/// Opens the store and serves it until `shutdown`.
///
/// # Errors
///
/// If the store cannot be opened or an address not be listened at.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let store = Store::open(&config.data_dir, Options::default())?;
    let server = Server {
        store,
        config: config.clone(),
    };
    let calls = Calls {
        routes: routes(&server),
        server,
    };
    // Dropping this ends its tasks, and with them the connections: an open watch must not hold
    // up the exit.
    let mut serving = JoinSet::new();
    for url in &config.listen_client_urls {
        let failed = |source| Error::Listen {
            url: url.clone(),
            source,
        };
        let calls = calls.clone();
        if let Some(path) = url.strip_prefix("unix://") {
            let listener = UnixListener::bind(path).map_err(failed)?;
            serving.spawn(accept(calls, async move || Ok(listener.accept().await?.0)));
        } else if let Some(address) = url.strip_prefix("http://") {
            let listener = TcpListener::bind(address.trim_end_matches('/'))
                .await
                .map_err(failed)?;
            let local: SocketAddr = listener.local_addr().map_err(failed)?;
            tracing::info!(url = %format!("http://{local}"), "listening");
            serving.spawn(accept(calls, async move || {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok(socket)
            }));
        } else {
            return Err(Error::Url(url.clone()));
        }
    }
    shutdown.cancelled().await;
    Ok(())
}

/// Serves connections as they come.
async fn accept<IO>(calls: Calls, mut next: impl AsyncFnMut() -> io::Result<IO>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            socket = next() => match socket {
                Ok(socket) => {
                    connections.spawn(::grpc::serve(socket, calls.clone()));
                }
                // Out of descriptors, or one that went before it was taken: the next may do.
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

fn routes(server: &Server) -> Routes {
    use pb::etcdserverpb as rpc;
    const GZIP: CompressionEncoding = CompressionEncoding::Gzip;
    let mut routes = Routes::builder();
    routes
        .add_service(rpc::kv_server::KvServer::new(server.clone()).accept_compressed(GZIP))
        .add_service(rpc::lease_server::LeaseServer::new(server.clone()).accept_compressed(GZIP))
        .add_service(
            rpc::cluster_server::ClusterServer::new(server.clone()).accept_compressed(GZIP),
        )
        .add_service(
            rpc::maintenance_server::MaintenanceServer::new(server.clone()).accept_compressed(GZIP),
        );
    routes.routes().prepare()
}
