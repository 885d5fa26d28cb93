//! `RuntimeDefault`: what containerd lets a container do that asks for its default.
//!
//! It allows what it names. Said the other way round it is shorter, and tells more: all calls
//! there are in our tables, but for those that reach beyond the container. Calls that are newer
//! than the tables are in neither, and do not exist for the container.
//!
//! Upstream: containerd `contrib/seccomp/seccomp_default.go`.

use super::numbers::{AARCH64, X86_64};
use super::profile::{Action, Comparison, Condition, Container, Profile, Rule};

/// What no container may call, whatever it holds: what is not kept apart by namespaces, or was a
/// way out of them before.
const NEVER: &str = "
    add_key keyctl request_key
    io_uring_setup io_uring_enter io_uring_register userfaultfd
    kexec_load kexec_file_load swapon swapoff pivot_root open_tree_attr
    migrate_pages move_pages file_getattr file_setattr
    _sysctl sysfs uselib ustat nfsservctl create_module get_kernel_syms query_module
    afs_syscall getpmsg putpmsg security tuxcall vserver";

/// What a capability brings with it.
const WITH: [(&str, &str); 14] = [
    ("BPF", "bpf"),
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    ("PERFMON", "perf_event_open"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount \
         mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    (
        "SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYSLOG", "syslog"),
];

/// Allowed with some arguments only; see [`profile`].
const IN_PART: [&str; 4] = ["clone", "clone3", "personality", "socket"];

/// The flags of `clone` that make a namespace.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
/// Ways out of the pod's network: sockets of the kernel's cryptography, and of virtual machines.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// The profile.
pub fn profile() -> Profile {
    let mut syscalls = vec![allow(&always().join(" "))];
    for (capability, names) in WITH {
        let mut rule = allow(names);
        rule.includes = capabilities(capability);
        syscalls.push(rule);
    }
    let mut clone = with("clone", Comparison::MaskedEqual, NAMESPACE_FLAGS);
    clone.excludes = capabilities("SYS_ADMIN");
    // Its flags are in memory, where a filter cannot look: C libraries then fall back to `clone`.
    let mut clone3 = Rule::about("clone3", Action::Errno);
    clone3.errno_ret = Some(libc::ENOSYS as u16);
    clone3.excludes = capabilities("SYS_ADMIN");
    syscalls.extend([
        clone,
        clone3,
        with("socket", Comparison::Less, AF_ALG),
        with("socket", Comparison::Equal, AF_ALG + 1),
        with("socket", Comparison::Greater, AF_VSOCK),
    ]);
    // Linux, Linux without its newer layout of memory, each as 2.6 too, and the question.
    let personalities = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    syscalls.extend(personalities.map(|value| with("personality", Comparison::Equal, value)));
    Profile {
        default_action: Action::Errno,
        default_errno_ret: None,
        syscalls,
        flags: Vec::new(),
    }
}

/// What every container may call.
fn always() -> Vec<&'static str> {
    let conditional = WITH.iter().flat_map(|(_, names)| names.split_whitespace());
    let mut refused: Vec<&str> = NEVER.split_whitespace().chain(conditional).collect();
    refused.extend(IN_PART);
    let mut names: Vec<_> = X86_64.numbers().into_keys().collect();
    names.extend(AARCH64.numbers().into_keys());
    names.retain(|name| !refused.contains(name));
    names.sort_unstable();
    names.dedup();
    names
}

fn allow(names: &str) -> Rule {
    Rule::about(names, Action::Allow)
}

fn with(name: &str, op: Comparison, value: u64) -> Rule {
    let condition = Condition {
        index: 0,
        value,
        value_two: 0,
        op,
    };
    Rule {
        args: Some(vec![condition]),
        ..allow(name)
    }
}

fn capabilities(name: &str) -> Container {
    Container {
        caps: vec![format!("CAP_{name}")],
        ..Container::default()
    }
}
