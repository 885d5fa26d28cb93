//! From the kubelet's words to CRI's and back: pure.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::messages as cri;
use crate::runtime::images::{Reference, is_builtin};
use crate::runtime::{
    Container, ContainerConfig, ContainerState, ContainerUser, Features, Handler, Image,
    PodMetadata, PortMapping, PortProtocol, Propagation, Resources, SandboxConfig, SecurityProfile,
    UserRange,
};

/// The period of CPU limits, in microseconds. Upstream: `pkg/kubelet/cm/helpers_linux.go`.
const CPU_PERIOD_MICROS: i64 = 100_000;

/// What a container sees as empty, unless it is privileged or `procMount` is `Unmasked`. Upstream: `pkg/securitycontext/util.go`.
const MASKED_PATHS: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// What a container cannot write, with the same exceptions.
const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// A sandbox, as CRI wants it described.
pub fn sandbox_config(config: &SandboxConfig, cgroup_root: &str) -> cri::PodSandboxConfig {
    let pod = &config.metadata;
    let labels = [
        ("io.kubernetes.pod.name", &pod.name),
        ("io.kubernetes.pod.namespace", &pod.namespace),
        ("io.kubernetes.pod.uid", &pod.uid),
    ];
    // A pod in the node's network has the node's name.
    let hostname = if config.host_network {
        String::new()
    } else {
        config.hostname.clone()
    };
    cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            attempt: pod.attempt,
        }),
        hostname,
        log_directory: config.log_directory.display().to_string(),
        dns_config: Some(dns_config(&config.resolv_conf)),
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .into(),
        port_mappings: config.port_mappings.iter().map(port_mapping).collect(),
        annotations: Default::default(),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: pod_cgroup(cgroup_root, &pod.uid),
            security_context: Some(cri::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(config, None)),
                privileged: config.privileged,
                seccomp: Some(profile(&SecurityProfile::RuntimeDefault)),
            }),
            sysctls: config.sysctls.clone(),
        }),
    }
}

fn port_mapping(mapping: &PortMapping) -> cri::PortMapping {
    let protocol = match mapping.protocol {
        PortProtocol::Tcp => cri::Protocol::Tcp,
        PortProtocol::Udp => cri::Protocol::Udp,
        PortProtocol::Sctp => cri::Protocol::Sctp,
    };
    cri::PortMapping {
        protocol: protocol as i32,
        container_port: mapping.container_port.into(),
        host_port: mapping.host_port.into(),
        host_ip: mapping.host_ip.clone(),
    }
}

/// The cgroup of a pod: its containers are below it.
pub fn pod_cgroup(cgroup_root: &str, uid: &str) -> String {
    format!("{}/kubepods/pod{uid}", cgroup_root.trim_end_matches('/'))
}

/// Which namespaces are the pod's, the container's own, the node's or another container's.
fn namespaces(config: &SandboxConfig, pid_target: Option<&str>) -> cri::NamespaceOption {
    use cri::NamespaceMode::{Container, Node, Pod, Target};
    let node_or_pod = |is_node| if is_node { Node } else { Pod };
    let pid = match pid_target {
        Some(_) => Target,
        None if config.host_pid => Node,
        None if config.share_process_namespace => Pod,
        None => Container,
    };
    cri::NamespaceOption {
        network: node_or_pod(config.host_network) as i32,
        pid: pid as i32,
        ipc: node_or_pod(config.host_ipc) as i32,
        target_id: pid_target.unwrap_or_default().to_owned(),
        userns_options: Some(user_namespace(config.users)),
    }
}

/// Whose users the pod's are.
fn user_namespace(users: Option<UserRange>) -> cri::UserNamespace {
    let mode = match users {
        Some(_) => cri::NamespaceMode::Pod,
        None => cri::NamespaceMode::Node,
    };
    let mapping = id_mapping(users);
    cri::UserNamespace {
        mode: mode as i32,
        uids: mapping.clone(),
        gids: mapping,
    }
}

/// One mapping, from 0 on; none for a pod whose users are the node's.
fn id_mapping(users: Option<UserRange>) -> Vec<cri::IdMapping> {
    let mapping = users.map(|range| cri::IdMapping {
        host_id: range.host_id,
        container_id: 0,
        length: range.length,
    });
    mapping.into_iter().collect()
}

/// What a `resolv.conf` says, in CRI's fields: the runtime writes the file anew from them.
fn dns_config(resolv_conf: &str) -> cri::DnsConfig {
    let mut config = cri::DnsConfig::default();
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => config.servers.extend(words.next()),
            Some("search") => config.searches = words.collect(),
            Some("options") => config.options.extend(words),
            _ => {}
        }
    }
    config
}

/// A container, as CRI wants it described. `mounts` are the pod's `/etc/hosts` and what the image
/// takes from the machine; the container's own win.
pub fn container_config(
    config: &ContainerConfig,
    sandbox: &SandboxConfig,
    mounts: Vec<cri::Mount>,
) -> cri::ContainerConfig {
    let own = config.mounts.iter().map(|mount| cri::Mount {
        container_path: mount.container_path.display().to_string(),
        host_path: mount.host_path.display().to_string(),
        readonly: mount.read_only,
        propagation: match mount.propagation {
            Propagation::None => cri::MountPropagation::Private as i32,
            Propagation::HostToContainer => cri::MountPropagation::HostToContainer as i32,
            Propagation::Bidirectional => cri::MountPropagation::Bidirectional as i32,
        },
        recursive_read_only: mount.recursive_read_only,
        ..cri::Mount::default()
    });
    let own: Vec<_> = own.collect();
    let is_free = |mount: &cri::Mount| {
        let mut paths = own.iter().map(|own| &own.container_path);
        paths.all(|path| *path != mount.container_path)
    };
    let mut mounts: Vec<_> = mounts.into_iter().filter(is_free).collect();
    mounts.extend(own.iter().cloned());
    // What belongs to the node's users has to belong to the pod's, where the pod sees it. Upstream:
    // `kuberuntime_container_linux.go: applyPlatformSpecificContainerConfig`.
    let mapping = id_mapping(sandbox.users);
    for mount in &mut mounts {
        mount.uid_mappings.clone_from(&mapping);
        mount.gid_mappings.clone_from(&mapping);
    }
    let envs = config.env.iter().map(|(key, value)| cri::KeyValue {
        key: key.clone(),
        value: value.clone(),
    });
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata {
            name: config.name.clone(),
            attempt: config.attempt,
        }),
        image: Some(cri::ImageSpec {
            image: config.image_id.clone(),
        }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        envs: envs.collect(),
        mounts,
        labels: config.labels.clone(),
        annotations: Default::default(),
        log_path: config.log_path.display().to_string(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(resources(&Resources {
                cpu_request_millis: config.cpu_request_millis,
                cpu_limit_millis: config.cpu_limit_millis,
                memory_limit_bytes: config.memory_limit_bytes,
            })),
            security_context: Some(security(config, sandbox)),
        }),
    }
}

fn security(
    config: &ContainerConfig,
    sandbox: &SandboxConfig,
) -> cri::LinuxContainerSecurityContext {
    let security = &config.security;
    let number = |value: u32| cri::Int64Value {
        value: value.into(),
    };
    let paths = |paths: &[&str]| match security.privileged || security.unmasked_proc {
        true => Vec::new(),
        false => paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: security.add_capabilities.clone(),
            drop_capabilities: security.drop_capabilities.clone(),
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces(sandbox, config.pid_target.as_deref())),
        run_as_user: security.run_as_user.map(number),
        run_as_group: security.run_as_group.map(number),
        readonly_rootfs: security.read_only_root_filesystem,
        supplemental_groups: security
            .supplemental_groups
            .iter()
            .map(|group| i64::from(*group))
            .collect(),
        no_new_privs: security.no_new_privileges,
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READ_ONLY_PATHS),
        seccomp: Some(profile(&security.seccomp)),
        apparmor: security.apparmor.as_ref().map(profile),
        supplemental_groups_policy: match security.strict_groups {
            true => cri::SupplementalGroupsPolicy::Strict as i32,
            false => cri::SupplementalGroupsPolicy::Merge as i32,
        },
    }
}

fn profile(profile: &SecurityProfile) -> cri::SecurityProfile {
    let (profile_type, localhost_ref) = match profile {
        SecurityProfile::RuntimeDefault => (cri::ProfileType::RuntimeDefault, ""),
        SecurityProfile::Unconfined => (cri::ProfileType::Unconfined, ""),
        SecurityProfile::Localhost(name) => (cri::ProfileType::Localhost, name.as_str()),
    };
    cri::SecurityProfile {
        profile_type: profile_type as i32,
        localhost_ref: localhost_ref.to_owned(),
    }
}

/// Limits and requests as the kernel counts them. Upstream: `MilliCPUToShares`, `MilliCPUToQuota`.
pub fn resources(resources: &Resources) -> cri::LinuxContainerResources {
    // A limit without a request is the request too, which the API server fills in.
    let request = resources.cpu_request_millis.or(resources.cpu_limit_millis);
    let shares = request.unwrap_or(0) * 1024 / 1000;
    let quota = resources
        .cpu_limit_millis
        .filter(|limit| *limit > 0)
        .map_or(0, |limit| (limit * CPU_PERIOD_MICROS / 1000).max(1000));
    cri::LinuxContainerResources {
        cpu_period: CPU_PERIOD_MICROS,
        cpu_quota: quota,
        cpu_shares: shares.clamp(2, 262_144),
        memory_limit_in_bytes: resources.memory_limit_bytes.unwrap_or(0),
        oom_score_adj: 0,
    }
}

/// Who a sandbox belongs to.
pub fn pod_metadata(metadata: cri::PodSandboxMetadata) -> PodMetadata {
    PodMetadata {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        attempt: metadata.attempt,
    }
}

/// A container, as the kubelet sees it.
pub fn container(status: cri::ContainerStatus, sandbox_id: String) -> Container {
    let metadata = status.metadata.unwrap_or_default();
    let state = match cri::ContainerState::try_from(status.state) {
        Ok(cri::ContainerState::Created) => ContainerState::Created,
        Ok(cri::ContainerState::Running) => ContainerState::Running,
        Ok(cri::ContainerState::Exited) => ContainerState::Exited {
            exit_code: status.exit_code,
            finished_at: timestamp(status.finished_at),
            reason: status.reason,
            message: status.message,
        },
        // Upstream: `kuberuntime_container.go: toKubeContainerState` and what becomes of it.
        Ok(cri::ContainerState::Unknown) | Err(_) => ContainerState::Exited {
            exit_code: 137,
            finished_at: timestamp(status.finished_at),
            reason: "ContainerStatusUnknown".to_owned(),
            message: "The container could not be located when the pod was terminated".to_owned(),
        },
    };
    Container {
        id: status.id,
        sandbox_id,
        name: metadata.name,
        attempt: metadata.attempt,
        image: status.image.unwrap_or_default().image,
        image_ref: status.image_ref,
        state,
        created_at: timestamp(status.created_at),
        started_at: (status.started_at > 0).then(|| timestamp(status.started_at)),
        log_path: status.log_path.into(),
        labels: status.labels,
        user: status.user.and_then(|user| user.linux).map(user),
    }
}

fn user(user: cri::LinuxContainerUser) -> ContainerUser {
    let id = |id: i64| u32::try_from(id).unwrap_or_default();
    ContainerUser {
        uid: id(user.uid),
        gid: id(user.gid),
        supplemental_groups: user.supplemental_groups.into_iter().map(id).collect(),
    }
}

/// What a runtime says that it can do for pods without a class.
pub fn features(reply: &cri::StatusResponse) -> Features {
    let of_handlers = reply.runtime_handlers.iter();
    let mut default = of_handlers.filter(|handler| handler.name.is_empty());
    features_of(reply, default.next())
}

/// The handlers that a runtime has. One that is too old to tell has none.
pub fn handlers(reply: &cri::StatusResponse) -> Vec<Handler> {
    let handlers = reply.runtime_handlers.iter();
    let handlers = handlers.map(|handler| Handler {
        name: handler.name.clone(),
        features: features_of(reply, Some(handler)),
    });
    handlers.collect()
}

fn features_of(reply: &cri::StatusResponse, handler: Option<&cri::RuntimeHandler>) -> Features {
    let own = handler.and_then(|handler| handler.features.as_ref());
    let shared = reply.features.as_ref();
    Features {
        supplemental_groups_policy: shared.is_some_and(|it| it.supplemental_groups_policy),
        recursive_read_only_mounts: own.is_some_and(|it| it.recursive_read_only_mounts),
        user_namespaces: own.is_some_and(|it| it.user_namespaces),
    }
}

/// An image, as the kubelet sees it.
pub fn image(image: cri::Image) -> Image {
    // Older runtimes pin nothing, not even what their sandboxes are made of.
    let is_kept = |name: &String| {
        let reference = Reference::parse(name);
        reference.is_ok_and(|it| is_builtin(&it) || it.repository.ends_with("/pause"))
    };
    Image {
        pinned: image.pinned || image.repo_tags.iter().any(is_kept),
        user: match image.uid {
            Some(uid) => uid.value.to_string(),
            None => image.username,
        },
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size_bytes: image.size,
    }
}

/// A mount of the same path, read-only.
pub fn read_only_mount(path: &Path) -> cri::Mount {
    cri::Mount {
        container_path: path.display().to_string(),
        host_path: path.display().to_string(),
        readonly: true,
        ..cri::Mount::default()
    }
}

/// Nanoseconds since 1970.
pub fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A limit in whole seconds, which is all that CRI has; 0 would be no limit.
pub fn whole_seconds(limit: Duration) -> i64 {
    let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
    seconds.clamp(1, i64::MAX as u64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_as_the_file_says() {
        let text = "nameserver 10.96.0.10\nsearch a.b c\noptions ndots:5\noptions edns0\n# x\n";
        let config = dns_config(text);
        assert_eq!(config.servers, ["10.96.0.10"]);
        assert_eq!(config.searches, ["a.b", "c"]);
        assert_eq!(config.options, ["ndots:5", "edns0"]);
    }

    #[test]
    fn cpu_is_counted_as_upstream_counts() {
        let of = |request: Option<i64>, limit: Option<i64>| {
            let counted = resources(&Resources {
                cpu_request_millis: request,
                cpu_limit_millis: limit,
                memory_limit_bytes: None,
            });
            (counted.cpu_shares, counted.cpu_quota)
        };
        assert_eq!(of(None, None), (2, 0));
        assert_eq!(of(Some(100), None), (102, 0));
        assert_eq!(of(None, Some(500)), (512, 50_000));
        assert_eq!(of(Some(1), Some(1)), (2, 1000));
    }

    #[test]
    fn a_pod_s_own_users_are_told_to_sandbox_containers_and_mounts() {
        let users = UserRange {
            host_id: 131_072,
            length: 65_536,
        };
        let own = SandboxConfig {
            users: Some(users),
            ..SandboxConfig::default()
        };
        let mapping = vec![cri::IdMapping {
            host_id: 131_072,
            container_id: 0,
            length: 65_536,
        }];
        let expected = cri::UserNamespace {
            mode: cri::NamespaceMode::Pod as i32,
            uids: mapping.clone(),
            gids: mapping.clone(),
        };
        let options = namespaces(&own, None).userns_options;
        assert_eq!(options, Some(expected.clone()));
        let hosts = read_only_mount(Path::new("/etc/hosts"));
        let mut config = ContainerConfig::default();
        config.security.unmasked_proc = true;
        let container = container_config(&config, &own, vec![hosts.clone()]);
        assert_eq!(container.mounts[0].uid_mappings, mapping);
        assert_eq!(container.mounts[0].gid_mappings, mapping);
        let security = container.linux.unwrap().security_context.unwrap();
        let options = security.namespace_options.unwrap();
        assert_eq!(options.userns_options, Some(expected));
        let none: [String; 0] = [];
        assert_eq!(security.masked_paths, none);
        assert_eq!(security.readonly_paths, none);

        let shared = SandboxConfig::default();
        let options = namespaces(&shared, None).userns_options.unwrap();
        assert_eq!(options.mode, cri::NamespaceMode::Node as i32);
        assert!(options.uids.is_empty());
        let config = ContainerConfig::default();
        let container = container_config(&config, &shared, vec![hosts]);
        assert!(container.mounts[0].uid_mappings.is_empty());
        let security = container.linux.unwrap().security_context.unwrap();
        assert_eq!(security.masked_paths, MASKED_PATHS);
    }

    #[test]
    fn a_handler_can_do_what_the_runtime_says() {
        let handler = |name: &str, user_namespaces| cri::RuntimeHandler {
            name: name.to_owned(),
            features: Some(cri::RuntimeHandlerFeatures {
                recursive_read_only_mounts: true,
                user_namespaces,
            }),
        };
        let reply = cri::StatusResponse {
            runtime_handlers: vec![handler("", false), handler("runc", true)],
            ..cri::StatusResponse::default()
        };
        let told: Vec<(String, bool)> = handlers(&reply)
            .into_iter()
            .map(|handler| (handler.name, handler.features.user_namespaces))
            .collect();
        assert_eq!(told, [(String::new(), false), ("runc".to_owned(), true)]);
        assert!(handlers(&cri::StatusResponse::default()).is_empty());
    }

    #[test]
    fn limits_are_whole_seconds() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!(
            [seconds(0), seconds(1), seconds(1000), seconds(1001)],
            [1, 1, 1, 2]
        );
    }

    #[test]
    fn who_is_in_whose_namespace() {
        let config = |json: &str| -> SandboxConfig { serde_json::from_str(json).unwrap() };
        let pod = config(
            r#"{"metadata":{"name":"a","namespace":"b","uid":"c","attempt":0},"hostname":"a",
            "resolv_conf":"","hosts":"","log_directory":"/l","host_network":true,"host_pid":false,
            "host_ipc":false,"share_process_namespace":false,"sysctls":{}}"#,
        );
        let modes = |option: cri::NamespaceOption| (option.network, option.pid, option.ipc);
        assert_eq!(modes(namespaces(&pod, None)), (2, 1, 0));
        assert_eq!(modes(namespaces(&pod, Some("x"))), (2, 3, 0));
        assert_eq!(sandbox_config(&pod, "/x/").hostname, "");
        let linux = sandbox_config(&pod, "/x/").linux.unwrap();
        assert_eq!(linux.cgroup_parent, "/x/kubepods/podc");
    }
}
