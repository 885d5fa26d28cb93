//! What a pod may use, seen from inside it: the kernel holds it to that.

use std::time::Duration;

use workshop_tests::{Kind, Lab, has_containerd, has_engine};

const SOON: Duration = Duration::from_secs(30);

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  containers:
  - name: main
    image: workshop/shell
    command: [sleep, "3600"]
    resources: {limits: {cpu: 500m, memory: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: workshop/shell
    command: [sh, -c, "a=x; while :; do a=$a$a; done"]
    resources: {limits: {memory: 16Mi}}
"#;

/// The limit on memory in bytes, by the one hierarchy (v2) or by one of several.
const SEEN: &str = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes \
                    2>/dev/null || true";

fn limits_hold(kind: Kind) {
    let lab = Lab::up_on(kind, "limits");
    // An embedded lab has what the machine gives: a kubelet that can make no cgroup says so.
    if lab
        .lab(&["logs", "kubelet"])
        .unwrap()
        .contains("are not limited")
    {
        eprintln!("skipped: this machine lets nobody make cgroups");
        return;
    }
    lab.apply(PODS);
    let reason = "get pod greedy -o jsonpath={.status.containerStatuses[0].state.terminated}";
    let ended = lab.eventually("the greedy one is ended", SOON, || {
        let ended = lab.kubectl(reason);
        (!ended.is_empty()).then_some(ended)
    });
    assert!(
        ended.contains("OOMKilled") && ended.contains("137"),
        "{ended}"
    );

    lab.kubectl("wait --for=condition=Ready pod/limited --timeout=30s");
    let seen = || {
        let args = ["exec", "limited", "--", "sh", "-c", SEEN];
        lab.try_kubectl_args(&args).unwrap().trim().to_owned()
    };
    assert_eq!(seen(), "67108864");
    let more = r#"{"spec":{"containers":[{"name":"main","resources":{"requests":{"memory":"128Mi"},"limits":{"memory":"128Mi"}}}]}}"#;
    let resize = [
        "patch",
        "pod",
        "limited",
        "--subresource",
        "resize",
        "--patch",
        more,
    ];
    lab.try_kubectl_args(&resize).unwrap();
    lab.eventually("it may use twice as much", SOON, || {
        (seen() == "134217728").then_some(())
    });
    lab.lab(&["down"]).unwrap();
}

#[test]
fn embedded() {
    limits_hold(Kind::Embedded);
}

#[test]
fn docker() {
    if has_engine() {
        limits_hold(Kind::Docker);
    }
}

#[test]
fn containerd() {
    if has_containerd() {
        limits_hold(Kind::Containerd);
    }
}
