//! Chapter 8: loops that make what is into what was asked for.
//!
//! Every controller here has the same shape. Informers (chapter 7) keep a copy of what it reads
//! and put a key into its queue whenever something that concerns the key changed. A worker takes
//! the key, looks at everything anew, decides, and writes. It never acts on the event itself: an
//! event may be missed or merged, but the state is always there to be looked at.
//!
//! ```text
//!   informers ──key──► WorkQueue ──► reconcile(key): read stores ─► plan (pure) ─► write API
//!       ▲                                                                            │
//!       └──────────────────────────── the write comes back as an event ◄─────────────┘
//! ```
//!
//! | module | keeps true | upstream, `pkg/controller/…` |
//! | --- | --- | --- |
//! | [`deployment`] | the pods run the template, moved over at a safe pace | `deployment` |
//! | [`replica_set`] | so many pods alike | `replicaset`, `replication` |
//! | [`job`] | work is done to its end, once | `job`, `ttlafterfinished` |
//! | [`cron_job`] | Jobs start by the clock | `cronjob` |
//! | [`disruption`] | how many pods may be evicted is known | `disruption` |
//! | [`endpoint_slice`] | a Service knows its pods | `endpointslice`, `endpoint` |
//! | [`namespace`] | a deleted namespace becomes empty, then goes | `namespace` |
//! | [`garbage`] | what is owned goes with its owner | `garbagecollector` |
//! | [`service_account`] | each namespace has an account and the CA | `serviceaccount`, `certificates/rootcacertpublisher` |
//! | [`token_secret`] | a Secret that asks for an account's token has it | `serviceaccount/tokens_controller.go` |
//! | [`node_ipam`] | each node has a range of pod addresses | `nodeipam` |
//! | [`node_lifecycle`] | silent nodes are known, and their pods move | `nodelifecycle`, `tainteviction` |
//! | [`pod_gc`] | pods of nodes that are gone go too | `podgc` |
//! | [`resource_quota`] | what is used of each quota is known | `resourcequota` |
//! | [`persistent_volume`] | claims have volumes, and what is in use stays | `volume/persistentvolume`, `volume/pv*protection` |
//!
//! Read [`replica_set`] first, then [`deployment`]. Left out so far: DaemonSets,
//! StatefulSets and autoscaling.

pub mod config;
pub mod context;
pub mod cron_job;
pub mod deployment;
pub mod discovery;
pub mod disruption;
pub mod endpoint_slice;
pub mod error;
pub mod garbage;
pub mod job;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod owners;
pub mod persistent_volume;
pub mod pod_control;
pub mod pod_gc;
pub mod pods;
pub mod recorder;
pub mod replica_set;
pub mod resource_quota;
pub mod service_account;
pub mod token_secret;

use std::path::Path;

use informers::leader_election::LeaderElector;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use kube::{Api, Client};
use token_key::TokenKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::Config;
pub use error::Error;

use context::{Context, SharedInformers};
use recorder::Recorder;

/// Name of the lease that one copy of the controllers holds.
const LEASE: &str = "kube-controller-manager";

/// Runs all controllers until `shutdown`.
///
/// # Errors
/// If a flag or file is wrong, or the lease was lost: another copy leads then, and this one must
/// not go on.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let client = connect(&config).await?;
    let cluster_cidr: node_ipam::ClusterCidr = config.cluster_cidr.parse()?;
    let root_ca = read("root-ca-file", config.root_ca_file.as_deref())?;
    let token_key = token_key(config.service_account_private_key_file.as_deref())?;
    let leading = if config.leader_elect {
        let api = Api::namespaced(client.clone(), "kube-system");
        let elector = LeaderElector::new(api, LEASE, &identity());
        match elector.lead(&shutdown).await {
            None => return Ok(()),
            Some(leading) => leading,
        }
    } else {
        shutdown.clone()
    };

    let mut informers = SharedInformers::default();
    let deployment = deployment::register(&mut informers);
    let replica_set = replica_set::register::<ReplicaSet>(&mut informers);
    let replication = replica_set::register::<ReplicationController>(&mut informers);
    let job = job::register(&mut informers);
    let cron_job = cron_job::register(&mut informers);
    let disruption = disruption::register(&mut informers);
    let endpoint_slice = endpoint_slice::register(&mut informers);
    let namespace = namespace::register(&mut informers);
    let token_secret =
        token_key.map(|key| token_secret::register(&mut informers, key, root_ca.clone()));
    let service_account = service_account::register(&mut informers, root_ca);
    let node_ipam = node_ipam::register(&mut informers, cluster_cidr);
    let node_lifecycle = node_lifecycle::register(
        &mut informers,
        config.node_monitor_grace_period,
        config.node_monitor_period,
    );
    let taint_eviction = node_lifecycle::taint_eviction::register(&mut informers);
    let pod_gc = pod_gc::register(&mut informers);
    let persistent_volume = persistent_volume::register(&mut informers);
    let resource_quota = resource_quota::register(&mut informers);
    let protection = persistent_volume::protection::register(&mut informers);

    let (recorder, write_events) = Recorder::new(client.clone());
    let context = Context {
        client,
        stores: informers.stores(),
        recorder,
        shutdown: leading.clone(),
        tasks: TaskTracker::new(),
    };
    tokio::spawn(write_events);
    // No controller decides before the copies are whole: half a list looks like missing pods.
    let synced = informers.start(&context, config.informers);
    if leading.run_until_cancelled(synced).await.is_some() {
        tracing::info!("the informers are synced");
        deployment(&context);
        replica_set(&context);
        replication(&context);
        job(&context);
        cron_job(&context);
        disruption(&context);
        endpoint_slice(&context);
        namespace(&context);
        service_account(&context);
        if let Some(token_secret) = token_secret {
            token_secret(&context);
        }
        node_ipam(&context);
        node_lifecycle(&context);
        taint_eviction(&context);
        pod_gc(&context);
        persistent_volume(&context);
        protection(&context);
        resource_quota(&context);
        garbage::start(&context);
        leading.cancelled().await;
    }
    context.tasks.close();
    context.tasks.wait().await;
    if shutdown.is_cancelled() {
        Ok(())
    } else {
        Err(Error::Config("the lease was lost to another copy".into()))
    }
}

/// The text of the file that a flag names, if it names one.
fn read(flag: &str, path: Option<&Path>) -> Result<Option<String>, Error> {
    let text = path.map(|path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| Error::Config(format!("--{flag} {}: {error}", path.display())))
    });
    text.transpose()
}

/// The key that signs tokens, if a flag names its file.
fn token_key(path: Option<&Path>) -> Result<Option<TokenKey>, Error> {
    let flag = "service-account-private-key-file";
    let key = read(flag, path)?.map(|pem| {
        TokenKey::from_pem(&pem).map_err(|why| Error::Config(format!("--{flag}: {why}")))
    });
    key.transpose()
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let explain = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
    let agent = "kube-controller-manager/v1.36";
    let config = match &config.kubeconfig {
        Some(path) => {
            let config = api_client::config(Some(path), agent).await;
            config.map_err(|error| explain(&error))?
        }
        None => {
            let config = kube::Config::infer().await;
            api_client::named(config.map_err(|error| explain(&error))?, agent)
        }
    };
    api_client::client(config).map_err(|error| explain(&error))
}

/// Tells this copy from others in the lease: host and process.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), std::process::id())
}
