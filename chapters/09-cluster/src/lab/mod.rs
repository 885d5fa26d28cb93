//! The lab: a whole cluster on one machine, without root, without Docker, without a network.
//!
//! ```text
//! host ──────────────────────────────────────────────────────────────────────────────
//!   kubectl ─► 127.0.0.1:6443 ═╗ one listening socket, made before the namespaces are
//! one user, PID and mount namespace ═══════════════════════════════════════════════════
//!   supervisor (process 1)     ║  NodePorts, image proxy: the host's network for the lab
//!     │                        ║
//!     │   lab network: bridge lab0 172.30.0.1/16
//!     │     ├──────────────────╫───────┬─────────────────────┐
//!   ┌─┴─ control-plane .0.2 ───╨──┐  ┌─┴─ worker-1 .0.3 ─┐ ┌─┴─ worker-2 .0.4 ─┐
//!   │ init ─ apiserver, scheduler,│  │ init ─ kubelet,   │ │ init ─ kubelet,   │
//!   │        controllers, kubelet,│  │        proxy      │ │        proxy      │
//!   │        proxy                │  │        pods …     │ │        pods …     │
//!   └─────────────────────────────┘  └───────────────────┘ └───────────────────┘
//! ```
//!
//! A node is a network, PID, mount, UTS and IPC namespace with a process 1 of its own
//! ([`node_init`]); components meet over the network and nowhere else, so each can be replaced.
//! Killing the supervisor ends everything, since the kernel ends a PID namespace with its process
//! 1: whatever happens, no process, namespace, mount or rule stays. What stays is the state on
//! disk, and `lab up` goes on from it.
//!
//! With `--runtime containerd`, which needs root, each node has a containerd as well: its folder is
//! the node's, its pods are in the node's namespaces and end with them, and this very program is
//! the CNI plugin that gives them their network (`kubelet::cni`). Of all that, only the cgroups
//! (`/workshop-NAME`) are not ended by the kernel: `lab down` removes them. CRI-O is not made: what
//! it would need is its own config; a kubelet takes any `--container-runtime-endpoint`.
//!
//! Start reading at [`up`] (what the command does), then [`enter`] (into the namespaces), then
//! [`supervisor`] (what keeps it running).
//!
//! Left out: nothing in the lab reaches the internet but the kubelets' image pulls; UDP NodePorts
//! are not forwarded from the host.

pub mod bench;
pub mod components;
pub mod control;
pub mod disk;
pub mod docker;
pub mod doctor;
pub mod down;
pub mod enter;
pub mod etcdctl;
pub mod gateway;
pub mod k3d;
pub mod layout;
pub mod logs;
pub mod member_network;
pub mod members;
pub mod network;
pub mod node_init;
pub mod partition;
pub mod pki;
pub mod ports;
pub mod processes;
pub mod progress;
pub mod reaper;
pub mod record;
pub mod status;
pub mod supervisor;
pub mod sys;
pub mod trace;
pub mod up;

use std::path::PathBuf;

use clap::Subcommand;

use control::{Conversation, Reply, Request};
use layout::Layout;

/// What can go wrong with a lab, by what the user does about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The machine lacks something; the text says what and how to mend it.
    #[error("{0}")]
    Machine(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or key cannot be made or read.
    #[error("certificates: {0}")]
    Pki(String),
    /// The kernel refused something.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: String,
        /// Its answer.
        source: std::io::Error,
    },
    /// No lab of this name runs.
    #[error("lab {0:?} is not running; `cargo xtask lab up` starts it")]
    NotRunning(String),
    /// The supervisor said no.
    #[error("{0}")]
    Refused(String),
    /// The supervisor went away while it was asked.
    #[error("the lab's supervisor ended; its log: `cargo xtask lab logs supervisor`")]
    Lost,
}

impl Error {
    /// For `map_err`: the kernel refused `what`.
    pub fn system<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::System {
            what,
            source: source.into(),
        }
    }

    fn pki(error: rcgen::Error) -> Self {
        Self::Pki(error.to_string())
    }
}

/// `cluster lab …`
#[derive(Debug, clap::Args)]
pub struct Lab {
    /// Which lab
    #[arg(long, global = true, default_value = "workshop")]
    name: String,
    /// `lab --nodes 5` is `lab up --nodes 5`.
    #[command(flatten)]
    up: up::Up,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the lab, or say that it runs (the default)
    Up(up::Up),
    /// End the lab and remove every trace of it
    Down,
    /// Show nodes, components, memory and ports
    Status(status::StatusOptions),
    /// Cut a node off, as if its plug were pulled
    StopNode {
        /// Its name
        node: String,
    },
    /// Bring a stopped node back
    StartNode {
        /// Its name
        node: String,
    },
    /// Kill an etcd member, as if its machine had died
    StopMember {
        /// Its name: etcd-1, etcd-2, …
        member: String,
    },
    /// Bring a stopped etcd member back
    StartMember {
        /// Its name
        member: String,
    },
    /// Cut an etcd member off from the others; clients still reach it
    PartitionMember {
        /// Its name
        member: String,
    },
    /// Let an etcd member that was cut off back in
    HealMember {
        /// Its name
        member: String,
    },
    /// Run etcdctl against the lab's etcd members
    Etcdctl(etcdctl::Etcdctl),
    /// Show the log of a component (apiserver, kubelet, …) or of all of a node's components
    Logs(logs::Logs),
    /// Print the path of the lab's kubeconfig
    Kubeconfig,
    /// Bring the images of a docker-archive or OCI-layout tar to every node
    Load {
        /// The archive
        file: PathBuf,
    },
    /// Run a command and draw who called whom because of it
    Trace(trace::Trace),
    /// Say what this machine can run, and how to mend what it can't
    Doctor(doctor::Doctor),
    #[command(hide = true)]
    Enter(enter::Enter),
    #[command(hide = true)]
    DockerNode(docker::init::DockerNode),
    #[command(hide = true)]
    Supervise(supervisor::Supervise),
    #[command(hide = true)]
    NodeInit(node_init::NodeInit),
    #[command(hide = true)]
    Try {
        #[arg(long)]
        proc: bool,
    },
}

impl Command {
    fn is_about_members(&self) -> bool {
        matches!(
            self,
            Self::StopMember { .. }
                | Self::StartMember { .. }
                | Self::PartitionMember { .. }
                | Self::HealMember { .. }
                | Self::Etcdctl(_)
        )
    }
}

/// Does what the command line says.
///
/// # Errors
/// See [`Error`].
pub fn run(lab: Lab) -> Result<(), Error> {
    layout::check_name(&lab.name).map_err(Error::Usage)?;
    let layout = Layout::of(&lab.name);
    let ask = |request: &Request| ask(&lab.name, &layout, request);
    let command = match lab.command {
        None => Command::Up(lab.up),
        Some(command) if lab.up == up::Up::default() => command,
        Some(_) => {
            let message = "options of `up` stand after `up`: `cargo xtask lab up --nodes 5`";
            return Err(Error::Usage(message.into()));
        }
    };
    if let Some(verb) = in_k3d(&lab.name, &layout, &command) {
        return verb;
    }
    let record = record::Record::load(&layout);
    if let Some(record) = record.filter(|record| record.runtime == record::Runtime::Docker)
        && let Some(verb) = in_docker(&lab.name, &layout, &record, &command)
    {
        return verb;
    }
    match command {
        Command::Up(options) => up::run(&lab.name, &layout, &options),
        Command::Down => down::run(&lab.name, &layout),
        Command::Status(options) => status::run(&lab.name, &layout, &options),
        Command::StopNode { node } => ask(&Request::StopNode { name: node }),
        Command::StartNode { node } => ask(&Request::StartNode { name: node }),
        Command::StopMember { member } => ask(&Request::StopMember { name: member }),
        Command::StartMember { member } => ask(&Request::StartMember { name: member }),
        Command::PartitionMember { member } => partition::cut(&lab.name, &layout, &member),
        Command::HealMember { member } => partition::heal(&lab.name, &layout, &member),
        Command::Etcdctl(options) => etcdctl::run(&lab.name, &layout, &options),
        Command::Logs(options) => logs::run(&lab.name, &layout, &options),
        Command::Kubeconfig => {
            if !layout.kubeconfig().exists() {
                return Err(Error::NotRunning(lab.name));
            }
            println!("{}", layout.kubeconfig().display());
            Ok(())
        }
        Command::Load { file } => {
            let path = file
                .canonicalize()
                .map_err(|source| Error::File { path: file, source })?;
            ask(&Request::Load { path })
        }
        Command::Trace(options) => trace::run(&lab.name, &layout, &options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Enter(config) => enter::run(&config),
        Command::DockerNode(config) => docker::init::run(&config),
        Command::Supervise(config) => supervisor::run(&config),
        Command::NodeInit(config) => node_init::run(&config),
        Command::Try { proc: false } => doctor::try_all(),
        Command::Try { proc: true } => {
            doctor::try_mount_proc();
            Ok(())
        }
    }
}

/// Does what the command line says to a lab that Docker runs; nothing for the commands that are
/// the same in any lab.
fn in_docker(
    name: &str,
    layout: &Layout,
    record: &record::Record,
    command: &Command,
) -> Option<Result<(), Error>> {
    use docker::verbs;
    Some(match command {
        Command::Down => verbs::block_on(verbs::down(name, layout)).map(|()| {
            println!("The lab {name:?} is gone.");
        }),
        Command::Status(options) => verbs::block_on(verbs::status(record, layout, options.json)),
        Command::StopNode { node } => verbs::block_on(verbs::stop_node(record, node)),
        Command::StartNode { node } => verbs::block_on(verbs::start_node(record, node)),
        Command::Logs(options) => {
            verbs::block_on(verbs::logs(record, &options.what, options.follow))
        }
        Command::Load { file } => verbs::block_on(verbs::load(file)),
        command if command.is_about_members() => Err(Error::Usage(
            "a lab of --runtime docker has no etcd members".into(),
        )),
        _ => return None,
    })
}

/// Does what the command line says to a lab that k3d made; nothing for other labs, and for the
/// commands that are the same in any lab.
fn in_k3d(name: &str, layout: &Layout, command: &Command) -> Option<Result<(), Error>> {
    if !k3d::file(layout).exists() {
        return None;
    }
    Some(match command {
        Command::Down => k3d::down(name, layout),
        Command::Status(options) => k3d::status(name, options.json),
        Command::StopNode { node } => k3d::node(name, "stop", node),
        Command::StartNode { node } => k3d::node(name, "start", node),
        Command::Load { file } => k3d::load_images(name, file),
        command if command.is_about_members() => Err(Error::Usage(
            "etcd members are of our own labs: `lab --store etcd`".into(),
        )),
        Command::Logs(_) | Command::Trace(_) => Err(Error::Usage(
            "logs and traces are of our own components; `docker logs` shows those of a k3d node"
                .into(),
        )),
        _ => return None,
    })
}

/// Asks the supervisor and shows the lines of its answer.
fn ask(name: &str, layout: &Layout, request: &Request) -> Result<(), Error> {
    let conversation = Conversation::start(layout, request)?;
    conversation
        .ok_or_else(|| Error::NotRunning(name.into()))?
        .finish(|reply| {
            if let Reply::Line { text } = reply {
                println!("{text}");
            }
        })
}
