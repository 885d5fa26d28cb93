//! Process 1 of the lab: it makes the nodes, keeps their components running, and answers.
//!
//! ```text
//!   lab up, lab status … ─► server ─┐
//!   each node's process 1 ─► nodes ─┤
//!   steps of the start ───► boot ───┼─► one loop over events ─► the state of the lab
//!   Services ─────► gateway ────────┤
//!   SIGCHLD, timers ────────────────┘
//! ```
//!
//! All state is in [`Supervisor`] and changes only in its loop, so nothing is locked.

pub mod boot;
mod nodes;
mod open;
mod requests;
mod server;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use self::nodes::NodeHandle;
use super::control::{PortStatus, Reply, Request};
use super::gateway::{self, LabSide, node_ports};
use super::layout::Layout;
use super::network::{GATEWAY, LabNetwork};
use super::node_init::Report;
use super::record::Record;
use super::{Error, logs, reaper, sys};

/// A start that takes longer has failed; nodes beyond the usual ones get more.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);
const BOOT_TIMEOUT_PER_NODE: Duration = Duration::from_secs(3);
/// A component that ends more often than this during the start fails it.
const BOOT_RESTARTS_MAX: u32 = 5;
/// How long components may take to end of themselves.
const TERMINATION_GRACE: Duration = Duration::from_secs(2);
/// The wait before a node whose process 1 was killed is started again.
const NODE_RESTART_WAIT: Duration = Duration::from_secs(1);

/// What process 1 of the lab is started with.
#[derive(Debug, clap::Args)]
pub struct Supervise {
    /// The lab's folder
    #[arg(long)]
    dir: PathBuf,
    /// The listening socket of the host's loopback
    #[arg(long)]
    listener: i32,
}

/// Whom to answer.
type Asker = mpsc::UnboundedSender<Reply>;

/// What happens to the lab.
#[derive(Debug)]
pub enum Event {
    /// Somebody asks.
    Asked(Request, Asker),
    /// A node's process 1 says something.
    Reported {
        /// The node's number.
        node: u16,
        /// The node's life that it is about.
        life: u32,
        /// What.
        report: Report,
    },
    /// It is time to start a component again.
    Restart {
        /// The node's number.
        node: u16,
        /// The node's life that it is about.
        life: u32,
        /// The component.
        name: String,
    },
    /// It is time to start a node again whose process 1 ended.
    Revive {
        /// The node's number.
        node: u16,
        /// The life that ended.
        life: u32,
    },
    /// A step of the start is under way.
    Doing(String),
    /// A step of the start is done.
    Did(String),
    /// The start is over: well, or why not.
    Booted(Result<(), String>),
    /// The API server says how a node is; whoever waits for all of them is to be told.
    NodeState(String, String, mpsc::Sender<usize>),
    /// These ports of the host lead to Services.
    Ports(Vec<PortStatus>),
}

/// How far the start is.
enum Phase {
    Starting,
    Ready,
    Failed(String),
}

/// The lab, as its process 1 holds it.
struct Supervisor {
    layout: Layout,
    record: Record,
    listener: i32,
    began: Instant,
    network: LabNetwork,
    nodes: Vec<NodeHandle>,
    ports: Vec<PortStatus>,
    phase: Phase,
    /// The steps so far, for those who ask later.
    steps: Vec<Reply>,
    waiting: Vec<Asker>,
    /// Children other than nodes: who waits for their end.
    helpers: HashMap<i32, oneshot::Sender<reaper::Exit>>,
    events: mpsc::Sender<Event>,
}

/// Runs as process 1 of the lab until it is asked to end.
///
/// # Errors
/// When another supervisor runs, or the kernel refuses the lab's own mounts and network.
pub fn run(config: &Supervise) -> Result<(), Error> {
    let began = Instant::now();
    component::init_logs();
    component::install_crypto();
    let layout = Layout::at(&config.dir);
    let _lock = lock(&layout)?;
    sys::set_inherited(config.listener, false).map_err(Error::system("the inherited socket"))?;
    mount_own()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // The check of DNS and the output of helpers block, seldom.
        .max_blocking_threads(4)
        .build()
        .map_err(|source| Error::system("an async runtime")(source))?;
    // Returning ends process 1, and with it every process of the lab.
    let result = runtime.block_on(supervise(layout, config.listener, began));
    runtime.shutdown_background();
    result
}

/// Two supervisors of one lab would wreck it; the lock goes with its holder, however that ends.
fn lock(layout: &Layout) -> Result<std::fs::File, Error> {
    let path = layout.lock();
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::File { path, source })?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Error::Machine("another supervisor of this lab runs".into()))?;
    Ok(file)
}

/// Nothing mounted here is seen by the host, and `/proc` shows the lab's processes.
fn mount_own() -> Result<(), Error> {
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .map_err(Error::system("make mounts private"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let what = format!("mount /proc ({})", super::doctor::PROC_IS_MASKED);
    mount("proc", "/proc", "proc", flags, None).map_err(Error::system(what))
}

async fn supervise(layout: Layout, listener: i32, began: Instant) -> Result<(), Error> {
    let record = Record::load(&layout)
        .ok_or_else(|| Error::Usage(format!("{} is no lab", layout.dir.display())))?;
    let resolv_conf = format!("nameserver {GATEWAY}\n");
    let path = layout.dir.join("resolv.conf");
    super::record::write_atomically(&path, resolv_conf.as_bytes(), 0o644)?;
    let (events, mut inbox) = mpsc::channel(256);
    server::start(&layout, events.clone())?;
    let network = LabNetwork::create()
        .map_err(|error| Error::Machine(format!("the lab's network: {error}")))?;
    let (lab_side, from_lab) =
        LabSide::start(network.netns()).map_err(Error::system("the lab's network"))?;
    gateway::serve_nodes(from_lab);
    let mut supervisor = Supervisor {
        nodes: record.nodes().into_iter().map(NodeHandle::new).collect(),
        layout,
        record,
        listener,
        began,
        network,
        ports: Vec::new(),
        phase: Phase::Starting,
        steps: Vec::new(),
        waiting: Vec::new(),
        helpers: HashMap::new(),
        events,
    };
    supervisor.start(lab_side).await;

    let mut child_ended =
        signal(SignalKind::child()).map_err(|source| Error::system("SIGCHLD")(source))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|source| Error::system("SIGTERM")(source))?;
    loop {
        let asked_to_end = tokio::select! {
            event = inbox.recv() => match event {
                Some(Event::Asked(Request::Down, asker)) => Some(Some(asker)),
                Some(event) => { supervisor.step(event); None }
                None => Some(None),
            },
            _ = child_ended.recv() => { supervisor.collect(); None }
            _ = terminate.recv() => Some(None),
        };
        if let Some(asker) = asked_to_end {
            supervisor.end(&mut inbox).await;
            if let Some(asker) = asker {
                let _ = asker.send(Reply::Done);
                // The answer is written before this process ends, or its end is the answer.
                tokio::time::timeout(Duration::from_millis(100), asker.closed())
                    .await
                    .ok();
            }
            return Ok(());
        }
    }
}

impl Supervisor {
    /// Starts all nodes and the steps that wait for them.
    async fn start(&mut self, lab_side: LabSide) {
        for number in 0..self.nodes.len() {
            if let Err(error) = self.start_node(number) {
                self.step(Event::Booted(Err(error.to_string())));
                return;
            }
        }
        let nodes = self.nodes.len();
        self.step(Event::Did(format!("{nodes} nodes have a network")));
        let control_plane = self.nodes[0].netns().expect("it was just started");
        let control_plane = match control_plane {
            Ok(netns) => netns,
            Err(error) => return self.step(Event::Booted(Err(error.to_string()))),
        };
        let (events, ip) = (self.events.clone(), self.nodes[0].node.ip());
        let kubeconfig = self.layout.kubeconfig();
        let limit = BOOT_TIMEOUT + BOOT_TIMEOUT_PER_NODE * u32::from(self.record.workers);
        tokio::spawn(async move {
            let booted = async {
                let client = boot::client(&kubeconfig).await?;
                forward_ports(client.clone(), lab_side, ip, events.clone());
                boot::run(
                    client,
                    boot::Steps {
                        events: events.clone(),
                    },
                    Some(control_plane),
                )
                .await
            };
            let result = match tokio::time::timeout(limit, booted).await {
                Ok(result) => result.map_err(|error| error.to_string()),
                Err(_) => Err(format!("not there after {} seconds", limit.as_secs())),
            };
            let _ = events.send(Event::Booted(result)).await;
        });
    }

    fn start_node(&mut self, number: usize) -> Result<(), Error> {
        let Self {
            layout,
            record,
            network,
            listener,
            events,
            nodes,
            ..
        } = self;
        nodes[number].start(layout, record, network, *listener, events)
    }

    /// Takes note of an event and does what follows from it.
    fn step(&mut self, event: Event) {
        match event {
            Event::Asked(request, asker) => self.asked(request, asker),
            Event::Reported { node, life, report } => self.reported(node, life, report),
            Event::Restart { node, life, name } => {
                let node = &mut self.nodes[usize::from(node)];
                if node.life() == life {
                    node.start_component(&name);
                }
            }
            Event::Revive { node, life } => {
                let number = usize::from(node);
                // Unless it was stopped or started by hand in the meantime.
                if self.nodes[number].life() == life
                    && self.nodes[number].is_up()
                    && let Err(error) = self.restart_node(number)
                {
                    tracing::error!(%error, "node cannot be started again");
                }
            }
            Event::Doing(what) => self.tell(Reply::Doing { what }),
            Event::Did(what) => {
                let at_ms = self.began.elapsed().as_millis() as u64;
                self.tell(Reply::Did { what, at_ms });
            }
            Event::Booted(result) => self.booted(result),
            Event::NodeState(name, state, all_ready) => {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.node.name == name) {
                    node.state = Some(state);
                }
                let is_ready = |node: &NodeHandle| node.state.as_deref() == Some("Ready");
                if self.nodes.iter().all(is_ready) {
                    // Only the first one is waited for.
                    let _ = all_ready.try_send(self.nodes.len());
                }
            }
            Event::Ports(ports) => self.ports = ports,
        }
    }

    fn reported(&mut self, number: u16, life: u32, report: Report) {
        let node = &mut self.nodes[usize::from(number)];
        if node.life() != life {
            return;
        }
        let Some((name, wait)) = node.reported(report, &self.layout) else {
            // What waits for a component that came upon a hole waits for nothing.
            if let Some(message) = open::message(&self.nodes) {
                self.end_start(Err(message));
            }
            return;
        };
        self.later(
            wait,
            Event::Restart {
                node: number,
                life,
                name,
            },
        );
        let failing = self.nodes[usize::from(number)].failing(BOOT_RESTARTS_MAX);
        if matches!(self.phase, Phase::Starting)
            && let Some((component, how)) = failing
        {
            let node = self.nodes[usize::from(number)].node.name.clone();
            let tail = logs::tail(&self.layout.log(&node, &component), 10);
            self.booted(Err(format!(
                "{component} of {node} ends with {how}; its log:\n{tail}"
            )));
        }
    }

    /// Ends the start, once.
    fn booted(&mut self, result: Result<(), String>) {
        self.end_start(result.map_err(|error| match self.steps.last() {
            Some(Reply::Doing { what }) => format!("{what}: {error}"),
            _ => error,
        }));
    }

    fn end_start(&mut self, result: Result<(), String>) {
        if !matches!(self.phase, Phase::Starting) {
            return;
        }
        let (phase, last) = match result {
            Ok(()) => (Phase::Ready, Reply::Done),
            Err(message) => {
                tracing::error!(message, "the lab did not start");
                (Phase::Failed(message.clone()), Reply::Failed { message })
            }
        };
        self.phase = phase;
        for asker in self.waiting.drain(..) {
            let _ = asker.send(last.clone());
        }
    }

    fn tell(&mut self, reply: Reply) {
        self.waiting
            .retain(|asker| asker.send(reply.clone()).is_ok());
        self.steps.push(reply);
    }

    fn later(&self, wait: Duration, event: Event) {
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = events.send(event).await;
        });
    }

    fn restart_node(&mut self, number: usize) -> Result<(), Error> {
        self.nodes[number].stop(&mut self.network);
        self.start_node(number)
    }

    /// Takes note of the children that ended.
    fn collect(&mut self) {
        let exits = reaper::collect();
        for number in nodes::ended(&self.nodes, &exits) {
            let node = &self.nodes[usize::from(number)];
            tracing::warn!(node = node.node.name, "node ended");
            self.later(
                NODE_RESTART_WAIT,
                Event::Revive {
                    node: number,
                    life: node.life(),
                },
            );
        }
        for exit in exits {
            if let Some(waits) = self.helpers.remove(&exit.pid) {
                let _ = waits.send(exit);
            }
        }
    }

    /// Asks all components to end and waits a moment for it.
    async fn end(&mut self, inbox: &mut mpsc::Receiver<Event>) {
        self.nodes.iter_mut().for_each(NodeHandle::terminate);
        let all_ended = async {
            while self.nodes.iter().any(|node| !node.busy().is_empty()) {
                let Some(event) = inbox.recv().await else {
                    return;
                };
                if let Event::Reported { node, report, .. } = event {
                    let _restart_no_more =
                        self.nodes[usize::from(node)].reported(report, &self.layout);
                }
            }
        };
        if tokio::time::timeout(TERMINATION_GRACE, all_ended)
            .await
            .is_err()
        {
            for node in &self.nodes {
                tracing::warn!(node = node.node.name, components = ?node.busy(), "killed");
            }
        }
        let _ = std::fs::remove_file(self.layout.dir.join("supervisor.sock"));
    }
}

fn forward_ports(
    client: kube::Client,
    lab_side: LabSide,
    ip: std::net::Ipv4Addr,
    events: mpsc::Sender<Event>,
) {
    let (changed, mut lists) = mpsc::channel(4);
    tokio::spawn(node_ports::serve(client, lab_side, ip, changed));
    tokio::spawn(async move {
        while let Some(ports) = lists.recv().await {
            let _ = events.send(Event::Ports(ports)).await;
        }
    });
}
