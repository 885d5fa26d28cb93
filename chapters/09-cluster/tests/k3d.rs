//! `lab --backend k3d` up to the call of k3d: a program of that name notes how it is called, and
//! answers as k3d 5 does.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use cluster::lab::k3d::config::{Wanted, simple};

/// Keeps its state in `$K3D_DIR`: `calls`, and `cluster` once there is one.
const K3D: &str = r#"#!/bin/sh
echo "$*" >> "$K3D_DIR/calls"
state() { cat "$K3D_DIR/agent-0" 2>/dev/null || echo true; }
case "$1 $2" in
"version --output") echo "{\"k3d\":\"${K3D_VERSION:-v5.8.3}\",\"k3s\":\"v1.31.5-k3s1\"}" ;;
"cluster list")
  test -e "$K3D_DIR/cluster" || { echo null; exit 0; }
  status=running; test "$(state)" = true || status=exited
  echo "[{\"name\":\"fake\",\"nodes\":[
    {\"name\":\"k3d-fake-agent-0\",\"role\":\"agent\",\"State\":{\"Running\":$(state),\"Status\":\"$status\"}},
    {\"name\":\"k3d-fake-server-0\",\"role\":\"server\",\"State\":{\"Running\":true,\"Status\":\"running\"}},
    {\"name\":\"k3d-fake-serverlb\",\"role\":\"loadbalancer\",\"State\":{\"Running\":true,\"Status\":\"running\"}}]}]" ;;
"cluster create")
  test -z "$K3D_NO_IMAGE" || {
    echo "FATA[0001] docker failed to pull image 'docker.io/rancher/k3s:v1.31.5-k3s1': no such host" >&2
    exit 1
  }
  touch "$K3D_DIR/cluster" ;;
"cluster delete") rm "$K3D_DIR/cluster" ;;
"cluster start"|"node start") echo true > "$K3D_DIR/agent-0" ;;
"node stop") echo false > "$K3D_DIR/agent-0" ;;
"kubeconfig get") echo "apiVersion: v1" ;;
"image import") ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
"#;

/// A home for labs, with that k3d and an engine's socket.
struct Machine {
    dir: tempfile::TempDir,
    _engine: UnixListener,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join("k3d");
        std::fs::write(&program, K3D).expect("written");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("set");
        let _engine = UnixListener::bind(dir.path().join("docker.sock")).expect("bound");
        Self { dir, _engine }
    }

    fn lab(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let dir = self.dir.path();
        let mut path = dir.as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        Command::new(env!("CARGO_BIN_EXE_cluster"))
            .args(["lab", "--name", "fake"])
            .args(args)
            .env("PATH", path)
            .env("K3D_DIR", dir)
            .env("WORKSHOP_HOME", dir.join("labs"))
            .env(
                "DOCKER_HOST",
                format!("unix://{}/docker.sock", dir.display()),
            )
            .envs(env.iter().copied())
            .output()
            .expect("cluster runs")
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.lab(args, &[]);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn bad(&self, args: &[&str], env: &[(&str, &str)], expect: &str) {
        let output = self.lab(args, env);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?} succeeded");
        assert!(said.contains(expect), "{args:?}: {said}");
    }

    /// How k3d was called since the last look, without its folder and without questions.
    fn calls(&self) -> Vec<String> {
        let file = self.dir.path().join("calls");
        let calls = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(&file);
        let dir = self.dir.path().to_str().expect("UTF-8");
        calls
            .lines()
            .filter(|call| !call.starts_with("version") && !call.starts_with("cluster list"))
            .map(|call| call.replace(dir, "DIR"))
            .collect()
    }
}

const UP: [&str; 3] = ["up", "--backend", "k3d"];

#[test]
fn each_verb_is_a_call_of_k3d() {
    let machine = Machine::new();
    let check = |args: &[&str], expect: &[&str]| {
        let said = machine.good(args);
        assert_eq!(machine.calls(), expect, "{args:?}");
        said
    };
    let up = ["up", "--backend", "k3d", "--nodes", "1"];
    check(
        &up,
        &[
            "cluster create --config DIR/labs/fake/k3d.yaml",
            "kubeconfig get fake",
        ],
    );
    let kubeconfig = check(&["kubeconfig"], &[]);
    let kubeconfig = Path::new(kubeconfig.trim());
    assert_eq!(
        std::fs::read(kubeconfig).expect("kept"),
        b"apiVersion: v1\n"
    );
    let mode = kubeconfig.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a key is in it");

    check(&["stop-node", "worker-1"], &["node stop k3d-fake-agent-0"]);
    insta::assert_snapshot!(check(&["status"], &[]), @r"
    NODE            CONTAINER           ROLE           STATE
    worker-1        k3d-fake-agent-0    agent          exited
    control-plane   k3d-fake-server-0   server         running
    serverlb        k3d-fake-serverlb   loadbalancer   running
    ");
    check(
        &["start-node", "k3d-fake-agent-0"],
        &["node start k3d-fake-agent-0"],
    );
    check(&["stop-node", "worker-1"], &["node stop k3d-fake-agent-0"]);
    // What was stopped starts again, and what made it need not be said.
    check(
        &["up"],
        &["cluster start fake --wait", "kubeconfig get fake"],
    );
    let archive = machine.dir.path().join("image.tar");
    std::fs::write(&archive, "").expect("written");
    check(
        &["load", archive.to_str().expect("UTF-8")],
        &["image import DIR/image.tar --cluster fake"],
    );
    check(&["down"], &["cluster delete fake"]);
    assert!(!machine.dir.path().join("labs/fake").exists());
}

#[test]
fn what_is_missing_is_said() {
    let machine = Machine::new();
    machine.bad(&UP, &[("PATH", "/nowhere")], "https://k3d.io");
    machine.bad(&UP, &[("K3D_VERSION", "v4.4.8")], "needs version 5");
    machine.bad(
        &UP,
        &[("DOCKER_HOST", "unix:///nowhere.sock")],
        "no Docker engine answers",
    );
    let pull = "docker pull docker.io/rancher/k3s:v1.31.5-k3s1";
    machine.bad(&UP, &[("K3D_NO_IMAGE", "1")], pull);
    // A start that failed left nothing, so that the next one is a first one.
    assert!(!machine.dir.path().join("labs/fake").exists());
}

#[test]
fn what_cannot_be_is_refused_before_k3d_is_called() {
    let machine = Machine::new();
    machine.bad(
        &["up", "--backend", "k3d", "--publish", "http:30080"],
        &[],
        "ports[0]: \"127.0.0.1:http:30080\" is not",
    );
    machine.bad(
        &["up", "--backend", "k3d", "--runtime", "docker"],
        &[],
        "are of our own nodes",
    );
    machine.bad(
        &["up", "--backend", "workshop", "--image", "k3s"],
        &[],
        "need --backend k3d",
    );
    assert_eq!(machine.calls(), [""; 0]);
    // A cluster that somebody else made is neither taken over nor deleted.
    std::fs::write(machine.dir.path().join("cluster"), "").expect("written");
    machine.bad(&UP, &[], "that no lab made");
    machine.good(&["down"]);
    assert!(machine.dir.path().join("cluster").exists());
}

#[test]
fn the_config_is_the_shape_of_a_lab() {
    let wanted = Wanted {
        agents: 2,
        port: 6550,
        image: Some("rancher/k3s:v1.31.5-k3s1".into()),
        publish: vec!["8080:30080".into()],
        volumes: vec!["/tmp/data:/data".into()],
        registry: Some("5000".into()),
        use_registries: vec!["k3d-other:5000".into()],
        registry_config: Some("/etc/registries.yaml".into()),
    };
    insta::assert_json_snapshot!(simple("workshop", &wanted));
}
