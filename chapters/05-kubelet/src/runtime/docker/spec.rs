//! From what the kubelet wants to what the engine is asked for: pure.
//!
//! ```text
//!   pause container   --network none, --ipc shareable          holds the pod's namespaces
//!   container         --network container:PAUSE --ipc container:PAUSE [--pid container:PAUSE]
//! ```
//!
//! Upstream: `cri-dockerd`, `core/sandbox_run.go`, `core/container_create.go`,
//! `core/security_context.go`.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, HostConfig, HostConfigLogConfig, Mount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::labels::Labels;
use super::place::Place;
use crate::runtime::{
    ContainerConfig, Propagation, Resources, SandboxConfig, Security, SecurityProfile,
};

/// Length of the scheduler's accounting period, in microseconds.
const CPU_PERIOD_US: i64 = 100_000;
/// The least that the kernel takes for shares and quota. Upstream: `kuberuntime/helpers_linux.go`.
const CPU_SHARES_MIN: i64 = 2;
const CPU_QUOTA_MIN_US: i64 = 1_000;

/// A file or folder of the engine that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineMount {
    /// The engine's path.
    pub source: PathBuf,
    /// The container's path.
    pub target: PathBuf,
    /// Not writable from the container.
    pub read_only: bool,
    /// Which later mounts are seen.
    pub propagation: Propagation,
    /// Have the engine make the source if it is not there.
    pub create: bool,
}

/// The pause container of a pod. `memory` are volumes that it keeps alive, each with a path.
pub fn pause(
    config: &SandboxConfig,
    place: &Place,
    memory: &[(String, String)],
    labels: Labels,
) -> ContainerCreateBody {
    let own = || place.own_namespace();
    let mounts = memory.iter().map(|(volume, path)| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.clone()),
        target: Some(path.clone()),
        ..Mount::default()
    });
    let host_config = HostConfig {
        network_mode: Some(match config.host_network {
            true => own(),
            false => "none".to_owned(),
        }),
        ipc_mode: Some(match config.host_ipc {
            true => own(),
            false => "shareable".to_owned(),
        }),
        pid_mode: config.host_pid.then(|| "host".to_owned()),
        mounts: Some(mounts.collect()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        sysctls: Some(config.sysctls.clone().into_iter().collect()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        restart_policy: Some(never()),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        // With another's network goes that one's hostname.
        hostname: (!config.host_network).then(|| config.hostname.clone()),
        image: Some(place.pause.image.clone()),
        entrypoint: place.pause.entrypoint.clone(),
        labels: Some(labels),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// Which namespaces of its pod a container is to share.
#[derive(Debug, Clone)]
pub struct PodNamespaces {
    /// Id of the pause container.
    pub pause: String,
    /// `hostNetwork`.
    pub host_network: bool,
    /// `hostPID`.
    pub host_pid: bool,
    /// `hostIPC`.
    pub host_ipc: bool,
    /// `shareProcessNamespace`.
    pub share_process_namespace: bool,
}

/// A container of a pod. `image_user` is whom the image wants to be run as, `seccomp` the text of
/// the node's profile that it asks for.
pub fn container(
    config: &ContainerConfig,
    pod: &PodNamespaces,
    place: &Place,
    mounts: &[EngineMount],
    image_user: &str,
    seccomp: Option<&str>,
    labels: Labels,
) -> ContainerCreateBody {
    let of_pause = || format!("container:{}", pod.pause);
    let pid_mode = if let Some(target) = &config.pid_target {
        Some(format!("container:{target}"))
    } else if pod.host_pid {
        Some("host".to_owned())
    } else if pod.share_process_namespace {
        Some(of_pause())
    } else {
        None
    };
    let (made, found): (Vec<_>, Vec<_>) = mounts.iter().partition(|mount| mount.create);
    let security = &config.security;
    let host_config = HostConfig {
        network_mode: Some(match pod.host_network {
            true => place.own_namespace(),
            false => of_pause(),
        }),
        ipc_mode: Some(match pod.host_ipc {
            true => place.own_namespace(),
            false => of_pause(),
        }),
        pid_mode,
        mounts: Some(found.into_iter().map(bind).collect()),
        binds: Some(made.into_iter().map(old_bind).collect()),
        memory: config.memory_limit_bytes.filter(|bytes| *bytes > 0),
        // No swap beside it, as upstream.
        memory_swap: config.memory_limit_bytes.filter(|bytes| *bytes > 0),
        cpu_shares: Some(shares(
            config.cpu_request_millis.or(config.cpu_limit_millis),
        )),
        cpu_period: config.cpu_limit_millis.map(|_| CPU_PERIOD_US),
        cpu_quota: config.cpu_limit_millis.map(quota),
        readonly_rootfs: Some(security.read_only_root_filesystem),
        privileged: Some(security.privileged),
        cap_add: Some(security.add_capabilities.clone()),
        cap_drop: Some(security.drop_capabilities.clone()),
        group_add: Some(
            security
                .supplemental_groups
                .iter()
                .map(u32::to_string)
                .collect(),
        ),
        security_opt: Some(security_options(security, seccomp)),
        masked_paths: masks(security),
        readonly_paths: masks(security),
        log_config: Some(log_config()),
        restart_policy: Some(never()),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(config.image_id.clone()),
        entrypoint: some(&config.command),
        // An entrypoint of one's own takes the image's cmd away; its args may be none.
        cmd: match config.command.is_empty() {
            true => some(&config.args),
            false => Some(config.args.clone()),
        },
        working_dir: Some(config.working_dir.clone()).filter(|dir| !dir.is_empty()),
        env: Some(
            config
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        user: user(security, image_user),
        open_stdin: Some(config.stdin),
        stdin_once: Some(config.stdin_once),
        tty: Some(config.tty),
        labels: Some(labels),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// What is hidden or read-only of `/proc` and `/sys`: left out, it is the engine's own lists.
fn masks(security: &Security) -> Option<Vec<String>> {
    security.unmasked_proc.then(Vec::new)
}

/// The kubelet decides what is started again.
fn never() -> RestartPolicy {
    RestartPolicy {
        name: Some(RestartPolicyNameEnum::NO),
        maximum_retry_count: None,
    }
}

/// The engine's own log is only what ours is copied from, so it is short.
fn log_config() -> HostConfigLogConfig {
    let options = [("max-size", "10m"), ("max-file", "3")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(HashMap::from(options)),
    }
}

/// The engine's own default is a profile, Kubernetes' is none. A profile of the node is handed over
/// as a whole (`seccomp` is its text): the engine does not see the node's files.
fn security_options(security: &Security, seccomp: Option<&str>) -> Vec<String> {
    let mut options = Vec::new();
    match (&security.seccomp, seccomp) {
        _ if security.privileged => {}
        (SecurityProfile::Unconfined, _) => options.push("seccomp=unconfined".to_owned()),
        (SecurityProfile::Localhost(_), Some(text)) => options.push(format!("seccomp={text}")),
        _ => {}
    }
    match &security.apparmor {
        Some(SecurityProfile::Unconfined) => options.push("apparmor=unconfined".to_owned()),
        Some(SecurityProfile::Localhost(name)) => options.push(format!("apparmor={name}")),
        Some(SecurityProfile::RuntimeDefault) | None => {}
    }
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    options
}

/// `uid:gid`; a group alone needs the image's user beside it.
fn user(security: &Security, image_user: &str) -> Option<String> {
    let image_user = image_user.split(':').next().unwrap_or_default();
    match (security.run_as_user, security.run_as_group) {
        (None, None) => None,
        (Some(user), None) => Some(user.to_string()),
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (None, Some(group)) if image_user.is_empty() => Some(format!("0:{group}")),
        (None, Some(group)) => Some(format!("{image_user}:{group}")),
    }
}

/// What a running container may use from now on. A limit is lifted by a quota of -1.
pub fn update(resources: &Resources) -> ContainerUpdateBody {
    let millis = resources.cpu_request_millis.or(resources.cpu_limit_millis);
    ContainerUpdateBody {
        cpu_shares: Some(shares(millis)),
        cpu_period: Some(CPU_PERIOD_US),
        cpu_quota: Some(resources.cpu_limit_millis.map_or(-1, quota)),
        memory: resources.memory_limit_bytes,
        memory_swap: resources.memory_limit_bytes,
        ..ContainerUpdateBody::default()
    }
}

/// Upstream: `MilliCPUToShares`. Without a request, the limit is one.
fn shares(millis: Option<i64>) -> i64 {
    (millis.unwrap_or(0) * 1024 / 1000).max(CPU_SHARES_MIN)
}

fn quota(millis: i64) -> i64 {
    (millis * CPU_PERIOD_US / 1000).max(CPU_QUOTA_MIN_US)
}

fn bind(mount: &EngineMount) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.display().to_string()),
        target: Some(mount.target.display().to_string()),
        read_only: Some(mount.read_only),
        bind_options: match mount.propagation {
            Propagation::None => None,
            other => Some(MountBindOptions {
                propagation: Some(match other {
                    Propagation::Bidirectional => MountBindOptionsPropagationEnum::RSHARED,
                    _ => MountBindOptionsPropagationEnum::RSLAVE,
                }),
                ..MountBindOptions::default()
            }),
        },
        ..Mount::default()
    }
}

/// The older way to say it makes what is missing.
fn old_bind(mount: &EngineMount) -> String {
    let mode = if mount.read_only { "ro" } else { "rw" };
    let propagation = match mount.propagation {
        Propagation::None => "",
        Propagation::HostToContainer => ",rslave",
        Propagation::Bidirectional => ",rshared",
    };
    format!(
        "{}:{}:{mode}{propagation}",
        mount.source.display(),
        mount.target.display()
    )
}

fn some(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups() {
        let as_ = |user, group, image: &str| {
            let security = Security {
                run_as_user: user,
                run_as_group: group,
                ..Security::default()
            };
            super::user(&security, image)
        };
        assert_eq!(as_(None, None, "app"), None);
        assert_eq!(as_(Some(7), None, "app").as_deref(), Some("7"));
        assert_eq!(as_(Some(7), Some(8), "app").as_deref(), Some("7:8"));
        assert_eq!(as_(None, Some(8), "app:9").as_deref(), Some("app:8"));
        assert_eq!(as_(None, Some(8), "").as_deref(), Some("0:8"));
    }

    #[test]
    fn mounts_propagate_as_asked() {
        let mount = |propagation| EngineMount {
            source: "/a".into(),
            target: "/b".into(),
            read_only: false,
            propagation,
            create: false,
        };
        let said = |propagation| {
            let options = bind(&mount(propagation)).bind_options?;
            Some(options.propagation?.to_string())
        };
        assert_eq!(said(Propagation::None), None);
        assert_eq!(
            said(Propagation::HostToContainer).as_deref(),
            Some("rslave")
        );
        assert_eq!(said(Propagation::Bidirectional).as_deref(), Some("rshared"));
        assert_eq!(old_bind(&mount(Propagation::None)), "/a:/b:rw");
        assert_eq!(
            old_bind(&mount(Propagation::Bidirectional)),
            "/a:/b:rw,rshared"
        );
    }

    #[test]
    fn profiles_are_those_asked_for() {
        let options = |profile: SecurityProfile, privileged| {
            let security = Security {
                seccomp: profile,
                privileged,
                ..Security::default()
            };
            security_options(&security, Some("{}"))
        };
        let unconfined = SecurityProfile::Unconfined;
        assert_eq!(options(unconfined.clone(), false), ["seccomp=unconfined"]);
        assert!(options(unconfined, true).is_empty());
        assert!(options(SecurityProfile::RuntimeDefault, false).is_empty());
        let local = SecurityProfile::Localhost("/x.json".to_owned());
        assert_eq!(options(local, false), ["seccomp={}"]);
        let security = Security {
            apparmor: Some(SecurityProfile::Localhost("web".to_owned())),
            ..Security::default()
        };
        let options = security_options(&security, None);
        assert_eq!(options, ["seccomp=unconfined", "apparmor=web"]);
    }

    #[test]
    fn a_proc_without_masks_is_asked_for_with_empty_lists() {
        let made = |unmasked_proc| {
            let security = Security {
                unmasked_proc,
                ..Security::default()
            };
            masks(&security)
        };
        assert_eq!(made(false), None, "the engine's own lists");
        assert_eq!(made(true), Some(Vec::new()));
    }

    #[test]
    fn processor_time_is_in_the_kernel_s_units() {
        assert_eq!(shares(Some(250)), 256);
        assert_eq!(shares(None), 2);
        assert_eq!(quota(500), 50_000);
        assert_eq!(quota(1), 1_000);
    }
}
