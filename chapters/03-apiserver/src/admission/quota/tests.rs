use serde_json::json;

use super::*;
use crate::resources::by_kind;

fn quota(spec: Value, hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": spec, "status": {"hard": hard, "used": used}})
}

fn charge_create(quota: &Value, kind: (&str, &str), new: Value) -> Result<Option<Value>, String> {
    charge_update(quota, kind, new, None)
}

fn charge_update(
    quota: &Value,
    (group, kind): (&str, &str),
    new: Value,
    old: Option<Value>,
) -> Result<Option<Value>, String> {
    let resource = by_kind(group, "v1", kind).expect("is served");
    let operation = match old {
        Some(_) => Operation::Update,
        None => Operation::Create,
    };
    let now = "2026-01-01T00:00:00Z".parse().expect("is a time");
    let (new, old) = (&new, old.as_ref());
    charge(
        quota,
        &Write {
            resource,
            subresource: "",
            operation,
            new,
            old,
            now,
        },
    )
}

fn pod(requests: Value, limits: Value) -> Value {
    json!({"spec": {"containers": [{"name": "c",
        "resources": {"requests": requests, "limits": limits}}]}})
}

#[test]
fn pods_use_what_they_ask_for() {
    let of_all = quota(
        json!({}),
        json!({"pods": "2", "count/pods": "9", "requests.cpu": "1", "limits.memory": "2Gi",
            "requests.example.com/gpu": "1", "secrets": "3"}),
        json!({"pods": "1", "count/pods": "1", "requests.cpu": "500m", "limits.memory": "1Gi",
            "requests.example.com/gpu": "0", "secrets": "1"}),
    );
    let small = pod(
        json!({"cpu": "250m", "example.com/gpu": "1"}),
        json!({"memory": "512Mi"}),
    );
    assert_eq!(
        charge_create(&of_all, ("", "Pod"), small),
        Ok(Some(
            json!({"pods": "2", "count/pods": "2", "requests.cpu": "750m",
            "limits.memory": "1536Mi", "requests.example.com/gpu": "1", "secrets": "1"})
        ))
    );
    let large = pod(json!({"cpu": "2"}), json!({"memory": "2Gi"}));
    assert_eq!(
        charge_create(&of_all, ("", "Pod"), large),
        Err(
            "exceeded quota: q, requested: limits.memory=2Gi,requests.cpu=2, used: \
             limits.memory=1Gi,requests.cpu=500m, limited: limits.memory=2Gi,requests.cpu=1"
                .into()
        )
    );
    assert_eq!(
        charge_create(&of_all, ("", "Pod"), pod(json!({}), json!({}))),
        Err("failed quota: q: must specify limits.memory for: c; requests.cpu for: c".into())
    );
}

#[test]
fn a_quota_without_a_count_is_not_trusted() {
    let unknown = quota(
        json!({}),
        json!({"pods": "2", "secrets": "1"}),
        json!({"secrets": "0"}),
    );
    assert_eq!(
        charge_create(&unknown, ("", "Pod"), pod(json!({}), json!({}))),
        Err("status unknown for quota: q, resources: pods".into())
    );
    assert_eq!(
        charge_create(&unknown, ("", "Secret"), json!({})),
        Ok(Some(json!({"secrets": "1"})))
    );
    let unseen = json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "0"}}});
    assert_eq!(charge_create(&unseen, ("", "Secret"), json!({})), Ok(None));
}

#[test]
fn objects_are_counted() {
    let counts = quota(
        json!({}),
        json!({"count/deployments.apps": "1", "configmaps": "1"}),
        json!({"count/deployments.apps": "0", "configmaps": "1"}),
    );
    assert_eq!(
        charge_create(&counts, ("apps", "Deployment"), json!({})),
        Ok(Some(
            json!({"count/deployments.apps": "1", "configmaps": "1"})
        ))
    );
    assert_eq!(
        charge_create(&counts, ("", "ConfigMap"), json!({})),
        Err(
            "exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"
                .into()
        )
    );
    assert_eq!(
        charge_update(&counts, ("", "ConfigMap"), json!({}), Some(json!({}))),
        Ok(None)
    );
}

#[test]
fn services_and_claims_may_come_to_use_more() {
    let ports = quota(
        json!({}),
        json!({"services": "5", "services.nodeports": "2"}),
        json!({"services": "1", "services.nodeports": "0"}),
    );
    let service = |kind: &str| json!({"spec": {"type": kind, "ports": [{}, {}]}});
    let old = Some(service("ClusterIP"));
    assert_eq!(
        charge_update(&ports, ("", "Service"), service("NodePort"), old),
        Ok(Some(json!({"services": "1", "services.nodeports": "2"})))
    );
    let storage = quota(
        json!({}),
        json!({"requests.storage": "3Gi",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1"}),
        json!({"requests.storage": "1Gi",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}),
    );
    let claim = |size: &str| {
        json!({"spec": {"storageClassName": "fast",
            "resources": {"requests": {"storage": size}}}})
    };
    assert_eq!(
        charge_create(&storage, ("", "PersistentVolumeClaim"), claim("2Gi")),
        Ok(Some(json!({"requests.storage": "3Gi",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1"})))
    );
    let grown = charge_update(
        &storage,
        ("", "PersistentVolumeClaim"),
        claim("4Gi"),
        Some(claim("1Gi")),
    );
    assert_eq!(
        grown,
        Err(
            "exceeded quota: q, requested: requests.storage=3Gi, used: requests.storage=1Gi, \
             limited: requests.storage=3Gi"
                .into()
        )
    );
}

#[test]
fn scopes() {
    let check = |spec: Value, pod: &Value, counted: bool| {
        let quota = quota(spec.clone(), json!({"pods": "1"}), json!({"pods": "0"}));
        let charged = charge_create(&quota, ("", "Pod"), pod.clone()).expect("fits");
        assert_eq!(charged.is_some(), counted, "{spec}");
    };
    let plain = pod(json!({}), json!({}));
    let mut busy = pod(json!({"cpu": "1"}), json!({}));
    busy["spec"]["activeDeadlineSeconds"] = json!(5);
    busy["spec"]["priorityClassName"] = json!("high");
    for (scope, of_plain) in [
        ("BestEffort", true),
        ("NotTerminating", true),
        ("Terminating", false),
    ] {
        check(json!({"scopes": [scope]}), &plain, of_plain);
        check(json!({"scopes": [scope]}), &busy, !of_plain);
    }
    let priority = |operator: &str, values: Value| {
        json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass",
            "operator": operator, "values": values}]}})
    };
    check(priority("In", json!(["high"])), &busy, true);
    check(priority("In", json!(["high"])), &plain, false);
    check(priority("NotIn", json!(["high"])), &plain, true);
    check(priority("Exists", json!([])), &plain, false);
    check(priority("DoesNotExist", json!([])), &plain, true);
    let mut near = plain.clone();
    near["spec"]["affinity"]["podAffinity"] = json!({
        "requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]});
    let elsewhere = json!({"scopes": ["CrossNamespacePodAffinity"]});
    check(elsewhere.clone(), &near, true);
    check(elsewhere, &plain, false);
}
