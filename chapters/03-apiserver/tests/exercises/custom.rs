//! Exercises about custom resources.

use apiserver::custom::{Schema, fill, prune};
use exercise::Check;
use serde_json::{Value, json};

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn exercise_03_15() {
    let check = |properties: Value, object_: Value, expected: Value, rule: &str| {
        let mut pruned = object_.clone();
        prune::prune(&mut pruned, &Schema::read(&object(properties.clone())));
        Check::new(format!("the object {object_}, the properties {properties}"))
            .because(rule)
            .expect_text(&pruned.to_string(), &expected.to_string());
    };
    let size = || object(json!({"size": {"type": "integer"}}));
    let rule = "what the schema does not know goes, at every depth";
    check(
        json!({"spec": size()}),
        json!({"spec": {"size": 1, "sise": 2}, "stauts": {"size": 1}}),
        json!({"spec": {"size": 1}}),
        rule,
    );
    check(
        json!({"list": {"type": "array", "items": size()}}),
        json!({"list": [{"size": 1}, {"sise": 2}]}),
        json!({"list": [{"size": 1}, {}]}),
        rule,
    );
    let rule = "with additionalProperties any key will do, and its value is pruned by that schema";
    check(
        json!({"map": {"type": "object", "additionalProperties": size()}}),
        json!({"map": {"a": {"size": 1}, "b": {"size": 2, "x": 3}}}),
        json!({"map": {"a": {"size": 1}, "b": {"size": 2}}}),
        rule,
    );
    let rule = "additionalProperties: true knows the keys, and nothing of what is in their values";
    check(
        json!({"any": {"type": "object", "additionalProperties": true}}),
        json!({"any": {"a": "text", "b": {"c": 1}}}),
        json!({"any": {"a": "text", "b": {}}}),
        rule,
    );
    let embedded = |properties: Value| {
        json!({"pod": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": properties}})
    };
    let pod = |spec: Value| json!({"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}});
    let rule = "an embedded object is what it says of itself: apiVersion, kind and metadata stay";
    let known = pod(json!({"size": 1}));
    check(
        embedded(json!({"spec": size()})),
        known.clone(),
        known,
        rule,
    );
    let rule = "all else of an embedded object is pruned like any other";
    check(
        embedded(json!({"spec": size()})),
        pod(json!({"sise": 1})),
        pod(json!({})),
        rule,
    );
    let rule = "what is in no embedded object has no metadata of its own";
    check(
        json!({"spec": size()}),
        json!({"spec": {"metadata": {"name": "a"}}}),
        json!({"spec": {}}),
        rule,
    );
}

#[test]
fn exercise_03_16() {
    let check = |properties: Value, object_: Value, expected: Value, rule: &str| {
        let mut filled = object_.clone();
        fill::defaults(&mut filled, &Schema::read(&object(properties.clone())));
        Check::new(format!("the object {object_}, the properties {properties}"))
            .because(rule)
            .expect_text(&filled.to_string(), &expected.to_string());
    };
    let size = || json!({"type": "integer", "default": 1});
    let rule = "what is left out is filled in, what is given stays";
    check(json!({"size": size()}), json!({}), json!({"size": 1}), rule);
    check(
        json!({"size": size()}),
        json!({"size": 5}),
        json!({"size": 5}),
        rule,
    );
    check(
        json!({"size": size(), "name": {"type": "string"}}),
        json!({}),
        json!({"size": 1}),
        rule,
    );
    let rule = "null, where there may be none, counts as left out";
    check(
        json!({"size": size()}),
        json!({"size": null}),
        json!({"size": 1}),
        rule,
    );
    let rule = "null, where there may be one, is a value";
    check(
        json!({"size": {"type": "integer", "default": 1, "nullable": true}}),
        json!({"size": null}),
        json!({"size": null}),
        rule,
    );
    let rule = "a default goes into an object that is there, and makes none";
    let spec = || object(json!({"size": size()}));
    check(
        json!({"spec": spec()}),
        json!({"spec": {}}),
        json!({"spec": {"size": 1}}),
        rule,
    );
    check(json!({"spec": spec()}), json!({}), json!({}), rule);
    let rule = "what a default brings is filled in as well";
    let mut own = spec();
    own["default"] = json!({});
    check(
        json!({"spec": own}),
        json!({}),
        json!({"spec": {"size": 1}}),
        rule,
    );
    let rule = "the values of additionalProperties are filled in, each of them";
    check(
        json!({"map": {"type": "object", "additionalProperties": spec()}}),
        json!({"map": {"a": {}, "b": {"size": 2}}}),
        json!({"map": {"a": {"size": 1}, "b": {"size": 2}}}),
        rule,
    );
}
