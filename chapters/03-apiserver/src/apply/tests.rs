use proptest::prelude::*;

use super::path::Set;
use super::*;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const NOW: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:01:00Z";

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

fn apply_deployment(
    live: Option<&Value>,
    spec: Value,
    manager: &str,
    force: bool,
) -> Result<Value, ApiError> {
    apply(
        DEPLOYMENT,
        live,
        &deployment(spec),
        manager,
        force,
        "",
        "apps/v1",
        NOW,
    )
}

fn config_map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

fn apply_data(live: Option<&Value>, data: Value, manager: &str) -> Value {
    apply(
        CONFIG_MAP,
        live,
        &config_map(data),
        manager,
        false,
        "",
        "v1",
        NOW,
    )
    .unwrap()
}

/// `manager operation: fields` of each entry.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten();
    let shown = |fields: &Value| {
        let paths = Set::decode(fields).unwrap().paths();
        paths
            .iter()
            .map(|path| path::show(path))
            .collect::<Vec<_>>()
            .join(" ")
    };
    entries
        .map(|e| {
            let text = |key: &str| e[key].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {}: {}",
                text("manager"),
                text("operation"),
                shown(&e["fieldsV1"])
            )
        })
        .collect()
}

#[test]
fn fields_are_kept_as_upstream_writes_them() {
    let made = apply_deployment(
        None,
        json!({
            "replicas": 1,
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i",
                    "ports": [{"containerPort": 80}]}]},
            },
        }),
        "me",
        false,
    )
    .unwrap();
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!(
        *entry,
        json!({
            "manager": "me",
            "operation": "Apply",
            "apiVersion": "apps/v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {
                "f:replicas": {},
                "f:template": {
                    "f:metadata": {"f:labels": {"f:a": {}}},
                    "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                        ".": {},
                        "f:image": {},
                        "f:name": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                            ".": {}, "f:containerPort": {},
                        }},
                    }}},
                },
            }},
        })
    );
    let set = Set::decode(&entry["fieldsV1"]).unwrap();
    assert_eq!(set.encode(), entry["fieldsV1"]);
}

#[test]
fn a_create_owns_what_it_made() {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "resources": {}}], "dnsPolicy": "Default"}, "status": {}});
    track_update(
        "io.k8s.api.core.v1.Pod",
        None,
        &mut pod,
        "kubectl-run",
        "",
        "v1",
        NOW,
    );
    assert_eq!(
        pod["metadata"]["managedFields"][0]["fieldsV1"],
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:resources": {}}},
                "f:dnsPolicy": {},
            },
        })
    );
}

#[test]
fn what_is_no_longer_applied_goes_unless_another_owns_it() {
    let one = apply_data(None, json!({"a": "1", "b": "1"}), "one");
    let two = apply_data(Some(&one), json!({"b": "1", "c": "1"}), "two");
    assert_eq!(
        owners(&two),
        ["one Apply: .data.a .data.b", "two Apply: .data.b .data.c"]
    );
    let left = apply_data(Some(&two), json!({}), "one");
    assert_eq!(left["data"], json!({"b": "1", "c": "1"}));
    assert_eq!(
        owners(&left),
        ["one Apply: .data", "two Apply: .data.b .data.c"]
    );
}

#[test]
fn an_apply_that_changes_nothing_changes_nothing() {
    let one = apply_data(None, json!({"a": "1"}), "one");
    let config = config_map(json!({"a": "1"}));
    let again = apply(
        CONFIG_MAP,
        Some(&one),
        &config,
        "one",
        false,
        "",
        "v1",
        LATER,
    )
    .unwrap();
    assert_eq!(again, one);
    let mut same = one.clone();
    track_update(CONFIG_MAP, Some(&one), &mut same, "other", "", "v1", LATER);
    assert_eq!(same, one);
}

#[test]
fn another_owners_field_is_a_conflict() {
    let made =
        apply_deployment(None, json!({"replicas": 1, "paused": true}), "one", false).unwrap();
    let mut scaled = made.clone();
    scaled["spec"]["replicas"] = 2.into();
    track_update(
        DEPLOYMENT,
        Some(&made),
        &mut scaled,
        "hand",
        "",
        "apps/v1",
        LATER,
    );
    assert_eq!(
        owners(&scaled),
        ["one Apply: .spec.paused", "hand Update: .spec.replicas"]
    );

    let error = apply_deployment(Some(&scaled), json!({"replicas": 3}), "one", false).unwrap_err();
    assert_eq!(
        error.message,
        r#"Apply failed with 1 conflict: conflict with "hand" using apps/v1: .spec.replicas"#
    );
    assert_eq!(
        error.details.unwrap()["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"hand\" using apps/v1",
            "field": ".spec.replicas"}])
    );
    let two = json!({"replicas": 3, "paused": false});
    let error = apply_deployment(Some(&scaled), two, "two", false).unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 2 conflicts: conflicts with \"hand\" using apps/v1:\n\
         - .spec.replicas\nconflicts with \"one\":\n- .spec.paused"
    );
    let forced = apply_deployment(Some(&scaled), json!({"replicas": 3}), "one", true).unwrap();
    assert_eq!(forced["spec"]["replicas"], 3);
    assert_eq!(owners(&forced), ["one Apply: .spec.replicas"]);
}

#[test]
fn kubectl_takes_over_from_its_own_client_side_apply() {
    let mut made = deployment(json!({"replicas": 1}));
    let last = made.to_string();
    made["metadata"]["annotations"] = json!({ LAST_APPLIED: last });
    track_update(
        DEPLOYMENT,
        None,
        &mut made,
        "kubectl-client-side-apply",
        "",
        "apps/v1",
        NOW,
    );
    let other = apply_deployment(Some(&made), json!({"replicas": 2}), "other", false).unwrap_err();
    assert!(
        other
            .message
            .contains("\"kubectl-client-side-apply\" using apps/v1"),
        "{other}"
    );
    let taken = apply_deployment(Some(&made), json!({"replicas": 2}), "kubectl", false).unwrap();
    assert_eq!(taken["spec"]["replicas"], 2);
    let last: Value = serde_json::from_str(
        taken["metadata"]["annotations"][LAST_APPLIED]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(last["spec"]["replicas"], 2);
}

#[test]
fn lists_merge_by_key_in_the_appliers_order() {
    let containers = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"template": {"spec": {"containers": list}}})
    };
    let names = |object: &Value| -> Vec<String> {
        let list = object["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap();
        list.iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let one = apply_deployment(None, containers(&["a", "b"]), "one", false).unwrap();
    let two = apply_deployment(Some(&one), containers(&["c", "b"]), "two", false).unwrap();
    assert_eq!(names(&two), ["a", "c", "b"]);
    let left = apply_deployment(Some(&two), containers(&["b"]), "one", false).unwrap();
    assert_eq!(names(&left), ["c", "b"]);
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    let check = |spec: Value, expect: &str| {
        let error = apply_deployment(None, spec, "one", false).unwrap_err();
        let prefix = "failed to create typed patch object (/d; apps/v1, Kind=Deployment): ";
        assert_eq!(error.message.strip_prefix(prefix), Some(expect), "{error}");
    };
    check(json!({"foo": 1}), ".spec.foo: field not declared in schema");
    check(
        json!({"replicas": "1"}),
        ".spec.replicas: expected numeric (int or float), got string",
    );
    check(
        json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}),
        ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
    );
    let mut wrong = deployment(json!({}));
    wrong["apiVersion"] = "v1".into();
    let error = apply(DEPLOYMENT, None, &wrong, "one", false, "", "apps/v1", NOW).unwrap_err();
    assert_eq!(error.code, 400);
}

#[test]
fn status_belongs_to_who_writes_it_by_the_subresource() {
    let mut made = deployment(json!({"replicas": 1}));
    made["status"] = json!({});
    track_update(DEPLOYMENT, None, &mut made, "user", "", "apps/v1", NOW);
    let mut new = made.clone();
    new["status"] = json!({"replicas": 1});
    new["spec"]["replicas"] = 5.into();
    track_update(
        DEPLOYMENT,
        Some(&made),
        &mut new,
        "controller",
        "status",
        "apps/v1",
        LATER,
    );
    assert_eq!(
        owners(&new),
        [
            "user Update: .spec.replicas",
            "controller Update: .status.replicas"
        ]
    );
    assert_eq!(new["metadata"]["managedFields"][1]["subresource"], "status");
}

#[test]
fn managed_fields_can_be_set_and_reset() {
    let one = apply_data(None, json!({"a": "1"}), "one");
    for reset in [json!([]), json!([{}])] {
        let mut new = one.clone();
        new["metadata"]["managedFields"] = reset;
        track_update(CONFIG_MAP, Some(&one), &mut new, "hand", "", "v1", LATER);
        assert_eq!(new["metadata"].get("managedFields"), None);
        // What is there when ownership begins anew belongs to nobody who could prune it.
        let applied = apply_data(Some(&new), json!({"b": "1"}), "two");
        assert_eq!(applied["data"], json!({"a": "1", "b": "1"}));
        assert_eq!(
            owners(&applied)[1],
            "before-first-apply Update: .data .data.a"
        );
    }
}

#[test]
fn the_oldest_of_many_updaters_are_joined() {
    let mut object = config_map(json!({"x": "1"}));
    track_update(CONFIG_MAP, None, &mut object, "first", "", "v1", NOW);
    for i in 0..20 {
        let old = object.clone();
        object["data"][format!("k{i:02}")] = "v".into();
        let now = format!("2026-01-01T01:00:{i:02}Z");
        track_update(
            CONFIG_MAP,
            Some(&old),
            &mut object,
            &format!("m{i}"),
            "",
            "v1",
            &now,
        );
    }
    let owners = owners(&object);
    assert_eq!(owners.len(), 10);
    assert!(
        owners[0].starts_with("ancient-changes Update: .data .data.k00 "),
        "{owners:?}"
    );
}

proptest! {
    #[test]
    fn merged_lists_have_each_entry_once_and_the_appliers_in_its_order(
        old in prop::sample::subsequence(vec!["a", "b", "c", "d", "e"], 0..5).prop_shuffle(),
        new in prop::sample::subsequence(vec!["a", "b", "c", "d", "e"], 1..5).prop_shuffle(),
    ) {
        let spec = |names: &[&str]| {
            let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            deployment(json!({"template": {"spec": {"containers": list}}}))
        };
        let shape = Typed::Named(DEPLOYMENT).shape().unwrap();
        let merged = merge::merge(&shape, &spec(&old), &spec(&new));
        let merged = merged["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        let names: Vec<&str> = merged.iter().map(|c| c["name"].as_str().unwrap()).collect();
        let of = |wanted: &[&str]| -> Vec<&str> {
            names.iter().copied().filter(|name| wanted.contains(name)).collect()
        };
        prop_assert_eq!(of(&new), new.clone());
        prop_assert_eq!(of(&old).len(), old.len());
        let both = old.iter().filter(|name| new.contains(name)).count();
        prop_assert_eq!(names.len(), old.len() + new.len() - both);
    }
}

#[test]
fn a_lone_old_updater_of_a_version_keeps_its_name() {
    let mut managed = Managed::new();
    let mut own = |name: &str, version: &str, minute: usize| {
        let mut set = Set::default();
        set.insert(&[path::Element::field(name)]);
        let owned = managed::Owned {
            set,
            api_version: version.into(),
            time: Some(format!("2026-01-01T00:{minute:02}:00Z")),
        };
        managed.insert(Manager::updater(name, version, ""), owned);
    };
    own("alone", "apps/v1beta1", 0);
    for minute in 1..=10 {
        own(&format!("m{minute:02}"), "apps/v1", minute);
    }
    managed::cap(&mut managed);
    let names: Vec<&str> = managed.keys().map(|manager| &*manager.name).collect();
    assert_eq!(
        names,
        [
            "alone",
            "ancient-changes",
            "m03",
            "m04",
            "m05",
            "m06",
            "m07",
            "m08",
            "m09",
            "m10"
        ]
    );
}

#[test]
fn a_live_list_may_repeat_itself_and_a_configuration_may_not() {
    // Before lists were keyed, nothing kept keys apart: such objects must still be applied to.
    let env = |values: &[(&str, &str)]| {
        let list: Vec<Value> = values
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        json!({"template": {"spec": {"containers": [{"name": "c", "env": list}]}}})
    };
    let envs =
        |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    let mut live = deployment(env(&[("A", "1"), ("A", "2"), ("B", "1")]));
    track_update(DEPLOYMENT, None, &mut live, "hand", "", "apps/v1", NOW);
    let other = apply_deployment(Some(&live), env(&[("C", "1")]), "me", false).unwrap();
    let kept: Value = serde_json::from_str(&envs(&other)).unwrap();
    let names: Vec<&str> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names.iter().filter(|name| **name == "A").count(),
        2,
        "{kept}"
    );
    let one = apply_deployment(Some(&live), env(&[("A", "3")]), "me", true).unwrap();
    assert_eq!(envs(&one).matches("\"A\"").count(), 1, "{one}");
    let twice = apply_deployment(Some(&live), env(&[("A", "1"), ("A", "1")]), "me", true);
    assert!(
        twice
            .unwrap_err()
            .message
            .contains("duplicate entries for key [name=\"A\"]")
    );
}
