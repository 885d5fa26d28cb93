//! A node as the supervisor holds it: its namespaces, its process 1, its components.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::{Event, open};
use crate::lab::components::{self, Component};
use crate::lab::control::ComponentStatus;
use crate::lab::layout::Layout;
use crate::lab::network::LabNetwork;
use crate::lab::node_init::{Order, Report};
use crate::lab::record::{Node, Record, Runtime};
use crate::lab::sys::{self, UnshareFlags};
use crate::lab::{Error, reaper};

/// Waits between restarts of a component: doubled from the first to the last.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_LAST: Duration = Duration::from_secs(10);
/// A component that ran as long as this begins with the first wait again.
const BACKOFF_RESET: Duration = Duration::from_secs(60);

/// A node of the lab.
pub struct NodeHandle {
    /// Who it is.
    pub node: Node,
    /// What the API server says of it: `Ready`, `NotReady`.
    pub state: Option<String>,
    /// Process 1 of it, unless it is stopped.
    init: Option<Init>,
    /// How often it was started: what an earlier life reports is of no interest.
    life: u32,
    components: BTreeMap<String, Running>,
}

/// A node's process 1.
struct Init {
    pid: i32,
    orders: ChildStdin,
    netns: OwnedFd,
}

/// A component of a node.
struct Running {
    component: Component,
    since: Option<Instant>,
    restarts: u32,
    backoff: Duration,
    last_exit: Option<String>,
    /// The exercise whose hole it came upon.
    open_exercise: Option<String>,
    /// It was stopped by hand, and is not started until it is by hand.
    held: bool,
}

impl NodeHandle {
    /// A node that is not started.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            state: None,
            init: None,
            life: 0,
            components: BTreeMap::new(),
        }
    }

    /// Whether its process 1 runs.
    pub fn is_up(&self) -> bool {
        self.init.is_some()
    }

    /// The number of its process 1, in the lab.
    pub fn pid(&self) -> Option<i32> {
        self.init.as_ref().map(|init| init.pid)
    }

    /// Its present life: see [`Event::Reported`].
    pub fn life(&self) -> u32 {
        self.life
    }

    /// Its network namespace, while it runs.
    pub fn netns(&self) -> Option<std::io::Result<OwnedFd>> {
        self.init.as_ref().map(|init| init.netns.try_clone())
    }

    /// Starts it with all that belongs on it.
    ///
    /// # Errors
    /// When the kernel refuses its namespaces or its place on the network.
    pub fn start(
        &mut self,
        layout: &Layout,
        record: &Record,
        network: &mut LabNetwork,
        listener: i32,
        events: &mpsc::Sender<Event>,
    ) -> Result<(), Error> {
        let dir = layout.node(&self.node.name);
        std::fs::create_dir_all(&dir).map_err(|source| Error::File { path: dir, source })?;
        self.life += 1;
        self.state = None;
        let has_containerd = record.runtime == Runtime::Containerd;
        if has_containerd {
            let containerd = layout.containerd(&self.node.name);
            let prepared = containerd.prepare(&layout.bin().join("cluster"));
            prepared.map_err(Error::system("the node's containerd"))?;
        }
        let (init, reports) = spawn(layout, &self.node, has_containerd, network, listener)?;
        follow(reports, self.node.number, self.life, events.clone())?;
        self.init = Some(init);
        self.components = components::of(layout, record, &self.node, listener)
            .into_iter()
            .map(|component| (component.name.clone(), Running::new(component)))
            .collect();
        for name in self.components.keys().cloned().collect::<Vec<_>>() {
            self.start_component(&name);
        }
        Ok(())
    }

    /// Ends all its processes at once, and with them its namespaces.
    pub fn stop(&mut self, network: &mut LabNetwork) {
        if let Some(init) = self.init.take() {
            kill(init.pid);
        }
        network.cut(&self.node);
        self.components.clear();
        self.state = None;
    }

    /// Asks all components to end.
    pub fn terminate(&mut self) {
        for name in self.components.keys().cloned().collect::<Vec<_>>() {
            self.order(&Order::Signal {
                name,
                signal: rustix::process::Signal::TERM.as_raw(),
            });
        }
    }

    /// Takes note of what its process 1 says. Returns how long to wait before the component that
    /// ended is started again: never, if it came upon the hole of an exercise.
    pub fn reported(&mut self, report: Report, layout: &Layout) -> Option<(String, Duration)> {
        match report {
            Report::Started { name } => {
                self.components.get_mut(&name)?.since = Some(Instant::now());
                None
            }
            Report::Ended { name, how } => {
                tracing::warn!(
                    node = self.node.name,
                    component = name,
                    how,
                    "component ended"
                );
                let running = self.components.get_mut(&name)?;
                running.open_exercise = open::exercise(&how, &layout.log(&self.node.name, &name));
                let wait = running.ended(how);
                let again = running.open_exercise.is_none() && !running.held;
                again.then_some((name, wait))
            }
        }
    }

    /// Starts a component of it.
    pub fn start_component(&mut self, name: &str) {
        if let Some(running) = self.components.get(name).filter(|it| !it.held) {
            self.order(&Order::Start(running.component.clone()));
        }
    }

    /// Kills a component and does not start it again; false if that was done before.
    pub fn hold(&mut self, name: &str) -> bool {
        match self.components.get_mut(name) {
            Some(running) if !running.held => running.held = true,
            _ => return false,
        }
        self.order(&Order::Signal {
            name: name.to_owned(),
            signal: rustix::process::Signal::KILL.as_raw(),
        });
        true
    }

    /// Starts a component that was held; false if it was not.
    pub fn release(&mut self, name: &str) -> bool {
        match self.components.get_mut(name) {
            // It is on its way out, and is started as any that ended.
            Some(running) if running.held && running.since.is_some() => {
                running.held = false;
                return true;
            }
            Some(running) if running.held => running.held = false,
            _ => return false,
        }
        self.start_component(name);
        true
    }

    /// The components that run.
    pub fn busy(&self) -> Vec<&str> {
        let running = self
            .components
            .iter()
            .filter(|(_, running)| running.since.is_some());
        running.map(|(name, _)| name.as_str()).collect()
    }

    /// The component that ended most often, if that was more than `times`, and how.
    pub fn failing(&self, times: u32) -> Option<(String, String)> {
        let worst = self
            .components
            .values()
            .max_by_key(|running| running.restarts)?;
        let how = worst.last_exit.clone().unwrap_or_default();
        (worst.restarts > times).then(|| (worst.component.name.clone(), how))
    }

    /// A component that came upon the hole of an exercise, and which.
    pub fn open_exercise(&self) -> Option<(&str, &str)> {
        self.components
            .iter()
            .find_map(|(name, running)| Some((name.as_str(), running.open_exercise.as_deref()?)))
    }

    /// How its components are.
    pub fn components(&self) -> Vec<ComponentStatus> {
        let status = |running: &Running| ComponentStatus {
            name: running.component.name.clone(),
            running: running.since.is_some(),
            restarts: running.restarts,
            last_exit: running.last_exit.clone(),
            open_exercise: running.open_exercise.clone(),
        };
        self.components.values().map(status).collect()
    }

    fn order(&mut self, order: &Order) {
        let mut line = serde_json::to_vec(order).expect("an order has only plain fields");
        line.push(b'\n');
        if let Some(init) = &mut self.init {
            // A process 1 that is gone is noticed by its end.
            let _ = init.orders.write_all(&line);
        }
    }
}

impl Running {
    fn new(component: Component) -> Self {
        Self {
            component,
            since: None,
            restarts: 0,
            backoff: BACKOFF_FIRST,
            last_exit: None,
            open_exercise: None,
            held: false,
        }
    }

    fn ended(&mut self, how: String) -> Duration {
        if self
            .since
            .take()
            .is_some_and(|since| since.elapsed() > BACKOFF_RESET)
        {
            self.backoff = BACKOFF_FIRST;
        }
        if self.open_exercise.is_none() {
            self.restarts += 1;
        }
        self.last_exit = Some(how);
        let wait = self.backoff;
        self.backoff = (wait * 2).min(BACKOFF_LAST);
        wait
    }
}

/// Starts a node's process 1 in namespaces of its own.
fn spawn(
    layout: &Layout,
    node: &Node,
    has_containerd: bool,
    network: &mut LabNetwork,
    listener: i32,
) -> Result<(Init, ChildStdout), Error> {
    // On a thread of its own, which ends with the namespaces that it moved to; and waited for, so
    // that the child cannot end before its number is known.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::unshare(
                UnshareFlags::NEWNET
                    | UnshareFlags::NEWNS
                    | UnshareFlags::NEWUTS
                    | UnshareFlags::NEWIPC
                    | UnshareFlags::NEWPID,
            )
            .map_err(Error::system(format!("namespaces for {}", node.name)))?;
            let name = node.name.as_bytes();
            rustix::system::sethostname(name).map_err(Error::system("sethostname"))?;
            network.join(node).map_err(|error| {
                Error::Machine(format!("the network of {}: {error}", node.name))
            })?;
            let netns = sys::network_namespace().map_err(Error::system("/proc"))?;
            let mut command = Command::new(layout.bin().join("cluster"));
            command
                .args(["lab", "node-init"])
                .env("WORKSHOP_NODE", &node.name);
            command.arg(format!(
                "--resolv-conf={}",
                layout.dir.join("resolv.conf").display()
            ));
            command.args(has_containerd.then_some("--containerd"));
            let inherits = |inherited| sys::set_inherited(listener, inherited);
            if node.is_control_plane() {
                command.arg(format!("--listener={listener}"));
                inherits(true).map_err(Error::system("the inherited socket"))?;
            }
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            if node.is_control_plane() {
                inherits(false).map_err(Error::system("the inherited socket"))?;
            }
            let mut child = child.map_err(Error::system(format!("start {}", node.name)))?;
            let pid = child.id() as i32;
            let orders = child.stdin.take().expect("its input is a pipe");
            let reports = child.stdout.take().expect("its output is a pipe");
            Ok((Init { pid, orders, netns }, reports))
        });
        thread.join().expect("starting a node does not panic")
    })
}

/// Turns what a node's process 1 says into events.
fn follow(
    reports: ChildStdout,
    node: u16,
    life: u32,
    events: mpsc::Sender<Event>,
) -> Result<(), Error> {
    let reports = pipe::Receiver::from_owned_fd(reports.into());
    let mut lines = BufReader::new(reports.map_err(Error::system("a pipe"))?).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(report) = serde_json::from_str(&line)
                && events
                    .send(Event::Reported { node, life, report })
                    .await
                    .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// Ends a process, which may be gone already.
fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Which of the `nodes` ended, by their number.
pub fn ended(nodes: &[NodeHandle], exits: &[reaper::Exit]) -> Vec<u16> {
    let is_gone = |node: &&NodeHandle| exits.iter().any(|exit| Some(exit.pid) == node.pid());
    nodes
        .iter()
        .filter(is_gone)
        .map(|node| node.node.number)
        .collect()
}
