//! What a transcript is played on, with the commands as a reader types them.
//!
//! `cargo xtask …` and `cargo run -p …` are what the book prints, so they are what runs: a folder
//! in front of the `PATH` holds a `cargo` that starts the programs that were just built, and hands
//! everything else to the real one.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use transcript::Stage;
use transcript::mask::Masks;

use crate::members::{self, Roles};
use crate::{Kind, Lab, cluster, free_port, has_etcd};

/// The shell's `cargo`. `$built` is where programs are, if all of them were just built.
const CARGO: &str = r#"#!/bin/sh
# Starts what was just built in place of building it; anything else is the real cargo's.
if [ "$1" = xtask ]; then
    shift
    [ "$1" = lab ] && exec "$cluster" "$@"
    exec "$xtask" "$@"
fi
# `cargo docker-ps` is short for `cargo run --package docker-ps --`, `cargo client` for an example.
for program in "$built/$1" "$built/examples/$1"; do
    if [ -n "$built" ] && [ -f "$program" ] && [ -x "$program" ]; then
        shift
        exec "$program" "$@"
    fi
done
if [ "$1" = run ] && [ -n "$built" ]; then
    for word in "$@"; do
        case $previous in
        -p | --package) program=$built/$word ;;
        --example) program=$built/examples/$word ;;
        esac
        [ "$word" = -- ] && break
        previous=$word
    done
    if [ -x "$program" ]; then
        # A store goes on beside the shell: it is noted, to be ended with the stage.
        [ -n "$STORE" ] && echo $$ >>"$STORE.pids"
        while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
        [ $# -gt 0 ] && shift
        exec "$program" "$@"
    fi
fi
exec "$real" "$@"
"#;

/// A stage that is set.
pub struct Set {
    shell: tempfile::TempDir,
    lab: Lab,
    masks: Masks,
    /// Where a store listens, on a stage that has one.
    store: Option<String>,
    /// Who is who, on a stage of etcd's members.
    roles: Option<Roles>,
}

/// Sets a stage; a lab, where there is one, is of that kind.
///
/// # Errors
/// Why this machine cannot: what is missing.
///
/// # Panics
/// When a lab does not start.
pub fn set(stage: Stage, kind: Kind) -> Result<Set, String> {
    if stage == Stage::Engine {
        engine()?;
    }
    // Of the usual name, so that the commands need none; it has a home of its own.
    let lab = Lab::new_on(kind, "workshop");
    let shell = tempfile::tempdir().expect("a folder for the shell");
    let cargo = shell.path().join("cargo");
    std::fs::write(&cargo, CARGO).expect("the shell's cargo can be written");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    if stage == Stage::Lab {
        lab.start(&["--port", &free_port()]);
    }
    let home = lab.home().display().to_string();
    let mut masks = Masks::new().with(home, "/home/you/.local/state/workshop");
    let mut store = None;
    if stage == Stage::Store {
        etcdctl()?;
        let address = format!("127.0.0.1:{}", free_port());
        masks.know(address.clone(), "127.0.0.1:2379");
        let folder = shell.path().join("store");
        masks.know(folder.display().to_string(), "/tmp/store");
        store = Some(address);
    }
    let mut roles = None;
    if stage == Stage::Members {
        etcdctl()?;
        if !has_etcd() {
            return Err("etcd is not installed".into());
        }
        let members = ["--store", "etcd", "--etcd-members", "3"];
        lab.start(&[&members[..], &["--nodes", "1", "--port", &free_port()]].concat());
        members::have_lead(&lab, "etcd-1");
        roles = Some(Roles::of(&lab));
    }
    Ok(Set {
        shell,
        lab,
        masks,
        store,
        roles,
    })
}

/// Whether there is an `etcdctl`; why not.
fn etcdctl() -> Result<(), String> {
    let version = Command::new("etcdctl").arg("version").output();
    version.map(drop).map_err(|error| {
        format!("etcdctl cannot be run ({error}); Debian and Ubuntu have it in etcd-client")
    })
}

impl Set {
    /// Runs a command in `folder`, as the reader's shell would; both its outputs, with stand-ins
    /// for what differs from run to run.
    ///
    /// # Panics
    /// When there is no shell.
    pub fn run(&mut self, folder: &Path, command: &str) -> String {
        let mut shell = Command::new("sh");
        let command = match &self.roles {
            Some(roles) => roles.translate(command),
            None => command.to_owned(),
        };
        shell.args(["-c", &format!("exec 2>&1\n{command}")]);
        let path = std::env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", self.shell.path().display()));
        shell.env("real", real_cargo());
        shell.env("xtask", xtask());
        shell.env("cluster", cluster());
        if std::env::var_os("WORKSHOP_BUILT").is_some() {
            shell.env("built", programs());
        }
        shell.env("WORKSHOP_HOME", self.lab.home());
        // What is asked of the tests is not asked of the programs that a reader calls.
        shell.env("RUST_BACKTRACE", "0");
        shell.env("KUBECONFIG", self.lab.kubeconfig());
        if let Some(address) = &self.store {
            shell.env("STORE", self.store_folder());
            shell.env("ETCDCTL_ENDPOINTS", address);
            shell.env("ETCD_LISTEN_CLIENT_URLS", format!("http://{address}"));
        }
        shell.current_dir(folder);
        let output = shell.output().expect("sh runs");
        // The command may have started the lab.
        if let Some(port) = self.port() {
            self.masks
                .know(format!("127.0.0.1:{port}"), "127.0.0.1:6443");
        }
        let mut said = without_noise(&String::from_utf8_lossy(&output.stdout));
        if let Some(roles) = &mut self.roles {
            roles.look(&self.lab);
            said = roles.translate(&said);
        }
        self.masks.mask(&said)
    }

    fn store_folder(&self) -> PathBuf {
        self.shell.path().join("store")
    }

    /// The API server's port on the host, as the kubeconfig has it.
    fn port(&self) -> Option<String> {
        let kubeconfig = std::fs::read_to_string(self.lab.kubeconfig()).ok()?;
        let (_, port) = kubeconfig.split_once("https://127.0.0.1:")?;
        let end = port.find(|c: char| !c.is_ascii_digit())?;
        Some(port[..end].to_owned())
    }
}

impl Drop for Set {
    /// Ends the stores that were started.
    fn drop(&mut self) {
        let pids = self.store_folder().with_extension("pids");
        let pids = std::fs::read_to_string(pids).unwrap_or_default();
        for pid in pids.lines() {
            // Of those that a transcript killed itself the number is free by now, or another's.
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let folder = self.store_folder();
            let folder = folder.as_os_str().as_encoded_bytes();
            if command.split(|byte| *byte == 0).any(|word| word == folder) {
                let _ended_already = Command::new("kill").args(["-9", pid]).status();
            }
        }
    }
}

/// Without what kubectl logs, now and then, when the empty message that opens an `exec` arrives
/// before it has made its streams. Upstream's kubelet sends that message as ours does.
fn without_noise(said: &str) -> String {
    let noise = |line: &&str| line.ends_with("Unknown stream id 1, discarding message");
    let lines = said.lines().filter(|line| !noise(line));
    lines.map(|line| line.to_owned() + "\n").collect()
}

/// Whether a Docker engine answers; why not.
///
/// # Errors
/// Why not.
pub fn engine() -> Result<(), String> {
    let host = std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "unix:///var/run/docker.sock".into());
    let Some(socket) = host.strip_prefix("unix://") else {
        return Ok(());
    };
    let answer = UnixStream::connect(socket);
    answer
        .map(drop)
        .map_err(|error| format!("no Docker engine answers at {socket}: {error}"))
}

/// The cargo that runs this test, or else the first one that there is: by its path, as by its name
/// it would be the shell's own.
fn real_cargo() -> PathBuf {
    let running = std::env::var_os("CARGO").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed = std::env::split_paths(&path).map(|folder| folder.join("cargo"));
    let found = running.or_else(|| installed.find(|cargo| cargo.is_file()));
    found.expect("cargo is installed")
}

/// The program that `cargo xtask` starts.
///
/// # Panics
/// When this is no test.
pub fn xtask() -> PathBuf {
    let named = std::env::var_os("WORKSHOP_XTASK").map(PathBuf::from);
    named.unwrap_or_else(|| programs().join("xtask"))
}

/// Where cargo puts the programs of this build: a test lies in its `deps`.
///
/// # Panics
/// When this is no test.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    let folder = test.ancestors().nth(2);
    folder.expect("it lies in a target folder").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_left_out() {
        let said = "a\nE1128 03:01:01.102549 27587 websocket.go:296] Unknown stream id 1, discarding message\nb";
        assert_eq!(without_noise(said), "a\nb\n");
    }
}
