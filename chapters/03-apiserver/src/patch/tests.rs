use proptest::prelude::*;
use serde_json::json;

use super::*;

const POD: &str = "io.k8s.api.core.v1.Pod";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

fn strategic(schema: &str, current: Value, patch: Value, expect: Value) {
    assert_eq!(
        strategic_merge_patch(schema, &current, &patch).unwrap(),
        expect
    );
}

fn containers(list: Value) -> Value {
    json!({"spec": {"containers": list}})
}

#[test]
fn entries_merge_by_key() {
    strategic(
        POD,
        containers(json!([
            {"name": "a", "image": "1", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "b", "image": "1"},
        ])),
        containers(json!([
            {"name": "a", "image": "2", "ports": [{"containerPort": 81}]},
            {"name": "c", "image": "1"},
            {"name": "b", "$patch": "delete"},
        ])),
        containers(json!([
            {"name": "a", "image": "2",
             "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}]},
            {"name": "c", "image": "1"},
        ])),
    );
}

#[test]
fn the_order_is_the_patchs_where_it_says_so() {
    let named = |names: &[&str]| -> Value { names.iter().map(|n| json!({"name": n})).collect() };
    let check = |current: &[&str], patch: Value, expect: &[&str]| {
        let expect = containers(named(expect));
        strategic(
            POD,
            containers(named(current)),
            json!({ "spec": patch }),
            expect,
        );
    };
    check(
        &["a", "b"],
        json!({"$setElementOrder/containers": named(&["b", "a"])}),
        &["b", "a"],
    );
    check(
        &["a", "s", "b"],
        json!({
            "$setElementOrder/containers": named(&["b", "c", "a"]),
            "containers": [{"name": "c"}],
        }),
        &["s", "b", "c", "a"],
    );
}

#[test]
fn values_are_added_once_and_taken_out() {
    let finalizers = |list: &[&str]| json!({"metadata": {"finalizers": list}});
    strategic(
        POD,
        finalizers(&["a"]),
        finalizers(&["b", "a"]),
        finalizers(&["b", "a"]),
    );
    strategic(
        POD,
        finalizers(&["a", "b"]),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
        finalizers(&["b"]),
    );
}

#[test]
fn objects_are_replaced_emptied_and_trimmed() {
    let labels = |labels: Value| json!({"metadata": {"labels": labels}});
    let both = labels(json!({"a": "1", "b": "2"}));
    strategic(
        POD,
        both.clone(),
        labels(json!({"a": null})),
        labels(json!({"b": "2"})),
    );
    let replace = json!({"c": "3", "$patch": "replace"});
    strategic(
        POD,
        both.clone(),
        labels(replace),
        labels(json!({"c": "3"})),
    );
    strategic(
        POD,
        both,
        labels(json!({"$patch": "delete"})),
        labels(json!({})),
    );
    strategic(
        DEPLOYMENT,
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
}

#[test]
fn a_list_without_a_key_is_replaced() {
    let args = |list: &[&str]| containers(json!([{"name": "a", "args": list}]));
    strategic(POD, args(&["1", "2"]), args(&["3"]), args(&["3"]));
    let tolerations = |keys: &[&str]| -> Value {
        let list: Vec<Value> = keys.iter().map(|k| json!({"key": k})).collect();
        json!({"spec": {"tolerations": list}})
    };
    strategic(
        POD,
        tolerations(&["a"]),
        tolerations(&["b"]),
        tolerations(&["b"]),
    );
}

#[test]
fn malformed_patches_are_refused() {
    let check = |patch: Value, code: u16, message: &str| {
        let current = containers(json!([{"name": "a"}]));
        let error = strategic_merge_patch(POD, &current, &patch).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(message), "{error}");
    };
    check(
        containers(json!([{"image": "x"}])),
        422,
        "does not contain declared merge key: name",
    );
    check(json!({"spec": {"$retainKeys": "x"}}), 400, "retainKeys");
    check(
        json!({"spec": {"$setElementOrder/containers": 1}}),
        400,
        "setElementOrder",
    );
    check(json!({"spec": {"$patch": "x"}}), 422, "unknown patch type");
    check(json!([]), 400, "invalid JSON document");
}

#[test]
fn json_patches_are_carried_out_whole_or_not_at_all() {
    let current = json!({"a": [1, 2]});
    let patch = |patch: Value| json_patch(&current, patch.to_string().as_bytes());
    assert_eq!(
        patch(
            json!([{"op": "test", "path": "/a/0", "value": 1}, {"op": "remove", "path": "/a/0"}])
        ),
        Ok(json!({"a": [2]}))
    );
    let failed = patch(json!([{"op": "test", "path": "/a/0", "value": 2}])).unwrap_err();
    assert_eq!((failed.code, failed.reason), (422, "Invalid"));
    assert!(
        failed
            .message
            .ends_with("in our request: operation 0: testing value /a/0 failed: test failed")
    );
    assert_eq!(patch(json!({"op": "x"})).unwrap_err().code, 400);
    let many: Vec<Value> = (0..10_001)
        .map(|_| json!({"op": "add", "path": "/b", "value": 1}))
        .collect();
    assert_eq!(patch(many.into()).unwrap_err().code, 413);
}

#[test]
fn copies_of_copies_are_bounded() {
    let nested: Value = (0..300)
        .map(|_| json!({"op": "copy", "from": "/a", "path": "/a/b"}))
        .collect();
    let error = json_patch(&json!({"a": {}}), nested.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.code, 422);
    assert!(
        error
            .message
            .contains("operation 254: the object would be deeper"),
        "{error}"
    );
    let deep: Value = (0..300)
        .map(|i| json!({"op": "add", "path": "/a".repeat(i + 1), "value": {}}))
        .collect();
    let error = json_patch(&json!({}), deep.to_string().as_bytes()).unwrap_err();
    assert!(error.message.contains("deeper than 256"), "{error}");
    let wide: Value = (0..100)
        .map(|i| json!({"op": "copy", "from": "/a", "path": format!("/b{i}")}))
        .collect();
    let large = json!({"a": "x".repeat(100_000)});
    let error = json_patch(&large, wide.to_string().as_bytes()).unwrap_err();
    assert!(
        error.message.contains("Unable to complete the copy"),
        "{error}"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("spec"),
        Just("containers"),
        Just("name"),
        Just("metadata"),
        Just("finalizers"),
        Just("$patch"),
        Just("$retainKeys"),
        Just("$setElementOrder/containers"),
        Just("$deleteFromPrimitiveList/finalizers"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        Just("delete".into()),
        Just("replace".into()),
        "[ab]".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|entries| {
                entries
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_patch_panics(current in any_json(), patch in any_json()) {
        let _ = strategic_merge_patch(POD, &current, &patch);
        let _ = json_patch(&current, patch.to_string().as_bytes());
        let once = merge_patch(&current, &patch);
        prop_assert_eq!(merge_patch(&once, &patch), once);
    }
}
