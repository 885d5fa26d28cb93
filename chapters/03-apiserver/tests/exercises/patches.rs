//! Exercises about patches.

use apiserver::patch::merge_patch;
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
