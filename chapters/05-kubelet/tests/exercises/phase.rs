//! Exercise 05.1: the phase of a pod.

use exercise::Check;
use k8s_openapi::api::core::v1::PodStatus;
use kubelet::decide::phase::phase;
use serde_json::{Value, json};

use super::made::pod;

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
