//! Ports of a node that lead to its pods.

use std::time::Duration;

use workshop_tests::{Kind, Lab, on_each_lab};

/// Two servers on one port of `worker-1` that differ in address and protocol, one that would
/// clash, and somebody on each node who asks.
const MANIFEST: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  nodeSelector: {kubernetes.io/hostname: worker-1}
  containers:
  - name: echo
    image: workshop/echo
    ports: [{containerPort: 8080, hostPort: 8000}]
---
apiVersion: v1
kind: Pod
metadata: {name: other-protocol}
spec:
  nodeSelector: {kubernetes.io/hostname: worker-1}
  containers:
  - name: echo
    image: workshop/echo
    ports: [{containerPort: 8080, hostPort: 8000, protocol: UDP}]
---
apiVersion: v1
kind: Pod
metadata: {name: local}
spec:
  nodeSelector: {kubernetes.io/hostname: worker-1}
  containers:
  - name: echo
    image: workshop/echo
    ports: [{containerPort: 8080, hostPort: 8001, hostIP: 127.0.0.1}]
---
apiVersion: v1
kind: Pod
metadata: {name: clash}
spec:
  nodeSelector: {kubernetes.io/hostname: worker-1}
  containers:
  - name: echo
    image: workshop/echo
    ports: [{containerPort: 8080, hostPort: 8000, hostIP: 127.0.0.1}]
---
apiVersion: v1
kind: Pod
metadata: {name: on-the-node}
spec:
  nodeSelector: {kubernetes.io/hostname: worker-1}
  hostNetwork: true
  containers: [{name: shell, image: workshop/shell, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere}
spec:
  nodeSelector: {kubernetes.io/hostname: worker-2}
  containers: [{name: shell, image: workshop/shell, command: [sleep, infinity]}]
"#;

on_each_lab!(host_ports_lead_to_their_pods);

#[test]
fn containerd_host_ports_lead_to_their_pods() {
    if workshop_tests::has_containerd() {
        host_ports_lead_to_their_pods(Kind::Containerd);
    }
}

fn host_ports_lead_to_their_pods(kind: Kind) {
    let lab = Lab::up_on(kind, "ports");
    lab.apply(MANIFEST);
    let soon = Duration::from_secs(30);
    lab.kubectl(
        "wait --for=condition=Ready pod/web pod/other-protocol pod/local pod/on-the-node \
         pod/elsewhere --timeout=60s",
    );
    let address = lab.kubectl("get pod web -o jsonpath={.status.hostIP}");
    // Who asks from which pod, where; the name of the pod that answers.
    let answer = |from: &str, host: &str, port: u16| -> Result<String, String> {
        let get = format!(
            "exec 3<>/dev/tcp/{host}/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
        );
        let said =
            lab.try_kubectl_args(&["exec", from, "--", "timeout", "5", "bash", "-c", &get])?;
        let names = ["web", "local", "other-protocol"];
        let name = names.into_iter().find(|name| said.contains(name));
        name.map(str::to_owned).ok_or(said)
    };
    let ok = |name: &str| Ok(name.to_owned());
    assert_eq!(answer("elsewhere", &address, 8000), ok("web"));
    assert_eq!(answer("on-the-node", &address, 8000), ok("web"));
    assert_eq!(answer("on-the-node", "127.0.0.1", 8000), ok("web"));
    assert_eq!(answer("on-the-node", "127.0.0.1", 8001), ok("local"));
    assert!(
        answer("elsewhere", &address, 8001).is_err(),
        "loopback's alone"
    );

    let why = lab.eventually("the one that clashes is not placed", soon, || {
        let message = "get pod clash -o jsonpath={.status.conditions[0].message}";
        Some(lab.kubectl(message)).filter(|message| !message.is_empty())
    });
    let expected = "1 node(s) didn't have free ports for the requested pod ports";
    assert!(why.contains(expected), "{why}");

    // With the pod goes its port, and who wants it next has it.
    lab.kubectl("delete pod web");
    lab.kubectl("wait --for=condition=Ready pod/clash --timeout=60s");
    assert!(answer("elsewhere", &address, 8000).is_err());
    let shown = lab.kubectl("get pod clash -o jsonpath={.spec.containers[0].ports[0].hostIP}");
    assert_eq!(shown, "127.0.0.1");
}
