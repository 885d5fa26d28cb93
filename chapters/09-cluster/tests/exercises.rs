//! The checks of chapter 9's exercise and of its planted bug.

use std::path::PathBuf;

use cluster::lab::components::{self, Component};
use cluster::lab::layout::Layout;
use cluster::lab::record::{Node, Record, Runtime};
use exercise::Check;

/// The socket of the host's loopback, for the API server.
const LISTENER: i32 = 9;

/// What runs on a node of a lab with two workers: 0 is the control plane.
fn programs(node: u16, scheduler: Option<&str>) -> Vec<Component> {
    let record = Record {
        name: "x".into(),
        port: 6443,
        workers: 2,
        runtime: Runtime::Embedded,
        network: 0,
        scheduler: scheduler.map(PathBuf::from),
        members: None,
        supervisor: None,
    };
    let layout = Layout::at("/lab");
    components::of(&layout, &record, &Node::numbered(node, 0), LISTENER)
}

fn find<'a>(programs: &'a [Component], name: &str) -> Option<&'a Component> {
    programs.iter().find(|program| program.name == name)
}

/// The names of what runs on a node, checked.
fn check_names(tried: &str, node: u16, expected: &str, rule: &str) {
    let programs = programs(node, None);
    let mut names: Vec<&str> = programs.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    Check::new(format!("what runs on {tried}"))
        .because(rule)
        .expect_text(&names.join(", "), expected);
}

#[test]
fn exercise_09_1_workers() {
    let rule = "a worker runs the node's own components: kubelet and proxy, nothing else";
    check_names("worker-1", 1, "kubelet, proxy", rule);
    check_names("worker-2", 2, "kubelet, proxy", rule);
}

#[test]
fn exercise_09_1_control_plane() {
    check_names(
        "the control plane",
        0,
        "apiserver, controllers, kubelet, proxy, scheduler",
        "the control plane is a node too: it has a kubelet and a proxy beside its own three",
    );
}

#[test]
fn exercise_09_1_listener() {
    let programs = programs(0, None);
    let have: Vec<String> = programs
        .iter()
        .filter(|program| program.listener.is_some())
        .map(|program| format!("{} has {:?}", program.name, program.listener))
        .collect();
    Check::new("who of the control plane is given the socket of the host's loopback, number 9")
        .because("the API server alone listens for clients on the host")
        .expect_text(&have.join("\n"), "apiserver has Some(9)");
}

#[test]
fn exercise_09_1_own_scheduler() {
    let programs = programs(0, Some("/home/reader/scheduler"));
    let seen = |name: &str| match find(&programs, name) {
        None => "not there".to_owned(),
        Some(it) => format!("{} {}", it.program.display(), it.args[0]),
    };
    Check::new("`lab up --scheduler /home/reader/scheduler`: how the scheduler is started")
        .because(
            "a scheduler of the reader's own is a program without roles: it is given its flags \
             alone",
        )
        .expect_text(
            &seen("scheduler"),
            "/home/reader/scheduler --kubeconfig=/lab/pki/scheduler.kubeconfig",
        );
    Check::new("the same lab: how the controllers are started, up to the first argument")
        .because("all others stay roles of the one program, and the role is its first argument")
        .expect_text(&seen("controllers"), "/lab/bin/cluster controllers");
}

#[test]
fn bug_09() {
    let flag = |node: u16, component: &str| {
        let programs = programs(node, None);
        let found = find(&programs, component).and_then(|component| {
            let mut args = component.args.iter();
            args.find_map(|arg| arg.strip_prefix("--cluster-cidr="))
        });
        format!(
            "{component} of node {node}: {}",
            found.unwrap_or("not given")
        )
    };
    let expected = [
        "controllers of node 0",
        "proxy of node 0",
        "proxy of node 1",
    ]
    .map(|who| format!("{who}: {}", components::POD_CIDR));
    Check::new("the flag --cluster-cidr of every component that has it")
        .because(
            "all of them speak of the network of pods: the controllers give nodes their ranges \
             of it, and to a proxy every client outside of it is a stranger",
        )
        .expect_text(
            &[flag(0, "controllers"), flag(0, "proxy"), flag(1, "proxy")].join("\n"),
            &expected.join("\n"),
        );
}
