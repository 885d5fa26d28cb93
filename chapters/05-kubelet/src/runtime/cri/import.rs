//! Bringing an archive of images to containerd.
//!
//! CRI has no verb for it: a runtime's images come from registries. containerd's own tool `ctr`
//! can; its namespace `k8s.io` is where containerd keeps what CRI sees.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::runtime::{Result, RuntimeError};

/// Imports a docker-archive or OCI layout. Returns what `ctr` says, a line for each image.
///
/// # Errors
/// When `ctr` is not installed, or containerd refuses the archive.
pub async fn import(socket: &Path, archive: &Path) -> Result<String> {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(socket)
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(archive)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let failed = |why: String| RuntimeError::Pull(format!("importing images with ctr: {why}"));
    let output = command.output().await;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
