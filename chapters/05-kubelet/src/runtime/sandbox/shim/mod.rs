//! The shim: the process that holds a pod together.
//!
//! One per pod, started by the kubelet and independent of it from then on. It is the running
//! program again, with [`HELPER_ARG`] as its first argument, so that a static binary needs no
//! second file and a pod costs a few hundred KiB instead of another copy of the kubelet's heap.
//!
//! ```text
//! kubelet ── starts ──► helper ── unshare(net, ipc, uts, pid), fork ──► shim (pid 1 of the pod)
//!    │                   exits                                            │ fork per container:
//!    └───────── unix socket: start, signal, exec, attach, watch ──────────┤ mount (+ pid) namespace
//!                                                                         ├─► container
//!                                                                         └─► container
//! ```
//!
//! The shim is the first process of the pod's process namespace, and each container's namespace is
//! below it: whatever kills the shim, the kernel kills all that runs in the pod. With
//! `shareProcessNamespace` the containers are in the shim's own namespace, where it reaps what
//! they leave, as upstream's `pause` does.
//!
//! A pod with users of its own has one namespace more: see [`users`].

mod credentials;
pub(in crate::runtime) mod log;
pub(in crate::runtime) mod network;
mod process;
mod propagation;
mod rootfs;
mod supervisor;
mod users;

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::thread::UnshareFlags;

use super::record::{SANDBOX_FILE, SandboxRecord, read_json};
use super::sys;
use crate::decide::sysctls;
use crate::runtime::UserRange;
pub use network::{connect, hardware_address};
use rootfs::{SetupResult, doing};
use supervisor::Supervisor;

/// First argument of a process that is a shim.
pub const HELPER_ARG: &str = "sandbox-shim";

/// The shim's number in the kubelet's process namespace, in the pod's folder.
pub const PID_FILE: &str = "shim.pid";
/// What the shim had to say, in the pod's folder.
pub const ERRORS_FILE: &str = "shim.log";

/// Second argument of a helper that only finds out whether pods can have users of their own. The
/// folders that are to be mapped follow.
pub const USERS_ARG: &str = "users";

/// Runs a shim. Its working directory is the pod's folder, its stdin the socket it listens on,
/// its stderr a file in the pod's folder.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(2);
    let done = match arguments.next() {
        Some(what) if what == USERS_ARG => {
            let folders: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
            let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
            users::probe(&folders)
        }
        _ => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> SetupResult<()> {
    let record: SandboxRecord =
        read_json(Path::new(SANDBOX_FILE)).map_err(doing("reading the sandbox's record"))?;
    let listener = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(doing("stdin"))?;
    // The kubelet's terminal is not ours: an interrupt there must not reach the pods.
    rustix::process::setsid().map_err(doing("setsid"))?;
    let node = match &record.network {
        // Opened here, this socket still speaks of the node's network after `unshare`.
        Some(_) => Some(netlink::Netlink::open().map_err(doing("opening netlink"))?),
        None => None,
    };
    let config = &record.config;
    let mut namespaces = UnshareFlags::NEWUTS;
    namespaces.set(UnshareFlags::NEWNET, record.network.is_some());
    namespaces.set(UnshareFlags::NEWIPC, !config.host_ipc);
    namespaces.set(UnshareFlags::NEWPID, !config.host_pid);
    if config.host_network {
        namespaces.remove(UnshareFlags::NEWUTS);
    }
    let users = match config.users {
        Some(range) => {
            // The shim and what it starts are the node's first, so their numbers are, too.
            let own = namespaces.difference(UnshareFlags::NEWPID);
            namespaces = namespaces.intersection(UnshareFlags::NEWPID);
            Some(users::unshare(range, own)?)
        }
        None => None,
    };
    sys::unshare(namespaces).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                ": the sandbox needs root, or root of a user namespace (unshare -r)"
            }
            _ => "",
        };
        format!("making the pod's namespaces: {error}{hint}")
    })?;
    match sys::fork(UnshareFlags::empty()).map_err(doing("fork"))? {
        // The kubelet waits for this process and reaps it; the shim goes on alone.
        Some(pid) => std::fs::write(PID_FILE, pid.as_raw_nonzero().to_string())
            .map_err(doing(format!("writing {PID_FILE}"))),
        None => {
            let code = match hold_pod(record, listener, node, users) {
                Ok(()) => 0,
                Err(message) => {
                    eprintln!("{message}");
                    1
                }
            };
            sys::exit_now(code)
        }
    }
}

/// The shim proper: finishes the pod's namespaces, then serves until it is told to stop.
fn hold_pod(
    record: SandboxRecord,
    listener: OwnedFd,
    node: Option<netlink::Netlink>,
    users: Option<OwnedFd>,
) -> SetupResult<()> {
    let users = users.zip(record.config.users);
    let mut supervisor =
        Supervisor::new(listener, users).map_err(doing("starting the supervisor"))?;
    let ready = prepare(&record, node);
    if let Err(message) = &ready {
        eprintln!("{message}");
    }
    // A sandbox that failed serves just long enough to say why.
    supervisor.serve(ready)
}

fn prepare(record: &SandboxRecord, node: Option<netlink::Netlink>) -> SetupResult<()> {
    let config = &record.config;
    if let (Some(pod_network), Some(node)) = (&record.network, node) {
        network::connect(node, pod_network).map_err(doing("setting up the pod's network"))?;
    }
    if !config.host_network {
        rustix::system::sethostname(config.hostname.as_bytes()).map_err(doing("sethostname"))?;
    }
    if record.network.is_some() {
        network::set_defaults();
    }
    for (name, value) in &config.sysctls {
        let path = format!("/proc/sys/{}", sysctls::path(name));
        std::fs::write(&path, value).map_err(doing(format!("setting sysctl {name}")))?;
    }
    mount_shm(config.users).map_err(doing("mounting the pod's /dev/shm"))
}

/// The pod's `/dev/shm`, which its containers share. In the node's mount namespace, as
/// containerd's is, since the containers are started from there.
fn mount_shm(users: Option<UserRange>) -> rustix::io::Result<()> {
    use rustix::mount::{MountFlags, mount};
    match rustix::fs::mkdir("shm", 0o1777.into()) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let root = users.map_or(0, |range| range.host_id);
    let options = format!("mode=1777,size=65536k,uid={root},gid={root}");
    let options = CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
    mount("shm", "shm", "tmpfs", flags, options.as_c_str())
}

/// This process's namespace for processes.
fn own_pid_namespace() -> std::io::Result<OwnedFd> {
    Ok(File::open("/proc/self/ns/pid")?.into())
}
