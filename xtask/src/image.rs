//! `cargo xtask image`: an image for chapter 1, made of this workspace's own program.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build;

/// Builds `echo`, static, and hands it to the Docker engine as an image with nothing around it.
pub fn run(name: &str) -> Result<()> {
    let program = build::echo()?;
    let folder = program.parent().context("a program lies in a folder")?;
    // An image is an archive of files, and a few words on what to run.
    let mut tar = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0", "--directory"])
        .arg(folder)
        .arg("echo")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let archive = tar.stdout.take().context("tar writes to a pipe")?;
    let imported = Command::new("docker")
        .args(["import", "--change", "ENTRYPOINT [\"/echo\"]"])
        .args(["--change", "EXPOSE 8080", "-", name])
        .stdin(archive)
        .stdout(Stdio::null())
        .status()
        .context("cannot run docker")?;
    if !tar.wait()?.success() || !imported.success() {
        bail!("the engine has not taken the image");
    }
    println!("{name} is there: docker run --rm {name} --help");
    Ok(())
}
