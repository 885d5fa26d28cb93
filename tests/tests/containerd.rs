//! The lab whose pods are containerd's: what a user does, and what goes wrong with a runtime.
//! Skipped, with the reason, where root does not run it; in CI containerd is installed.

use std::process::Command;
use std::time::Duration;

use workshop_tests::{Kind, Lab, has_containerd};

const SOON: Duration = Duration::from_secs(60);

/// A lab, where there can be a containerd.
fn lab(name: &str) -> Option<Lab> {
    has_containerd().then(|| Lab::up_on(Kind::Containerd, name))
}

/// The number of a component of the worker, on the host.
fn pid(lab: &Lab, component: &str) -> String {
    let status = lab.lab(&["status"]).unwrap();
    let is_it = |line: &&str| line.starts_with("worker-1") && line.contains(component);
    let mut lines = status.lines().filter(is_it);
    let line = lines.next().unwrap_or_else(|| panic!("{status}"));
    let mut words = line.split_whitespace();
    let number = words.find(|word| word.parse::<u32>().is_ok());
    number.expect("the status shows its number").to_owned()
}

fn signal(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).status();
    assert!(sent.unwrap().success());
}

fn web(lab: &Lab) -> String {
    lab.kubectl("create deployment web --image=workshop/echo");
    lab.kubectl("rollout status deployment/web --timeout=60s");
    container(lab)
}

/// The id of the container of `web`.
fn container(lab: &Lab) -> String {
    let path = "{.items[0].status.containerStatuses[0].containerID}";
    lab.kubectl(&format!("get pods -l app=web -o jsonpath={path}"))
}

#[test]
fn a_user_finds_what_every_lab_has() {
    let Some(lab) = lab("cri-user") else { return };
    let nodes = lab.kubectl("get nodes -o wide");
    assert!(nodes.contains("containerd://"), "{nodes}");
    let id = web(&lab);
    assert!(id.starts_with("containerd://"), "{id}");
    lab.kubectl("expose deployment web --port=80 --target-port=8080");
    lab.kubectl("run shell --image=workshop/shell -- sleep 3600");
    lab.kubectl("wait --for=condition=Ready pod/shell --timeout=60s");
    let fetched = lab.eventually("the Service answers by its name", SOON, || {
        lab.try_kubectl("exec shell -- curl -sf -m 5 http://web")
            .ok()
    });
    assert!(!fetched.is_empty());
    let mut exec = Command::new("sh");
    exec.args(["-c", "echo hello | kubectl exec -i shell -- cat"]);
    let said = exec.env("KUBECONFIG", lab.kubeconfig()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello\n");
    let failed = lab.try_kubectl_args(&["exec", "shell", "--", "sh", "-c", "exit 7"]);
    assert!(failed.unwrap_err().contains("exit code 7"));
    let missing = lab.try_kubectl("exec shell -- nosuch").unwrap_err();
    let begins = "error: Internal error occurred: error executing command in container: failed to \
                  exec in container: ";
    assert!(missing.starts_with(begins), "{missing}");
    let why = "exec: \"nosuch\": executable file not found in $PATH";
    assert!(missing.contains(why), "{missing}");
    lab.kubectl("run once --image=workshop/shell --restart=Never -- sh -c true");
    lab.eventually("a pod that is done has succeeded", SOON, || {
        let phase = lab.kubectl("get pod once -o jsonpath={.status.phase}");
        (phase == "Succeeded").then_some(())
    });
    let logs = lab.try_kubectl("logs -l app=web");
    assert!(logs.is_ok(), "{logs:?}");

    let cgroups = || {
        let mut find = Command::new("find");
        find.args(["/sys/fs/cgroup", "-name"]);
        find.arg(format!("workshop-{}", lab.name()));
        String::from_utf8(find.output().unwrap().stdout).unwrap()
    };
    assert!(!cgroups().is_empty(), "the pods are in the lab's cgroup");
    let shims = || {
        let shims = Command::new("pgrep")
            .args(["-fa", "containerd-shim"])
            .output();
        let shims = String::from_utf8(shims.unwrap().stdout).unwrap();
        let ours = shims.lines().filter(|line| line.contains(lab.name()));
        ours.count()
    };
    assert!(shims() > 0);
    lab.lab(&["down"]).unwrap();
    assert_eq!(shims(), 0);
    assert_eq!(cgroups(), "");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(lab.dir().to_str().unwrap()), "{mounts}");
}

#[test]
fn pods_outlive_their_runtime_and_their_kubelet() {
    let Some(lab) = lab("cri-restart") else {
        return;
    };
    let before = web(&lab);
    for component in ["containerd", "kubelet"] {
        let old = pid(&lab, component);
        signal("-9", &old);
        lab.eventually("it is started again", SOON, || {
            (pid(&lab, component) != old).then_some(())
        });
        let name = format!("after-{component}");
        lab.kubectl(&format!("run {name} --image=workshop/echo"));
        lab.kubectl(&format!(
            "wait --for=condition=Ready pod/{name} --timeout=60s"
        ));
        assert_eq!(container(&lab), before, "after the end of {component}");
        let restarts = "{.items[0].status.containerStatuses[0].restartCount}";
        let restarts = lab.kubectl(&format!("get pods -l app=web -o jsonpath={restarts}"));
        assert_eq!(restarts, "0");
    }
}

#[test]
fn a_node_whose_runtime_hangs_is_not_ready() {
    let Some(lab) = lab("cri-hang") else { return };
    web(&lab);
    let containerd = pid(&lab, "containerd");
    let ready = "{.status.conditions[?(@.type==\"Ready\")]['status','message']}";
    let ready = || lab.kubectl(&format!("get node worker-1 -o jsonpath={ready}"));
    signal("-STOP", &containerd);
    let said = lab.eventually("the node is not ready", 2 * SOON, || {
        let said = ready();
        said.starts_with("False").then_some(said)
    });
    assert!(said.contains("container runtime is down"), "{said}");
    signal("-CONT", &containerd);
    lab.eventually("the node is ready again", SOON, || {
        ready().starts_with("True").then_some(())
    });
    lab.kubectl("run after --image=workshop/echo");
    lab.kubectl("wait --for=condition=Ready pod/after --timeout=60s");
}
