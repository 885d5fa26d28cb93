//! Every line of kubectl that the lab must serve, in groups of one lab each.
//!
//! What was said is in `tests/transcripts`; the book shows the same files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use workshop_tests::{Lab, play};

#[test]
fn it_says_what_it_is_and_who_may_what() {
    play(&Lab::up("discover"), "discover.txt");
}

#[test]
fn manifests_are_applied() {
    play(&Lab::up("apply"), "apply.txt");
}

#[test]
fn things_are_made_changed_and_deleted() {
    play(&Lab::up("change"), "change.txt");
}

#[test]
fn deployments_roll_out_and_back() {
    play(&Lab::up("rollout"), "rollout.txt");
}

#[test]
fn pods_are_entered() {
    let lab = Lab::up("pods");
    play(&lab, "pods.txt");
    for target in ["deployment/web", "service/web"] {
        assert!(forwarded(&lab, target).contains("200 OK"), "{target}");
    }
}

#[test]
fn nodes_are_drained() {
    play(&Lab::up("nodes"), "nodes.txt");
}

#[test]
fn faults_are_named() {
    play(&Lab::up("faults"), "faults.txt");
}

/// What the port that `kubectl port-forward` opens answers.
fn forwarded(lab: &Lab, target: &str) -> String {
    let port = if target.starts_with("service") {
        80
    } else {
        8080
    };
    let mut kubectl = Command::new("kubectl")
        .args(["port-forward", target, &format!(":{port}")])
        .env("KUBECONFIG", lab.kubeconfig())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl is installed");
    let mut said = String::new();
    // Kept until the end: kubectl does not outlive a pipe that is closed.
    let mut stdout = BufReader::new(kubectl.stdout.take().expect("it is piped"));
    stdout
        .read_line(&mut said)
        .expect("it says where it listens");
    // Forwarding from 127.0.0.1:40123 -> 8080
    let address = said.split_whitespace().nth(2).unwrap_or_default();
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let _broken_off = asked.and_then(|()| stream.read_to_string(&mut answer));
    }
    kubectl.kill().expect("it runs still");
    kubectl.wait().expect("it ends");
    answer
}
