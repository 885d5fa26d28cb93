//! Clients that other people write: a session of each with a lab, and what it prints.
//!
//! Python's official client is named in `WORKSHOP_PYTHON`, a Python that has the module
//! `kubernetes`; CI makes one.

use std::path::Path;
use std::process::Command;

use workshop_tests::{Kind, Lab, free_port};

#[test]
fn python() {
    let Some(python) = python_with("kubernetes") else {
        return;
    };
    let lab = Lab::new_on(Kind::Embedded, "python");
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/session.py");
    let output = Command::new("timeout")
        .args(["120", &python])
        .arg(script)
        .arg(lab.kubeconfig())
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    insta::with_settings!({filters => vec![(r#""system:serviceaccount:[^"]*""#, "[account]")]}, {
        insta::assert_snapshot!(said);
    });
}

/// A Python that has the module; none where there is no such, which is never so in CI.
fn python_with(module: &str) -> Option<String> {
    let named = std::env::var("WORKSHOP_PYTHON").ok();
    let has = |python: &String| {
        let imported = Command::new(python)
            .args(["-c", &format!("import {module}")])
            .output();
        imported.is_ok_and(|output| output.status.success())
    };
    let found = named.into_iter().chain(["python3".to_owned()]).find(has);
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "Python has no {module}");
        eprintln!("skipped: Python has no {module} (pip install {module}, in WORKSHOP_PYTHON)");
    }
    found
}
