//! What keeps pods, beside Deployments and ReplicaSets: ReplicationControllers, DaemonSets,
//! StatefulSets, Jobs and CronJobs. And bare templates and limits of pods.
//!
//! Upstream: `pkg/apis/{apps,batch,core}/v1/defaults.go`; the labels of a Job's pods:
//! `pkg/registry/batch/job/strategy.go`.

use serde_json::{Value, json};

use super::{
    child, child_value, existing, items, or_set, or_set_value, present, set, storage, template,
};

/// A ReplicationController: what it selects, and its own labels, are its pods' unless it says so.
pub(super) fn replication_controller(object: &mut Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        or_set_labels(child_value(object, "spec"), "selector", &labels);
        or_set_labels(child_value(object, "metadata"), "labels", &labels);
    }
    or_set_value(child_value(object, "spec"), "replicas", || json!(1));
    if object["spec"]["template"].is_object() {
        template(object);
    }
}

/// Sets a map that is absent or empty.
fn or_set_labels(owner: &mut Value, key: &str, labels: &Value) {
    let is_empty = |map: &Value| map.as_object().is_some_and(serde_json::Map::is_empty);
    if present(owner, key).is_none_or(is_empty) {
        set(owner, key, labels.clone());
    }
}

/// A PodTemplate.
pub(super) fn pod_template(object: &mut Value) {
    let template = child_value(object, "template");
    or_set_value(template, "metadata", || json!({}));
    super::pods::pod_spec(child_value(template, "spec"));
}

/// A LimitRange: for containers, what is the most is also what is given, and what is given or the
/// least is also what is asked for.
pub(super) fn limit_range(object: &mut Value) {
    let Some(spec) = existing(object, "spec") else {
        return;
    };
    for limit in items(spec, "limits") {
        if limit["type"] != "Container" {
            continue;
        }
        for (from, to) in [
            ("max", "default"),
            ("default", "defaultRequest"),
            ("min", "defaultRequest"),
        ] {
            let amounts = limit[from].as_object().cloned().unwrap_or_default();
            for (name, amount) in amounts {
                or_set_value(child_value(limit, to), &name, || amount);
            }
        }
    }
}

/// A DaemonSet.
pub(super) fn daemon_set(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set_value(spec, "revisionHistoryLimit", || json!(10));
    let strategy = child_value(spec, "updateStrategy");
    or_set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = child_value(strategy, "rollingUpdate");
        or_set_value(rolling, "maxUnavailable", || json!(1));
        or_set_value(rolling, "maxSurge", || json!(0));
    }
    template(object);
}

/// A StatefulSet, with the claims that each of its pods gets.
pub(super) fn stateful_set(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set(spec, "podManagementPolicy", "OrderedReady");
    let strategy = child_value(spec, "updateStrategy");
    if present(strategy, "type").is_none_or(|kind| kind == "") {
        set(strategy, "type", json!("RollingUpdate"));
        or_set_value(strategy, "rollingUpdate", || json!({}));
    }
    if strategy["type"] == "RollingUpdate"
        && let Some(rolling) = existing(strategy, "rollingUpdate")
    {
        or_set_value(rolling, "partition", || json!(0));
        or_set_value(rolling, "maxUnavailable", || json!(1));
    }
    let retention = child_value(spec, "persistentVolumeClaimRetentionPolicy");
    or_set(retention, "whenDeleted", "Retain");
    or_set(retention, "whenScaled", "Retain");
    or_set_value(spec, "replicas", || json!(1));
    or_set_value(spec, "revisionHistoryLimit", || json!(10));
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", json!("v1"));
        set(claim, "kind", json!("PersistentVolumeClaim"));
        storage::claim(claim);
    }
    template(object);
}

/// A Job. Its own labels are its pods' unless it has some.
pub(super) fn job(object: &mut Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        or_set_labels(child_value(object, "metadata"), "labels", &labels);
    }
    let spec = child_value(object, "spec");
    if present(spec, "parallelism").is_none() {
        or_set_value(spec, "completions", || json!(1));
        set(spec, "parallelism", json!(1));
    }
    let per_index = present(spec, "backoffLimitPerIndex").is_some();
    let limit = if per_index { i32::MAX } else { 6 };
    or_set_value(spec, "backoffLimit", || json!(limit));
    or_set_value(spec, "completionMode", || json!("NonIndexed"));
    or_set_value(spec, "suspend", || json!(false));
    or_set_value(spec, "manualSelector", || json!(false));
    let replaced = match present(spec, "podFailurePolicy") {
        Some(_) => "Failed",
        None => "TerminatingOrFailed",
    };
    or_set_value(spec, "podReplacementPolicy", || json!(replaced));
    failure_policy(spec);
    template(object);
}

/// A condition that a rule names is one that holds.
fn failure_policy(spec: &mut Value) {
    let Some(policy) = existing(spec, "podFailurePolicy") else {
        return;
    };
    for rule in items(policy, "rules") {
        for pattern in items(rule, "onPodConditions") {
            or_set(pattern, "status", "True");
        }
    }
}

/// A CronJob. What its Jobs leave out is filled in when they are made.
pub(super) fn cron_job(object: &mut Value) {
    let spec = child_value(object, "spec");
    or_set(spec, "concurrencyPolicy", "Allow");
    or_set_value(spec, "suspend", || json!(false));
    or_set_value(spec, "successfulJobsHistoryLimit", || json!(3));
    or_set_value(spec, "failedJobsHistoryLimit", || json!(1));
    let jobs = child_value(spec, "jobTemplate");
    or_set_value(jobs, "metadata", || json!({}));
    failure_policy(child_value(jobs, "spec"));
    template(jobs);
}

/// Makes a new Job the owner of pods that no other Job can select: by its uid, in the labels of
/// its pods and in its selector.
pub(super) fn select_own_pods(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (
        job["metadata"]["name"].clone(),
        job["metadata"]["uid"].clone(),
    );
    let spec = child_value(job, "spec");
    let labels = child(
        child_value(child_value(spec, "template"), "metadata"),
        "labels",
    );
    for (label, value) in [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        (CONTROLLER_UID, &uid),
    ] {
        // One that its writer has set otherwise is for validation to refuse.
        labels.entry(label).or_insert_with(|| value.clone());
    }
    let matched = child(child_value(spec, "selector"), "matchLabels");
    matched.entry(CONTROLLER_UID).or_insert(uid);
    self::job(job);
}

const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_selects_its_own_pods() {
        let mut job = json!({
            "metadata": {"name": "pi", "uid": "7"},
            "spec": {"template": {"spec": {"restartPolicy": "Never"}}},
        });
        super::job(&mut job);
        select_own_pods(&mut job);
        let labels = json!({"job-name": "pi", "batch.kubernetes.io/job-name": "pi",
            "controller-uid": "7", "batch.kubernetes.io/controller-uid": "7"});
        assert_eq!(job["spec"]["template"]["metadata"]["labels"], labels);
        assert_eq!(job["metadata"]["labels"], labels);
        assert_eq!(
            job["spec"]["selector"],
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "7"}})
        );
        let once = job.clone();
        select_own_pods(&mut job);
        assert_eq!(job, once);
    }

    #[test]
    fn limits_imply_one_another() {
        let mut range = json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}},
            {"type": "Pod", "max": {"cpu": "2"}},
        ]}});
        limit_range(&mut range);
        let limits = json!([
            {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"},
                "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2", "memory": "1Mi"}},
            {"type": "Pod", "max": {"cpu": "2"}},
        ]);
        assert_eq!(range["spec"]["limits"], limits);
    }
}
