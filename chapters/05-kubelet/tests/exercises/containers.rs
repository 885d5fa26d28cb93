//! Exercises about one container: its image, its restarts, its probes, its variables, its end.

use std::collections::BTreeMap;

use exercise::Check;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Container, Probe};
use kubelet::decide::backoff::Backoff;
use kubelet::decide::env::expand;
use kubelet::decide::probe::ProbeState;
use kubelet::decide::pull_policy::default_pull_policy;
use kubelet::decide::{Outcome, RuntimePod, ending, spec};
use kubelet::runtime::{ContainerState, SandboxState};
use serde_json::{Value, json};

use super::made::{at, container, ended, pod, sandbox, with_spec};

#[test]
fn exercise_05_2() {
    let check = |image: &str, expected, rule: &str| {
        Check::new(format!("the image {image}"))
            .because(rule)
            .expect_text(default_pull_policy(image), expected);
    };
    let rule = "a tag of its own is expected to stay what it is";
    check("busybox:1.36", "IfNotPresent", rule);
    check("registry.example/team/web:v2", "IfNotPresent", rule);
    let rule = "the tag latest moves, and no tag means latest";
    check("busybox:latest", "Always", rule);
    check("busybox", "Always", rule);
    check("registry.example/team/web", "Always", rule);
    let rule = "what follows a registry's colon is its port, not a tag";
    check("localhost:5000/web", "Always", rule);
    check("localhost:5000/web:1", "IfNotPresent", rule);
    let rule = "a digest names one image for ever, unless the tag before it is latest";
    check("busybox@sha256:0011", "IfNotPresent", rule);
    check("localhost:5000/web@sha256:0011", "IfNotPresent", rule);
    check("busybox:1.36@sha256:0011", "IfNotPresent", rule);
    check("busybox:latest@sha256:0011", "Always", rule);
}

/// Whether a container ended with `code` is started again.
fn again(pods: &str, own: Option<&str>, rules: Value, code: i32, expected: bool, rule: &str) {
    let mut tried = format!("a pod with restartPolicy {pods}, its container ended with {code}");
    if let Some(own) = own {
        tried += &format!("; the container's own restartPolicy: {own}");
    }
    if rules != json!([]) {
        tried += &format!("; its restartPolicyRules: {rules}");
    }
    let container: Container = serde_json::from_value(json!({
        "name": "c", "restartPolicy": own, "restartPolicyRules": rules,
    }))
    .expect("a container");
    Check::new(tried).because(rule).expect(
        spec::restarts_after(&container, &pod(pods, 0, 1), code),
        expected,
    );
}

#[test]
fn exercise_05_3_by_policy() {
    let rule = "Always means always, Never never, and OnFailure after another code than 0";
    for (policy, after_success, after_failure) in [
        ("Always", true, true),
        ("OnFailure", false, true),
        ("Never", false, false),
    ] {
        again(policy, None, json!([]), 0, after_success, rule);
        again(policy, None, json!([]), 1, after_failure, rule);
    }
    let rule = "a container's own policy counts before the pod's";
    again("Always", Some("Never"), json!([]), 1, false, rule);
    again("Never", Some("Always"), json!([]), 0, true, rule);
}

#[test]
fn exercise_05_3_by_rules() {
    let one = |operator: &str, values: &[i32]| {
        let codes = json!({ "operator": operator, "values": values });
        json!({ "action": "Restart", "exitCodes": codes })
    };
    let rule = "a rule of the container's own comes before any policy";
    again(
        "Always",
        Some("Never"),
        json!([one("In", &[42, 43])]),
        43,
        true,
        rule,
    );
    let rule = "where no rule matches, the policy decides";
    again(
        "Always",
        Some("Never"),
        json!([one("In", &[42])]),
        1,
        false,
        rule,
    );
    again(
        "Never",
        Some("OnFailure"),
        json!([one("In", &[42])]),
        1,
        true,
        rule,
    );
    let rule = "NotIn matches every code that is not listed";
    let two = json!([one("In", &[7]), one("NotIn", &[1, 2])]);
    again("Always", Some("Never"), two.clone(), 3, true, rule);
    again("Always", Some("Never"), two.clone(), 2, false, rule);
    again("Always", Some("Never"), two, 7, true, rule);
}

#[test]
fn exercise_05_5() {
    let verdicts = |successes, failures, results: &str| -> String {
        let probe = Probe {
            success_threshold: successes,
            failure_threshold: failures,
            ..Probe::default()
        };
        let mut state = ProbeState::default();
        let verdict = |result| {
            let result = match result {
                's' => Outcome::Success,
                _ => Outcome::Failure,
            };
            match state.record(&probe, result) {
                Some(Outcome::Success) => 'S',
                Some(Outcome::Failure) => 'F',
                None => '.',
            }
        };
        results.chars().map(verdict).collect()
    };
    let check = |successes, failures, results: &str, expected: &str, rule: &str| {
        let shown = |threshold: Option<i32>| threshold.map_or("none".into(), |it| it.to_string());
        Check::new(format!(
            "successThreshold {}, failureThreshold {}, and the results {results} (s: success, \
             f: failure); a new verdict is S or F",
            shown(successes),
            shown(failures)
        ))
        .because(rule)
        .expect_text(&verdicts(successes, failures, results), expected);
    };
    let rule = "one failure is an accident: it takes as many as the threshold";
    check(Some(1), Some(3), "sfff", "S..F", rule);
    let rule = "a verdict is told once, when it changes";
    check(Some(1), Some(2), "ssffff", "S..F..", rule);
    let rule = "results count in a row: one of the other kind starts the count again";
    check(Some(1), Some(3), "sffsff", "S.....", rule);
    check(Some(2), Some(1), "fsfss", "F...S", rule);
    let rule = "where no threshold is given, it is 1 for success and 3 for failure";
    check(None, None, "sfff", "S..F", rule);
}

#[test]
fn exercise_05_6() {
    let delays = |steps: &[(i64, i64)]| -> String {
        let mut backoff = Backoff::new();
        let mut said = Vec::new();
        for (failed, retried) in steps {
            backoff.next("c", at(*failed), at(*retried));
            said.push(match backoff.delay("c") {
                Some(delay) => format!("{}s", delay.as_secs()),
                None => "none".to_owned(),
            });
        }
        said.join(" ")
    };
    // It crashes at once, whenever it is tried again after its delay.
    let crashes = |count: usize| -> Vec<(i64, i64)> {
        let waits = [0, 10, 20, 40, 80, 160, 300, 300];
        let mut now = 0;
        waits[..count]
            .iter()
            .map(|wait| {
                let failed = now;
                now += wait;
                (failed, now)
            })
            .collect()
    };
    Check::new("a container that crashes as soon as it is started, four times")
        .because("the first delay is 10 s, and each one after it twice as long")
        .expect_text(&delays(&crashes(4)), "10s 20s 40s 80s");
    Check::new("a container that crashes as soon as it is started, eight times")
        .because("no delay is longer than five minutes")
        .expect_text(&delays(&crashes(8)), "10s 20s 40s 80s 160s 300s 300s 300s");
    Check::new("tried again after 0 s and 10 s; then it runs for 601 s and fails")
        .because("who was well for twice the longest delay starts over")
        .expect_text(&delays(&[(0, 0), (0, 10), (611, 611)]), "10s 20s 10s");
    Check::new(
        "tried again after 0 s; it runs for 400 s and fails, and is tried again 300 s later",
    )
    .because("well is until it failed: the time that it waited since does not count")
    .expect_text(&delays(&[(0, 0), (400, 700)]), "10s 20s");
    let mut backoff = Backoff::new();
    backoff.next("c", at(0), at(0));
    Check::new("failed at 5 s, asked at 8 s")
        .because("what is left is counted from the failure")
        .expect(
            backoff.remaining("c", at(5), at(8)),
            Some(SignedDuration::from_secs(7)),
        );
}

#[test]
fn exercise_05_7() {
    let known: BTreeMap<&str, String> = [("A", "42".to_owned()), ("B", "$(A)".to_owned())].into();
    let check = |text: &str, expected: &str, rule: &str| {
        Check::new(format!("{text:?}, where A is 42 and B is $(A)"))
            .because(rule)
            .expect_text(&expand(text, |name| known.get(name)), expected);
    };
    let rule = "$(NAME) is replaced by the variable's value, wherever it stands";
    check("$(A)", "42", rule);
    check("--port=$(A), again $(A)!", "--port=42, again 42!", rule);
    check("für $(A) €", "für 42 €", rule);
    let rule = "what is not known stays as it is written, so that the mistake is seen";
    check("$(C) $(A)", "$(C) 42", rule);
    check("$()", "$()", rule);
    let rule = "$$ is one $, and what follows it is text";
    check("$$(A)", "$(A)", rule);
    check("$$$(A)", "$42", rule);
    let rule = "a value is put in as it is, and not looked into again";
    check("$(B)", "$(A)", rule);
    let rule = "a $ that begins no reference is a $";
    check("$A costs 5$", "$A costs 5$", rule);
    check("$(A", "$(A", rule);
}

#[test]
fn exercise_05_9() {
    let pod = with_spec(&json!({
        "initContainers": [
            { "name": "logs", "restartPolicy": "Always" },
            { "name": "setup" },
            { "name": "proxy", "restartPolicy": "Always" },
        ],
        "containers": [{ "name": "web" }, { "name": "job" }],
    }));
    let waves = |running: &[&str]| -> String {
        let all = ["logs", "setup", "proxy", "web", "job"];
        let container = |name: &&str| {
            let state = match running.contains(name) {
                true => ContainerState::Running,
                false => ended(0),
            };
            container(name, "s", state)
        };
        let runtime = RuntimePod {
            sandboxes: vec![sandbox("s", 0, SandboxState::Ready)],
            containers: all.iter().map(container).collect(),
            ..RuntimePod::default()
        };
        let waves = ending::waves(&pod, &runtime);
        let names = waves.iter().map(|wave| {
            let mut names: Vec<&str> = wave.iter().map(|it| it.name.as_str()).collect();
            names.sort_unstable();
            names.join("+")
        });
        names.collect::<Vec<_>>().join(", then ")
    };
    let tried = |running: &str| {
        format!(
            "a pod with the sidecars logs and proxy, started in this order, and the containers \
             web and job; {running} run"
        )
    };
    Check::new(tried("web and job"))
        .because("the pod's own containers end together, and a wave of nobody is none")
        .expect_text(&waves(&["web", "job"]), "job+web");
    Check::new(tried("all"))
        .because(
            "a sidecar ends after the pod's own containers and after every sidecar that was \
             started later: those may still need it",
        )
        .expect_text(
            &waves(&["logs", "proxy", "web", "job"]),
            "job+web, then proxy, then logs",
        );
    Check::new(tried("both sidecars"))
        .because("a wave of nobody is none")
        .expect_text(&waves(&["logs", "proxy"]), "proxy, then logs");
}
