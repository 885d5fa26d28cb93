//! What filters do, found out by running them as the kernel would.

use proptest::prelude::*;
use serde_json::json;

use super::compile::compile;
use super::numbers::{AARCH64, Machine, X86_64};
use super::profile::{Action, Comparison, Condition, Profile, Rule};
use super::program::{AND, ARCH, IF_ABOVE, IF_AT_LEAST, IF_EQUAL, LOAD, NUMBER, RETURN};
use super::{Instruction, Program, default};

/// A call, as a filter sees it.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

/// What the filter returns, and nothing else that the kernel's machine could do.
fn run(program: &Program, call: &Call) -> u32 {
    let (mut register, mut at) = (0, 0);
    loop {
        let Instruction(code, yes, no, k) = program.instructions[at];
        let jump = |holds: bool| usize::from(if holds { yes } else { no });
        at += 1;
        match code {
            LOAD => {
                register = match k {
                    NUMBER => call.number,
                    ARCH => call.arch,
                    offset => {
                        let argument = call.args[(offset as usize - 16) / 8];
                        let half = if offset % 8 == 4 {
                            argument >> 32
                        } else {
                            argument
                        };
                        half as u32
                    }
                }
            }
            AND => register &= k,
            IF_EQUAL => at += jump(register == k),
            IF_AT_LEAST => at += jump(register >= k),
            IF_ABOVE => at += jump(register > k),
            RETURN => return k,
            other => panic!("no such instruction: {other:#x}"),
        }
    }
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

fn call(machine: Machine, name: &str, first: u64) -> Call {
    Call {
        number: machine.numbers()[name],
        arch: machine.audit_arch,
        args: [first, 0, 0, 0, 0, 0],
    }
}

fn of_default(machine: Machine, capabilities: &[&str]) -> Program {
    let names: Vec<String> = capabilities
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    compile(&default::profile(), &names, Some(machine)).unwrap()
}

#[test]
fn a_small_profile_as_a_program() {
    let profile: Profile = serde_json::from_value(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            { "names": ["read", "write", "no_such_call"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["stat"], "action": "SCMP_ACT_KILL", "excludes": { "arches": ["amd64"] } },
            { "names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 29,
              "args": [{ "index": 2, "value": 4294967298_u64, "op": "SCMP_CMP_GT" }] },
            { "name": "lseek", "action": "SCMP_ACT_LOG" },
        ],
    }))
    .unwrap();
    let program = compile(&profile, &[], Some(X86_64)).unwrap();
    assert_eq!(program.flags, libc::SECCOMP_FILTER_FLAG_LOG);
    let expected = "
  0 load arch
  1 if == 0xc000003e jump 3 else 2
  2 kill the process
  3 load number
  4 if >= 0x40000000 jump 5 else 6
  5 kill the process
  6 if >= 0x9 jump 7 else 8
  7 fail with 38
  8 if >= 0x8 jump 9 else 16
  9 load argument 2 upper
 10 if > 0x1 jump 14 else 11
 11 if == 0x1 jump 12 else 15
 12 load argument 2 lower
 13 if > 0x2 jump 14 else 15
 14 fail with 29
 15 log
 16 if >= 0x2 jump 17 else 18
 17 fail with 1
 18 allow
";
    assert_eq!(format!("\n{program}"), expected);
}

#[test]
fn the_default_lets_programs_work_and_keeps_them_in() {
    for machine in [X86_64, AARCH64] {
        let program = of_default(machine, &["CHOWN"]);
        let becomes = |name, first| run(&program, &call(machine, name, first));
        for name in [
            "read", "openat", "execve", "futex", "statx", "ptrace", "prctl",
        ] {
            assert_eq!(becomes(name, 0), ALLOW, "{name}");
        }
        for name in [
            "keyctl",
            "add_key",
            "unshare",
            "mount",
            "bpf",
            "io_uring_setup",
            "reboot",
        ] {
            assert_eq!(becomes(name, 0), EPERM, "{name}");
        }
        assert_eq!(becomes("clone3", 0), ENOSYS);
        assert_eq!(becomes("clone", libc::SIGCHLD as u64), ALLOW);
        assert_eq!(becomes("clone", libc::CLONE_NEWUSER as u64), EPERM);
        for (family, outcome) in [
            (2, ALLOW),
            (16, ALLOW),
            (38, EPERM),
            (39, ALLOW),
            (40, EPERM),
        ] {
            assert_eq!(becomes("socket", family), outcome, "{family}");
        }
        assert_eq!(becomes("personality", 0x2_0008), ALLOW);
        assert_eq!(becomes("personality", 0x4_0000), EPERM);
        let mut newer = call(machine, "read", 0);
        newer.number = 600;
        assert_eq!(run(&program, &newer), ENOSYS);
        newer.arch = 0x4000_0003;
        assert_eq!(run(&program, &newer), KILL, "a 32-bit program");
    }
    let x32 = Call {
        number: 0x4000_0000,
        ..call(X86_64, "read", 0)
    };
    assert_eq!(run(&of_default(X86_64, &[]), &x32), KILL);
}

#[test]
fn capabilities_bring_their_calls() {
    let machine = X86_64;
    let admin = of_default(machine, &["SYS_ADMIN", "SYS_TIME"]);
    for name in ["mount", "unshare", "clone3", "bpf", "settimeofday"] {
        assert_eq!(run(&admin, &call(machine, name, 0)), ALLOW, "{name}");
    }
    let namespace = call(machine, "clone", libc::CLONE_NEWUSER as u64);
    assert_eq!(run(&admin, &namespace), ALLOW);
    assert_eq!(run(&admin, &call(machine, "keyctl", 0)), EPERM);
    assert_eq!(run(&admin, &call(machine, "chroot", 0)), EPERM);
}

#[test]
fn what_no_filter_can_do_is_refused() {
    let refused = |rule: serde_json::Value| {
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        let profile: Profile = serde_json::from_value(profile).unwrap();
        compile(&profile, &[], Some(X86_64)).unwrap_err()
    };
    assert_eq!(
        refused(json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" })),
        "SCMP_ACT_NOTIFY is not supported"
    );
    let args = json!([{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]);
    assert_eq!(
        refused(json!({ "names": ["mkdir"], "action": "SCMP_ACT_TRAP", "args": args })),
        "a system call has no argument 6"
    );
}

/// The numbers are facts of the kernel that others know too.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_numbers_are_the_kernel_s() {
    let numbers = X86_64.numbers();
    for (name, number) in [
        ("read", libc::SYS_read),
        ("clone", libc::SYS_clone),
        ("keyctl", libc::SYS_keyctl),
        ("rseq", libc::SYS_rseq),
        ("clone3", libc::SYS_clone3),
        ("fchmodat2", libc::SYS_fchmodat2),
        ("mseal", libc::SYS_mseal),
    ] {
        assert_eq!(i64::from(numbers[name]), number, "{name}");
    }
}

/// What a profile says of a call, without a filter.
fn judged(profile: &Profile, name: &str, args: &[u64; 6]) -> Action {
    let holds = |condition: &Condition| {
        let (argument, value) = (args[condition.index as usize], condition.value);
        match condition.op {
            Comparison::NotEqual => argument != value,
            Comparison::Less => argument < value,
            Comparison::LessOrEqual => argument <= value,
            Comparison::Equal => argument == value,
            Comparison::GreaterOrEqual => argument >= value,
            Comparison::Greater => argument > value,
            Comparison::MaskedEqual => argument & value == condition.value_two,
        }
    };
    let mut rules = profile.syscalls.iter();
    let matching = rules
        .find(|rule| rule.names.iter().any(|n| n == name) && rule.args.iter().flatten().all(holds));
    matching.map_or(profile.default_action, |rule| rule.action)
}

/// Numbers that are near each other in both halves.
fn word() -> impl Strategy<Value = u64> {
    (0_u64..3, 0_u64..4).prop_map(|(upper, lower)| upper << 32 | lower)
}

fn condition() -> impl Strategy<Value = Condition> {
    let ops = prop::sample::select(vec![
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Equal,
        Comparison::GreaterOrEqual,
        Comparison::Greater,
        Comparison::MaskedEqual,
    ]);
    (0_u32..6, word(), word(), ops).prop_map(|(index, value, value_two, op)| Condition {
        index,
        value,
        value_two,
        op,
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let name = prop::sample::select(vec!["read", "write", "close"]);
    let action = prop::sample::select(vec![Action::Log, Action::Trap, Action::KillThread]);
    let args = prop::collection::vec(condition(), 0..4);
    (name, action, args).prop_map(|(name, action, args)| Rule {
        args: Some(args),
        ..Rule::about(name, action)
    })
}

proptest! {
    #[test]
    fn a_filter_does_what_its_profile_says(
        syscalls in prop::collection::vec(rule(), 0..6),
        name in prop::sample::select(vec!["read", "write", "open", "close"]),
        args in prop::array::uniform6(word()),
    ) {
        let profile = Profile {
            default_action: Action::Allow,
            default_errno_ret: None,
            syscalls,
            flags: Vec::new(),
        };
        let program = compile(&profile, &[], Some(X86_64)).unwrap();
        let call = Call { args, ..call(X86_64, name, 0) };
        let expected = match judged(&profile, name, &args) {
            Action::Log => libc::SECCOMP_RET_LOG,
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            _ => ALLOW,
        };
        prop_assert_eq!(run(&program, &call), expected);
    }
}
