//! The server: etcd's v3 gRPC API over the store, so that `etcdctl` and etcd's own clients work.
//!
//! Each service maps its messages to the store's types and back (`convert`); what there is to
//! say is said by the store. The header of every answer carries the store's revision.
//!
//! One port serves gRPC and, over HTTP/1, the pages for those who look after the server and the
//! calls as JSON (`listen`, `pages`, `gateway`); TLS goes around both. The flags are etcd's
//! ([`Config`]); those without meaning here are taken all the same ([`flags`]).
//!
//! Left out: users and roles, and whatever needs more members than one. A client is told that
//! these are unimplemented. Of HTTP/1: `/debug/vars` and
//! `/debug/pprof`, which are Go's. Of TLS: certificates that the server makes itself
//! (`--auto-tls`) and the choice of cipher suites.

mod auth;
mod calls;
mod checks;
mod cluster;
mod compactor;
mod config;
pub(crate) mod convert;
mod encode;
pub mod flags;
mod gateway;
mod hash;
mod health;
mod keep_alive;
mod kv;
mod lease;
mod listen;
mod maintenance;
mod metrics;
mod pages;
mod tls;
mod unknown;
mod watch;

use std::sync::Arc;

use component::CancellationToken;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;

use calls::Calls;
use checks::Condition;
pub use config::Config;
use gateway::Gateway;
use listen::Offer;
use metrics::Metrics;
use pages::Pages;

use crate::api::Revision;
use crate::store::{Options, Store};

/// The messages and services of `proto/`.
pub mod pb {
    #![allow(missing_docs, clippy::all)]

    /// The descriptors of all of them, and of reflection.
    pub const DESCRIPTORS: [&[u8]; 3] = [
        include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")),
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];

    /// `proto/auth.proto`
    pub mod authpb {
        tonic::include_proto!("authpb");
    }

    /// `proto/health.proto`
    pub mod health {
        tonic::include_proto!("grpc.health.v1");
    }

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

/// The version that all members of the cluster have at least.
const CLUSTER_VERSION: &str = "3.5.0";

/// The ids of a cluster of one.
const CLUSTER_ID: u64 = 1;
const MEMBER_ID: u64 = 1;
const RAFT_TERM: u64 = 1;

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] crate::api::Error),
    /// A URL that is not of a kind that can be listened at.
    #[error(
        "cannot listen at {0:?}: expected http://ADDRESS:PORT, https://ADDRESS:PORT or unix://PATH"
    )]
    Url(String),
    /// A URL with TLS, and no certificate for it.
    #[error("cannot listen at {0:?}: --cert-file and --key-file are needed")]
    NoCertificate(String),
    /// A file of certificates that will not do, or none where one is needed.
    #[error("TLS: {0}")]
    Tls(String),
    /// More members than one.
    #[error("--initial-cluster names {0} members, and this server is a cluster of one")]
    Members(usize),
    /// A flag's value that makes no sense.
    #[error("{0}")]
    Flag(String),
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
    config: Arc<Config>,
    metrics: Arc<Metrics>,
}

impl Server {
    fn header(&self) -> Option<pb::etcdserverpb::ResponseHeader> {
        header_at(self.store.revision())
    }

    /// How the server is.
    fn condition(&self) -> Condition {
        Condition {
            alarms: self
                .store
                .alarms()
                .into_iter()
                .map(maintenance::alarm_name)
                .collect(),
            failure: self.store.failure(),
        }
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
    if config.members() > 1 {
        return Err(Error::Members(config.members()));
    }
    if !config.without_meaning.0.is_empty() {
        tracing::debug!(flags = ?config.without_meaning.0, "flags without meaning here");
    }
    let retention = compactor::retention(
        &config.auto_compaction_mode,
        &config.auto_compaction_retention,
    );
    let retention = retention.map_err(Error::Flag)?;
    let tls = tls::acceptor(&config)?;
    let data_dir = config.data_dir();
    let options = Options {
        quota_bytes: Some(config.quota_backend_bytes),
        ..Options::default()
    };
    let store = Store::open(&data_dir, options)?;
    tracing::info!(data_dir = %data_dir.display(), revision = store.revision(), "store opened");
    let config = Arc::new(config);
    let server = Server {
        store,
        config: config.clone(),
        metrics: Arc::new(Metrics::new(&pb::DESCRIPTORS)),
    };
    let calls = Calls::new(server.clone(), routes(&server));
    let gateway = config
        .enable_grpc_gateway
        .then(|| Gateway::new(calls.clone()));
    let pages = |all| {
        Arc::new(Pages {
            server: server.clone(),
            gateway: gateway.clone().filter(|_| all),
            all,
        })
    };
    let http_elsewhere = !config.listen_client_http_urls.is_empty();
    let for_clients = Offer {
        calls: Some(calls),
        pages: (!http_elsewhere).then(|| pages(true)),
    };
    let for_http = Offer {
        calls: None,
        pages: Some(pages(true)),
    };
    let for_metrics = Offer {
        calls: None,
        pages: Some(pages(false)),
    };
    // Dropping this ends its tasks, and with them the connections: an open watch must not hold
    // up the exit.
    let mut serving = JoinSet::new();
    for (urls, offer) in [
        (&config.listen_client_urls, for_clients),
        (&config.listen_client_http_urls, for_http),
        (&config.listen_metrics_urls, for_metrics),
    ] {
        for url in urls {
            listen::listen(url, tls.as_ref(), offer.clone(), &mut serving).await?;
        }
    }
    if let Some(retention) = retention {
        serving.spawn(compactor::run(server.store, retention));
    }
    shutdown.cancelled().await;
    tracing::info!("stopping");
    Ok(())
}

const WHOLE: &str = "the compiler wrote the descriptors";

/// What tells clients which services there are, and their messages.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure().include_reflection_service(false);
    pb::DESCRIPTORS.iter().fold(builder, |builder, set| {
        builder.register_encoded_file_descriptor_set(set)
    })
}

fn routes(server: &Server) -> Routes {
    use pb::etcdserverpb as rpc;
    const GZIP: CompressionEncoding = CompressionEncoding::Gzip;
    let mut routes = Routes::builder();
    routes
        .add_service(rpc::kv_server::KvServer::new(server.clone()).accept_compressed(GZIP))
        .add_service(rpc::lease_server::LeaseServer::new(server.clone()).accept_compressed(GZIP))
        .add_service(rpc::auth_server::AuthServer::new(server.clone()).accept_compressed(GZIP))
        .add_service(
            rpc::cluster_server::ClusterServer::new(server.clone()).accept_compressed(GZIP),
        )
        .add_service(
            rpc::maintenance_server::MaintenanceServer::new(server.clone()).accept_compressed(GZIP),
        )
        .add_service(pb::health::health_server::HealthServer::new(server.clone()))
        .add_service(reflection().build_v1().expect(WHOLE))
        .add_service(reflection().build_v1alpha().expect(WHOLE));
    routes.routes().prepare()
}
