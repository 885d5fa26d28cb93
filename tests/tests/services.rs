//! A Deployment behind a Service, reached in every way that there is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use workshop_tests::{Kind, Lab, on_each_lab};

const MANIFEST: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: echo
        image: workshop/echo
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeName: control-plane
  containers:
  - name: shell
    image: workshop/shell
    command: [sleep, infinity]
"#;

on_each_lab!(
    three_pods_behind_a_service_are_reached_by_name_and_by_node_port,
    what_breaks_is_mended,
);

fn three_pods_behind_a_service_are_reached_by_name_and_by_node_port(kind: Kind) {
    let lab = Lab::up_on(kind, "services");
    lab.apply(MANIFEST);
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("wait --for=condition=Ready pod/client --timeout=20s");

    let limit = Duration::from_secs(10);
    let names = ["web", "web.default", "web.default.svc.cluster.local"];
    for name in names {
        lab.eventually(name, limit, || {
            // bash speaks TCP itself, so no tool is asked of the host.
            let get = format!(
                "exec 3<>/dev/tcp/{name}/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
            );
            let got = lab.try_kubectl_args(&["exec", "client", "--", "bash", "-c", &get]);
            got.ok().filter(|said| said.contains("200 OK"))
        });
    }

    let port = lab.kubectl("get service web -o jsonpath={.spec.ports[0].nodePort}");
    let port: u16 = port.parse().expect("a port");
    let host = lab.node_port_host();
    let mut seen = std::collections::BTreeSet::new();
    lab.eventually("all three pods answer on the host's port", limit, || {
        None::<()>.or_else(|| (get(&host, port)?.contains("200 OK")).then_some(()))
    });
    for _ in 0..60 {
        if let Some(answer) = get(&host, port) {
            seen.extend(
                answer
                    .lines()
                    .find(|line| line.contains("web-"))
                    .map(str::to_owned),
            );
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

fn get(host: &str, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((host, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn what_breaks_is_mended(kind: Kind) {
    let lab = Lab::up_on(kind, "mended");
    lab.apply(MANIFEST);
    lab.kubectl("rollout status deployment/web --timeout=30s");
    let limit = Duration::from_secs(20);

    let first = "get pods -l app=web -o jsonpath={.items[0].metadata.name}";
    let pod = lab.kubectl(first);
    lab.kubectl(&format!("delete pod {pod}"));
    lab.eventually("a deleted pod is replaced", limit, || {
        let ready = lab.kubectl("get deployment web -o jsonpath={.status.readyReplicas}");
        (ready == "3" && lab.kubectl(first) != pod).then_some(())
    });

    lab.apply(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: mortal}\nspec: {containers: [{name: c, image: \
         workshop/shell, command: [bash, -c, 'trap \"exit 7\" TERM; while sleep 0.1; do :; done']}]}",
    );
    lab.kubectl("wait --for=condition=Ready pod/mortal --timeout=20s");
    lab.kubectl("exec mortal -- kill -TERM 1");
    lab.eventually("a killed container is started again", limit, || {
        let status = "-o jsonpath={.status.containerStatuses[0].restartCount}/\
                      {.status.containerStatuses[0].lastState.terminated.exitCode}";
        (lab.kubectl(&format!("get pod mortal {status}")) == "1/7").then_some(())
    });
    lab.kubectl("wait --for=condition=Ready pod/mortal --timeout=20s");
}
