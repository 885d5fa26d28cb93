//! `cargo xtask test`: every test of the workspace, those of whole clusters included.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

use crate::build::{cargo, cluster, root};

/// Runs everything; `args` are handed to the test runner.
pub fn run(args: &[OsString]) -> Result<()> {
    // Whole-cluster tests run the program that the lab runs.
    let program = cluster()?;
    let nextest = cargo().args(["nextest", "--version"]).output();
    let has_nextest = nextest.is_ok_and(|output| output.status.success());
    let mut command = cargo();
    if has_nextest {
        command.args(["nextest", "run"]);
    } else {
        eprintln!("note: `cargo install cargo-nextest` runs the tests side by side");
        command.arg("test");
    }
    command
        .arg("--workspace")
        .args(args)
        .env("WORKSHOP_CLUSTER", program)
        // What transcripts type: all of it has been built by then.
        .env("WORKSHOP_XTASK", std::env::current_exe()?)
        .env("WORKSHOP_BUILT", "1")
        .current_dir(root());
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("tests failed");
    }
    if has_nextest {
        // nextest leaves the examples in the documentation out.
        let mut doc = cargo();
        let doc = doc
            .args(["test", "--quiet", "--workspace", "--doc"])
            .current_dir(root());
        if !doc.status().context("cannot run cargo")?.success() {
            bail!("an example in the documentation failed");
        }
    }
    Ok(())
}
