//! The checks of the planted bugs.

use exercise::Check;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PodStatus};
use kubelet::decide::actions::compute_actions;
use kubelet::decide::backoff::Backoff;
use kubelet::decide::patch::status_patch;
use kubelet::decide::probe::{Kind, is_asked};
use kubelet::decide::{Outcome, ProbeResults, RuntimePod, spec};
use kubelet::runtime::{ContainerState, SandboxState};
use serde_json::{Value, json};

use super::made::{container, ended, pod, sandbox};

#[test]
fn bug_05() {
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

/// The conditions after a strategic merge patch of them: by type, in the order of the old ones.
fn merged(known: &Value, patch: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let items = list(patch);
    let replaces = items.iter().any(|item| item["$patch"] == "replace");
    let mut merged = if replaces { Vec::new() } else { list(known) };
    for item in items.iter().filter(|item| item["$patch"] != "replace") {
        let place = merged.iter().position(|it| it["type"] == item["type"]);
        match (place, item["$patch"] == "delete") {
            (Some(place), true) => drop(merged.remove(place)),
            (None, true) => {}
            (Some(place), false) => merged[place] = item.clone(),
            (None, false) => merged.push(item.clone()),
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let each = merged.iter();
    let each = each.map(|it| format!("{}={}", text(&it["type"]), text(&it["status"])));
    each.collect::<Vec<_>>().join("\n")
}

#[test]
fn bug_05_2() {
    let status = |value: &Value| -> PodStatus {
        serde_json::from_value(json!({ "conditions": value })).expect("a status")
    };
    let condition = |type_: &str, status: &str| json!({ "type": type_, "status": status });
    let known = json!([
        condition("Initialized", "True"),
        condition("Ready", "True"),
        condition("example.com/open", "True"),
    ]);
    let wanted = json!([
        condition("Initialized", "True"),
        condition("Ready", "False")
    ]);
    let patch = status_patch(&pod("Always", 0, 1), &status(&known), &status(&wanted));
    let patch = patch.unwrap_or_default();
    Check::new(
        "the API has the conditions Initialized, Ready and somebody else's example.com/open, all \
         True; the kubelet has found that the pod is not ready any more",
    )
    .because("a condition that an update does not name stays as it is, whosever it is")
    .expect_text(
        &merged(&known, &patch["status"]["conditions"]),
        "Initialized=True\nReady=False\nexample.com/open=True",
    );
}

#[test]
fn bug_05_3() {
    let container = |startup: bool| -> Container {
        let probe = json!({ "tcpSocket": { "port": 80 } });
        let startup = if startup { probe.clone() } else { Value::Null };
        serde_json::from_value(json!({
            "name": "c", "startupProbe": startup, "readinessProbe": probe, "livenessProbe": probe,
        }))
        .expect("a container")
    };
    let asked = |container: &Container, startup| -> String {
        let kinds = [Kind::Startup, Kind::Readiness, Kind::Liveness];
        let asked = kinds.into_iter();
        let asked = asked.filter(|kind| is_asked(*kind, container, startup));
        asked.map(Kind::title).collect::<Vec<_>>().join(" ")
    };
    let rule = "no other probe is asked before the startup probe has succeeded";
    Check::new("a container with all three probes, whose startup probe has said nothing yet")
        .because(rule)
        .expect_text(&asked(&container(true), None), "Startup");
    Check::new("the same, and its startup probe has failed for good")
        .because(rule)
        .expect_text(&asked(&container(true), Some(Outcome::Failure)), "Startup");
    Check::new("the same, and its startup probe has succeeded")
        .because("once it has started, the others are asked")
        .expect_text(
            &asked(&container(true), Some(Outcome::Success)),
            "Startup Readiness Liveness",
        );
    Check::new("a container without a startup probe")
        .because("where there is no startup probe, there is nothing to wait for")
        .expect_text(
            &asked(&container(false), None),
            "Startup Readiness Liveness",
        );
}

#[test]
fn bug_05_4() {
    let container = |image: &str| Container {
        name: "c".to_owned(),
        image: Some(image.to_owned()),
        ..Container::default()
    };
    let hash = spec::container_hash(&container("workshop/echo"));
    Check::new("another image under the same name")
        .because("what has another image is another container")
        .expect(
            hash == spec::container_hash(&container("workshop/shell")),
            false,
        );
    Check::new("the hash of a container c with the image workshop/echo, in this process")
        .because(
            "a kubelet has to know again what an earlier one made: this is what an earlier \
             process worked out",
        )
        .expect_text(&hash, "d2f729772646c679");
}
