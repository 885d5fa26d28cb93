//! `lab doctor`: what this machine can run, and the fix for each thing that it can't.
//!
//! Where it can, a check does the thing itself in namespaces that end with it, since what a
//! setting says and what the kernel then does are two things.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::disk::{self, Disk};
use super::enter::{is_installed, sub_ids, user_name};
use super::k3d::{self, Backend};
use super::record::Runtime;
use super::sys::{UnshareFlags, unshare};
use super::{Error, docker, members, up};

/// Folders and layers of a lab need about a half of it; the rest is what its nodes leave.
const DISK_BYTES_MIN: u64 = 2 << 30;

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    what: String,
    verdict: Verdict,
}

/// What it means for the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is as it should be.
    Good,
    /// The lab runs, with less; the text says what and how to have it.
    Less(String),
    /// The lab does not run; the text says how to mend it.
    Bad(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Good => write!(f, "✓ {}", self.what),
            Verdict::Less(fix) => write!(f, "! {}\n    {fix}", self.what),
            Verdict::Bad(fix) => write!(f, "✗ {}\n    fix: {fix}", self.what),
        }
    }
}

impl Finding {
    pub(super) fn good(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict: Verdict::Good,
        }
    }

    pub(super) fn less(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict: Verdict::Less(fix.into()),
        }
    }

    pub(super) fn bad(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            verdict: Verdict::Bad(fix.into()),
        }
    }
}

/// `lab doctor`
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// What is to run nodes and pods
    #[arg(long, value_enum, default_value = "embedded")]
    runtime: Runtime,
    /// What is to make the nodes
    #[arg(long, value_enum, default_value = "workshop")]
    backend: Backend,
}

/// Looks at everything that the lab needs and says it.
///
/// # Errors
/// When the lab cannot run here.
pub fn run(options: &Doctor) -> Result<(), Error> {
    let (findings, command) = match (options.backend, options.runtime) {
        (Backend::K3d, _) => (
            vec![
                can(k3d::program::check(), "k3d and a Docker engine are there"),
                kubectl(),
            ],
            "cargo xtask lab --backend k3d",
        ),
        (_, Runtime::Docker) => {
            let mut findings = docker::verbs::block_on(docker::doctor::findings())?;
            findings.push(kubectl());
            (findings, "cargo xtask lab --runtime docker")
        }
        (_, Runtime::Containerd) => {
            let mut findings = of_this_machine();
            findings.push(can(
                up::can_have_containerd(),
                "containerd and runc are installed",
            ));
            (findings, "cargo xtask lab --runtime containerd")
        }
        (_, Runtime::Embedded) => {
            let mut findings = of_this_machine();
            findings.push(etcd());
            (findings, "cargo xtask lab")
        }
    };
    for finding in &findings {
        println!("{finding}");
    }
    let bad = findings
        .iter()
        .filter(|finding| matches!(finding.verdict, Verdict::Bad(_)))
        .count();
    if bad > 0 {
        return Err(Error::Machine(format!(
            "{bad} of these keep the lab from running here"
        )));
    }
    println!("\nThe lab runs here: {command}");
    Ok(())
}

/// An etcd for `lab --store etcd`, which is not the default.
fn etcd() -> Finding {
    match members::installed() {
        Ok(_) => Finding::good("etcd is installed, for --store etcd"),
        Err(error) => Finding::less("no etcd, for --store etcd", error.to_string()),
    }
}

/// What a check of another part of the lab says; its error has the fix in it.
fn can(check: Result<(), Error>, good: &str) -> Finding {
    match check {
        Ok(()) => Finding::good(good),
        Err(error) => Finding::bad(error.to_string(), "see above"),
    }
}

/// What the embedded lab needs.
fn of_this_machine() -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = rustix::process::getuid().is_root();
    if root {
        findings.push(Finding::good(
            "running as root: no user namespace is needed",
        ));
    } else {
        findings.extend(namespace_findings());
        findings.push(identities());
    }
    findings.extend(kernel_abilities());
    findings.push(cgroups());
    findings.push(kubectl());
    findings.push(disk());
    findings.push(static_libc());
    findings
}

/// What keeps an ordinary user from making namespaces; empty when nothing is known to.
pub fn namespace_findings() -> Vec<Finding> {
    let setting = |path: &str| {
        std::fs::read_to_string(Path::new("/proc/sys").join(path))
            .ok()?
            .trim()
            .parse::<i64>()
            .ok()
    };
    let mut findings = Vec::new();
    if !Path::new("/proc/self/ns/user").exists() {
        findings.push(Finding::bad(
            "the kernel has no user namespaces",
            "a kernel with CONFIG_USER_NS=y, or run the lab as root",
        ));
    }
    if setting("kernel/unprivileged_userns_clone") == Some(0) {
        findings.push(Finding::bad(
            "kernel.unprivileged_userns_clone is 0",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ));
    }
    for kind in ["user", "net", "mnt", "pid", "uts", "ipc"] {
        if setting(&format!("user/max_{kind}_namespaces")).is_some_and(|max| max < 64) {
            findings.push(Finding::bad(
                format!("user.max_{kind}_namespaces is below 64"),
                format!("sudo sysctl -w user.max_{kind}_namespaces=15000"),
            ));
        }
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        findings.push(Finding::bad(
            "kernel.apparmor_restrict_unprivileged_userns is 1 (Ubuntu 23.10 and later)",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ));
    }
    findings
}

fn identities() -> Finding {
    let uid = rustix::process::getuid().as_raw();
    let user = user_name(uid);
    let has = |path| sub_ids(Path::new(path), user.as_deref(), uid).is_some();
    let tools = is_installed("newuidmap") && is_installed("newgidmap");
    if tools && has("/etc/subuid") && has("/etc/subgid") {
        return Finding::good("containers can run as any user (sub-uids and newuidmap)");
    }
    let user = user.unwrap_or_else(|| uid.to_string());
    let fix = if tools {
        format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")
    } else {
        "install newuidmap and newgidmap (package uidmap or shadow-utils)".into()
    };
    Finding::less(
        "containers can run as root only, inside their namespace",
        fix,
    )
}

/// Tries what the lab does, in a child that is in namespaces of its own.
fn kernel_abilities() -> Vec<Finding> {
    let Ok(program) = std::env::current_exe() else {
        return Vec::new();
    };
    let mut command = Command::new(program);
    command
        .args(["lab", "try"])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let Ok(output) = command.output() else {
        return Vec::new();
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<(&str, &str)> = said
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect::<Vec<_>>();
    TRIALS
        .iter()
        .map(|trial| {
            let answer = said
                .iter()
                .find(|(name, _)| *name == trial.name)
                .map(|(_, said)| *said);
            match answer {
                Some("ok") => Finding::good(trial.good),
                answer => {
                    let answer = answer.unwrap_or("not tried: no namespaces");
                    Finding::bad(format!("no {} ({answer})", trial.name), trial.fix)
                }
            }
        })
        .collect()
}

/// Something that the lab asks of the kernel.
struct Trial {
    name: &'static str,
    good: &'static str,
    fix: &'static str,
    run: fn() -> Result<(), String>,
}

/// Where no setting of the kernel's stands against user namespaces, a container's rules do.
pub(super) const IN_A_CONTAINER: &str = "in a container, allow user namespaces: `--security-opt \
     seccomp=unconfined --security-opt apparmor=unconfined`; elsewhere, run the lab as root";
/// A /proc of one's own is refused where something lies over a part of the one that is there.
pub(super) const PROC_IS_MASKED: &str = "something lies over a part of /proc (a container's mask): \
     run the container with `--security-opt systempaths=unconfined`";

const TRIALS: &[Trial] = &[
    Trial {
        name: "namespaces",
        good: "namespaces for nodes and pods can be made",
        fix: IN_A_CONTAINER,
        run: || Ok(()),
    },
    Trial {
        name: "bridge and veth",
        good: "bridges and veth pairs join the nodes",
        fix: "sudo modprobe bridge veth",
        run: try_links,
    },
    Trial {
        name: "nf_tables",
        good: "nf_tables rules carry Services",
        fix: "sudo modprobe nf_tables nft_chain_nat nft_numgen nft_masq nft_reject_ipv4",
        run: try_nf_tables,
    },
    Trial {
        name: "overlay mounts",
        good: "overlay mounts carry the roots of containers",
        fix: "sudo modprobe overlay; a user namespace needs Linux 5.11 or later for it",
        run: try_overlay,
    },
    Trial {
        name: "proc mounts",
        good: "a fresh /proc can be mounted",
        fix: PROC_IS_MASKED,
        run: try_proc,
    },
];

/// `lab try`: what the child of [`kernel_abilities`] does.
///
/// # Errors
/// When there is no way into namespaces.
pub fn try_all() -> Result<(), Error> {
    let mut namespaces = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    if !uid.is_root() {
        namespaces |= UnshareFlags::NEWUSER;
    }
    let enter = || {
        unshare(namespaces).map_err(std::io::Error::from)?;
        if !uid.is_root() {
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("0 {} 1", uid.as_raw()))?;
            std::fs::write("/proc/self/gid_map", format!("0 {} 1", gid.as_raw()))?;
        }
        use rustix::mount::{MountPropagationFlags, mount_change};
        mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
        )?;
        std::io::Result::Ok(())
    };
    if let Err(error) = enter() {
        println!("namespaces: {error}");
        return Ok(());
    }
    for trial in TRIALS {
        match (trial.run)() {
            Ok(()) => println!("{}: ok", trial.name),
            Err(error) => println!("{}: {error}", trial.name),
        }
    }
    Ok(())
}

fn try_links() -> Result<(), String> {
    use netlink::link::VethEnd;
    let links = || {
        let mut socket = netlink::Netlink::open()?;
        socket.add_bridge("br")?;
        let end = |name| VethEnd { name, netns: None };
        socket.add_veth(end("a"), end("b"), 1500)
    };
    links().map_err(|error| error.to_string())
}

fn try_nf_tables() -> Result<(), String> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
    let (kind, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
    socket_with(
        AddressFamily::NETLINK,
        kind,
        flags,
        Some(netlink::NETFILTER),
    )
    .map(drop)
    .map_err(|errno| errno.to_string())
}

fn try_overlay() -> Result<(), String> {
    use rustix::mount::{MountFlags, mount};
    let mount = |source: &str, target: &str, kind: &str, data: &str| {
        let data = std::ffi::CString::new(data).expect("no zero byte");
        mount(
            source,
            target,
            kind,
            MountFlags::empty(),
            Some(data.as_c_str()),
        )
        .map_err(|errno| errno.to_string())
    };
    // The mount namespace is this process's own, so /tmp stays the host's.
    mount("tmpfs", "/tmp", "tmpfs", "")?;
    for dir in ["lower", "upper", "work", "root"] {
        std::fs::create_dir(Path::new("/tmp").join(dir)).map_err(|error| error.to_string())?;
    }
    let options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work";
    mount("overlay", "/tmp/root", "overlay", options)
}

fn try_proc() -> Result<(), String> {
    // Only a process in a new PID namespace may mount its /proc: the next child is.
    unshare(UnshareFlags::NEWPID).map_err(|errno| errno.to_string())?;
    // By this name, since another trial has hidden /tmp, where the program may lie.
    let mut command = Command::new("/proc/self/exe");
    command.args(["lab", "try", "--proc"]).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "ok" => Ok(()),
        problem => Err(problem.to_owned()),
    }
}

/// `lab try --proc`: the last bit of [`try_all`], as process 1.
pub fn try_mount_proc() {
    use rustix::mount::{MountFlags, mount};
    match mount("proc", "/proc", "proc", MountFlags::empty(), None) {
        Ok(()) => println!("ok"),
        Err(errno) => println!("{errno}"),
    }
}

fn cgroups() -> Finding {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unified = own.lines().find_map(|line| line.strip_prefix("0::"));
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
        && unified.is_some_and(|own| {
            writable(&Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/')))
        });
    let v1 = writable(Path::new("/sys/fs/cgroup/memory"));
    if v1 || v2 {
        return Finding::good("a writable cgroup: limits of containers can be enforced");
    }
    Finding::less(
        "no writable cgroup: limits of containers are not enforced",
        "systemd-run --user --scope -p Delegate=yes cargo xtask lab",
    )
}

fn kubectl() -> Finding {
    if is_installed("kubectl") {
        return Finding::good("kubectl is installed");
    }
    Finding::less(
        "kubectl is not installed",
        "see https://kubernetes.io/docs/tasks/tools/",
    )
}

fn disk() -> Finding {
    let home = super::layout::home();
    let Some(disk) = Disk::of(&home) else {
        return Finding::good("how full the disk is cannot be told");
    };
    let free = disk.available_bytes() >> 20;
    let what = format!("{free} MiB are free for {}", home.display());
    if let Some(shortage) = disk.shortage() {
        return Finding::bad(format!("{what}: {shortage}"), disk::FIX);
    }
    if disk.available_bytes() >= DISK_BYTES_MIN {
        return Finding::good(what);
    }
    Finding::less(what, disk::FIX)
}

fn static_libc() -> Finding {
    // This program being static, the library was there when it was built.
    if cfg!(target_feature = "crt-static") {
        return Finding::good("this program is static: it is an image by itself");
    }
    Finding::less(
        "this program is not static: the images that are built in may not run",
        "build it through `cargo xtask lab`, which needs libc.a (package libc6-dev or glibc-static)",
    )
}
