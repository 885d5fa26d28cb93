//! Columns and cells of what keeps pods beside Deployments and ReplicaSets, and of what limits
//! them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{joined, label_selector, labels, list, none_if_empty, text};
use super::columns::{
    AGE, CONTAINERS, CREATED_AT, Column, IMAGES, NAME, SELECTOR, number, text as column,
};
use super::duration::{human_duration, since};
use crate::resources::Resource;

/// Of ReplicaSets and their elders.
pub(super) const CONTROLLER: &[Column] = &[
    NAME,
    number("Desired", "Number of pods that are desired."),
    number("Current", "Number of pods that are there."),
    number("Ready", "Number of pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const DAEMON_SET: &[Column] = &[
    NAME,
    number("Desired", "Number of nodes that should run its pod."),
    number("Current", "Number of nodes that run its pod."),
    number("Ready", "Number of nodes whose pod is ready."),
    number(
        "Up-to-date",
        "Number of nodes whose pod has the desired template.",
    ),
    number(
        "Available",
        "Number of nodes whose pod was ready for long enough.",
    ),
    column("Node Selector", "Labels of the nodes that run its pod."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const STATEFUL_SET: &[Column] = &[
    NAME,
    column(
        "Ready",
        "Number of the pods that are ready, of those desired.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
];

const REVISION: &[Column] = &[
    NAME,
    column("Controller", "What it is a revision of."),
    column("Revision", "Which of its revisions."),
    AGE,
];

const JOB: &[Column] = &[
    NAME,
    column("Status", "How far it is."),
    column(
        "Completions",
        "Number of the pods that succeeded, of those needed.",
    ),
    column("Duration", "How long it took, or has taken so far."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const CRON_JOB: &[Column] = &[
    NAME,
    column("Schedule", "When it starts Jobs, in the form of cron."),
    column("Timezone", "Whose time the schedule is in."),
    Column {
        kind: "boolean",
        ..column("Suspend", "Whether it starts none for now.")
    },
    number("Active", "Number of its Jobs that run."),
    column("Last Schedule", "Time since it last started one."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const POD_TEMPLATE: &[Column] = &[
    NAME,
    column("Containers", "Names of each container in the template."),
    column(
        "Images",
        "Images referenced by each container in the template.",
    ),
    column("Pod Labels", "Labels of the pods that are made of it."),
];

const BUDGET: &[Column] = &[
    NAME,
    column("Min Available", "How many pods must stay available."),
    column("Max Unavailable", "How many pods may be unavailable."),
    number(
        "Allowed Disruptions",
        "How many pods may be taken away now.",
    ),
    AGE,
];

const QUOTA: &[Column] = &[
    NAME,
    column("Request", "What may be asked for: used of allowed."),
    column("Limit", "What may be used at most: used of allowed."),
    AGE,
];

/// The columns of these kinds; none for others.
pub(super) fn columns(resource: &Resource) -> Option<&'static [Column]> {
    Some(match resource.kind {
        "ReplicationController" => CONTROLLER,
        "DaemonSet" => DAEMON_SET,
        "StatefulSet" => STATEFUL_SET,
        "ControllerRevision" => REVISION,
        "Job" => JOB,
        "CronJob" => CRON_JOB,
        "PodTemplate" => POD_TEMPLATE,
        "PodDisruptionBudget" => BUDGET,
        "ResourceQuota" => QUOTA,
        "LimitRange" => const { &[NAME, CREATED_AT] },
        _ => return None,
    })
}

/// The cells of these kinds, in the order of their columns; none for others.
pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
    let meta = &object["metadata"];
    let (spec, status) = (&object["spec"], &object["status"]);
    let name = || meta["name"].clone();
    let age = || Value::from(since(&meta["creationTimestamp"], now));
    let count = |value: &Value| Value::from(value.as_i64().unwrap_or_default());
    let selector = || Value::from(none_if_empty(&label_selector(&spec["selector"])));
    let mut cells = match resource.kind {
        "ReplicationController" => vec![
            name(),
            count(&spec["replicas"]),
            count(&status["replicas"]),
            count(&status["readyReplicas"]),
            age(),
        ],
        "DaemonSet" => vec![
            name(),
            count(&status["desiredNumberScheduled"]),
            count(&status["currentNumberScheduled"]),
            count(&status["numberReady"]),
            count(&status["updatedNumberScheduled"]),
            count(&status["numberAvailable"]),
            none_if_empty(&labels(&spec["template"]["spec"]["nodeSelector"])).into(),
            age(),
        ],
        "StatefulSet" => {
            let ready = status["readyReplicas"].as_i64().unwrap_or_default();
            let desired = spec["replicas"].as_i64().unwrap_or_default();
            vec![name(), format!("{ready}/{desired}").into(), age()]
        }
        "ControllerRevision" => vec![
            name(),
            controller(meta).into(),
            count(&object["revision"]),
            age(),
        ],
        "Job" => vec![
            name(),
            job_state(object).into(),
            completions(spec, status).into(),
            duration(status, now).into(),
            age(),
        ],
        "CronJob" => vec![
            name(),
            text(&spec["schedule"]).into(),
            none_if_empty(text(&spec["timeZone"])).into(),
            match spec["suspend"].as_bool() {
                Some(true) => "True".into(),
                Some(false) => "False".into(),
                None => "<unset>".into(),
            },
            list(&status["active"]).len().into(),
            match status["lastScheduleTime"].is_string() {
                true => since(&status["lastScheduleTime"], now).into(),
                false => "<none>".into(),
            },
            age(),
        ],
        "PodTemplate" => vec![name()],
        "PodDisruptionBudget" => vec![
            name(),
            amount(&spec["minAvailable"]),
            amount(&spec["maxUnavailable"]),
            count(&status["disruptionsAllowed"]),
            age(),
        ],
        "ResourceQuota" => vec![
            name(),
            usage(status, false).into(),
            usage(status, true).into(),
            age(),
        ],
        "LimitRange" => vec![name(), meta["creationTimestamp"].clone()],
        _ => return None,
    };
    match resource.kind {
        "ReplicationController" => {
            cells.extend(containers(&spec["template"]));
            cells.push(none_if_empty(&labels(&spec["selector"])).into());
        }
        "DaemonSet" | "Job" => {
            cells.extend(containers(&spec["template"]));
            cells.push(selector());
        }
        "StatefulSet" => cells.extend(containers(&spec["template"])),
        "CronJob" => {
            let job = &spec["jobTemplate"]["spec"];
            cells.extend(containers(&job["template"]));
            cells.push(none_if_empty(&label_selector(&job["selector"])).into());
        }
        "PodTemplate" => {
            let template = &object["template"];
            cells.extend(containers(template));
            cells.push(none_if_empty(&labels(&template["metadata"]["labels"])).into());
        }
        _ => {}
    }
    Some(cells)
}

/// Names and images of a template's containers.
fn containers(template: &Value) -> [Value; 2] {
    let containers = list(&template["spec"]["containers"]);
    ["name", "image"].map(|field| joined(containers.iter().map(|c| &c[field])).into())
}

/// `statefulset.apps/web`
fn controller(meta: &Value) -> String {
    let mut owners = list(&meta["ownerReferences"]).iter();
    let Some(owner) = owners.find(|owner| owner["controller"] == true) else {
        return "<none>".into();
    };
    let kind = text(&owner["kind"]).to_lowercase();
    let name = text(&owner["name"]);
    match text(&owner["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

fn job_state(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        let mut conditions = list(&job["status"]["conditions"]).iter();
        conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if !job["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

/// `1/3`; without a number of completions, one success of any pod will do: `0/1 of 4`.
fn completions(spec: &Value, status: &Value) -> String {
    let succeeded = status["succeeded"].as_i64().unwrap_or_default();
    if let Some(completions) = spec["completions"].as_i64() {
        return format!("{succeeded}/{completions}");
    }
    match spec["parallelism"].as_i64().unwrap_or_default() {
        parallelism if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let time = |field: &str| text(&status[field]).parse::<Timestamp>().ok();
    let Some(start) = time("startTime") else {
        return String::new();
    };
    let end = time("completionTime").unwrap_or(now);
    human_duration(end.as_second() - start.as_second())
}

/// A number or a percentage, as it is written.
fn amount(value: &Value) -> Value {
    match value {
        Value::Null => "N/A".into(),
        Value::String(text) => text.as_str().into(),
        number => number.to_string().into(),
    }
}

/// `requests.cpu: 1/2, pods: 3/4`: of limits, or of the rest.
fn usage(status: &Value, limits: bool) -> String {
    let hard = status["hard"].as_object().into_iter().flatten();
    let of_kind = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    let zero = json!("0");
    let used = |name: &str| status["used"].get(name).unwrap_or(&zero);
    let parts = of_kind.map(|(name, hard)| format!("{name}: {}/{}", text(used(name)), text(hard)));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    fn check(group: &str, kind: &str, object: Value, expected: Value) {
        let resource = resources::by_kind(group, "v1", kind).expect("is served");
        let now = "2026-01-01T01:00:00Z".parse().expect("is a time");
        let cells = cells(resource, &object, now).expect("has cells");
        assert_eq!(
            columns(resource).map(<[_]>::len),
            Some(cells.len()),
            "{kind}"
        );
        assert_eq!(Value::from(cells), expected);
    }

    #[test]
    fn rows() {
        let meta = json!({"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let template = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let selector = json!({"matchLabels": {"a": "b"}});
        check(
            "batch",
            "Job",
            json!({"metadata": meta,
                "spec": {"completions": 3, "template": template, "selector": selector},
                "status": {"succeeded": 1, "startTime": "2026-01-01T00:58:00Z"}}),
            json!(["x", "Running", "1/3", "2m", "60m", "c", "i", "a=b"]),
        );
        check(
            "batch",
            "CronJob",
            json!({"metadata": meta, "spec": {"schedule": "* * * * *", "suspend": false,
                "jobTemplate": {"spec": {"template": template}}},
                "status": {"active": [{}], "lastScheduleTime": "2026-01-01T00:59:00Z"}}),
            json!([
                "x",
                "* * * * *",
                "<none>",
                "False",
                1,
                "60s",
                "60m",
                "c",
                "i",
                "<none>"
            ]),
        );
        check(
            "apps",
            "ControllerRevision",
            json!({"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"controller": true, "apiVersion": "apps/v1",
                    "kind": "StatefulSet", "name": "web"}]}, "revision": 2}),
            json!(["x", "statefulset.apps/web", 2, "60m"]),
        );
        check(
            "",
            "ResourceQuota",
            json!({"metadata": meta, "status": {"hard": {"pods": "5", "limits.cpu": "2"},
                "used": {"pods": "1", "limits.cpu": "500m"}}}),
            json!(["x", "pods: 1/5", "limits.cpu: 500m/2", "60m"]),
        );
        check(
            "policy",
            "PodDisruptionBudget",
            json!({"metadata": meta, "spec": {"minAvailable": "50%"},
                "status": {"disruptionsAllowed": 1}}),
            json!(["x", "50%", "N/A", 1, "60m"]),
        );
        check(
            "apps",
            "DaemonSet",
            json!({"metadata": meta, "spec": {"template": template, "selector": selector},
                "status": {"desiredNumberScheduled": 2, "currentNumberScheduled": 1}}),
            json!(["x", 2, 1, 0, 0, 0, "<none>", "60m", "c", "i", "a=b"]),
        );
        check(
            "apps",
            "StatefulSet",
            json!({"metadata": meta, "spec": {"replicas": 3, "template": template}}),
            json!(["x", "0/3", "60m", "c", "i"]),
        );
        check(
            "",
            "ReplicationController",
            json!({"metadata": meta, "spec": {"replicas": 3, "template": template,
                "selector": {"a": "b"}}}),
            json!(["x", 3, 0, 0, "60m", "c", "i", "a=b"]),
        );
        check(
            "",
            "PodTemplate",
            json!({"metadata": meta, "template": template}),
            json!(["x", "c", "i", "<none>"]),
        );
        check(
            "",
            "LimitRange",
            json!({"metadata": meta}),
            json!(["x", "2026-01-01T00:00:00Z"]),
        );
    }
}
