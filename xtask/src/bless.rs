//! `cargo xtask bless`: records transcripts anew, those of the book and those of the tests.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{cargo, cluster, root};

/// Plays the transcripts whose name has `name` in it (all of them: `None`), and keeps what they
/// say.
pub fn run(name: Option<OsString>) -> Result<()> {
    let mut command = Command::new(cargo());
    command
        .args(["test", "--quiet", "--package", "workshop-tests"])
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
