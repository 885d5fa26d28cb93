//! What is true of the Docker lab alone: the engine's containers are the cluster's pods.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use workshop_tests::engine::Engine;
use workshop_tests::stage::programs;
use workshop_tests::{Kind, Lab, free_port, has_engine, said};

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

/// A lab of one worker on an engine of its own, with a pod.
fn lab_of(engine: &Engine, name: &str) -> Lab {
    let lab = Lab::new_on(Kind::Docker, name).by_engine(engine.host());
    lab.start(&["--nodes", "1", "--port", &free_port()]);
    web(&lab, 1);
    lab
}

/// Restarts and readiness of the only pod of `web`.
fn state_of_web(lab: &Lab) -> Option<String> {
    let status = "get pods -l app=web -o jsonpath={.items[0].status.containerStatuses[0]\
                  .containerID}/{.items[0].status.containerStatuses[0].restartCount}/\
                  {.items[0].status.containerStatuses[0].ready}";
    lab.try_kubectl(status).ok()
}

#[test]
fn an_engine_that_is_restarted_keeps_its_containers_if_it_may() {
    let Some(mut engine) = Engine::start(true) else {
        return;
    };
    let lab = lab_of(&engine, "live");
    let before = state_of_web(&lab);
    engine.stop();
    engine.resume();
    lab.kubectl("run after --image=workshop/echo");
    lab.kubectl("wait --for=condition=Ready pod/after --timeout=60s");
    assert_eq!(state_of_web(&lab), before);
    drop(lab);
}

#[test]
fn an_engine_that_is_restarted_without_its_containers_gets_them_back() {
    let Some(mut engine) = Engine::start(false) else {
        return;
    };
    let lab = lab_of(&engine, "cold");
    let before = state_of_web(&lab);
    engine.stop();
    engine.resume();
    let limit = Duration::from_secs(120);
    lab.eventually("the nodes are back, and the pod with them", limit, || {
        let now = state_of_web(&lab)?;
        (now.ends_with("/1/true") && Some(&now) != before.as_ref()).then_some(())
    });
    lab.kubectl("wait --for=condition=Ready node/worker-1 --timeout=60s");
    drop(lab);
}

#[test]
fn a_node_whose_engine_hangs_says_so_and_recovers() {
    let Some(engine) = Engine::start(false) else {
        return;
    };
    let lab = lab_of(&engine, "hang");
    let before = state_of_web(&lab);
    engine.hang();
    let ready = "get node worker-1 -o jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
    let limit = Duration::from_secs(120);
    lab.eventually("the node says that its runtime is down", limit, || {
        (lab.kubectl(ready) == "container runtime is down").then_some(())
    });
    engine.wake();
    lab.kubectl("wait --for=condition=Ready node/worker-1 --timeout=60s");
    lab.kubectl("run after --image=workshop/echo");
    lab.kubectl("wait --for=condition=Ready pod/after --timeout=60s");
    assert_eq!(state_of_web(&lab), before);
    drop(lab);
}
