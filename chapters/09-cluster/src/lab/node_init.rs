//! Process 1 of a node: what an init system is to a machine.
//!
//! It starts what the supervisor tells it to, says when something ended, and collects orphans: the
//! containers of a kubelet that was restarted stay, as they do on a machine. When it ends, the
//! kernel ends everything in its PID namespace: pulling a node's plug is killing one process.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use netlink::netns;
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change,
    move_mount, open_tree,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use super::components::Component;
use super::member_network::MemberNetwork;
use super::{Error, reaper, sys};

/// Where containerd has its shims' sockets and libcni its memory, whatever the config says: each
/// node has them to itself, and they end with it.
const CONTAINERD_DIRS: [&str; 2] = ["/run/containerd", "/var/lib/cni"];

/// What the supervisor can tell a node's process 1, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Start a program.
    Start(Component),
    /// Send a signal to a program that was started.
    Signal {
        /// The program's name.
        name: String,
        /// The signal's number.
        signal: i32,
    },
}

/// What a node's process 1 tells, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// A program was started.
    Started {
        /// Its name.
        name: String,
    },
    /// A program could not be started, or ended.
    Ended {
        /// Its name.
        name: String,
        /// How.
        how: String,
    },
}

/// What a node's process 1 is started with.
#[derive(Debug, clap::Args)]
pub struct NodeInit {
    /// Takes the place of `/etc/resolv.conf`
    #[arg(long)]
    resolv_conf: PathBuf,
    /// Make ready for a containerd: the places that it has no setting for
    #[arg(long)]
    containerd: bool,
    /// A descriptor that only the programs that ask for it may have
    #[arg(long)]
    listener: Option<i32>,
}

/// Runs as process 1 of a node until the supervisor closes standard input.
///
/// # Errors
/// When the node's own mounts cannot be made.
pub fn run(config: &NodeInit) -> Result<(), Error> {
    mount_own(config)?;
    if let Some(listener) = config.listener {
        sys::set_inherited(listener, false).map_err(Error::system("the inherited socket"))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::system("an async runtime")(source))?;
    let result = runtime.block_on(serve());
    // A read of standard input that is under way must not hold up the end.
    runtime.shutdown_background();
    result
}

/// `/proc` shows the node's processes, `/sys` its network devices.
fn mount_own(config: &NodeInit) -> Result<(), Error> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).map_err(Error::system("mount /proc"))?;
    let cgroups = match take_cgroups() {
        Err(error) if config.containerd => return Err(error),
        // Containers then have no limits, as the kubelet says.
        taken => taken.ok(),
    };
    // Where another file system lies over a part of the host's /sys, an ordinary user may not
    // mount a fresh one; the host's then stays, and shows the host's network devices.
    if let Err(errno) = mount("sysfs", "/sys", "sysfs", flags | MountFlags::RDONLY, None) {
        eprintln!("warning: /sys stays the host's: {errno}");
    }
    if let Some(cgroups) = cgroups {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&cgroups, "", CWD, "/sys/fs/cgroup", flags)
            .map_err(Error::system("mount /sys/fs/cgroup"))?;
    }
    if config.containerd {
        for dir in CONTAINERD_DIRS {
            std::fs::create_dir_all(dir).map_err(Error::system(format!("make {dir}")))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", dir, "tmpfs", flags, None)
                .map_err(Error::system(format!("mount {dir}")))?;
        }
    }
    // As an init system has them: what is mounted later can be seen by containers that ask for it.
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::SHARED,
    )
    .map_err(Error::system("share the node's mounts with its containers"))?;
    let resolv_conf = rustix::mount::mount_bind(&config.resolv_conf, "/etc/resolv.conf");
    if let Err(errno) = resolv_conf {
        eprintln!("warning: /etc/resolv.conf stays the host's: {errno}");
    }
    Ok(())
}

/// The host's cgroups, of one hierarchy or several, before another /sys lies over them.
fn take_cgroups() -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, "/sys/fs/cgroup", flags).map_err(Error::system("open /sys/fs/cgroup"))
}

async fn serve() -> Result<(), Error> {
    let mut child_ended =
        signal(SignalKind::child()).map_err(|source| Error::system("SIGCHLD")(source))?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut running: Vec<(i32, String)> = Vec::new();
    let mut networks = MemberNetwork::default();
    loop {
        tokio::select! {
            line = orders.next_line() => {
                let Ok(Some(line)) = line else { return Ok(()) };
                match serde_json::from_str(&line) {
                    Ok(Order::Start(component)) => match start(&component, &mut networks) {
                        Ok(pid) => {
                            running.push((pid, component.name.clone()));
                            report(&Report::Started { name: component.name });
                        }
                        Err(how) => report(&Report::Ended { name: component.name, how }),
                    },
                    Ok(Order::Signal { name, signal }) => send_signal(&running, &name, signal),
                    Err(error) => eprintln!("warning: an order that is none: {error}"),
                }
            }
            _ = child_ended.recv() => {
                for exit in reaper::collect() {
                    if let Some(at) = running.iter().position(|(pid, _)| *pid == exit.pid) {
                        let (_, name) = running.swap_remove(at);
                        report(&Report::Ended { name, how: exit.how });
                    }
                }
            }
        }
    }
}

fn start(component: &Component, networks: &mut MemberNetwork) -> Result<i32, String> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&component.log);
    let log = log.map_err(|error| format!("{}: {error}", component.log.display()))?;
    let output = log.try_clone().map_err(|error| error.to_string())?;
    let mut command = Command::new(&component.program);
    command
        .args(&component.args)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(log);
    // Only this thread starts programs, so no other one can catch the open moment.
    let lend = |inherited| {
        component
            .listener
            .map_or(Ok(()), |listener| sys::set_inherited(listener, inherited))
    };
    lend(true).map_err(|errno| errno.to_string())?;
    let child = spawn(&mut command, component, networks);
    lend(false).map_err(|errno| errno.to_string())?;
    child
}

/// Starts a program, in the network that is to be its own; its number.
fn spawn(
    command: &mut Command,
    component: &Component,
    networks: &mut MemberNetwork,
) -> Result<i32, String> {
    let child = match component.network {
        None => command.spawn(),
        Some(address) => {
            let inside = networks
                .namespace(address)
                .and_then(|namespace| netns::in_netns(namespace, || command.spawn()));
            inside.map_err(|error| format!("the network of {}: {error}", component.name))?
        }
    };
    let child = child.map_err(|error| format!("{}: {error}", component.program.display()))?;
    Ok(child.id() as i32)
}

fn send_signal(running: &[(i32, String)], name: &str, signal: i32) {
    let signal = rustix::process::Signal::from_named_raw(signal);
    for (pid, _) in running.iter().filter(|(_, running)| running == name) {
        if let (Some(pid), Some(signal)) = (rustix::process::Pid::from_raw(*pid), signal) {
            // It may have ended just now, which is what was asked for.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

fn report(report: &Report) {
    let line = serde_json::to_string(report).expect("a report has only plain fields");
    // Without a supervisor there is nobody to tell; standard input ends as well.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes());
}
