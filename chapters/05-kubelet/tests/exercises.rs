//! The checks of chapter 5's exercise and of its planted bug.

use exercise::Check;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kubelet::decide::actions::compute_actions;
use kubelet::decide::backoff::Backoff;
use kubelet::decide::phase::phase;
use kubelet::decide::{ProbeResults, RuntimePod};
use kubelet::runtime::{Container, ContainerState, PodMetadata, Sandbox, SandboxState};
use serde_json::{Value, json};

/// A pod whose containers are called `c0`, `c1`, …, and its init containers `i0`, `i1`, ….
fn pod(restart_policy: &str, init: usize, containers: usize) -> Pod {
    let named = |letter: char, count: usize| -> Vec<Value> {
        (0..count)
            .map(|number| json!({ "name": format!("{letter}{number}"), "image": "i" }))
            .collect()
    };
    serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "ns", "uid": "u" },
        "spec": {
            "restartPolicy": restart_policy,
            "initContainers": named('i', init),
            "containers": named('c', containers),
        },
    }))
    .expect("a pod")
}

/// The statuses of containers that are `waiting`, `running`, `exited N` or `backing off N`.
fn statuses(letter: char, states: &[&str]) -> Vec<Value> {
    let state = |text: &str| {
        let (word, code) = text.rsplit_once(' ').unwrap_or((text, "0"));
        let ended = json!({ "terminated": { "exitCode": code.parse::<i32>().expect("a code") } });
        match word {
            "waiting" => (
                json!({ "waiting": { "reason": "ContainerCreating" } }),
                json!({}),
            ),
            "running" => (json!({ "running": {} }), json!({})),
            "exited" => (ended, json!({})),
            "backing off" => (
                json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
                ended,
            ),
            other => panic!("no such state: {other}"),
        }
    };
    let status = |(number, text): (usize, &&str)| {
        let (state, last_state) = state(text);
        json!({
            "name": format!("{letter}{number}"), "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": state, "lastState": last_state,
        })
    };
    states.iter().enumerate().map(status).collect()
}

/// The phase of a pod whose containers are in these states, checked.
fn check(policy: &str, init: &[&str], containers: &[&str], expected: &str, rule: &str) {
    let mut tried = format!("a pod with restartPolicy {policy}, ");
    if !init.is_empty() {
        tried += &format!("its init containers {}, ", init.join(" and "));
    }
    tried += &format!("its containers {}", containers.join(" and "));
    let status: PodStatus = serde_json::from_value(json!({
        "initContainerStatuses": statuses('i', init),
        "containerStatuses": statuses('c', containers),
    }))
    .expect("a status");
    let pod = pod(policy, init.len(), containers.len());
    Check::new(tried)
        .because(rule)
        .expect_text(phase(&pod, &status, false), expected);
}

#[test]
fn exercise_05_1_before_all_run() {
    let rule = "a pod is Pending until every one of its containers has run";
    check("Always", &[], &["waiting"], "Pending", rule);
    check("Always", &[], &["running", "waiting"], "Pending", rule);
    check("Never", &[], &["exited 0", "waiting"], "Pending", rule);
    let rule = "a pod is Pending while its init containers are not done";
    check("Always", &["running"], &["waiting"], "Pending", rule);
    check("Always", &["exited 1"], &["waiting"], "Pending", rule);
}

#[test]
fn exercise_05_1_while_any_runs() {
    let rule = "one container that runs keeps the pod Running";
    check("Always", &[], &["running"], "Running", rule);
    check("Never", &[], &["exited 1", "running"], "Running", rule);
    check("Never", &[], &["running", "exited 0"], "Running", rule);
}

#[test]
fn exercise_05_1_between_two_restarts() {
    let rule = "a pod whose containers will be started again is not over, though none runs now";
    check("Always", &[], &["backing off 1"], "Running", rule);
    check("Always", &[], &["exited 0"], "Running", rule);
    check("OnFailure", &[], &["exited 0", "exited 1"], "Running", rule);
}

#[test]
fn exercise_05_1_when_it_is_over() {
    let rule = "a pod Succeeded only if every container ended with 0";
    check("Never", &[], &["exited 0", "exited 0"], "Succeeded", rule);
    check("OnFailure", &[], &["exited 0"], "Succeeded", rule);
    check("Never", &[], &["exited 0", "exited 3"], "Failed", rule);
    let rule = "with restartPolicy Never, an init container that failed fails the pod";
    check("Never", &["exited 1"], &["waiting"], "Failed", rule);
}

/// A container of a sandbox, made as the given attempt.
fn container(name: &str, sandbox: &str, state: ContainerState) -> Container {
    Container {
        id: format!("{sandbox}-{name}"),
        sandbox_id: sandbox.to_owned(),
        name: name.to_owned(),
        attempt: 0,
        image: "i".into(),
        image_ref: "sha256:1".into(),
        state,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: Some(Timestamp::UNIX_EPOCH),
        log_path: "log".into(),
        labels: Default::default(),
        user: None,
    }
}

fn sandbox(id: &str, attempt: u32, state: SandboxState) -> Sandbox {
    Sandbox {
        id: id.to_owned(),
        metadata: PodMetadata {
            name: "p".into(),
            namespace: "ns".into(),
            uid: "u".into(),
            attempt,
        },
        state,
        ips: vec!["10.244.1.2".parse().expect("an address")],
        created_at: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn bug_05() {
    let ended = |exit_code| ContainerState::Exited {
        exit_code,
        finished_at: Timestamp::UNIX_EPOCH,
        reason: String::new(),
        message: String::new(),
    };
    let runtime = RuntimePod {
        sandboxes: vec![
            sandbox("new", 1, SandboxState::Ready),
            sandbox("old", 0, SandboxState::NotReady),
        ],
        containers: vec![
            container("i0", "new", ContainerState::Running),
            container("c0", "old", ended(137)),
            container("i1", "old", ended(0)),
            container("i0", "old", ended(0)),
        ],
        ..RuntimePod::default()
    };
    let actions = compute_actions(
        &pod("Always", 2, 1),
        &runtime,
        &ProbeResults::default(),
        &Backoff::new(),
        Timestamp::UNIX_EPOCH,
    );
    Check::new(
        "a pod with init containers i0 and i1 and the container c0, whose node was restarted: \
         everything ran once in the old sandbox, and in the new one i0 runs",
    )
    .because("what ran in an old sandbox does not count: a new sandbox is initialised anew")
    .expect_text(
        &format!(
            "init {:?}, containers {:?}",
            actions.start_init, actions.start
        ),
        "init [], containers []",
    );
}
