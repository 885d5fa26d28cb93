//! `cargo xtask bless`: records anew what the book shows, transcripts and traces.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

use crate::build::{cargo, cluster, root};

/// Plays the transcripts whose name has `name` in it, and keeps what they say; without a name all
/// of them, and the traces.
pub fn run(name: Option<OsString>) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--quiet", "--package", "workshop-tests"]);
    if name.is_none() {
        command.args(["--test", "trace"]);
    }
    command
        .args(["--test", "transcripts", "--"])
        // Each has a lab of its own: as many at once as nextest runs.
        .arg("--test-threads=2")
        .args(name)
        .env("WORKSHOP_CLUSTER", cluster()?)
        .env("WORKSHOP_XTASK", std::env::current_exe()?)
        .env("WORKSHOP_BLESS", "1")
        .current_dir(root());
    if !command.status().context("cannot run cargo")?.success() {
        bail!("not every transcript could be recorded");
    }
    println!("Recorded. `git diff` shows what is new.");
    Ok(())
}
