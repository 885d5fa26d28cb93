//! What the kubelet asks a runtime for: sandboxes, containers, and what they may do and use.

use std::collections::BTreeMap;
use std::path::PathBuf;

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

/// Credentials for a registry, from a pull secret.
#[derive(Debug, Clone)]
pub struct PullAuth {
    /// User.
    pub username: String,
    /// Password or token.
    pub password: String,
}
