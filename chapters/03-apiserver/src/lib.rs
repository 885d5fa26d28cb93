//! Chapter 3: the Kubernetes API over the store.
//!
//! The one component that everyone speaks to, and the only one that opens the store. What it does
//! with a request is the same for every kind of object; what differs between kinds is data
//! ([`resources`]), or a pure function of the object ([`defaults`], [`validation`]):
//!
//! ```text
//!  kubectl ──TLS──▶ http ─▶ authn ─▶ authz ─▶ decode ─▶ defaults ─▶ admission ─▶ validation
//!                    ▲                        schema                                  │
//!                    │                        patch, apply                            ▼
//!                    └── table ◀── watch cache ◀───────── changes ────────────── etcd::Backend
//! ```
//!
//! A write is answered when the store's log is synced and the watch cache has it: who wrote it
//! reads it, and a right that was granted holds. Controllers do the rest by watching.
//!
//! | module | what it is | to read when |
//! | --- | --- | --- |
//! | [`resources`], [`status`] | the table of resources; errors | first |
//! | [`registry`] | objects in the store: create, update, delete, list, the watch cache | next |
//! | [`http`] | connections, paths, verbs, watches, streams to kubelets | next |
//! | [`authn`], [`authz`] | who asks; whether they may | a 401 or 403 puzzles |
//! | [`schema`], [`patch`], [`apply`] | types and fields; three patches; server-side apply | a body puzzles |
//! | [`admission`], [`defaults`], [`validation`], [`alloc`] | what is written for the client, and what is refused | a 422 puzzles |
//! | [`custom`], [`cel`] | kinds that clients define, and the language of their rules | `kubectl get crd` puzzles |
//! | [`discovery`], [`openapi`], [`table`] | what a client asks before and after | `kubectl` puzzles |
//! | [`trace`] | who asked for what, and whom it was told | `cargo xtask trace` draws it |
//! | [`flowcontrol`] | whose requests would go first | last |
//! | [`protobuf`] | the other form of a body | a client of upstream's puzzles |
//!
//! Its states are two: not ready until what every cluster has is there ([`registry::bootstrap`]),
//! then ready until shutdown, which ends watches first, so that clients go elsewhere.
//!
//! Left out: conversion and admission by webhooks (their configurations are served, and not
//! followed), Pod Security, aggregation of other API servers, audit, priority and fairness, bodies
//! in CBOR, `componentstatuses`, which has been deprecated since v1.19.
//!
//! Upstream: `cmd/kube-apiserver`, `staging/src/k8s.io/apiserver`.

pub mod admission;
pub mod alloc;
pub mod apply;
pub mod authn;
pub mod authz;
pub mod cel;
pub mod config;
pub mod custom;
pub mod defaults;
pub mod discovery;
pub mod flowcontrol;
pub mod http;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod registry;
pub mod resources;
pub mod schema;
pub mod selectors;
pub mod status;
pub mod table;
pub mod trace;
pub mod validation;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use component::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::http::{Api, backends, listen, metrics};
pub use config::Config;

/// Why the server cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket cannot be had.
    #[error("cannot listen on {what}: {source}")]
    Listen {
        /// Which.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A PEM file will not do.
    #[error("{path}: {reason}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The certificates do not fit.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A flag's value will not do.
    #[error("{0}")]
    Config(String),
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] etcd::Error),
    /// What has to be there cannot be made.
    #[error("cannot set up the cluster: {0}")]
    Bootstrap(#[from] status::ApiError),
}

impl Error {
    fn pem(path: &Path, reason: impl std::fmt::Display) -> Error {
        Error::Pem {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

/// The store: in this process, unless members of etcd are named.
fn store(config: &Config) -> Result<etcd::Backend, Error> {
    if config.etcd_servers.is_empty() {
        let Some(dir) = &config.data_dir else {
            return Err(Error::Config(
                "--data-dir or --etcd-servers is needed".to_owned(),
            ));
        };
        let store = etcd::Store::open(dir, etcd::Options::default())?;
        return Ok(etcd::Backend::Embedded(store));
    }
    let members = etcd::remote::Config {
        endpoints: config.etcd_servers.clone(),
        ca_file: config.etcd_cafile.clone(),
        cert_file: config.etcd_certfile.clone(),
        key_file: config.etcd_keyfile.clone(),
    };
    Ok(etcd::Backend::Remote(etcd::remote::Client::new(&members)?))
}

/// Serves until shutdown.
///
/// # Errors
/// If the server cannot start, or its store fails.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    // First of all: who comes early then waits in the sockets' queues, and is not refused.
    let listeners = listen::sockets(&config)?;
    let store = store(&config)?;
    // Before anything is served, so that a wrong file is told at once.
    let (tls, judge) = listen::tls(&config)?;
    let backends = backends::Backends::new(&config)?;
    let key = &config.service_account_signing_key_file;
    let pem = std::fs::read_to_string(key).map_err(|error| Error::pem(key, error))?;
    let tokens = authn::TokenAuthority::from_pem(&pem, &config.service_account_issuer)
        .map_err(|error| Error::pem(key, error))?;

    let api = Arc::new(Api {
        registry: registry::Registry::open(store, config).await?,
        tokens,
        backends,
        metrics: metrics::Metrics::default(),
        tap: trace::Tap::default(),
        bootstrapped: AtomicBool::new(false),
        shutdown: shutdown.clone(),
    });
    // A task, and not a part of this one: who waits for the cache then finds it moved on by the
    // thread that they wait on.
    let following = api.clone();
    let follower = AbortOnDropHandle::new(tokio::spawn(async move {
        let shutdown = following.shutdown.clone();
        following.registry.follow(&shutdown).await
    }));
    let follower = async {
        let ended = follower.await;
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    };
    let work = async {
        api.registry.bootstrap().await?;
        api.bootstrapped.store(true, Ordering::Release);
        tracing::info!("ready");
        // Those who came early wait in the sockets' queues: an answer from before the roles are
        // there would be a 403, after which clients back off for long.
        let serving = tokio::spawn(listen::accept(
            api.clone(),
            listeners,
            tls,
            judge,
            api.shutdown.clone(),
        ));
        let keepers = async {
            tokio::join!(
                api.registry.compact(&shutdown),
                api.registry.keep_published(&shutdown),
                api.registry.tend_definitions(&shutdown),
                api.registry.tend_api_services(&shutdown),
                api.registry.keep_service_cidr(&shutdown),
                api.registry.keep_aggregated(&shutdown)
            )
        };
        // A write waits until the cache has it, and at shutdown the cache follows no longer.
        tokio::select! {
            _ = keepers => {}
            () = shutdown.cancelled() => {}
        }
        // Whatever ended it, those who are served are told.
        api.shutdown.cancel();
        let _served = serving.await;
        Ok::<(), Error>(())
    };
    let ended = tokio::try_join!(follower, work).map(|_| ());
    api.shutdown.cancel();
    ended
}
