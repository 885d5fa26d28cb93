//! The seam between the kubelet and whatever runs containers: CRI's verbs as a trait.
//!
//! Upstream: `staging/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`. Names and states are
//! CRI's, so that a CRI runtime or a Docker engine can stand behind the same trait. A sandbox is a
//! pod's shared ground (network, hostname, IPC); containers are started in it one by one.

pub mod cri;
pub mod docker;
pub mod fake;
pub mod handlers;
pub mod host_ports;
pub mod images;
pub(crate) mod measured;
pub mod sandbox;
pub mod usage;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, mpsc, oneshot};

use usage::{ContainerUsage, DiskUsage, NetworkUsage};

/// An error of the runtime, named by what the kubelet does about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The sandbox, container or image is not known (any more).
    #[error("{0} not found")]
    NotFound(String),
    /// The image reference cannot be parsed: reason `InvalidImageName`.
    #[error("{0}")]
    InvalidImage(String),
    /// The image cannot be had: reason `ErrImagePull`, then back-off.
    #[error("{0}")]
    Pull(String),
    /// The container cannot be made from its config: reason `CreateContainerError`.
    #[error("{0}")]
    Create(String),
    /// The container's process cannot be started: reason `StartError`, exit code 128 (or
    /// `ContainerCannotRun` with 127 when the program does not exist).
    #[error("{0}")]
    Start(String),
    /// Anything else; the kubelet tries again with back-off.
    #[error("{0}")]
    Other(String),
}

/// Result of a call to the runtime.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// Who a sandbox belongs to. CRI: `PodSandboxMetadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PodMetadata {
    /// Name of the pod.
    pub name: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// `metadata.uid` of the pod.
    pub uid: String,
    /// How many sandboxes this pod had before this one.
    pub attempt: u32,
}

/// A transport protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    /// `TCP`
    #[default]
    Tcp,
    /// `UDP`
    Udp,
    /// `SCTP`
    Sctp,
}

/// A port of the node that leads to one of the pod. CRI: `PortMapping`; written down in CNI's
/// words, as a plugin with the capability `portMappings` is told of it. containerd begins them
/// with capitals, which Go reads all the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port of the node.
    #[serde(alias = "HostPort")]
    pub host_port: u16,
    /// Port of the pod.
    #[serde(alias = "ContainerPort")]
    pub container_port: u16,
    /// Of both.
    #[serde(default, alias = "Protocol")]
    pub protocol: PortProtocol,
    /// Address of the node that the port is open on; all of them if empty or unspecified.
    #[serde(default, rename = "hostIP", alias = "HostIP")]
    pub host_ip: String,
}

/// What a sandbox is made from. CRI: `PodSandboxConfig`.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct SandboxConfig {
    /// Who it belongs to.
    pub metadata: PodMetadata,
    /// The pod's hostname, at most 63 characters.
    pub hostname: String,
    /// The whole text of the pod's `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// The whole text of the pod's `/etc/hosts`; `{POD_IP}` stands for the address that the
    /// sandbox will be given.
    pub hosts: String,
    /// Folder of the pod's container logs: `/var/log/pods/{ns}_{name}_{uid}` of the node.
    pub log_directory: PathBuf,
    /// Share the node's network namespace.
    pub host_network: bool,
    /// Share the node's process namespace.
    pub host_pid: bool,
    /// Share the node's IPC namespace.
    pub host_ipc: bool,
    /// One process namespace for all containers of the pod.
    pub share_process_namespace: bool,
    /// Kernel parameters of the sandbox's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Ports of the node that lead to the pod. None with `host_network`.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// The `handler` of the pod's RuntimeClass; empty without one.
    #[serde(default)]
    pub runtime_handler: String,
    /// One of its containers is privileged.
    #[serde(default)]
    pub privileged: bool,
    /// `hostUsers: false`: the users of the node that stand for the pod's. Without it the pod's
    /// users are the node's own.
    #[serde(default)]
    pub users: Option<UserRange>,
}

/// As many users and groups of the node, from `host_id` on, as a pod has, from 0 on: what the pod
/// knows as user 0 is `host_id` outside. CRI: `UserNamespace` with one `IDMapping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UserRange {
    /// The first of them, as the node counts.
    pub host_id: u32,
    /// How many there are.
    pub length: u32,
}

/// Which mounts that are made later, on either side, the other one sees. CRI: `MountPropagation`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Propagation {
    /// None.
    #[default]
    None,
    /// The container sees what is mounted on the node.
    HostToContainer,
    /// And the node what is mounted in the container.
    Bidirectional,
}

/// A file or folder of the node that a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    /// Path on the node.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: PathBuf,
    /// Not writable from the container.
    pub read_only: bool,
    /// Nor is what is mounted below it. Only with `read_only`, where the runtime can.
    #[serde(default)]
    pub recursive_read_only: bool,
    /// Which later mounts are seen.
    #[serde(default)]
    pub propagation: Propagation,
}

/// What limits a container beside its user and capabilities. CRI: `SecurityProfile`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SecurityProfile {
    /// Nothing.
    #[default]
    Unconfined,
    /// What the runtime thinks right.
    RuntimeDefault,
    /// A profile of the node: of seccomp the file's path, of AppArmor the name it was loaded by.
    Localhost(String),
}

/// Whom the container's process runs as, and what it may do.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Security {
    /// `runAsUser`; else the image's user.
    pub run_as_user: Option<u32>,
    /// `runAsGroup`; else the image's group.
    pub run_as_group: Option<u32>,
    /// `supplementalGroups` and `fsGroup`.
    pub supplemental_groups: Vec<u32>,
    /// The root file system cannot be written.
    pub read_only_root_filesystem: bool,
    /// All capabilities, all devices of the node.
    pub privileged: bool,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// `procMount: Unmasked`: nothing of `/proc` is hidden or read-only. Only the containers of pods
    /// with users of their own may ask for it.
    #[serde(default)]
    pub unmasked_proc: bool,
    /// Capabilities beyond the default set, without `CAP_`.
    pub add_capabilities: Vec<String>,
    /// `supplementalGroupsPolicy: Strict`: no groups but those given here. Else those that the
    /// image's `/etc/group` has the user in come on top.
    pub strict_groups: bool,
    /// Capabilities taken from the default set; `ALL` takes all.
    pub drop_capabilities: Vec<String>,
    /// `seccompProfile`: which system calls it may make. Of no effect on a privileged container.
    pub seccomp: SecurityProfile,
    /// `appArmorProfile`; only on nodes whose kernel has AppArmor.
    pub apparmor: Option<SecurityProfile>,
}

/// What a container is made from. CRI: `ContainerConfig`.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct ContainerConfig {
    /// Name in the pod.
    pub name: String,
    /// How many containers of that name the pod had before.
    pub attempt: u32,
    /// Image, as an id that `pull_image` or `image_status` returned.
    pub image_id: String,
    /// Image, as the pod's spec wrote it.
    pub image: String,
    /// Replaces the image's entrypoint unless empty.
    pub command: Vec<String>,
    /// Replaces the image's cmd unless empty (and is all there is if `command` is set).
    pub args: Vec<String>,
    /// Replaces the image's working directory unless empty.
    pub working_dir: String,
    /// Added to the image's environment, the last of a name wins.
    pub env: Vec<(String, String)>,
    /// Files and folders of the node.
    pub mounts: Vec<Mount>,
    /// Log file relative to the sandbox's log directory: `{container}/{attempt}.log`.
    pub log_path: PathBuf,
    /// Hold a pipe to the process's stdin open.
    pub stdin: bool,
    /// Close stdin after the first attach ends.
    pub stdin_once: bool,
    /// Give the process a terminal.
    pub tty: bool,
    /// Whom it runs as.
    pub security: Security,
    /// `memory` limit in bytes, where the machine lets it be enforced.
    pub memory_limit_bytes: Option<i64>,
    /// CPU limit in thousandths of a core, where the machine lets it be enforced.
    pub cpu_limit_millis: Option<i64>,
    /// CPU request in thousandths of a core.
    pub cpu_request_millis: Option<i64>,
    /// Id of the container whose process namespace this one shares, where the runtime can: what
    /// `targetContainerName` of an ephemeral container asks for. CRI: `NamespaceMode.TARGET`.
    pub pid_target: Option<String>,
    /// For the runtime's own records and for `describe`: `io.kubernetes.*`, the pod's hash.
    pub labels: BTreeMap<String, String>,
}

/// Label of a container that tells its pod's quality of service: what group of the node's pods its
/// own is in.
pub const QOS_LABEL: &str = "io.kubernetes.pod.qosClass";

/// What a running container may use. CRI: `LinuxContainerResources`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resources {
    /// CPU request in thousandths of a core; `None`: no request.
    pub cpu_request_millis: Option<i64>,
    /// CPU limit in thousandths of a core; `None`: no limit.
    pub cpu_limit_millis: Option<i64>,
    /// Memory limit in bytes; `None`: no limit.
    pub memory_limit_bytes: Option<i64>,
}

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

/// Credentials for a registry, from a pull secret.
#[derive(Debug, Clone)]
pub struct PullAuth {
    /// User.
    pub username: String,
    /// Password or token.
    pub password: String,
}

/// Something changed: the kubelet looks at the pod again. Upstream: PLEG events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// `metadata.uid` of the pod.
    pub pod_uid: String,
}

/// A byte stream that goes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A new size of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A process in a container whose ends are held by the caller: exec or attach.
pub struct ProcessStreams {
    /// Bytes for the process; drop to close. `None` if not asked for.
    pub stdin: Option<Pin<Box<dyn AsyncWrite + Send>>>,
    /// Bytes from the process (of both kinds with a terminal).
    pub stdout: Option<Pin<Box<dyn AsyncRead + Send>>>,
    /// Bytes from the process; `None` with a terminal.
    pub stderr: Option<Pin<Box<dyn AsyncRead + Send>>>,
    /// New terminal sizes.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// The exit code, once; never sent by attach to a container that goes on. An error: there is
    /// no process, which some runtimes find out only when its streams are open.
    pub exit: oneshot::Receiver<Result<i32>>,
}

/// What an exec asks for.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Hold its stdin.
    pub stdin: bool,
    /// Hold its stdout.
    pub stdout: bool,
    /// Hold its stderr.
    pub stderr: bool,
}

/// What ran, and what it said. CRI: `ExecSyncResponse`.
#[derive(Debug, Clone)]
pub struct ExecOutput {
    /// Exit code.
    pub exit_code: i32,
    /// The first 16 KiB of stdout.
    pub stdout: Vec<u8>,
    /// The first 16 KiB of stderr.
    pub stderr: Vec<u8>,
}

/// CRI's `RuntimeService` and `ImageService`.
#[async_trait::async_trait]
pub trait ContainerRuntime: Send + Sync + 'static {
    /// Name and version, for `status.nodeInfo.containerRuntimeVersion`: `sandbox://0.1.0`. The
    /// part before `:` is the scheme of `containerID`.
    fn version(&self) -> String;

    /// What it can do.
    fn features(&self) -> Features {
        Features::default()
    }

    /// Whether it works: asked every few seconds. CRI: `Status`, `RuntimeReady`.
    ///
    /// # Errors
    /// Why it does not.
    async fn status(&self) -> Result<()> {
        Ok(())
    }

    /// The handlers that pods may ask for; the one without a name is for those that name none.
    /// CRI: `Status`.
    async fn runtime_handlers(&self) -> Result<Vec<Handler>> {
        Ok(vec![Handler {
            name: String::new(),
            features: self.features(),
        }])
    }

    /// The runtime behind a handler, where it is not this one: it has images of its own.
    fn of_handler(&self, handler: &str) -> Option<std::sync::Arc<dyn ContainerRuntime>> {
        let _ = handler;
        None
    }

    /// The node's pod CIDR is known: the network can be made ready. Called before any sandbox.
    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()>;

    /// Makes and starts a sandbox with its network.
    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox>;
    /// Ends all that runs in the sandbox and gives back its network. Idempotent.
    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()>;
    /// Forgets a stopped sandbox and its containers. Idempotent.
    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()>;
    /// All sandboxes, of one pod if asked, newest first.
    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>>;

    /// Makes a container, not started.
    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String>;
    /// Starts its process.
    async fn start_container(&self, container_id: &str) -> Result<()>;
    /// SIGTERM (or the image's stop signal), then SIGKILL after the grace period. Returns when
    /// it has ended. Idempotent.
    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()>;
    /// Changes what a running container may use, all of it (in-place resize).
    ///
    /// # Errors
    /// When the runtime cannot: the resize stays in progress, and is tried again.
    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        let _ = (container_id, resources);
        Err(RuntimeError::Other(
            "this runtime cannot change the resources of a running container".to_owned(),
        ))
    }
    /// Forgets an ended container and its writable layer. Idempotent.
    async fn remove_container(&self, container_id: &str) -> Result<()>;
    /// All containers, of one pod if asked, newest first.
    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>>;

    /// Runs a command to its end, killed after `timeout` (probes and hooks).
    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: std::time::Duration,
    ) -> Result<ExecOutput>;
    /// Starts a command whose streams the caller holds.
    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams>;
    /// Holds the streams of the container's own process.
    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams>;
    /// Connects to a port on the pod's loopback.
    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>>;

    /// Brings an image to the node; returns its id.
    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String>;
    /// The image, if it is on the node. Accepts references and ids.
    async fn image_status(&self, image: &str) -> Result<Option<Image>>;
    /// All images on the node.
    async fn list_images(&self) -> Result<Vec<Image>>;
    /// Removes an image. Idempotent.
    async fn remove_image(&self, image: &str) -> Result<()>;
    /// Mounts an image's files on a folder of the node, read-only: a volume of kind `image`.
    /// Idempotent.
    ///
    /// # Errors
    /// When the runtime cannot.
    fn mount_image(&self, image_id: &str, target: &std::path::Path) -> Result<()> {
        let _ = (image_id, target);
        Err(RuntimeError::Other(
            "this runtime has no volumes from images".to_owned(),
        ))
    }
    /// Undoes [`Self::mount_image`]. Idempotent.
    fn unmount_image(&self, target: &std::path::Path) {
        let _ = target;
    }

    /// What each running container uses of processors and memory. Cheap: asked every few seconds.
    /// Those of which nothing is known are left out. CRI: `ListContainerStats`.
    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        Ok(Vec::new())
    }
    /// What the network of each sandbox has carried. Sandboxes in the host's are left out.
    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        Ok(Vec::new())
    }
    /// The writable layers of containers, by id: what each has written beside its image and its
    /// volumes. May look at every file.
    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        Ok(HashMap::new())
    }

    /// Writes everything of a running container to a file, from which it could be restored. The
    /// container goes on. CRI: `CheckpointContainer`.
    ///
    /// # Errors
    /// When the runtime cannot.
    async fn checkpoint_container(
        &self,
        container_id: &str,
        location: &std::path::Path,
    ) -> Result<()> {
        let _ = (container_id, location);
        Err(RuntimeError::Other(
            "this runtime cannot make checkpoints".to_owned(),
        ))
    }

    /// Changes, as they happen. A receiver that lags relists.
    fn events(&self) -> broadcast::Receiver<RuntimeEvent>;
}
