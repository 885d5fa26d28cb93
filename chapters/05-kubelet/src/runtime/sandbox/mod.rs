//! The embedded runtime: pods in namespaces of this machine, with no engine beside the kubelet.
//!
//! What containerd, runc, `pause` and a CNI plugin do between them on an ordinary node, in one
//! place and as plainly as it can be said. It needs root, or root of a user namespace that an
//! ordinary user made: the system calls are the same, and the kernel decides what they may do.
//!
//! # A pod
//!
//! ```text
//! run_pod_sandbox   an address; a folder; a shim process with new net, ipc, uts, pid namespaces
//! create_container  the spec is worked out and written down; nothing runs
//! start_container   the shim forks: mount (and pid) namespace, overlay root, volumes, exec
//! …                 the shim writes the logs, sees the end, tells the kubelet
//! stop_container    a signal; another one when the grace is over
//! stop_pod_sandbox  the shim kills all that is left and ends; the namespaces end with it
//! ```
//!
//! # Who outlives whom
//!
//! | what ends | what happens |
//! | --- | --- |
//! | a container | the shim notes its exit code on disk and tells the kubelet |
//! | the kubelet | the pods go on; the next kubelet finds their sockets and takes them up again |
//! | a shim | the kernel kills the pod's processes; the kubelet sees the sandbox `NotReady` |
//! | the machine | all sandboxes are `NotReady`, what ran has `ContainerStatusUnknown` (137) |
//!
//! # What to read next
//!
//! [`shim`] for the process that holds a pod, `shim/rootfs.rs` for its file system,
//! `shim/network.rs` for its network, [`spec`] for what a container is made of, [`record`] for
//! what is on disk, [`protocol`] for what kubelet and shim say to each other.
//!
//! # What is left out
//!
//! AppArmor profiles, IPv6, and checkpoints. Pods have users of their own (`hostUsers: false`, and
//! with it `procMount: Unmasked`) only where the kubelet is the node's root and the kernel maps
//! mounts (Linux 6.3). Where no control group can be written (an ordinary user
//! to whom none was delegated) memory and CPU are not limited, and a log line says so; see
//! [`cgroups`].
//! Upstream: containerd `internal/cri`, runc `libcontainer`.

mod cgroups;
mod client;
pub(in crate::runtime) mod node_network;
mod pods;
mod processes;
mod protocol;
mod record;
mod runtime;
mod seccomp;
mod shim;
mod spec;
mod streams;
mod sys;
mod users;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::decide::reserved::PodsLimits;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

// What other runtimes share: a pod's link to the node, and the form of its logs.
pub(in crate::runtime) use shim::{log as shim_log, network as shim_network};

pub use node_network::NodeNetwork;
pub(crate) use node_network::{Addresses, PodCidr, pod_network, set_up_bridge};
pub(crate) use record::PodNetwork;
pub use runtime::SandboxRuntime;
pub(crate) use shim::{connect, hardware_address};
pub use users::ImageUsers;

/// Where a node's embedded runtime keeps its things.
#[derive(Debug, Clone)]
pub struct SandboxRuntimeConfig {
    /// Folder of this node alone; pods' records, writable layers and sockets are kept in it.
    pub root_dir: PathBuf,
    /// Folder of images, which the nodes of one machine share.
    pub image_store: PathBuf,
    /// Name of the node, for what the runtime logs.
    pub node_name: String,
    /// HTTP proxy for image pulls: `http://host:port`.
    pub image_proxy: Option<String>,
    /// Program that is run as a pod's shim: one whose `main` calls [`maybe_run_helper`] first.
    /// The running program itself if left out.
    pub helper: Option<PathBuf>,
    /// The node's network, shared with its other runtimes.
    pub network: NodeNetwork,
    /// What its pods may use together, where the machine lets it be enforced; all there is if left
    /// out.
    pub pods_limits: Option<PodsLimits>,
}

impl SandboxRuntimeConfig {
    /// A command that runs a helper process.
    fn helper_command(&self) -> tokio::process::Command {
        let program = self.helper.as_deref();
        let program = program.unwrap_or(Path::new("/proc/self/exe"));
        let mut command = tokio::process::Command::new(program);
        command
            .arg0("workshop-shim")
            .arg(shim::HELPER_ARG)
            .env_clear();
        command
    }
}

/// Runs a helper process of the sandbox if that is what this process was started as. To be called
/// first thing in `main`, before any thread or runtime; `Some` is then what `main` returns.
pub fn maybe_run_helper() -> Option<ExitCode> {
    let is_helper = std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == shim::HELPER_ARG);
    is_helper.then(shim::main)
}

/// Kills every pod of the node whose runtime keeps its things in that folder, at once: a node that
/// is cut off. Returns how many there were. Its kubelet, if it runs, sees their sandboxes lost.
pub fn kill_node(root_dir: &Path) -> usize {
    let Ok(pods) = std::fs::read_dir(root_dir.join(record::SANDBOXES_DIR)) else {
        return 0;
    };
    pods.filter_map(|entry| kill_shim(&entry.ok()?.path()))
        .count()
}

/// Removes the control groups of the node whose runtime kept its things in that folder, once all
/// its processes were killed.
pub fn remove_cgroups(root_dir: &Path) {
    cgroups::remove_node(root_dir);
}

/// Kills the shim of the sandbox in that folder, and with it all that runs in the pod.
fn kill_shim(sandbox_dir: &Path) -> Option<()> {
    let pid = std::fs::read_to_string(sandbox_dir.join(shim::PID_FILE)).ok()?;
    let pid = Pid::from_raw(pid.trim().parse().ok()?)?;
    // First a descriptor of the process, then the proof that it is a shim and this sandbox's: the
    // number may have been given to another process since.
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let command = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let is_shim = command
        .split(|byte| *byte == 0)
        .any(|arg| arg == shim::HELPER_ARG.as_bytes());
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok()?;
    if !is_shim || cwd != std::fs::canonicalize(sandbox_dir).ok()? {
        return None;
    }
    pidfd_send_signal(&process, Signal::KILL).ok()
}
