//! What a sandbox keeps on disk, so that a restarted kubelet knows it again.
//!
//! ```text
//! {root}/sandboxes/{sandbox}/sandbox.json                      written once, before the shim starts
//! {root}/sandboxes/{sandbox}/stopped                           there once the sandbox was stopped
//! {root}/sandboxes/{sandbox}/shim.sock                         where its shim listens
//! {root}/sandboxes/{sandbox}/etc/{hosts,hostname,resolv.conf}  bound into every container
//! {root}/sandboxes/{sandbox}/c/{container}/container.json      written once, when it is created
//! {root}/sandboxes/{sandbox}/c/{container}/status.json         written by the shim: started, ended
//! {root}/sandboxes/{sandbox}/c/{container}/{upper,work}        the writable layer
//! ```
//!
//! Nothing here is synced: after a power cut the processes are gone too, and what can be read is
//! enough to clean up.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::spec::ContainerSpec;
use crate::runtime::SandboxConfig;

/// Folder of the sandboxes in the runtime's root. Beside it the kubelet has folders of its own.
pub const SANDBOXES_DIR: &str = "sandboxes";
/// Name of a sandbox's record.
pub const SANDBOX_FILE: &str = "sandbox.json";
/// Marks a sandbox that was stopped: its address is free again.
pub const STOPPED_FILE: &str = "stopped";
/// Name of the shim's socket.
pub const SOCKET_FILE: &str = "shim.sock";
/// Folder of a sandbox's containers.
pub const CONTAINERS_DIR: &str = "c";
/// Name of a container's record.
pub const CONTAINER_FILE: &str = "container.json";
/// Name of a container's status.
pub const STATUS_FILE: &str = "status.json";

/// A sandbox, as it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// Its id.
    pub id: String,
    /// What it was made from.
    pub config: SandboxConfig,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its place in the pod network; none with the host's network.
    pub network: Option<PodNetwork>,
}

/// A pod's place in the node's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNetwork {
    /// The pod's address.
    pub ip: Ipv4Addr,
    /// The node's address on the bridge.
    pub gateway: Ipv4Addr,
    /// The node's bridge.
    pub bridge: String,
    /// The node's end of the pod's link.
    pub host_link: String,
    /// Largest packet.
    pub mtu: u32,
}

/// A container, as it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Its id.
    pub id: String,
    /// Name in the pod.
    pub name: String,
    /// How many containers of that name the pod had before.
    pub attempt: u32,
    /// As the pod's spec wrote it.
    pub image: String,
    /// For `imageID`.
    pub image_ref: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// As given in its config.
    pub labels: BTreeMap<String, String>,
    /// What its process is made from.
    pub spec: ContainerSpec,
}

/// How far a container's process got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// When its process was started.
    pub started_at: Option<Timestamp>,
    /// The number of its process, as its shim sees it.
    #[serde(default)]
    pub pid: Option<i32>,
    /// How it ended.
    pub exit: Option<Exit>,
}

/// How a container's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The code, or 128 + the signal's number.
    pub code: i32,
    /// When.
    pub finished_at: Timestamp,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub reason: String,
    /// What `StartError` has to say.
    pub message: String,
}

/// Writes a record so that a reader sees the old one or the new one, never half of it.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, serde_json::to_vec(value)?)?;
    std::fs::rename(&temporary, path)
}

/// Reads a record.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Folder of a sandbox in the runtime's root.
pub fn sandbox_dir(root: &Path, id: &str) -> PathBuf {
    root.join(SANDBOXES_DIR).join(id)
}
