//! Exercise 05.12: init containers and sidecars, one after the other.

use exercise::Check;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kubelet::decide::actions::compute_actions;
use kubelet::decide::backoff::Backoff;
use kubelet::decide::{Outcome, ProbeResults, RuntimePod, spec};
use kubelet::runtime::{ContainerState, SandboxState};
use serde_json::{Value, json};

use super::made::{container, ended, sandbox, with_spec};

/// A pod with the init containers `init` (one whose name begins with `side` is a sidecar, one
/// with `slow` in it has a startup probe) and the container `web`.
fn pod(restart_policy: &str, init: &[&str]) -> Pod {
    let init = init.iter().map(|name| {
        let mut container = json!({ "name": name, "image": "i" });
        if name.starts_with("side") {
            container["restartPolicy"] = json!("Always");
        }
        if name.contains("slow") {
            container["startupProbe"] = json!({ "tcpSocket": { "port": 80 } });
        }
        container
    });
    with_spec(&json!({
        "restartPolicy": restart_policy,
        "initContainers": init.collect::<Vec<Value>>(),
        "containers": [{ "name": "web", "image": "i" }],
    }))
}

/// What there is of each container: `running`, `ended 0`, or nothing is known of it.
type Known<'a> = &'a [(&'a str, &'a str)];

fn told(policy: &str, init: &[&str], known: Known<'_>) -> String {
    let known: Vec<String> = known
        .iter()
        .map(|(name, state)| format!("{name} {state}"))
        .collect();
    let known = if known.is_empty() {
        "nothing has run yet".to_owned()
    } else {
        known.join(", ")
    };
    format!(
        "restartPolicy {policy}, init containers {} (side…: a sidecar; …slow: with a startup \
         probe), then web; {known}",
        init.join(", ")
    )
}

fn actions(policy: &str, init: &[&str], known: Known<'_>, started: &[&str]) -> String {
    let pod = pod(policy, init);
    let state = |text: &str| match text.strip_prefix("ended ") {
        Some(code) => ended(code.parse().expect("a code")),
        None => ContainerState::Running,
    };
    let containers = known
        .iter()
        .map(|(name, text)| container(name, "s", state(text)));
    let runtime = RuntimePod {
        sandboxes: vec![sandbox("s", 0, SandboxState::Ready)],
        containers: containers.collect(),
        ..RuntimePod::default()
    };
    let mut probes = ProbeResults::default();
    for name in started {
        probes.startup.insert(format!("s-{name}"), Outcome::Success);
    }
    let (backoff, now) = (Backoff::new(), Timestamp::UNIX_EPOCH);
    let actions = compute_actions(&pod, &runtime, &probes, &backoff, now);
    let mut said = Vec::new();
    if actions.kill_pod {
        said.push("kill the pod".to_owned());
    }
    let init = actions.start_init.iter();
    said.extend(init.map(|index| format!("start {}", spec::init_containers(&pod)[*index].name)));
    let main = actions.start.iter();
    said.extend(main.map(|index| format!("start {}", spec::of(&pod).containers[*index].name)));
    if said.is_empty() {
        "wait".to_owned()
    } else {
        said.join(", ")
    }
}

fn check(policy: &str, init: &[&str], known: Known<'_>, expected: &str, rule: &str) {
    Check::new(told(policy, init, known))
        .because(rule)
        .expect_text(&actions(policy, init, known, &[]), expected);
}

#[test]
fn exercise_05_12_in_their_order() {
    let rule = "init containers run one at a time, in their order";
    check("Always", &["a", "b"], &[], "start a", rule);
    check("Always", &["a", "b"], &[("a", "running")], "wait", rule);
    check("Always", &["a", "b"], &[("a", "ended 0")], "start b", rule);
    let rule = "the pod's own containers start when all init containers are done";
    let both = [("a", "ended 0"), ("b", "ended 0")];
    check("Always", &["a", "b"], &both, "start web", rule);
}

#[test]
fn exercise_05_12_that_fail() {
    let rule = "one that failed is started again, and nothing after it";
    check("Always", &["a", "b"], &[("a", "ended 1")], "start a", rule);
    check(
        "OnFailure",
        &["a", "b"],
        &[("a", "ended 1")],
        "start a",
        rule,
    );
    let rule = "with restartPolicy Never, an init container that failed ends the pod";
    check(
        "Never",
        &["a", "b"],
        &[("a", "ended 1")],
        "kill the pod",
        rule,
    );
    check("Never", &["a", "b"], &[("a", "ended 0")], "start b", rule);
}

#[test]
fn exercise_05_12_that_stay() {
    let rule = "a sidecar is not waited for until it ends: it does not end";
    check(
        "Always",
        &["side", "b"],
        &[("side", "running")],
        "start b",
        rule,
    );
    let rule = "a sidecar that ended is started again, however it ended and whatever the policy";
    let ended = [("side", "ended 0"), ("b", "ended 0"), ("web", "running")];
    check("Never", &["side", "b"], &ended, "start side", rule);
    let rule = "what comes after a sidecar waits until it has started, by its startup probe";
    let init = ["side-slow", "b"];
    let running = [("side-slow", "running")];
    check("Always", &init, &running, "wait", rule);
    Check::new(told("Always", &init, &running) + ", and its startup probe succeeded")
        .because(rule)
        .expect_text(
            &actions("Always", &init, &running, &["side-slow"]),
            "start b",
        );
}

#[test]
fn exercise_05_12_that_are_forgotten() {
    let rule = "one whose record is gone is not run again when a later one has run already";
    check("Always", &["a", "b"], &[("b", "running")], "wait", rule);
    check("Always", &["a", "b"], &[("web", "running")], "wait", rule);
    let failed = [("a", "ended 1"), ("web", "running")];
    check("Never", &["a"], &failed, "wait", rule);
}
