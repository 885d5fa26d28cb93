//! The lab's own commands: what they say, and that nothing stays behind.

use std::time::Duration;

use workshop_tests::{Kind, Lab, on_each_lab};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn up_says_what_runs_and_down_leaves_nothing() {
    let lab = Lab::up("commands");
    assert!(lab.start(&[]).contains("runs already"));
    let refused = lab.lab(&["up", "--nodes", "3"]).unwrap_err();
    assert!(
        refused.contains("runs already, with 2 workers"),
        "{refused}"
    );

    let status = lab.lab(&["status"]).unwrap();
    for part in [
        "control-plane",
        "worker-2",
        "apiserver",
        "kubelet",
        "Ready",
        "API server",
    ] {
        assert!(status.contains(part), "{part} is not in:\n{status}");
    }
    let kubeconfig = lab.lab(&["kubeconfig"]).unwrap();
    assert_eq!(kubeconfig.trim(), lab.kubeconfig().to_str().unwrap());
    let log = lab.lab(&["logs", "worker-1.kubelet"]).unwrap();
    assert!(!log.is_empty());
    let unknown = lab.lab(&["logs", "nobody"]).unwrap_err();
    assert!(unknown.contains("worker-1.kubelet"), "{unknown}");
    let unknown = lab.lab(&["stop-node", "worker-9"]).unwrap_err();
    assert!(
        unknown.contains("there are: control-plane, worker-1, worker-2"),
        "{unknown}"
    );

    let supervisor = lab.supervisor();
    lab.lab(&["down"]).unwrap();
    // Ended, though whoever inherited it may not have asked for its exit code yet.
    let stat = std::fs::read_to_string(format!("/proc/{supervisor}/stat"));
    assert!(
        stat.as_ref().map_or(true, |stat| stat.contains(") Z ")),
        "{stat:?}"
    );
    assert!(!lab.dir().exists());
    assert!(lab.lab(&["status"]).unwrap_err().contains("not running"));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(lab.dir().to_str().unwrap()), "{mounts}");
}

#[test]
fn a_port_in_use_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let lab = Lab::new("port");
    let refused = lab.lab(&["up", "--port", &port]).unwrap_err();
    assert!(
        refused.contains(&format!("port {port} of 127.0.0.1 is in use")),
        "{refused}"
    );
}

#[test]
fn all_state_comes_back_after_the_plug_was_pulled() {
    let lab = Lab::up("plug");
    lab.kubectl("create deployment web --image=workshop/echo --replicas=3");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("create configmap kept --from-literal=a=b");

    let killed = std::process::Command::new("kill")
        .args(["-9", &lab.supervisor()])
        .status();
    assert!(killed.unwrap().success());
    lab.start(&[]);

    assert_eq!(lab.kubectl("get configmap kept -o jsonpath={.data.a}"), "b");
    lab.eventually("all three pods run again", SOON, || {
        let ready = lab.kubectl("get deployment web -o jsonpath={.status.readyReplicas}");
        (ready == "3").then_some(())
    });
    lab.kubectl("run after --image=workshop/echo");
    lab.kubectl("wait --for=condition=Ready pod/after --timeout=20s");
}

#[test]
fn a_supervisor_that_ends_while_it_is_asked_is_none() {
    let lab = Lab::new("ending");
    std::fs::create_dir_all(lab.dir()).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(lab.dir().join("supervisor.sock")).unwrap();
    // Takes the question and never answers: what one sees of a process that is being killed.
    let dying = std::thread::spawn(move || drop(socket.accept()));
    lab.start(&["--nodes", "1", "--port", &workshop_tests::free_port()]);
    dying.join().unwrap();
    assert!(lab.lab(&["status"]).unwrap().contains("worker-1"));
}

#[test]
fn everybody_goes_on_when_the_api_server_was_killed() {
    let lab = Lab::up("crash");
    // Written after the lists of all who watch: what they go on from is then older than what a
    // server that was just started remembers.
    lab.kubectl("create deployment web --image=workshop/echo --replicas=1");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    let status = lab.lab(&["status"]).unwrap();
    let line = status.lines().find(|line| line.contains("apiserver"));
    let pid = line.and_then(|line| {
        line.split_whitespace()
            .find(|word| word.parse::<u32>().is_ok())
    });
    let killed = std::process::Command::new("kill")
        .args(["-9", pid.expect("the status shows its number")])
        .status();
    assert!(killed.unwrap().success());

    lab.eventually(
        "the API server is back, and the node agents with it",
        SOON,
        || lab.try_kubectl("scale deployment web --replicas=4").ok(),
    );
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.kubectl("delete deployment web --cascade=foreground --timeout=30s");
}

on_each_lab!(pods_of_a_stopped_node_move_and_the_node_comes_back);

fn pods_of_a_stopped_node_move_and_the_node_comes_back(kind: Kind) {
    let lab = Lab::up_on(kind, "stop");
    lab.kubectl("create deployment web --image=workshop/echo --replicas=2");
    lab.kubectl("rollout status deployment/web --timeout=30s");
    lab.lab(&["stop-node", "worker-1"]).unwrap();

    let minute = Duration::from_secs(60);
    lab.eventually("worker-1 is NotReady", minute, || {
        lab.kubectl("get node worker-1")
            .contains("NotReady")
            .then_some(())
    });
    lab.eventually("two pods are ready on worker-2", minute, || {
        let template = "-o jsonpath={range.items[*]}{.spec.nodeName}/{.status.phase}{\"\\n\"}{end}";
        let pods = lab.kubectl(&format!(
            "get pods -l app=web --field-selector=spec.nodeName=worker-2 {template}"
        ));
        let ready = lab.kubectl("get deployment web -o jsonpath={.status.readyReplicas}");
        (pods.matches("worker-2/Running").count() == 2 && ready == "2").then_some(())
    });

    lab.lab(&["start-node", "worker-1"]).unwrap();
    lab.kubectl("wait --for=condition=Ready node/worker-1 --timeout=30s");
}
