//! seccomp: which system calls a container may make.
//!
//! The kernel runs a small program, a filter, before each system call of a process that has one,
//! and does what the filter returns. A profile says in JSON what the filter is to do; this module
//! makes the one from the other:
//!
//! ```text
//!   profile  JSON, names of system calls            [`profile`], [`default`]
//!      │     names to numbers of this machine        [`numbers`]
//!      ▼
//!   filter   instructions of the kernel's machine    [`compile`], [`program`]
//! ```
//!
//! A filter is inherited by all children and can never be put down, which is why the shim's last
//! steps before `exec` load it (`shim/credentials.rs`).
//!
//! Left out: system calls of 32-bit programs (one that has a filter is killed at its first), and
//! `SCMP_ACT_NOTIFY`, which needs somebody to ask.
//!
//! Upstream: containerd `contrib/seccomp`, runc `libcontainer/seccomp`, libseccomp.

mod compile;
mod default;
mod numbers;
mod profile;
mod program;

use std::path::Path;

pub use profile::Profile;
pub use program::{Instruction, Program};

use crate::runtime::{Result, RuntimeError, SecurityProfile};

/// The filter of a container that holds these capabilities (their bits); none for one that may
/// make any call.
///
/// # Errors
/// [`RuntimeError::Create`] when the profile cannot be read, or says what no filter can do.
pub fn filter(wanted: &SecurityProfile, capabilities: u64) -> Result<Option<Program>> {
    let profile = match wanted {
        SecurityProfile::Unconfined => return Ok(None),
        SecurityProfile::RuntimeDefault => default::profile(),
        SecurityProfile::Localhost(path) => load(Path::new(path))?,
    };
    let names = super::spec::capability_names(capabilities);
    let program = compile::compile(&profile, &names, numbers::machine());
    let program = program.map_err(|why| RuntimeError::Create(format!("seccomp profile: {why}")))?;
    Ok(Some(program))
}

fn load(path: &Path) -> Result<Profile> {
    let failed = |why: String| {
        let path = path.display();
        RuntimeError::Create(format!("cannot load seccomp profile \"{path}\": {why}"))
    };
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests;
