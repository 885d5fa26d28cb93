//! Building the `cluster` program as the lab runs it, and handing over to it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::exercise::say_what_is_open;

/// `cargo xtask lab …`: builds what a start needs and becomes `cluster lab …`.
pub fn lab(args: &[OsString]) -> Result<()> {
    // Accepted for those who are used to it: there is no other build.
    let args: Vec<&OsString> = args.iter().filter(|arg| *arg != "--release").collect();
    let built = path_of("cluster")?;
    // Whoever asks for the status of a lab does not want to wait for a build, nor another program
    // than the one that runs.
    let starts = starts(&args);
    if starts {
        say_what_is_open(root());
    }
    let program = if starts || !built.exists() {
        cluster()?
    } else {
        built
    };
    // Its help then names the command that was typed.
    let mut lab = Command::new(program);
    hand_over(lab.arg0("cargo xtask").arg("lab").args(args))
}

/// `cargo xtask trace …`: becomes `cluster lab trace …`, the one that is built.
pub fn trace(args: &[OsString]) -> Result<()> {
    let built = path_of("cluster")?;
    let program = if built.exists() { built } else { cluster()? };
    let mut trace = Command::new(program);
    hand_over(trace.arg0("cargo xtask").args(["lab", "trace"]).args(args))
}

/// `cargo xtask bench …`: becomes `cluster bench …`, or the example `bench` of the store's chapter
/// or the API server's.
pub fn bench(args: &[OsString]) -> Result<()> {
    let (package, features): (_, &[&str]) = match args.first().and_then(|what| what.to_str()) {
        Some("store") => ("etcd", &["--features", "etcd/client"]),
        Some("apiserver") => ("apiserver", &[]),
        _ => {
            let mut bench = Command::new(cluster()?);
            return hand_over(bench.arg0("cargo xtask").arg("bench").args(args));
        }
    };
    let example = ["--bins", "--example", "bench"];
    static_programs(&[package], &[features, &example].concat())?;
    let mut bench = Command::new(path_of("examples/bench")?);
    bench.arg("--ours").arg(path_of(package)?);
    hand_over(bench.args(&args[1..]))
}

/// Whether the command line starts a lab: `up`, or options alone.
fn starts(args: &[&OsString]) -> bool {
    let commands = [
        "down",
        "status",
        "stop-node",
        "stop-member",
        "start-member",
        "partition-member",
        "heal-member",
        "etcdctl",
        "start-node",
        "logs",
        "kubeconfig",
        "load",
        "doctor",
        "help",
        "--help",
        "-h",
    ];
    !args
        .iter()
        .any(|arg| commands.iter().any(|command| *arg == command))
}

/// Builds `cluster` and `echo`; returns the path of `cluster`.
pub fn cluster() -> Result<PathBuf> {
    static_programs(&["cluster", "echo"], &[])?;
    path_of("cluster")
}

/// Builds `echo`, which takes a moment and needs no words; returns its path.
pub fn echo() -> Result<PathBuf> {
    static_programs(&["echo"], &["--quiet"])?;
    path_of("echo")
}

/// Builds programs, optimised and static.
///
/// Static, because they are also what runs inside images without any file beside it; and at fixed
/// addresses, because a program that can lie anywhere mends 180,000 pointers each time it starts:
/// two milliseconds and 2 MiB for every pod, whose shim is this program again.
fn static_programs(packages: &[&str], options: &[&str]) -> Result<()> {
    let host = host()?;
    let variable = format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        host.to_uppercase().replace('-', "_")
    );
    // `+crt-static` with a target named is for that target alone: build scripts stay as they are.
    let flags = std::env::var(&variable).unwrap_or_default();
    let status = cargo()
        .args(["build", "--release", "--target", &host])
        .args(packages.iter().flat_map(|package| ["-p", package]))
        .args(options)
        .env(
            &variable,
            format!("{flags} -Ctarget-feature=+crt-static -Crelocation-model=static").trim_start(),
        )
        .current_dir(root())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!(
            "the build failed. If the linker misses libc.a or libm.a: they are in the package \
             libc6-dev (Debian, Ubuntu), glibc-static (Fedora), glibc (Arch)"
        );
    }
    Ok(())
}

/// Where the build puts a program.
fn path_of(program: &str) -> Result<PathBuf> {
    Ok(target_dir()?.join(host()?).join("release").join(program))
}

/// cargo's target folder: this program lies in it, two levels deep.
fn target_dir() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let target = program
        .ancestors()
        .nth(2)
        .context("this program is not in a target folder")?;
    Ok(target.to_owned())
}

/// cargo's target folder for the workspace at `root`: this program's own, if it is its workspace.
pub fn target_dir_of(workspace: &Path) -> Result<PathBuf> {
    if workspace == root() {
        return target_dir();
    }
    Ok(workspace.join("target"))
}

/// The host's target triple, as rustc names it.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

/// The cargo that runs this, as it is when somebody types it: what `cargo run` says of the program
/// that it runs is no news for another build, and build scripts that look at it (ring's does) would
/// begin anew, with all that stands on them.
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// Becomes `command`: its signals, its terminal and its exit code are then its own.
pub fn hand_over(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", command.get_program().display()))
}
