//! A filter: a program of the kernel's oldest machine, classic BPF.
//!
//! One register, jumps that only go forward, no memory but the call that it is asked about. So it
//! always ends, and its end says what becomes of the call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Loads a word of what is known of the call: `struct seccomp_data`.
pub const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
/// Keeps some bits of the register.
pub const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
/// Jumps if the register is equal.
pub const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
/// Jumps if the register is greater or equal.
pub const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
/// Jumps if the register is greater.
pub const IF_ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
/// Ends, and says what becomes of the call.
pub const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Where the number of the call is.
pub const NUMBER: u32 = 0;
/// Where the kind of machine is.
pub const ARCH: u32 = 4;

/// Where a half of an argument is. Both kinds of machine have the lower half first.
pub fn argument(index: u32, upper: bool) -> u32 {
    16 + 8 * index + if upper { 4 } else { 0 }
}

/// An instruction: what to do, how far to jump if so, how far if not, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction(pub u16, pub u8, pub u8, pub u32);

/// A filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it does.
    pub instructions: Vec<Instruction>,
    /// How it is loaded: `SECCOMP_FILTER_FLAG_…`.
    pub flags: u64,
}

/// The program as a text, a line an instruction: `jump` goes to the line it names.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, Instruction(code, yes, no, k)) in self.instructions.iter().enumerate() {
            write!(f, "{line:3} ")?;
            let jump = |f: &mut fmt::Formatter<'_>, comparison: &str| {
                let to = |distance: &u8| line + 1 + usize::from(*distance);
                let (yes, no) = (to(yes), to(no));
                writeln!(f, "if {comparison} {k:#x} jump {yes} else {no}")
            };
            match *code {
                LOAD => writeln!(f, "load {}", place(*k))?,
                AND => writeln!(f, "and {k:#x}")?,
                IF_EQUAL => jump(f, "==")?,
                IF_AT_LEAST => jump(f, ">=")?,
                IF_ABOVE => jump(f, ">")?,
                RETURN => writeln!(f, "{}", outcome(*k))?,
                other => writeln!(f, "{other:#x} {k:#x}")?,
            }
        }
        Ok(())
    }
}

fn place(offset: u32) -> String {
    match offset {
        NUMBER => "number".to_owned(),
        ARCH => "arch".to_owned(),
        offset => {
            let half = if offset % 8 == 4 { "upper" } else { "lower" };
            format!("argument {} {half}", (offset - 16) / 8)
        }
    }
}

fn outcome(value: u32) -> String {
    let data = value & libc::SECCOMP_RET_DATA;
    match value & libc::SECCOMP_RET_ACTION_FULL {
        libc::SECCOMP_RET_ALLOW => "allow".to_owned(),
        libc::SECCOMP_RET_ERRNO => format!("fail with {data}"),
        libc::SECCOMP_RET_KILL_THREAD => "kill the thread".to_owned(),
        libc::SECCOMP_RET_KILL_PROCESS => "kill the process".to_owned(),
        libc::SECCOMP_RET_TRAP => "trap".to_owned(),
        libc::SECCOMP_RET_TRACE => format!("trace {data}"),
        libc::SECCOMP_RET_LOG => "log".to_owned(),
        other => format!("{other:#x}"),
    }
}
