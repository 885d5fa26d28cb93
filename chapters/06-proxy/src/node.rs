//! The shell: watches the API, asks the core, tells the kernel.
//!
//! Every event is answered at once, by the difference it makes; events that are queued already
//! are taken together, so a burst costs one write. If the kernel refuses a difference (someone
//! else changed our table) the next write replaces the whole table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use component::CancellationToken;
use futures::stream::{BoxStream, select_all};
use futures::{FutureExt, StreamExt};
use kube::Client;
use netlink::nft::{self, Network, NftSocket, Op, Table};

use crate::model::{Name, Node, Service, Slice};
use crate::rules::{Inputs, TABLE, rules, udp_targets};
use crate::watch::{Change, Collection, changes};
use crate::{Config, Error, network};

/// How long until a failed write is tried again, if no event comes before.
const RETRY: Duration = Duration::from_millis(500);

/// A change of anything that the rules depend on.
enum Event {
    Service(Change<Service>),
    Slice(Change<Slice>),
    Node(Change<Node>),
}

/// What the API server has told so far.
#[derive(Debug, Default)]
pub struct World {
    services: Collection<Service>,
    slices: Collection<Slice>,
    nodes: Collection<Node>,
}

impl World {
    fn step(&mut self, event: Event) -> bool {
        match event {
            Event::Service(change) => self.services.step(change),
            Event::Slice(change) => self.slices.step(change),
            Event::Node(change) => self.nodes.step(change),
        }
    }

    /// Rules made of half a list would take Services away that are only not listed yet.
    fn synced(&self) -> bool {
        self.services.synced() && self.slices.synced() && self.nodes.synced()
    }

    fn inputs<'a>(&'a self, config: &'a Config) -> Inputs<'a> {
        let me = self.nodes.all().get(&Name::new("", &config.node_name));
        Inputs {
            node_name: &config.node_name,
            node_addresses: me.map(|node| node.addresses.as_slice()).unwrap_or_default(),
            cluster_cidr: config.cluster_cidr,
            services: self.services.all(),
            slices: self.slices.all(),
        }
    }
}

fn events(client: &Client) -> impl futures::Stream<Item = Event> + Unpin + use<> {
    let all: [BoxStream<'static, Event>; 3] = [
        changes(client).map(Event::Service).boxed(),
        changes(client).map(Event::Slice).boxed(),
        changes(client).map(Event::Node).boxed(),
    ];
    select_all(all)
}

/// Keeps the node's rules and routes in step with the cluster until `shutdown`.
///
/// # Errors
/// When the kubeconfig is unusable or the kernel has no nf_tables; later failures are retried.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let mut kernel = Kernel::open()?;
    if config.cleanup {
        return kernel.cleanup();
    }
    if let Err(error) = network::enable_forwarding() {
        tracing::warn!(%error, "cannot turn ip_forward on: pods of other nodes stay unreachable");
    }
    let client = crate::client(config.kubeconfig.as_deref()).await?;
    let mut events = events(&client);
    let mut world = World::default();
    let mut dirty = false;
    loop {
        let retry = async {
            match dirty {
                true => tokio::time::sleep(RETRY).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(event) = events.next() => dirty |= world.step(event),
            () = retry => {}
        }
        while let Some(Some(event)) = events.next().now_or_never() {
            dirty |= world.step(event);
        }
        if dirty && world.synced() {
            dirty = !kernel.write(&world, &config);
        }
    }
}

/// What `run` would write, as nft's text, once everything was listed.
///
/// # Errors
/// When the kubeconfig is unusable.
pub async fn print(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let client = crate::client(config.kubeconfig.as_deref()).await?;
    let mut events = events(&client);
    let mut world = World::default();
    while !world.synced() {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(event) = events.next() => { world.step(event); }
        }
    }
    print!("{}", rules(&world.inputs(&config)));
    for (network, gateway) in network::routes(world.nodes.all(), &config.node_name) {
        println!("# ip route replace {network} via {gateway}");
    }
    Ok(())
}

/// What the kernel was told last.
struct Kernel {
    socket: NftSocket,
    table: Option<Table>,
    routes: Option<BTreeMap<Network, Ipv4Addr>>,
    udp: BTreeMap<SocketAddrV4, BTreeSet<SocketAddrV4>>,
}

impl Kernel {
    fn open() -> Result<Self, Error> {
        Ok(Kernel {
            socket: NftSocket::open()?,
            table: None,
            routes: None,
            udp: BTreeMap::new(),
        })
    }

    /// Writes what is different; answers whether all of it was taken.
    fn write(&mut self, world: &World, config: &Config) -> bool {
        let inputs = world.inputs(config);
        let rules = self.write_rules(rules(&inputs));
        let routes = self.write_routes(
            network::routes(world.nodes.all(), &config.node_name),
            config,
        );
        self.forget_stale_flows(udp_targets(&inputs));
        rules && routes
    }

    fn write_rules(&mut self, new: Table) -> bool {
        let result = {
            let ops = match &self.table {
                Some(old) => nft::delta(old, &new),
                None => nft::replace(&new),
            };
            tracing::debug!(operations = ops.len(), "rules");
            self.socket.apply(&ops)
        };
        match result {
            Ok(()) => {
                self.table = Some(new);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "rules were refused, the whole table comes next");
                // A refused difference may be somebody else's doing: start over at once. A
                // refused table waits.
                let partial = self.table.take().is_some();
                partial && self.write_rules(new)
            }
        }
    }

    fn write_routes(&mut self, wanted: BTreeMap<Network, Ipv4Addr>, config: &Config) -> bool {
        if self.routes.as_ref() == Some(&wanted) {
            return true;
        }
        match network::apply(&wanted, config.cluster_cidr) {
            Ok(()) => {
                self.routes = Some(wanted);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "routes are incomplete");
                self.routes = None;
                false
            }
        }
    }

    /// A flow's translation outlives the rule it came from; see [`nft::Flow`].
    fn forget_stale_flows(&mut self, targets: BTreeMap<SocketAddrV4, BTreeSet<SocketAddrV4>>) {
        const UDP: u8 = 17;
        if self.udp == targets {
            return;
        }
        let stale = |flow: &nft::Flow| {
            flow.protocol == UDP
                && targets
                    .get(&flow.destination)
                    .is_some_and(|to| !to.contains(&flow.endpoint))
        };
        match self.socket.flows() {
            Ok(flows) => {
                for flow in flows.iter().filter(|flow| stale(flow)) {
                    tracing::debug!(?flow, "stale flow");
                    if let Err(error) = self.socket.forget(flow) {
                        tracing::warn!(%error, "cannot forget a stale flow");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for stale flows"),
        }
        self.udp = targets;
    }

    /// Takes our table away, and nothing else.
    fn cleanup(&mut self) -> Result<(), Error> {
        Ok(self
            .socket
            .apply(&[Op::AddTable(TABLE), Op::DeleteTable(TABLE)])?)
    }
}
