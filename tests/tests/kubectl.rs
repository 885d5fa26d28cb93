//! What kubectl does and no transcript can show: forwarding a port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use workshop_tests::{Kind, Lab, on_each_lab};

on_each_lab!(ports_are_forwarded);

fn ports_are_forwarded(kind: Kind) {
    let lab = Lab::up_on(kind, "forward");
    lab.apply(include_str!("../transcripts/web.yaml"));
    lab.kubectl("rollout status deployment/web --timeout=30s");
    for target in ["deployment/web", "service/web"] {
        assert!(forwarded(&lab, target).contains("200 OK"), "{target}");
    }
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
