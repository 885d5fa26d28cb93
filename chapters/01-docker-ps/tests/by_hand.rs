//! The pod made by hand, by whoever runs the tests and by somebody who is not root.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The example's program, which cargo builds beside the tests, unless one test is run alone.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().nth(2).expect("target/debug/deps/test");
    let program = folder.join("examples/by-hand");
    if !program.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "build",
            "--quiet",
            "--package",
            "docker-ps",
            "--example",
            "by-hand",
        ]);
        assert!(cargo.status().is_ok_and(|status| status.success()));
    }
    program
}

/// Whether this machine lets us make one. In CI it must.
fn namespaces_can_be_had() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--mount", "true"])
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    assert!(
        can || std::env::var_os("CI").is_none(),
        "CI has user namespaces"
    );
    if !can {
        eprintln!("skipped: no user namespaces; `cargo xtask lab doctor` says how to get them");
    }
    can
}

fn check(program: &Path, args: &[&str], somebody: bool, expected: &str) {
    let mut command = Command::new(program);
    command.args(args);
    if somebody && rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("the example was built");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{error}");
}

#[test]
fn two_containers_share_a_network_and_nothing_else() {
    if !namespaces_can_be_had() {
        return;
    }
    let session = include_str!("../../../book/transcripts/01-by-hand.txt");
    let (_, run) = session
        .split_once("--example by-hand\n")
        .expect("the session is there");
    let (expected, _) = run.split_once("# ANCHOR_END").expect("it has an end");
    check(&program(), &[], false, expected);
    // The same without root, from where everybody may run it.
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let copy = folder.path().join("by-hand");
    // Not by this process: a program that any of its threads' children has open cannot be run.
    let copied = Command::new("cp").arg(program()).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()));
    check(&copy, &[], true, expected);
}

#[test]
fn a_command_takes_the_place_of_the_client() {
    if !namespaces_can_be_had() {
        return;
    }
    let script = "test $$ = 1 && test ! -e /note && test ! -e /etc && echo inside; exit 7";
    let expected = "server | process 1 of 1 on by-hand\n\
        server | wrote /note\n\
        server | listening on 127.0.0.1:8080\n\
        inside\n\
        pause  | reaped a container, exit code 7\n\
        the pod is gone: signal: 9 (SIGKILL)\n";
    check(&program(), &["sh", "-c", script], false, expected);
}
