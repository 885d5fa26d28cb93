//! Exercises about patches.

use apiserver::patch::{merge_patch, strategic_merge_patch};
use exercise::Check;
use serde_json::{Value, json};

fn check(current: &Value, patch: &Value, expected: &Value, rule: &str) {
    Check::new(format!("the object {current}, the merge patch {patch}"))
        .because(rule)
        .expect_text(
            &merge_patch(current, patch).to_string(),
            &expected.to_string(),
        );
}

#[test]
fn exercise_03_1() {
    let object = json!({"a": 1, "b": 2});
    let rule = "what the patch names is set, what it does not name stays";
    check(&object, &json!({"a": 3}), &json!({"a": 3, "b": 2}), rule);
    check(
        &object,
        &json!({"c": 3}),
        &json!({"a": 1, "b": 2, "c": 3}),
        rule,
    );
    check(&object, &json!({}), &object, rule);
    let rule = "null takes the field away";
    check(&object, &json!({"a": null}), &json!({"b": 2}), rule);
    check(&object, &json!({"c": null}), &object, rule);
    let rule = "what is no object is replaced, whole";
    check(
        &json!({"a": "text"}),
        &json!({"a": 1}),
        &json!({"a": 1}),
        rule,
    );
    let lists = (json!({"a": [1, 2]}), json!({"a": [3]}));
    let rule = "a list is replaced, whole: its items have no names to merge them by";
    check(&lists.0, &lists.1, &lists.1, rule);
}

#[test]
fn exercise_03_1_deep() {
    let labels = |labels: Value| json!({"metadata": {"labels": labels, "name": "web"}});
    let patch = |labels: Value| json!({"metadata": {"labels": labels}});
    let rule = "objects are merged at every depth";
    check(
        &labels(json!({"app": "web", "tier": "front"})),
        &patch(json!({"tier": null, "zone": "a"})),
        &labels(json!({"app": "web", "zone": "a"})),
        rule,
    );
    let rule = "a null in an object that is new is no field either";
    let (before, change) = (json!({}), json!({"a": {"b": {"c": null}}}));
    check(&before, &change, &json!({"a": {"b": {}}}), rule);
    let rule = "what is no object counts as an empty one when an object is patched into it";
    let change = json!({"a": {"b": 1, "c": null}});
    check(&json!({"a": [1]}), &change, &json!({"a": {"b": 1}}), rule);
}

#[test]
fn exercise_03_6() {
    let check = |current: Value, patch: Value, expected: Value, rule: &str| {
        let pod = |containers: &Value| json!({"spec": {"containers": containers}});
        let merged = strategic_merge_patch("io.k8s.api.core.v1.Pod", &pod(&current), &pod(&patch));
        let saw = match merged {
            Ok(mut pod) => pod["spec"]["containers"].take().to_string(),
            Err(error) => format!("refused: {} {}", error.code, error.reason),
        };
        let expected = match expected {
            Value::String(text) => text,
            list => list.to_string(),
        };
        Check::new(format!("the containers {current}, the patch {patch}"))
            .because(rule)
            .expect_text(&saw, &expected);
    };
    let a = json!({"name": "a", "image": "one", "tty": true});
    let b = json!({"name": "b", "image": "one"});
    let both = || json!([a, b]);

    let rule = "an entry that is there is merged, field by field";
    check(
        both(),
        json!([{"name": "a", "image": "two"}]),
        json!([{"name": "a", "image": "two", "tty": true}, b]),
        rule,
    );
    check(
        both(),
        json!([{"name": "a", "tty": null}]),
        json!([{"name": "a", "image": "one"}, b]),
        rule,
    );
    let rule = "an entry that is not there is added, without its nulls";
    let c = json!({"name": "c", "image": "one"});
    check(
        both(),
        json!([{"name": "c", "image": "one", "tty": null}]),
        json!([a, b, c]),
        rule,
    );
    let rule = "$patch: delete takes the entry of that key out, and no other";
    check(
        both(),
        json!([{"name": "a", "$patch": "delete"}]),
        json!([b]),
        rule,
    );
    check(
        both(),
        json!([{"name": "c", "$patch": "delete"}]),
        both(),
        rule,
    );
    let rule = "what a patch names comes in the order in which the patch names it";
    check(
        both(),
        json!([{"name": "b", "image": "two"}, {"name": "a", "image": "two"}]),
        json!([
            {"name": "b", "image": "two"}, {"name": "a", "image": "two", "tty": true},
        ]),
        rule,
    );
    let rule = "a directive that means nothing in a list is refused";
    for directive in ["merge", "keep"] {
        check(
            both(),
            json!([{"name": "a", "$patch": directive}]),
            "refused: 422 Invalid".into(),
            rule,
        );
    }
}
