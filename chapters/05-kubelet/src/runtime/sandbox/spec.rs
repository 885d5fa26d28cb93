//! From what the kubelet asks and what the image says to what the shim runs. Pure.
//!
//! Upstream: containerd `internal/cri/server/container_create.go` and `pkg/oci/spec_opts.go`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::seccomp;
use super::users::{IdMap, ImageUsers};
use crate::runtime::images::ImageConfig;
use crate::runtime::{
    ContainerConfig, Mount, Result, RuntimeError, SandboxConfig, Security, SecurityProfile,
};

/// Where programs are looked for when nothing says otherwise.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// All that the shim needs to run a container's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory, made if it is not there.
    pub cwd: PathBuf,
    /// Whom it runs as.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// The bits of its capabilities: `1 << CAP_CHOWN`.
    pub capabilities: u64,
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// Nothing masked.
    #[serde(default)]
    pub unmasked_proc: bool,
    /// It cannot gain privileges by `exec`.
    pub no_new_privileges: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Hold a pipe to its stdin open.
    pub stdin: bool,
    /// Close stdin when the first attach ends.
    pub stdin_once: bool,
    /// The signal that asks it to end.
    pub stop_signal: i32,
    /// What its root is made of.
    pub root: RootSpec,
    /// Files and folders of the node, outer ones first.
    pub mounts: Vec<Mount>,
    /// A process namespace of its own.
    pub own_pid_namespace: bool,
    /// The log's path on the node.
    pub log_path: PathBuf,
    /// What it may use, where the machine lets it be enforced.
    pub limits: Limits,
    /// Folders of the control groups that its processes are in; none where there can be none.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// Which system calls it may make; any, if there is none.
    #[serde(default)]
    pub seccomp: Option<seccomp::Program>,
}

/// What a container's root file system is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSpec {
    /// Folder of the image store's unpacked layers.
    pub layers_dir: PathBuf,
    /// Names of the layers in it, the uppermost first.
    pub layers: Vec<String>,
    /// Files and folders of the machine that belong to the image, read-only at the same path.
    pub host_paths: Vec<PathBuf>,
    /// Not writable.
    pub read_only: bool,
}

/// Limits of a container's resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: Option<i64>,
    /// Processor time in thousandths of a core.
    pub cpu_millis: Option<i64>,
    /// Share of contended processor time, in thousandths of a core.
    pub cpu_request_millis: Option<i64>,
}

/// The facts beside the container's config that its spec follows from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The sandbox it will run in.
    pub sandbox: &'a SandboxConfig,
    /// What its image says.
    pub image: &'a ImageConfig,
    /// Who is known in its image.
    pub users: &'a ImageUsers,
    /// The users that there are in this user namespace.
    pub uid_map: &'a IdMap,
    /// The groups that there are in this user namespace.
    pub gid_map: &'a IdMap,
}

/// Works out what to run.
///
/// # Errors
/// [`RuntimeError::Create`] when there is nothing to run or nobody to run it as.
pub fn container_spec(
    config: &ContainerConfig,
    root: RootSpec,
    context: Context<'_>,
) -> Result<ContainerSpec> {
    let Context {
        sandbox,
        image,
        users,
        uid_map,
        gid_map,
    } = context;
    let argv = argv(config, image)?;
    let security = &config.security;
    if matches!(&security.apparmor, Some(profile) if *profile != SecurityProfile::Unconfined) {
        let why = "the sandbox runtime has no AppArmor profiles";
        return Err(RuntimeError::Create(why.to_owned()));
    }
    let user = users.resolve(&image.user, security)?;
    let of_pod = sandbox.users.map(|range| IdMap::of_pod(range.length));
    let uid_map = of_pod.as_ref().unwrap_or(uid_map);
    let gid_map = of_pod.as_ref().unwrap_or(gid_map);
    uid_map.check(user.uid, "user")?;
    gid_map.check(user.gid, "group")?;
    let capabilities = capabilities(security)?;
    let mut mounts = config.mounts.clone();
    mounts.sort_by_key(|mount| mount.container_path.components().count());
    let cwd = [config.working_dir.as_str(), image.working_dir.as_str(), "/"]
        .into_iter()
        .find(|dir| !dir.is_empty())
        .expect("the last is not empty");
    if !cwd.starts_with('/') {
        return Err(RuntimeError::Create(format!(
            "working directory {cwd:?} is not absolute"
        )));
    }
    Ok(ContainerSpec {
        argv,
        env: env(config, image, &sandbox.hostname, &user.home),
        cwd: cwd.into(),
        uid: user.uid,
        gid: user.gid,
        // A group that does not exist here cannot be held, and gives no access to anything that
        // the other groups do not: all files belong to groups that do exist here.
        groups: user
            .groups
            .into_iter()
            .filter(|gid| gid_map.contains(*gid))
            .collect(),
        capabilities,
        privileged: security.privileged,
        unmasked_proc: security.unmasked_proc,
        no_new_privileges: security.no_new_privileges,
        tty: config.tty,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        stop_signal: stop_signal(&image.stop_signal),
        root,
        mounts,
        own_pid_namespace: !sandbox.share_process_namespace && !sandbox.host_pid,
        log_path: sandbox.log_directory.join(&config.log_path),
        limits: Limits {
            memory_bytes: config.memory_limit_bytes,
            cpu_millis: config.cpu_limit_millis,
            cpu_request_millis: config.cpu_request_millis,
        },
        cgroups: Vec::new(),
        seccomp: match security.privileged {
            true => None,
            false => seccomp::filter(&security.seccomp, capabilities)?,
        },
    })
}

/// Kubernetes' rule: `command` replaces entrypoint and cmd, `args` replaces cmd.
fn argv(config: &ContainerConfig, image: &ImageConfig) -> Result<Vec<String>> {
    let (program, arguments) = match (config.command.is_empty(), config.args.is_empty()) {
        (false, _) => (&config.command, &config.args),
        (true, false) => (&image.entrypoint, &config.args),
        (true, true) => (&image.entrypoint, &image.cmd),
    };
    let argv: Vec<String> = program.iter().chain(arguments).cloned().collect();
    match argv.first() {
        None => Err(RuntimeError::Create("no command specified".into())),
        Some(_) if argv.iter().any(|arg| arg.contains('\0')) => Err(RuntimeError::Create(
            "an argument contains a zero byte".into(),
        )),
        Some(_) => Ok(argv),
    }
}

fn env(config: &ContainerConfig, image: &ImageConfig, hostname: &str, home: &str) -> Vec<String> {
    let defaults = [
        ("PATH", DEFAULT_PATH),
        ("HOSTNAME", hostname),
        ("HOME", home),
    ];
    let mut env: Vec<(String, String)> = defaults
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    if config.tty {
        env.push(("TERM".into(), "xterm".into()));
    }
    let of_image = image.env.iter().filter_map(|entry| entry.split_once('='));
    let of_image = of_image.map(|(name, value)| (name.to_string(), value.to_string()));
    for (name, value) in of_image.chain(config.env.iter().cloned()) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        }
    }
    let writable = |text: &str| !text.contains('\0');
    env.retain(|(name, value)| !name.is_empty() && writable(name) && writable(value));
    env.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Names of the capabilities, by their number.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container's root may do unless its pod says otherwise: Docker's and containerd's set.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

const ALL_CAPABILITIES: u64 = (1 << CAPABILITIES.len()) - 1;

/// The names of capabilities given by their bits: `CAP_CHOWN`.
pub fn capability_names(set: u64) -> Vec<String> {
    let numbered = (0..).zip(CAPABILITIES);
    let held = numbered.filter(|(number, _)| set & (1 << number) != 0);
    held.map(|(_, name)| format!("CAP_{name}")).collect()
}

/// The default set, less what is dropped, plus what is added; what is named in both is kept.
fn capabilities(security: &Security) -> Result<u64> {
    if security.privileged {
        return Ok(ALL_CAPABILITIES);
    }
    let mut set = bits(&DEFAULT_CAPABILITIES)?;
    set &= !bits(&security.drop_capabilities)?;
    Ok(set | bits(&security.add_capabilities)?)
}

fn bits(names: &[impl AsRef<str>]) -> Result<u64> {
    names.iter().try_fold(0, |set, name| {
        let upper = name.as_ref().to_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if short == "ALL" {
            return Ok(ALL_CAPABILITIES);
        }
        match CAPABILITIES.iter().position(|known| *known == short) {
            Some(number) => Ok(set | 1 << number),
            None => Err(RuntimeError::Create(format!(
                "unknown capability {:?}",
                name.as_ref()
            ))),
        }
    })
}

/// `SIGQUIT`, `QUIT` or `3`; SIGTERM for anything else.
fn stop_signal(text: &str) -> i32 {
    const NAMES: [(&str, i32); 10] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("STOP", 19),
        ("WINCH", 28),
    ];
    let name = text.trim_start_matches("SIG");
    let named = NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number);
    let realtime = || {
        name.strip_prefix("RTMIN+")
            .and_then(|n| Some(34 + n.parse::<i32>().ok()?))
    };
    let number = named.or_else(realtime).or_else(|| name.parse().ok());
    number
        .filter(|number| (1..=64).contains(number))
        .unwrap_or(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_by_name() {
        let security = |add: &[&str], drop: &[&str]| Security {
            add_capabilities: add.iter().map(ToString::to_string).collect(),
            drop_capabilities: drop.iter().map(ToString::to_string).collect(),
            ..Security::default()
        };
        // What `capsh --decode` calls docker's default set.
        assert_eq!(capabilities(&security(&[], &[])).unwrap(), 0xa804_25fb);
        assert_eq!(capabilities(&security(&[], &["ALL"])).unwrap(), 0);
        assert_eq!(
            capabilities(&security(&["NET_BIND_SERVICE"], &["ALL"])).unwrap(),
            1 << 10
        );
        assert_eq!(
            capabilities(&security(&["cap_net_admin"], &["all"])).unwrap(),
            1 << 12
        );
        let error = capabilities(&security(&["FLY"], &[])).unwrap_err();
        assert_eq!(error.to_string(), "unknown capability \"FLY\"");
    }

    #[test]
    fn stop_signals() {
        for (text, number) in [
            ("", 15),
            ("SIGQUIT", 3),
            ("INT", 2),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("SIGX", 15),
        ] {
            assert_eq!(stop_signal(text), number, "{text}");
        }
    }
}
