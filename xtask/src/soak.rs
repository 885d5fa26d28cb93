//! `cargo xtask soak`: the checks that find more the longer they run.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::build::{cargo, root};

/// What is run for long.
#[derive(clap::Args)]
pub struct Soak {
    /// What is tried
    what: What,
    /// How long, for each of its checks
    #[arg(long, default_value_t = 5)]
    minutes: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The store: a disk that fails at any step, bytes that nobody wrote, and what clients see of
    /// a server that is killed
    Store,
    /// The API server: paths, selectors, bodies, patches and applies that nobody wrote
    Apiserver,
}

/// Runs the tests that `cargo xtask test` leaves out, one after the other.
pub fn run(soak: &Soak) -> Result<()> {
    let tests: &[&str] = match soak.what {
        What::Store => &["--package", "etcd", "--lib", "--test", "history"],
        What::Apiserver => &["--package", "apiserver", "--test", "soak"],
    };
    let status = cargo()
        .arg("test")
        .args(tests)
        .args([
            "--",
            "soak",
            "--ignored",
            "--nocapture",
            "--test-threads",
            "1",
        ])
        .env("SOAK_MINUTES", soak.minutes.to_string())
        .current_dir(root())
        .status();
    if !status.context("cannot run cargo")?.success() {
        bail!("something is wrong: see above for the seeds, with which it can be tried again");
    }
    Ok(())
}
