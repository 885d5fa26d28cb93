//! `cargo xtask diff`: one script of kubectl lines on two clusters, and what differs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::build::{cargo, hand_over, root};
use crate::kubectl;

/// `cargo xtask diff`
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Commands, a line each, or a session as in book/transcripts
    script: PathBuf,
    /// A lab's name, or a kubeconfig file
    #[arg(long, default_value = "workshop")]
    left: String,
    /// A lab's name, or a kubeconfig file
    #[arg(long, default_value = "k3d")]
    right: String,
}

/// Becomes the program that plays the script on both; it ends with 1 when they differ.
pub fn run(options: &Diff) -> Result<()> {
    if !options.script.is_file() {
        bail!("{} is no file", options.script.display());
    }
    kubectl::ensure()?;
    let (left, right) = (kubeconfig(&options.left)?, kubeconfig(&options.right)?);
    let mut compare: Command = cargo();
    compare
        .args(["run", "--quiet", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .args(["--package", "transcript", "--bin", "compare", "--"])
        .args([&options.script, &left, &right]);
    hand_over(&mut compare)
}

/// The kubeconfig of a lab, or a file by its path.
fn kubeconfig(of: &str) -> Result<PathBuf> {
    if Path::new(of).is_file() {
        return Ok(of.into());
    }
    let of_lab = kubectl::kubeconfig(of);
    if of_lab.is_file() {
        return Ok(of_lab);
    }
    let how = match of {
        "workshop" => "`cargo xtask lab` starts it".to_owned(),
        "k3d" => "`cargo xtask lab --name k3d --backend k3d` starts one of k3d's".to_owned(),
        other => format!("`cargo xtask lab --name {other}` starts it"),
    };
    bail!("{of:?} is no kubeconfig file and no lab that runs: {how}")
}
