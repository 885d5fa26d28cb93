//! What is true of the Docker lab alone: the engine's containers are the cluster's pods.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use workshop_tests::stage::programs;
use workshop_tests::{Kind, Lab, has_engine, said};

const SOON: Duration = Duration::from_secs(60);

/// A lab, where an engine answers.
fn lab(name: &str) -> Option<Lab> {
    has_engine().then(|| Lab::up_on(Kind::Docker, name))
}

fn web(lab: &Lab, replicas: u32) {
    lab.kubectl(&format!(
        "create deployment web --image=workshop/echo --replicas={replicas}"
    ));
    lab.kubectl("rollout status deployment/web --timeout=60s");
}

/// What chapter 1's program shows of the nodes of labs.
fn docker_ps(args: &[&str]) -> String {
    let mut command = Command::new(programs().join("docker-ps"));
    said(
        command
            .arg("--nodes")
            .args(args)
            .output()
            .expect("docker-ps runs"),
    )
    .unwrap()
}

/// `node/namespace/pod`, a line each.
fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn docker_kubectl_and_docker_ps_show_the_same() {
    let Some(lab) = lab("same") else { return };
    web(&lab, 3);
    let name = lab.name();
    let kubectl = lab.kubectl(
        "get pods -A -o jsonpath={range.items[*]}{.spec.nodeName}/{.metadata.namespace}/\
         {.metadata.name}{\"\\n\"}{end}",
    );
    let label = |name: &str| format!("{{{{.Label \"{name}\"}}}}");
    let format = [
        "workshop.node",
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name",
    ]
    .map(label)
    .join("/");
    let of_lab = format!("--filter=label=workshop.lab={name}");
    for kind in ["podsandbox", "container"] {
        let kind = format!("--filter=label=io.kubernetes.docker.type={kind}");
        let args = [&of_lab, &kind, "--format", &format];
        let docker = lab.docker_args(&[&["ps"], &args[..]].concat());
        assert_eq!(lines(&docker), lines(&kubectl), "{kind}");
        let nodes = docker_ps(&args);
        assert_eq!(lines(&nodes), lines(&kubectl), "{kind}");
    }
    let nodes = lab.docker(&format!(
        "ps --filter label=workshop.lab={name} --filter label=workshop.role=node --format \
         {{{{.Names}}}}"
    ));
    let expected = ["control-plane", "worker-1", "worker-2"];
    let expected = expected.map(|node| format!("workshop-{name}-{node}"));
    assert_eq!(lines(&nodes), expected.into());
}

#[test]
fn a_container_that_docker_kills_is_started_again() {
    let Some(lab) = lab("kill") else { return };
    web(&lab, 1);
    let id = "get pods -l app=web -o jsonpath={.items[0].status.containerStatuses[0].containerID}";
    let before = lab.kubectl(id);
    lab.docker(&format!("kill {}", before.trim_start_matches("docker://")));
    lab.eventually("the container runs again", SOON, || {
        let status = "get pods -l app=web -o jsonpath={.items[0].status.containerStatuses[0]\
                      .restartCount}/{.items[0].status.containerStatuses[0].lastState.terminated\
                      .exitCode}/{.items[0].status.containerStatuses[0].ready}";
        (lab.kubectl(status) == "1/137/true" && lab.kubectl(id) != before).then_some(())
    });
}

#[test]
fn a_node_that_docker_stops_comes_back_with_its_pods() {
    let Some(lab) = lab("reboot") else { return };
    web(&lab, 2);
    let node = format!("workshop-{}-worker-1", lab.name());
    lab.docker(&format!("stop {node}"));
    lab.eventually("worker-1 is NotReady", SOON, || {
        lab.kubectl("get node worker-1")
            .contains("NotReady")
            .then_some(())
    });
    lab.docker(&format!("start {node}"));
    lab.kubectl("wait --for=condition=Ready node/worker-1 --timeout=60s");
    lab.eventually("both pods are ready", SOON, || {
        let ready = lab.kubectl("get deployment web -o jsonpath={.status.readyReplicas}");
        (ready == "2").then_some(())
    });
}

#[test]
fn down_leaves_nothing() {
    let Some(lab) = lab("nothing") else { return };
    web(&lab, 1);
    let memory = "apiVersion: v1\nkind: Pod\nmetadata: {name: memory}\nspec:\n  containers:\n  - \
                  {name: c, image: workshop/shell, command: [sh, -c, \
                  'echo kept > /m/file; exec sleep 1000'], volumeMounts: [{name: m, mountPath: \
                  /m}]}\n  volumes: [{name: m, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]\n";
    lab.apply(memory);
    lab.kubectl("wait --for=condition=Ready pod/memory --timeout=60s");
    assert!(
        lab.kubectl("exec memory -- grep /m /proc/mounts")
            .contains("tmpfs")
    );
    assert_eq!(lab.kubectl("exec memory -- cat /m/file"), "kept\n");
    lab.lab(&["down"]).unwrap();
    let filter = format!("--filter label=workshop.lab={}", lab.name());
    for list in ["ps -aq", "network ls -q", "volume ls -q"] {
        assert_eq!(lab.docker(&format!("{list} {filter}")), "", "{list}");
    }
}
