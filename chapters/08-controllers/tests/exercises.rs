//! The checks of chapter 8's exercises and of its planted bug.

use std::sync::Arc;

use controllers::deployment::rollout::{Fences, roll, wanted};
use controllers::replica_set::plan::{Plan, plan};
use exercise::Check;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of its kind")
}

fn deployment(replicas: i32, max_surge: Value, max_unavailable: Value) -> Deployment {
    from(json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas, "selector": {}, "template": {},
            "strategy": { "rollingUpdate": {
                "maxSurge": max_surge, "maxUnavailable": max_unavailable,
            } },
        },
    }))
}

/// `NAME WANTED/AVAILABLE`, the older ones first.
fn sets(texts: &[&str]) -> Vec<Arc<ReplicaSet>> {
    let set = |(number, text): (usize, &&str)| {
        let (name, counts) = text.split_once(' ').expect("name and counts");
        let (wanted, available) = counts.split_once('/').expect("two counts");
        let count = |text: &str| text.parse::<i32>().expect("a count");
        let seconds = i64::try_from(number).expect("few");
        let created = Timestamp::from_second(seconds).expect("soon after the epoch");
        Arc::new(from(json!({
            "metadata": { "name": name, "creationTimestamp": created.to_string() },
            "spec": { "replicas": count(wanted), "selector": {} },
            "status": { "replicas": count(wanted), "availableReplicas": count(available) },
        })))
    };
    texts.iter().enumerate().map(set).collect()
}

/// The next step of a rolling update that may have one pod too many (`surge`) or too few, checked.
fn check_roll(replicas: i32, surge: bool, old: &[&str], new: &str, expected: &str, rule: &str) {
    let (max_surge, max_unavailable) = if surge { (1, 0) } else { (0, 1) };
    let deployment = deployment(replicas, json!(max_surge), json!(max_unavailable));
    let steps: Vec<String> = roll(&deployment, &sets(&[new])[0], &sets(old))
        .iter()
        .map(|step| {
            let from = wanted(&step.replica_set);
            format!("{} from {from} to {}", step.replica_set.name_any(), step.to)
        })
        .collect();
    let steps = if steps.is_empty() {
        "nothing to do".to_owned()
    } else {
        steps.join("\n")
    };
    Check::new(format!(
        "replicas {replicas}, maxSurge {max_surge}, maxUnavailable {max_unavailable}; pods \
         wanted/available: {} (old), {new} (new)",
        old.join(", ")
    ))
    .because(rule)
    .expect_text(&steps, expected);
}

#[test]
fn exercise_08_1_one_for_one() {
    let rule = "each pod that works above the fence of availability lets an old one go";
    check_roll(3, true, &["v1 3/3"], "v2 1/1", "v1 from 3 to 2", rule);
    check_roll(3, false, &["v1 3/3"], "v2 0/0", "v1 from 3 to 2", rule);
    let rule = "the oldest ReplicaSet gives first";
    let old = ["v1 2/2", "v2 2/2"];
    check_roll(4, true, &old, "v3 1/1", "v1 from 2 to 1", rule);
    check_roll(
        3,
        false,
        &["v1 1/1", "v2 1/1"],
        "v3 1/1",
        "v1 from 1 to 0",
        rule,
    );
}

#[test]
fn exercise_08_1_new_pods_that_do_not_work() {
    let rule = "a new pod that does not work replaces no old one";
    check_roll(3, true, &["v1 3/3"], "v2 1/0", "nothing to do", rule);
    check_roll(3, true, &["v1 2/2"], "v2 2/1", "nothing to do", rule);
}

#[test]
fn exercise_08_1_old_pods_that_do_not_work() {
    check_roll(
        3,
        true,
        &["v1 2/2", "broken 1/0"],
        "v2 1/1",
        "broken from 1 to 0",
        "old pods that do not work go first: nobody misses them",
    );
    check_roll(
        3,
        true,
        &["v1 3/1"],
        "v2 1/1",
        "v1 from 3 to 2",
        "of those that do not work, too, only as many go as may be taken: they may work soon",
    );
}

/// A pod of a ReplicaSet, changed by `change`.
fn pod(name: &str, change: Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": { "name": name, "creationTimestamp": ago(600) },
        "spec": { "containers": [], "nodeName": name },
        "status": {
            "phase": "Running",
            "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": ago(500) },
            ],
        },
    });
    merge(&mut pod, change);
    Arc::new(from(pod))
}

fn merge(object: &mut Value, change: Value) {
    match change {
        Value::Object(fields) => {
            for (name, value) in fields {
                merge(&mut object[name], value);
            }
        }
        other => *object = other,
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).expect("a time")
}

fn ago(seconds: i64) -> String {
    (now() - SignedDuration::from_secs(seconds)).to_string()
}

fn not_ready() -> Value {
    json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } })
}

fn ready_for(seconds: i64) -> Value {
    json!({ "status": { "conditions": [
        { "type": "Ready", "status": "True", "lastTransitionTime": ago(seconds) },
    ] } })
}

fn made(seconds: i64) -> Value {
    json!({ "metadata": { "creationTimestamp": ago(seconds) } })
}

/// Which of the pods is deleted when one is too many, checked.
fn check_deleted(tried: &str, pods: &[Arc<Pod>], expected: &str, rule: &str) {
    let deleted = match plan(pods.len() - 1, pods, now()) {
        Plan::Delete(deleted) => deleted.iter().map(|pod| pod.name_any()).collect(),
        other => vec![format!("{other:?}")],
    };
    Check::new(format!("one pod too many: {tried}"))
        .because(rule)
        .expect_text(&deleted.join("\n"), expected);
}

#[test]
fn exercise_08_2_what_does_not_serve() {
    check_deleted(
        "a runs, b has no node yet",
        &[
            pod("a", json!({})),
            pod("b", json!({ "spec": { "nodeName": null } })),
        ],
        "b",
        "a pod without a node goes before one that has a node",
    );
    let pending = json!({ "status": { "phase": "Pending", "conditions": [] } });
    check_deleted(
        "a is Pending, b is Running but not ready",
        &[pod("b", not_ready()), pod("a", pending)],
        "a",
        "a pending pod goes before a running one",
    );
    check_deleted(
        "a was made a minute ago and is ready, b was made ten minutes ago and is not",
        &[pod("a", made(60)), pod("b", not_ready())],
        "b",
        "a pod that is not ready goes before one that is, whatever their age",
    );
}

#[test]
fn exercise_08_2_cost_and_crowding() {
    let cost = |cost: &str| {
        json!({ "metadata": {
            "annotations": { "controller.kubernetes.io/pod-deletion-cost": cost },
        } })
    };
    check_deleted(
        "a has the deletion cost 10, b has none, c has -5",
        &[
            pod("a", cost("10")),
            pod("b", json!({})),
            pod("c", cost("-5")),
        ],
        "c",
        "of pods that are equally ready the cheapest to delete goes",
    );
    let on = |node: &str| json!({ "spec": { "nodeName": node } });
    check_deleted(
        "a is alone on its node, b and c share one",
        &[pod("a", on("n1")), pod("b", on("n2")), pod("c", on("n2"))],
        "b",
        "a pod whose node has more pods of the same ReplicaSet goes first",
    );
}

#[test]
fn exercise_08_2_restarts_and_age() {
    let restarted = json!({ "status": { "containerStatuses": [{
        "name": "web", "ready": true, "restartCount": 3, "image": "i", "imageID": "",
    }] } });
    check_deleted(
        "a has been ready for an hour, b for a minute",
        &[pod("a", ready_for(3600)), pod("b", ready_for(60))],
        "b",
        "a pod that has been ready for a short time goes before one ready for long",
    );
    check_deleted(
        "b was restarted three times, a never",
        &[pod("a", json!({})), pod("b", restarted)],
        "b",
        "a pod that was restarted more often goes first",
    );
    check_deleted(
        "a was made a day ago, b ten minutes ago",
        &[pod("a", made(86_400)), pod("b", json!({}))],
        "b",
        "at last the young go before the old",
    );
}

#[test]
fn bug_08() {
    let fences = |replicas| Fences::of(&deployment(replicas, json!("25%"), json!("25%")));
    let told = |fences: Fences| {
        format!(
            "{} replicas: {} more may exist, {} of them may be missing",
            fences.replicas, fences.max_surge, fences.max_unavailable
        )
    };
    Check::new("maxSurge 25% and maxUnavailable 25%, for 3, 4 and 10 replicas")
        .because("a percentage of maxUnavailable rounds down: to be careful is to miss fewer")
        .expect_text(
            &[3, 4, 10].map(|replicas| told(fences(replicas))).join("\n"),
            "3 replicas: 1 more may exist, 0 of them may be missing\n\
             4 replicas: 1 more may exist, 1 of them may be missing\n\
             10 replicas: 3 more may exist, 2 of them may be missing",
        );
}
