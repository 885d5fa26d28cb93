//! From a profile to a filter. Pure.
//!
//! ```text
//!   load arch          another machine's?   kill
//!   load number
//!   if number >= 452   its block: fail with 38         from the last numbers to the first, a block
//!   if number >= 437   its block: allow                for each run of numbers that are treated
//!   …                                                  alike
//! ```
//!
//! A block is one instruction, but for calls whose arguments matter: it compares them, rule after
//! rule, 32 bits at a time, which is all that the register holds.

use std::collections::BTreeMap;

use super::numbers::Machine;
use super::profile::{Action, Comparison, Condition, Flag, Profile, Rule};
use super::program::{
    AND, ARCH, IF_ABOVE, IF_AT_LEAST, IF_EQUAL, Instruction, LOAD, NUMBER, Program, RETURN,
    argument,
};

/// Most instructions that the kernel takes (`BPF_MAXINSNS`).
const INSTRUCTIONS_MAX: usize = 4096;

/// Makes the filter of a container with these capabilities (`CAP_CHOWN`, …) on that machine.
///
/// # Errors
/// What the profile asks for that no filter can do.
pub fn compile(
    profile: &Profile,
    capabilities: &[String],
    machine: Option<Machine>,
) -> Result<Program, String> {
    let machine = machine.ok_or("the system calls of this machine are not known")?;
    let numbers = machine.numbers();
    let default = outcome(profile.default_action, profile.default_errno_ret)?;
    let mut rules: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in &profile.syscalls {
        for name in rule.names.iter().chain(&rule.name) {
            let here = rule.is_for(capabilities, machine.name);
            if let Some(number) = numbers.get(name.as_str()).filter(|_| here) {
                rules.entry(*number).or_default().push(rule);
            }
        }
    }
    let mut code = vec![
        Instruction(LOAD, 0, 0, ARCH),
        Instruction(IF_EQUAL, 1, 0, machine.audit_arch),
        ret(libc::SECCOMP_RET_KILL_PROCESS),
        Instruction(LOAD, 0, 0, NUMBER),
    ];
    if let Some(bit) = machine.foreign_bit {
        code.push(Instruction(IF_AT_LEAST, 0, 1, bit));
        code.push(ret(libc::SECCOMP_RET_KILL_PROCESS));
    }
    for (first, block) in runs(&rules, profile, default)?.into_iter().rev() {
        if first > 0 {
            let skip = u8::try_from(block.len());
            let skip = skip.map_err(|_| format!("too many rules for system call {first}"))?;
            code.push(Instruction(IF_AT_LEAST, 0, skip, first));
        }
        code.extend(block);
    }
    if code.len() > INSTRUCTIONS_MAX {
        return Err(format!("its filter has {} instructions", code.len()));
    }
    let flags = profile
        .flags
        .iter()
        .fold(0, |flags, flag| flags | bits(*flag));
    Ok(Program {
        instructions: code,
        flags,
    })
}

/// Each run of numbers that are treated alike: its first number, and what is done.
fn runs(
    rules: &BTreeMap<u32, Vec<&Rule>>,
    profile: &Profile,
    default: u32,
) -> Result<Vec<(u32, Vec<Instruction>)>, String> {
    let end = rules.keys().last().map_or(0, |last| last + 1);
    let mut runs: Vec<(u32, Vec<Instruction>)> = Vec::new();
    let mut add = |number, block| {
        if runs.last().is_none_or(|(_, last)| *last != block) {
            runs.push((number, block));
        }
    };
    for number in 0..end {
        let of_number = rules.get(&number).map(Vec::as_slice).unwrap_or_default();
        add(number, block(of_number, default)?);
    }
    add(end, vec![ret(beyond(profile.default_action, default))]);
    Ok(runs)
}

/// What becomes of calls that are newer than the profile. Where it refuses what it does not name,
/// they do not exist: programs know what to do on an old kernel, and not what to do when they are
/// forbidden what is new. So does runc (`patchbpf`).
fn beyond(action: Action, default: u32) -> u32 {
    match action {
        Action::Allow | Action::Log | Action::Trace => default,
        _ => libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
    }
}

fn ret(outcome: u32) -> Instruction {
    Instruction(RETURN, 0, 0, outcome)
}

/// What is done about one call: its first rule that matches.
fn block(rules: &[&Rule], default: u32) -> Result<Vec<Instruction>, String> {
    let mut code = Vec::new();
    for rule in rules {
        let outcome = outcome(rule.action, rule.errno_ret)?;
        let conditions = rule.args.as_deref().unwrap_or_default();
        if conditions.is_empty() {
            code.push(ret(outcome));
            return Ok(code);
        }
        code.extend(conditional(conditions, outcome)?);
    }
    code.push(ret(default));
    Ok(code)
}

/// What a filter returns.
fn outcome(action: Action, errno: Option<u16>) -> Result<u32, String> {
    let errno = u32::from(errno.unwrap_or(libc::EPERM as u16));
    Ok(match action {
        Action::Allow => libc::SECCOMP_RET_ALLOW,
        Action::Errno => libc::SECCOMP_RET_ERRNO | errno,
        Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Trace => libc::SECCOMP_RET_TRACE | errno,
        Action::Log => libc::SECCOMP_RET_LOG,
        Action::Notify => return Err("SCMP_ACT_NOTIFY is not supported".to_owned()),
    })
}

fn bits(flag: Flag) -> u64 {
    match flag {
        Flag::AllThreads => 0,
        Flag::Log => libc::SECCOMP_FILTER_FLAG_LOG,
        Flag::AllowSpeculation => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    }
}

/// Where a comparison leads.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    On,
    /// The condition holds: the next condition.
    Holds,
    /// It does not: the next rule.
    Fails,
}

/// An instruction whose jumps are not counted yet.
enum Step {
    Plain(Instruction),
    Jump(u16, To, To, u32),
}

/// The outcome if all conditions hold; else on to what follows.
fn conditional(conditions: &[Condition], outcome: u32) -> Result<Vec<Instruction>, String> {
    let steps: Vec<Vec<Step>> = conditions.iter().map(compare).collect::<Result<_, _>>()?;
    let end: usize = steps.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::new();
    for steps in steps {
        let holds = code.len() + steps.len();
        for step in steps {
            let next = code.len() + 1;
            // At most six comparisons of six steps: far below what a jump can do.
            let distance = |to| match to {
                To::On => 0,
                To::Holds => (holds - next) as u8,
                To::Fails => (end - next) as u8,
            };
            code.push(match step {
                Step::Plain(instruction) => instruction,
                Step::Jump(code, yes, no, k) => Instruction(code, distance(yes), distance(no), k),
            });
        }
    }
    code.push(ret(outcome));
    Ok(code)
}

/// Compares an argument, its upper half first.
fn compare(condition: &Condition) -> Result<Vec<Step>, String> {
    use To::{Fails, Holds, On};
    let Condition {
        index,
        value,
        value_two,
        op,
    } = *condition;
    if index > 5 {
        return Err(format!("a system call has no argument {index}"));
    }
    let load = |upper| Step::Plain(Instruction(LOAD, 0, 0, argument(index, upper)));
    let (upper, lower) = ((value >> 32) as u32, value as u32);
    let ordered = |above, below, code, yes, no| {
        vec![
            load(true),
            Step::Jump(IF_ABOVE, above, On, upper),
            Step::Jump(IF_EQUAL, On, below, upper),
            load(false),
            Step::Jump(code, yes, no, lower),
        ]
    };
    Ok(match op {
        Comparison::Equal => vec![
            load(true),
            Step::Jump(IF_EQUAL, On, Fails, upper),
            load(false),
            Step::Jump(IF_EQUAL, On, Fails, lower),
        ],
        Comparison::NotEqual => vec![
            load(true),
            Step::Jump(IF_EQUAL, On, Holds, upper),
            load(false),
            Step::Jump(IF_EQUAL, Fails, Holds, lower),
        ],
        Comparison::MaskedEqual => vec![
            load(true),
            Step::Plain(Instruction(AND, 0, 0, upper)),
            Step::Jump(IF_EQUAL, On, Fails, (value_two >> 32) as u32),
            load(false),
            Step::Plain(Instruction(AND, 0, 0, lower)),
            Step::Jump(IF_EQUAL, On, Fails, value_two as u32),
        ],
        Comparison::Greater => ordered(Holds, Fails, IF_ABOVE, Holds, Fails),
        Comparison::GreaterOrEqual => ordered(Holds, Fails, IF_AT_LEAST, Holds, Fails),
        Comparison::Less => ordered(Fails, Holds, IF_AT_LEAST, Fails, Holds),
        Comparison::LessOrEqual => ordered(Fails, Holds, IF_ABOVE, Fails, Holds),
    })
}
