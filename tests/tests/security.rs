//! What a pod may do, and what it is told when it may not, on every kind of lab.

use std::time::Duration;

use workshop_tests::{Kind, Lab, on_each_lab};

on_each_lab!(a_pod_is_held_to_its_security_context);

const SOON: Duration = Duration::from_secs(20);

fn a_pod_is_held_to_its_security_context(kind: Kind) {
    let lab = Lab::up_on(kind, "security");
    lab.apply(include_str!("../transcripts/security.yaml"));
    for pod in ["default", "unconfined"] {
        lab.kubectl(&format!(
            "wait --for=condition=Ready pod/{pod} --timeout=30s"
        ));
    }

    // A pod without a profile has none, though the engine's own default would be one.
    let seccomp = |pod: &str| lab.kubectl(&format!("exec {pod} -- grep Seccomp: /proc/1/status"));
    assert_eq!(seccomp("default").trim(), "Seccomp:\t2");
    assert_eq!(seccomp("unconfined").trim(), "Seccomp:\t0");
    // It needs no capability: only a filter forbids it.
    // The Docker lab's image of a shell has no such program.
    if kind != Kind::Docker {
        lab.kubectl("exec unconfined -- unshare -U true");
        let refused = lab.try_kubectl("exec default -- unshare -U true");
        let refused = refused.unwrap_err();
        assert!(refused.contains("Operation not permitted"), "{refused}");
    }
    let range = lab.kubectl("exec default -- cat /proc/sys/net/ipv4/ip_local_port_range");
    assert_eq!(range.trim(), "1100\t1200");

    let status = |pod: &str, path: &str| {
        let path = format!("-o=jsonpath={{.status.{path}}}");
        lab.kubectl(&format!("get pod {pod} {path}"))
    };
    for (pod, reason, why) in [
        (
            "unsafe",
            "SysctlForbidden",
            "forbidden sysctl: \"net.core.somaxconn\" not allowlisted",
        ),
        (
            "apparmor",
            "AppArmor",
            "Cannot enforce AppArmor: AppArmor is not enabled on the host",
        ),
    ] {
        if pod == "apparmor" && std::path::Path::new("/sys/module/apparmor").exists() {
            continue;
        }
        lab.eventually("the pod is refused", SOON, || {
            (status(pod, "phase") == "Failed").then_some(())
        });
        assert_eq!(status(pod, "reason"), reason);
        assert_eq!(status(pod, "message"), format!("Pod was rejected: {why}"));
    }

    // Elsewhere the mounts are the engine's, which may share none.
    if !matches!(kind, Kind::Docker | Kind::Containerd) {
        lab.kubectl("wait --for=condition=Ready pod/mounts --timeout=30s");
        let seen = lab.kubectl("exec mounts -c reader -- ls /v/m");
        assert_eq!(
            seen.trim(),
            "file",
            "what one container mounts the other one sees"
        );
    }

    // Whom it runs as is told where the runtime tells it.
    let user = status("default", "containerStatuses[0].user.linux");
    let node = lab.kubectl("get node worker-1 -o jsonpath={.status.features}");
    if !matches!(kind, Kind::Docker | Kind::Containerd) {
        assert_eq!(user, r#"{"gid":0,"supplementalGroups":[0],"uid":0}"#);
        assert_eq!(node, r#"{"supplementalGroupsPolicy":true}"#);
    } else {
        assert_eq!(node, r#"{"supplementalGroupsPolicy":false}"#);
    }
}
