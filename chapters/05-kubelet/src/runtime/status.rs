//! What a runtime says that there is: sandboxes, containers, images, and what it can do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;

use super::PodMetadata;

/// CRI: `PodSandboxState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SandboxState {
    /// Its namespaces are there.
    Ready,
    /// Its namespaces are gone (the node was restarted, the sandbox stopped).
    NotReady,
}

/// A sandbox as the runtime sees it. CRI: `PodSandboxStatus`.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Id given by the runtime.
    pub id: String,
    /// Who it belongs to.
    pub metadata: PodMetadata,
    /// Whether its namespaces are there.
    pub state: SandboxState,
    /// Addresses, empty with the host's network.
    pub ips: Vec<IpAddr>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The handler it was made by; empty for the node's usual one.
    pub runtime_handler: String,
}

/// CRI: `ContainerState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, not started.
    Created,
    /// Its process runs.
    Running,
    /// Its process ended, or was lost with its node.
    Exited {
        /// The code, or 128 + the signal's number.
        exit_code: i32,
        /// When.
        finished_at: Timestamp,
        /// `OOMKilled` where known; `Completed` and `Error` otherwise, `StartError`,
        /// `ContainerCannotRun` where it never ran, `ContainerStatusUnknown` (137) where lost.
        reason: String,
        /// What `StartError` and its kin have to say.
        message: String,
    },
}

/// Whom a container's first process was started as. CRI: `LinuxContainerUser`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUser {
    /// Its user.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// All its groups.
    pub supplemental_groups: Vec<u32>,
}

/// What a runtime can do that not every one can. CRI: `RuntimeFeatures`, `RuntimeHandlerFeatures`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// `supplementalGroupsPolicy: Strict`.
    pub supplemental_groups_policy: bool,
    /// `recursiveReadOnly` mounts.
    pub recursive_read_only_mounts: bool,
    /// `hostUsers: false`.
    pub user_namespaces: bool,
}

/// A handler that pods may ask for. CRI: `RuntimeHandler`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// What a RuntimeClass calls it; the one without a name is that of pods without a class.
    pub name: String,
    /// What it can do.
    pub features: Features,
}

/// A container as the runtime sees it. CRI: `ContainerStatus`.
#[derive(Debug, Clone)]
pub struct Container {
    /// Id given by the runtime, without a scheme.
    pub id: String,
    /// The sandbox it is in.
    pub sandbox_id: String,
    /// Name in the pod.
    pub name: String,
    /// How many containers of that name the pod had before.
    pub attempt: u32,
    /// As the pod's spec wrote it.
    pub image: String,
    /// `name@sha256:…` or the id, for `imageID`.
    pub image_ref: String,
    /// Where it stands.
    pub state: ContainerState,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its process was started.
    pub started_at: Option<Timestamp>,
    /// The log's path on the node.
    pub log_path: PathBuf,
    /// As given in its config.
    pub labels: BTreeMap<String, String>,
    /// Whom it was started as, where the runtime tells.
    pub user: Option<ContainerUser>,
}

/// An image on the node. CRI: `Image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…` of its config.
    pub id: String,
    /// References that name it: `docker.io/library/busybox:1.36`.
    pub repo_tags: Vec<String>,
    /// Digests that name it: `docker.io/library/busybox@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// The user its processes run as, as the image wrote it.
    pub user: String,
    /// It is not to be removed, whether or not somebody uses it.
    pub pinned: bool,
}

/// Something changed: the kubelet looks at the pod again. Upstream: PLEG events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// `metadata.uid` of the pod.
    pub pod_uid: String,
}
