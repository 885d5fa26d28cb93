//! Python's two etcd clients: a session with each, and what it prints.
//!
//! On Debian and Ubuntu they are `python3-etcd3` and `python3-etcd3gw`.

mod process;

use std::path::Path;
use std::process::Command;

use process::Server;

#[test]
fn etcd3_speaks_grpc() {
    if let Some(said) = session("etcd3", "grpc_client.py") {
        insta::assert_snapshot!(said);
    }
}

#[test]
fn etcd3gw_speaks_json() {
    if let Some(said) = session("etcd3gw", "gateway_client.py") {
        insta::assert_snapshot!(said);
    }
}

/// What a session prints; nothing where there is no such client. CI has both.
fn session(module: &str, script: &str) -> Option<String> {
    let has = |python: &&str| {
        let imported = Command::new(python)
            .args(["-c", &format!("import {module}")])
            .output();
        imported.is_ok_and(|output| output.status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has) else {
        assert!(std::env::var_os("CI").is_none(), "Python has no {module}");
        eprintln!("skipped: Python has no {module} (Debian: apt install python3-{module})");
        return None;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["--listen-client-urls=http://127.0.0.1:0"]);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    let output = Command::new("timeout")
        .args(["60", python])
        .arg(scripts.join(script))
        .arg(server.address(0))
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    Some(said)
}
