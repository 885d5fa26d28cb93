//! `cargo xtask kubectl`: the stock kubectl, pointed at a lab.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::build::hand_over;

/// Becomes `kubectl` with the lab's kubeconfig.
pub fn run(args: &[OsString]) -> Result<()> {
    let (lab, args) = match args {
        [option, lab, rest @ ..] if option == "--name" => (lab.clone(), rest),
        _ => ("workshop".into(), args),
    };
    let kubeconfig = kubeconfig(&lab);
    if !kubeconfig.exists() {
        let name = if lab == "workshop" {
            String::new()
        } else {
            format!(" --name {lab:?}")
        };
        bail!("there is no such lab; `cargo xtask lab{name}` starts it");
    }
    ensure()?;
    hand_over(
        Command::new("kubectl")
            .env("KUBECONFIG", kubeconfig)
            .args(args),
    )
}

/// The kubeconfig of a lab, if there is one.
pub fn kubeconfig(lab: impl AsRef<Path>) -> PathBuf {
    home().join(lab).join("kubeconfig")
}

/// Says how to get kubectl where it is missing.
pub fn ensure() -> Result<()> {
    if !is_installed("kubectl") {
        bail!(
            "kubectl is not installed. One file is enough:\n\
             \n  curl -LO \"https://dl.k8s.io/release/v1.36.2/bin/linux/{}/kubectl\"\
             \n  install -m 755 kubectl ~/.local/bin/\n\
             \nor see https://kubernetes.io/docs/tasks/tools/",
            if cfg!(target_arch = "aarch64") {
                "arm64"
            } else {
                "amd64"
            }
        );
    }
    Ok(())
}

/// Where all labs of this user are: as `lab::layout::home` of the cluster crate has it, which is
/// not linked here for the sake of a quick build.
fn home() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("WORKSHOP_HOME")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("workshop")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/workshop")))
        .unwrap_or_else(|| "/.local/state/workshop".into())
}

/// Whether `program` is in the `PATH`.
pub fn is_installed(program: impl AsRef<OsStr>) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program.as_ref()).is_file())
}
