//! Cluster DNS: names for Services and pods, served by pods of the cluster itself.
//!
//! | name (under `cluster.local`) | type | answer |
//! | --- | --- | --- |
//! | `SERVICE.NAMESPACE.svc` | A | the cluster IP; of a headless Service its ready endpoints |
//! | `SERVICE.NAMESPACE.svc`, type ExternalName | CNAME | the external name |
//! | `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc` | SRV | the port's number and the name behind it |
//! | `HOSTNAME.SERVICE.NAMESPACE.svc` | A | one endpoint, by hostname or dashed address |
//! | `10-244-1-5.NAMESPACE.pod` | A | the address in the name |
//! | `dns-version` | TXT | the version of the specification: 1.1.0 |
//! | `10.0.96.10.in-addr.arpa` and such | PTR | the Service or endpoint at the address |
//!
//! ```text
//!  Services, EndpointSlices, Namespaces ─▶ Zone ─┐
//!                                       query ───┴▶ answer()  ─▶ reply at once
//!                                                      └▶ Forward: not ours, ask upstream
//! ```
//!
//! [`zone`] and [`answer`] (with `lookup`) are the core and know no sockets; [`server`], [`forward`] and
//! [`health`] are the shell.
//!
//! A pod finds us through the `kube-dns` Service: the kubelet writes its address and the search
//! path `NAMESPACE.svc.cluster.local svc.cluster.local cluster.local` into `/etc/resolv.conf`.
//! With `ndots:5` a program's `web` is tried as `web.NAMESPACE.svc.cluster.local` first, and
//! `example.com` is asked for three times within the cluster before it is asked as it is: that a
//! wrong name is answered at once, and as NXDOMAIN, is half of what makes names fast.
//!
//! Specification: `kubernetes/dns`, `docs/specification.md`, version 1.1. Upstream runs CoreDNS
//! (`plugin/kubernetes`, `plugin/forward`). Left out: IPv6 (AAAA is answered with "no such data"),
//! DNSSEC, zone transfers, a cache for forwarded names.

pub mod answer;
pub mod forward;
pub mod health;
mod lookup;
pub mod server;
pub mod zone;

use std::net::SocketAddr;
use std::path::PathBuf;

use component::CancellationToken;
use futures::stream::{BoxStream, select_all};
use futures::{FutureExt, StreamExt};

use crate::Error;
use crate::model::{Namespace, Service, Slice};
use crate::watch::{Change, Collection, changes};
use zone::Zone;

/// Flags of the DNS server.
#[derive(Debug, Clone, clap::Args)]
pub struct DnsConfig {
    /// File with the address of the API server and the credentials; in a pod, its service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Domain of the cluster's own names
    #[arg(long, default_value = "cluster.local", value_name = "NAME")]
    pub cluster_domain: String,
    /// Where to take queries, over UDP and TCP
    #[arg(long, default_value = "0.0.0.0:53", value_name = "ADDRESS")]
    pub bind_address: SocketAddr,
    /// Where to answer `GET /health`: whether the process lives
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub health_bind_address: SocketAddr,
    /// Where to answer `GET /ready`: whether all names are known
    #[arg(long, default_value = "0.0.0.0:8181", value_name = "ADDRESS")]
    pub ready_bind_address: SocketAddr,
    /// File that names the servers to ask about all other names
    #[arg(long, default_value = "/etc/resolv.conf", value_name = "FILE")]
    pub resolv_conf: PathBuf,
}

/// The objects that [`run`] needs in a cluster, in the order in which to create them: service
/// account, role, binding, Deployment and Service `kube-dns` in `kube-system`.
///
/// # Panics
/// Never: a test reads the same file.
pub fn manifests() -> Vec<serde_json::Value> {
    let parse = |text| serde_saphyr::from_str(text).expect("the manifest is valid YAML");
    MANIFESTS.split("\n---\n").map(parse).collect()
}

/// The same as YAML, for `kubectl apply -f`.
pub const MANIFESTS: &str = include_str!("../../manifests/kube-dns.yaml");

/// A change of anything that the names depend on.
enum Event {
    Service(Change<Service>),
    Slice(Change<Slice>),
    Namespace(Change<Namespace>),
}

#[derive(Default)]
struct World {
    services: Collection<Service>,
    slices: Collection<Slice>,
    namespaces: Collection<Namespace>,
}

impl World {
    fn step(&mut self, event: Event) -> bool {
        match event {
            Event::Service(change) => self.services.step(change),
            Event::Slice(change) => self.slices.step(change),
            Event::Namespace(change) => self.namespaces.step(change),
        }
    }

    fn synced(&self) -> bool {
        self.services.synced() && self.slices.synced() && self.namespaces.synced()
    }
}

/// Serves DNS until `shutdown`.
///
/// # Errors
/// When an address cannot be listened on, or there is no way to the API server.
pub async fn run(config: DnsConfig, shutdown: CancellationToken) -> Result<(), Error> {
    let upstreams = forward::read_resolv_conf(&config.resolv_conf);
    let zone = Zone::new(&config.cluster_domain);
    let server = server::Server::bind(config.bind_address, zone, upstreams).await?;
    let shared = server.shared();
    let (_alive, always) = tokio::sync::watch::channel(true);
    health::serve(
        config.health_bind_address,
        "/health",
        always,
        shutdown.clone(),
    )
    .await?;
    let ready = shared.ready();
    health::serve(config.ready_bind_address, "/ready", ready, shutdown.clone()).await?;

    let client = crate::client(config.kubeconfig.as_deref()).await?;
    let serving = server.serve(shutdown.clone());
    let all: [BoxStream<'static, Event>; 3] = [
        changes(&client).map(Event::Service).boxed(),
        changes(&client).map(Event::Slice).boxed(),
        changes(&client).map(Event::Namespace).boxed(),
    ];
    let mut events = select_all(all);
    let watching = async {
        let mut world = World::default();
        while let Some(event) = events.next().await {
            let mut dirty = world.step(event);
            while let Some(Some(event)) = events.next().now_or_never() {
                dirty |= world.step(event);
            }
            if dirty && world.synced() {
                let (services, slices) = (world.services.all(), world.slices.all());
                let domain = &config.cluster_domain;
                shared.replace(Zone::build(
                    domain,
                    services,
                    slices,
                    world.namespaces.all(),
                ));
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = serving => {}
        () = watching => {}
    }
    Ok(())
}
