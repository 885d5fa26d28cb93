//! The checks of the chapter's exercises, and of its planted bug.

use exercise::Check;
use k8s_openapi::api::core::v1::{Node, Taint, Toleration};
use scheduler::cache::Cache;
use scheduler::filter::tolerates;
use serde_json::json;

/// `key=value:Effect`
fn taint(text: &str) -> Taint {
    let (pair, effect) = text.split_once(':').expect("an effect");
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let taint = json!({ "key": key, "value": value, "effect": effect });
    serde_json::from_value(taint).expect("a taint")
}

/// `key=… operator=… value=… effect=…`, what is not named is not set.
fn toleration(text: &str) -> Toleration {
    let pairs = text.split_whitespace().map(|pair| {
        let (name, value) = pair.split_once('=').expect("name=value");
        (name.to_owned(), value.into())
    });
    serde_json::from_value(serde_json::Value::Object(pairs.collect())).expect("a toleration")
}

/// Whether a pod with `tolerations` may go to a node with `of_node`.
fn check(tolerations: &[&str], of_node: &str, expected: bool, rule: &str) {
    let list = tolerations.join("; ");
    let tried = match tolerations {
        [] => format!("a pod without tolerations, a node with the taint {of_node}"),
        _ => format!("a pod that tolerates ({list}), a node with the taint {of_node}"),
    };
    let all: Vec<Toleration> = tolerations.iter().map(|text| toleration(text)).collect();
    let says = |tolerated| match tolerated {
        true => "tolerated",
        false => "not tolerated",
    };
    let saw = tolerates(Some(&all), &taint(of_node));
    let check = Check::new(tried).because(rule);
    check.expect_text(says(saw), says(expected));
}

#[test]
fn exercise_04_1() {
    let gpu = "gpu=a100:NoSchedule";
    check(&[], gpu, false, "only a toleration tolerates");
    Check::new("a pod whose tolerations are not set at all")
        .because("only a toleration tolerates")
        .expect(tolerates(None, &taint(gpu)), false);
    let equal = "key=gpu operator=Equal value=a100 effect=NoSchedule";
    check(&[equal], gpu, true, "key, value and effect are the same");
    let other = "key=gpu operator=Equal value=t4 effect=NoSchedule";
    check(&[other], gpu, false, "Equal asks for the same value");
    let exists = "key=gpu operator=Exists effect=NoSchedule";
    let rule = "Exists asks for the key alone: the value is not compared";
    check(&[exists], gpu, true, rule);
    let rule = "a toleration is for the key that it names";
    check(&["key=ssd operator=Exists"], gpu, false, rule);
}

#[test]
fn exercise_04_1_effects() {
    let rule = "a toleration for one effect says nothing about another";
    let soft = "key=gpu operator=Exists effect=PreferNoSchedule";
    check(&[soft], "gpu=a100:NoSchedule", false, rule);
    let rule = "a toleration without an effect is for all of them";
    check(&["key=gpu operator=Exists"], "gpu:NoExecute", true, rule);
    check(&["key=gpu operator=Exists"], "gpu:NoSchedule", true, rule);
}

#[test]
fn exercise_04_1_operators() {
    let rule = "no operator means Equal";
    check(&["key=gpu value=a100"], "gpu=a100:NoSchedule", true, rule);
    check(&["key=gpu value=t4"], "gpu=a100:NoSchedule", false, rule);
    let rule = "no value and an empty value are the same";
    check(&["key=gpu"], "gpu:NoSchedule", true, rule);
    let rule = "no key and Exists means every taint";
    check(&["operator=Exists"], "gpu=a100:NoSchedule", true, rule);
    let rule = "an operator that is not known tolerates nothing";
    check(
        &["key=gpu operator=Gt value=1"],
        "gpu=1:NoSchedule",
        false,
        rule,
    );
    let rule = "one toleration that fits is enough";
    let several = ["key=ssd operator=Exists", "key=gpu operator=Exists"];
    check(&several, "gpu=a100:NoSchedule", true, rule);
}

/// A node called `n`, with this spec.
fn node(spec: serde_json::Value) -> Node {
    let allocatable = json!({ "cpu": "4", "memory": "8Gi", "pods": "110" });
    let node = json!({
        "metadata": { "name": "n" }, "spec": spec, "status": { "allocatable": allocatable },
    });
    serde_json::from_value(node).expect("a node")
}

#[test]
fn bug_04() {
    let closed = json!({ "unschedulable": true });
    let tainted = json!({ "taints": [{ "key": "gpu", "effect": "NoSchedule" }] });
    let chance = |before: &serde_json::Value, after: &serde_json::Value| {
        let mut cache = Cache::default();
        cache.set_node(&node(before.clone()));
        match cache.set_node(&node(after.clone())) {
            true => "pods that did not fit are tried again",
            false => "pods that did not fit go on waiting",
        }
    };
    let retried = "pods that did not fit are tried again";
    Check::new("a cordoned node is uncordoned")
        .because("a node that is uncordoned is a chance for pods that wait")
        .expect_text(chance(&closed, &json!({})), retried);
    Check::new("a node's taint is removed")
        .because("without the taint, pods fit that did not")
        .expect_text(chance(&tainted, &json!({})), retried);
    Check::new("a heartbeat: the node says again what it said before")
        .because("a heartbeat is nobody's chance, and there are many of them")
        .expect_text(
            chance(&closed, &closed),
            "pods that did not fit go on waiting",
        );
}
