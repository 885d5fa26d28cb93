//! Chapter 5: pods become containers.
//!
//! A kubelet is the agent on each node. It is told, by a watch of the API, which pods are bound to
//! its node, and sees to it that their containers run; it says back how they are. It speaks to
//! the API server as any client does, and to whatever runs containers through one trait,
//! [`runtime::ContainerRuntime`], which the embedded sandbox, the Docker runtime and any CRI runtime implement.
//!
//! ```text
//!                 API server
//!    pods of this node │ ▲ status, events, lease          ▲ logs, exec, attach,
//!                      ▼ │                                │ port-forward
//!   ┌──────────────────────────────────────────────┐  ┌───┴────┐
//!   │ pods: one worker each                        │  │ server │
//!   │   look ─▶ decide ─▶ act ─▶ state the status  │  └───┬────┘
//!   │     │       │        ├─ volumes, images      │      │
//!   │     │   (pure core)  └─ probes, hooks        │      │
//!   └─────┼────────────────┬───────────────────────┘      │
//!         ▼                ▼                              ▼
//!   ┌──────────────────────────────────────────────────────────┐
//!   │ ContainerRuntime: sandboxes, containers, images, events  │
//!   └──────────────────────────────────────────────────────────┘
//! ```
//!
//! A pod goes through these phases, which [`decide::phase`] tells from what the runtime says:
//!
//! | phase | when |
//! | --- | --- |
//! | `Pending` | init containers are not done, or a container has not run yet |
//! | `Running` | a container runs, or will be started again |
//! | `Succeeded` | all ended with 0, and none is started again |
//! | `Failed` | one ended otherwise and is not started again, or the kubelet ended the pod |
//!
//! Where to read on: [`decide`] is the core, with stories in `tests/sync/*.txt`; `pods/worker.rs`
//! carries it out; `node` keeps the Node object; `volumes`, `images` and `server` are each on
//! their own; [`runtime`] is the seam, `runtime::sandbox`, `runtime::docker` and `runtime::cri` what is behind it;
//! [`cni`] is what gives the pods of a CRI runtime their network.
//!
//! Left out so far: volumes from storage plugins and block devices, `clusterTrustBundle`
//! projections (off by default upstream). A pod that asks for one of those volumes
//! gets an event that says so. Of admission: making room for critical pods by
//! ending others. Of resizes: resources of the pod as a whole. Of restart rules:
//! the action `RestartAllContainers`. Of lifecycles: `stopSignal`, which upstream's v1.36 has switched
//! off. Of security: the ranges of `/etc/subuid`, in place of which a pod's own users are taken from
//! all that the node has.
//!
//! Upstream: `pkg/kubelet` in kubernetes/kubernetes.

pub mod cni;
mod config;
mod context;
pub mod decide;
mod error;
mod events;
mod images;
mod metrics;
mod node;
mod objects;
mod pods;
mod retry;
pub mod runtime;
mod server;
mod stats;
mod volumes;

use std::net::IpAddr;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use config::{Config, CriFlags, DockerFlags, RuntimeKind};
pub use error::{Error, Result};

use context::Context;
use decide::dns::NodeDns;
use events::Recorder;
use node::{machine, status};
use objects::ObjectCache;
use runtime::ContainerRuntime;
use runtime::cri::{CriConfig, CriRuntime};
use runtime::docker::{DockerRuntime, DockerRuntimeConfig};
use runtime::handlers::{Handlers, Named};
use runtime::measured::Measured;
use runtime::sandbox::{NodeNetwork, SandboxRuntime, SandboxRuntimeConfig};

/// Runs the node agent, with the runtime that the flags name, until `shutdown`. Its pods go on
/// without it; the next kubelet of the node takes them up.
///
/// # Errors
/// When a flag or a file it names makes no sense, or the server's port is taken.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<()> {
    let runtime: Arc<dyn ContainerRuntime> = match config.cri.container_runtime_endpoint {
        Some(_) => Arc::new(cri_runtime(&config).await?),
        None => Arc::new(handlers(&config).await?),
    };
    run_with(config, runtime, shutdown).await
}

/// The node's own runtimes, which share its network.
async fn handlers(config: &Config) -> runtime::Result<Handlers> {
    let network = NodeNetwork::default();
    let usual = config.container_runtime;
    let mut runtimes: Vec<Named> = Vec::new();
    for kind in std::iter::once(&usual).chain(&config.runtime_handlers) {
        let name = kind.name().to_owned();
        if runtimes.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let network = network.clone();
        let runtime: Arc<dyn ContainerRuntime> = match kind {
            RuntimeKind::Sandbox => Arc::new(sandbox_runtime(config, network).await?),
            RuntimeKind::Docker => Arc::new(docker_runtime(config, network).await?),
        };
        runtimes.push((name, runtime));
    }
    let more = runtimes.split_off(1);
    let usual = runtimes.remove(0);
    Ok(Handlers::new(usual, more))
}

async fn sandbox_runtime(config: &Config, network: NodeNetwork) -> runtime::Result<SandboxRuntime> {
    let capacity = status::resources(&machine::capacity(&config.root_dir), config.max_pods);
    let reservation = config.reservation();
    SandboxRuntime::new(SandboxRuntimeConfig {
        root_dir: config.root_dir.clone(),
        image_store: config.image_store(),
        node_name: config.node_name(),
        image_proxy: config.image_proxy.clone(),
        helper: None,
        network,
        pods_limits: Some(reservation.for_pods(&capacity, machine::processes_max())),
    })
    .await
}

async fn cri_runtime(config: &Config) -> runtime::Result<CriRuntime> {
    let flags = &config.cri;
    CriRuntime::connect(CriConfig {
        endpoint: flags.container_runtime_endpoint.clone().unwrap_or_default(),
        root_dir: config.root_dir.clone(),
        image_store: config.image_store(),
        bring_pause: flags.bring_pause_image,
        cgroup_root: flags.cgroup_root.clone(),
    })
    .await
}

async fn docker_runtime(config: &Config, network: NodeNetwork) -> runtime::Result<DockerRuntime> {
    let flags = &config.docker;
    DockerRuntime::new(DockerRuntimeConfig {
        host: flags.docker_host.clone(),
        node_name: config.node_name(),
        node_container: flags.docker_node_container.clone(),
        labels: flags.docker_labels.clone(),
        pause_image: flags.pod_infra_container_image.clone(),
        root_dir: config.root_dir.clone(),
        network,
    })
    .await
}

/// Runs the node agent with any runtime.
///
/// # Errors
/// When a flag or a file it names makes no sense, or the server's port is taken.
pub async fn run_with(
    config: Config,
    runtime: Arc<dyn ContainerRuntime>,
    shutdown: CancellationToken,
) -> Result<()> {
    let node_name = config.node_name();
    tracing::info!(node = node_name, "kubelet starts");
    std::fs::create_dir_all(&config.root_dir).map_err(Error::file(&config.root_dir))?;
    // Malformed flags are told before anything is done.
    status::labels(&config, &node_name)?;
    config.image_gc().validate().map_err(Error::Config)?;
    config.eviction().validate().map_err(Error::Config)?;
    let capacity = status::resources(&machine::capacity(&config.root_dir), config.max_pods);
    let allocatable = config.reservation().allocatable(&capacity);
    let allocatable = allocatable.map_err(Error::Config)?;

    let (client, api_server) = connect(&config).await?;
    let node_ips = node_ips(&config, &api_server)?;
    let metrics = Arc::new(metrics::Metrics::default());
    let runtime = Arc::new(Measured::new(runtime, metrics.clone()));
    let (network_sender, network_ready) = watch::channel(false);
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), &node_name),
        objects: Arc::new(ObjectCache::new(client.clone())),
        dns: NodeDns {
            cluster_dns: config.cluster_dns.clone(),
            cluster_domain: config.cluster_domain.clone(),
            host_resolv_conf: read("/etc/resolv.conf"),
            host_hosts: read("/etc/hosts"),
            node_name: node_name.clone(),
        },
        allocatable,
        users: pods::users::UserRanges::default(),
        ledger: pods::ledger::Ledger::default(),
        stats: stats::Memory::default(),
        metrics,
        images: tokio::sync::Mutex::default(),
        monitor: std::sync::Mutex::default(),
        loop_entered: std::sync::Mutex::default(),
        services: watch_services(client.clone()),
        node_name,
        node_ips,
        runtime,
        client,
        network_ready,
        config,
    });

    let known = pods::KnownPods::default();
    let server = server::Server::bind(context.clone(), known.clone()).await?;
    tokio::spawn(server.serve(shutdown.clone()));
    tokio::spawn(node::image_gc::run(context.clone(), shutdown.clone()));
    tokio::spawn(node::run(context.clone(), network_sender, shutdown.clone()));
    pods::run(context, known, shutdown).await;
    Ok(())
}

/// A client by the kubeconfig, and the API server's `host:port`.
async fn connect(config: &Config) -> Result<(kube::Client, String)> {
    let malformed = |error: api_client::Error| Error::Config(error.to_string());
    let client_config = api_client::config(Some(&config.kubeconfig), "kubelet/v1.36").await;
    let client_config = client_config.map_err(malformed)?;
    let url = client_config.cluster_url.clone();
    let server = format!(
        "{}:{}",
        url.host().unwrap_or_default(),
        url.port_u16().unwrap_or(443)
    );
    let client = api_client::client(client_config).map_err(malformed)?;
    Ok((client, server))
}

fn node_ips(config: &Config, api_server: &str) -> Result<Vec<IpAddr>> {
    if let Some(ip) = config.node_ip {
        return Ok(vec![ip]);
    }
    let ip = machine::address_towards(api_server).ok_or_else(|| {
        Error::Config(format!(
            "no route to {api_server}: give the node's address with --node-ip"
        ))
    })?;
    Ok(vec![ip])
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Keeps all services, for the environment of containers.
fn watch_services(client: kube::Client) -> watch::Receiver<Option<Arc<Vec<Service>>>> {
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let api: Api<Service> = Api::all(client);
        let mut events = std::pin::pin!(retry::watch(api, watcher::Config::default()));
        let mut services: Vec<Service> = Vec::new();
        let mut listed: Vec<Service> = Vec::new();
        while let Some(event) = events.next().await {
            let name = |service: &Service| {
                (
                    service.metadata.namespace.clone(),
                    service.metadata.name.clone(),
                )
            };
            match event {
                Event::Init => listed.clear(),
                Event::InitApply(service) => {
                    listed.push(slim(service));
                    continue;
                }
                Event::InitDone => services = std::mem::take(&mut listed),
                Event::Apply(service) => {
                    services.retain(|known| name(known) != name(&service));
                    services.push(slim(service));
                }
                Event::Delete(service) => services.retain(|known| name(known) != name(&service)),
            }
            sender.send_replace(Some(Arc::new(services.clone())));
        }
    });
    receiver
}

/// A service without what nobody here reads.
fn slim(mut service: Service) -> Service {
    service.metadata.managed_fields = None;
    service.metadata.annotations = None;
    service.status = None;
    service
}
