use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::resources;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

fn decode_deployment(body: &str, mode: FieldValidation) -> Result<Decoded, String> {
    decode(DEPLOYMENT, "Deployment", "v1", body.as_bytes(), mode).map_err(|e| e.message)
}

fn decode_pod(body: Value) -> Result<Value, String> {
    let body = body.to_string();
    decode(
        "io.k8s.api.core.v1.Pod",
        "Pod",
        "v1",
        body.as_bytes(),
        FieldValidation::Strict,
    )
    .map(|decoded| decoded.value)
    .map_err(|e| e.message)
}

#[test]
fn every_resource_has_a_type() {
    for resource in resources::all() {
        assert!(type_named(resource.schema).is_some(), "{}", resource.schema);
    }
}

#[test]
fn every_fact_is_about_a_field_that_exists() {
    let exists = |owner: &str, field: &str| {
        let known = type_named(&format!("io.k8s.{owner}"));
        // Types of resources that are not served yet may have facts already.
        known.is_none_or(|owner| owner.get().field(field).is_some())
    };
    let lists = facts::LISTS.iter().chain(admin_facts::LISTS);
    let lists = lists.chain(workload_facts::LISTS);
    let pointers = facts::ZERO_MATTERS.iter().chain(admin_facts::ZERO_MATTERS);
    let pointers = pointers.chain(workload_facts::ZERO_MATTERS);
    let structs = facts::VALUE_STRUCTS
        .iter()
        .chain(admin_facts::VALUE_STRUCTS)
        .chain(workload_facts::VALUE_STRUCTS);
    let missing: Vec<_> = lists
        .map(|fact| (fact.owner, fact.field))
        .chain(facts::ATOMIC_MAPS.iter().copied())
        .chain(workload_facts::ATOMIC_MAPS.iter().copied())
        .chain(facts::RETAIN_KEYS.iter().copied())
        .chain(facts::PATCH_REPLACES.iter().copied())
        .chain(
            pointers
                .chain(structs)
                .flat_map(|(o, fs)| fs.iter().map(move |f| (*o, *f))),
        )
        .filter(|(owner, field)| !exists(owner, field))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn unknown_and_duplicate_fields_are_told_or_refused() {
    let body = r#"{"spec": {"foo": 1, "replicas": 1, "replicas": 2,
        "template": {"spec": {"containers": [{"name": "a"}, {"nam": "b"}]}}}}"#;
    let problems = [
        r#"unknown field "spec.foo""#,
        r#"duplicate field "spec.replicas""#,
        r#"unknown field "spec.template.spec.containers[1].nam""#,
    ];
    let warned = decode_deployment(body, FieldValidation::Warn).unwrap();
    assert_eq!(warned.warnings, problems);
    assert_eq!(warned.value["spec"]["replicas"], 2);
    assert_eq!(warned.value["kind"], "Deployment");
    assert_eq!(warned.value["apiVersion"], "apps/v1");
    assert_eq!(warned.value["spec"].get("foo"), None);
    assert_eq!(
        decode_deployment(body, FieldValidation::Strict).unwrap_err(),
        format!(
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding \
             error: {}",
            problems.join(", ")
        )
    );
}

#[test]
fn wrong_types_are_told_as_go_tells_them() {
    let check = |spec: &str, message: &str| {
        let body = format!(r#"{{"spec": {spec}}}"#);
        let error = decode_deployment(&body, FieldValidation::Ignore).unwrap_err();
        let prefix = "Deployment in version \"v1\" cannot be handled as a Deployment: ";
        assert_eq!(error.strip_prefix(prefix), Some(message), "{error}");
    };
    check(
        r#"{"replicas": "3"}"#,
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type \
         int32",
    );
    check(
        r#"{"replicas": 3.5}"#,
        "json: cannot unmarshal number 3.5 into Go struct field DeploymentSpec.spec.replicas of \
         type int32",
    );
    check(
        r#"{"template": {"spec": {"containers": {}}}}"#,
        "json: cannot unmarshal object into Go struct field \
         PodSpec.spec.template.spec.containers of type []v1.Container",
    );
    check(
        r#"{"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "many"}}}]}}}"#,
        "quantities must match the regular expression \
         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
}

#[test]
fn what_is_not_json_or_of_another_kind_is_refused() {
    for (body, message) in [
        ("{", "json parse error: unexpected end of JSON input ({)"),
        (
            "{\"a\" 1}",
            "json parse error: invalid character '1' after object key",
        ),
        ("nonsense", "json parse error: "),
        (
            r#"{"apiVersion": "v1"}"#,
            "the API version in the data (v1) does not match",
        ),
        (
            r#"{"apiVersion": "apps/v1", "kind": "ReplicaSet"}"#,
            "ReplicaSet in version \"v1\" cannot be handled as a Deployment: converting",
        ),
    ] {
        let error = decode_deployment(body, FieldValidation::Strict).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let deep = "[".repeat(100_000);
    decode_deployment(&deep, FieldValidation::Strict).unwrap_err();
}

#[test]
fn an_object_is_stored_as_go_would_write_it() {
    let pod = decode_pod(json!({
        "metadata": {
            "name": "a",
            "creationTimestamp": null,
            "deletionTimestamp": "2026-01-02T03:04:05.678+01:00",
            "labels": {},
            "annotations": {"empty": "", "null": null},
        },
        "spec": {
            "nodeName": "",
            "terminationGracePeriodSeconds": 0,
            "hostNetwork": false,
            "volumes": [{"name": "v", "emptyDir": {}}],
            "containers": [{
                "name": "c",
                "args": [],
                "resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}},
                "securityContext": {"privileged": false},
            }],
        },
    }))
    .unwrap();
    assert_eq!(
        pod,
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "a",
                "deletionTimestamp": "2026-01-02T02:04:05Z",
                "annotations": {"empty": "", "null": ""},
            },
            "status": {},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{
                    "name": "c",
                    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                    "securityContext": {"privileged": false},
                }],
            },
        })
    );
}

#[test]
fn a_patched_object_is_checked_too() {
    let object = json!({"spec": {"replicas": "x"}});
    let error = check(DEPLOYMENT, object, FieldValidation::Strict).unwrap_err();
    assert_eq!(error.code, 422);
    assert!(error.message.starts_with(
        r#" "" is invalid: patch: Invalid value: "{\"spec\":{\"replicas\":\"x\"}}": json: cannot unmarshal string"#
    ), "{}", error.message);
}

proptest! {
    #[test]
    fn no_body_panics(body in any::<Vec<u8>>(), text in "[\\[\\]{}:,\"a-z0-9 .-]{0,64}") {
        let pod = |body| decode("io.k8s.api.core.v1.Pod", "Pod", "v1", body, FieldValidation::Strict);
        let _ = pod(&body);
        let _ = pod(text.as_bytes());
    }
}
