//! The numbers of system calls, which each kind of machine has its own of.

use std::collections::BTreeMap;

/// A kind of machine, as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// As Go and Docker's profiles call it.
    pub name: &'static str,
    /// As the kernel tells a filter: `AUDIT_ARCH_…` of `linux/audit.h`.
    pub audit_arch: u32,
    /// Set in the number of a call of another kind that has the same [`Self::audit_arch`]: x32.
    pub foreign_bit: Option<u32>,
    /// Lines of a number and the names of the calls from there on.
    table: &'static str,
}

/// A PC.
pub const X86_64: Machine = Machine {
    name: "amd64",
    audit_arch: 0xc000_003e,
    foreign_bit: Some(0x4000_0000),
    table: include_str!("x86_64.txt"),
};

/// A 64-bit ARM.
pub const AARCH64: Machine = Machine {
    name: "arm64",
    audit_arch: 0xc000_00b7,
    foreign_bit: None,
    table: include_str!("aarch64.txt"),
};

/// The machine that this program was built for; none if its calls are not known.
pub fn machine() -> Option<Machine> {
    if cfg!(target_arch = "x86_64") {
        Some(X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(AARCH64)
    } else {
        None
    }
}

impl Machine {
    /// Its system calls by name.
    pub fn numbers(&self) -> BTreeMap<&'static str, u32> {
        let lines = self.table.lines().filter(|line| !line.starts_with('#'));
        let named = lines.flat_map(|line| {
            let mut words = line.split_whitespace();
            let first = words.next().and_then(|number| number.parse().ok());
            let first: u32 = first.expect("each line of the tables begins with a number");
            words.zip(first..)
        });
        named.collect()
    }
}
