//! The traces in the book are what a lab does.

use std::path::{Path, PathBuf};
use std::process::Command;

use workshop_tests::trace::{Script, difference, scripts, steps};
use workshop_tests::{Lab, said};

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/traces")
}

/// Records `words` as `out`, from beginning to end of what comes of them.
fn record(lab: &Lab, only: &[String], out: &Path, words: &str) -> String {
    let mut command = Command::new(workshop_tests::cluster());
    command
        .args(["lab", "--name", lab.name(), "trace", "--out"])
        .arg(out);
    for component in only {
        command.args(["--only", component]);
    }
    command.arg("--").args(words.split_whitespace());
    command
        .env("WORKSHOP_HOME", lab.home())
        .current_dir(traces());
    let output = command.output().expect("cluster runs");
    said(output).unwrap_or_else(|said| panic!("{words}: {said}"));
    let text = std::fs::read_to_string(out.with_extension("txt"));
    text.expect("the drawing is written")
}

#[test]
fn what_the_book_shows_happens() {
    let lab = Lab::up("trace");
    let dir = tempfile::tempdir().expect("a folder for the drawings");
    let mut differences = String::new();
    for (name, script) in scripts(&traces()) {
        let Script {
            only,
            before,
            trace,
            after,
        } = script;
        let out = dir.path().join(&name);
        // Recorded as well, since a recording ends when the cluster is at rest.
        for words in &before {
            record(&lab, &[], &out, words);
        }
        let drawn = record(&lab, &only, &out, &trace);
        for words in &after {
            record(&lab, &[], &dir.path().join("after"), words);
        }
        let path = traces().join(&name).with_extension("txt");
        let recorded = std::fs::read_to_string(&path).unwrap_or_default();
        let Some(found) = difference(&steps(&recorded), &steps(&drawn)) else {
            continue;
        };
        if std::env::var_os("WORKSHOP_BLESS").is_none() {
            differences += &format!("{name}: {trace}\n{found}\n");
            continue;
        }
        // Only what differs is recorded anew: another recording of the same is no news.
        for end in ["txt", "svg"] {
            let to = path.with_extension(end);
            std::fs::copy(out.with_extension(end), to).expect("the drawing can be kept");
        }
    }
    assert!(
        differences.is_empty(),
        "these happen otherwise (WORKSHOP_BLESS=1 records them anew):\n{differences}"
    );
}

#[test]
fn a_trace_needs_a_lab() {
    let lab = Lab::new("none");
    let refused = lab
        .lab(&["trace", "--", "kubectl", "get", "pods"])
        .unwrap_err();
    assert!(
        refused.contains("`cargo xtask lab up` starts it"),
        "{refused}"
    );
}
