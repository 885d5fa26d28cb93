//! Columns and cells of the kinds by which a cluster is run.

use serde_json::Value;

use super::cells::{joined, label_selector, list, none_if_empty, text};
use super::columns::{self, AGE, Column, NAME, number};
use super::duration::human_duration;
use crate::resources::Resource;

const fn column(name: &'static str, description: &'static str) -> Column {
    columns::text(name, description)
}

const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column {
        kind: "boolean",
        ..column(name, description)
    }
}

const REQUEST: &[Column] = &[
    NAME,
    AGE,
    column("SignerName", "Who is to sign it."),
    column("Requestor", "Who asked."),
    column("RequestedDuration", "How long it is to be good."),
    column("Condition", "What has become of it."),
];

const DRIVER: &[Column] = &[
    NAME,
    boolean(
        "AttachRequired",
        "Whether its volumes are attached to nodes first.",
    ),
    boolean("PodInfoOnMount", "Whether it is told of the pod."),
    boolean(
        "StorageCapacity",
        "Whether it tells how much room there is.",
    ),
    column(
        "TokenRequests",
        "For whom it wants tokens of the pod's account.",
    ),
    boolean("RequiresRepublish", "Whether it is asked again and again."),
    column("Modes", "How long its volumes live."),
    AGE,
];

const CAPACITY: &[Column] = &[
    NAME,
    column("StorageClassName", "The class of storage."),
    column("Capacity", "How much room there is."),
];

const ATTACHMENT: &[Column] = &[
    NAME,
    column("Attacher", "Who attaches it."),
    column("PV", "What is attached."),
    column("Node", "To which node."),
    boolean("Attached", "Whether it is."),
    AGE,
];

const POLICY_BINDING: &[Column] = &[
    NAME,
    column("PolicyName", "The policy that is bound."),
    column("ParamRef", "The policy's parameters."),
    AGE,
];

const FLOW_SCHEMA: &[Column] = &[
    NAME,
    column("PriorityLevel", "The level of its requests."),
    number("MatchingPrecedence", "The lowest that matches counts."),
    column("DistinguisherMethod", "What makes a flow of its own."),
    AGE,
    column("MissingPL", "Whether there is no such level."),
];

const PRIORITY_LEVEL: &[Column] = &[
    NAME,
    column("Type", "Whether its requests are limited."),
    column("NominalConcurrencyShares", "Its share of the server."),
    column("Queues", "How many queues it has."),
    column("HandSize", "How many of them a flow has."),
    column("QueueLengthLimit", "How many requests may wait in one."),
    AGE,
];

const SLICE: &[Column] = &[
    NAME,
    column("Node", "Where the devices are."),
    column("Driver", "Whose they are."),
    column("Pool", "Which of its pools they are in."),
    AGE,
];

const API_SERVICE: &[Column] = &[
    NAME,
    column("Service", "Who serves it."),
    column("Available", "Whether it is served."),
    AGE,
];

pub(super) fn columns(resource: &Resource) -> Option<&'static [Column]> {
    if resource.custom.is_some() {
        return None;
    }
    Some(match resource.kind {
        "CertificateSigningRequest" => REQUEST,
        "CSIDriver" => DRIVER,
        "CSINode" => const { &[NAME, number("Drivers", "How many drivers it has."), AGE] },
        "CSIStorageCapacity" => CAPACITY,
        "VolumeAttachment" => ATTACHMENT,
        "VolumeAttributesClass" => {
            const { &[NAME, column("DriverName", "Whose class it is."), AGE] }
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            const { &[NAME, number("Webhooks", "How many webhooks it has."), AGE] }
        }
        "ValidatingAdmissionPolicy" => {
            const {
                &[
                    NAME,
                    number("Validations", "How many rules it has."),
                    column("ParamKind", "The kind of its parameters."),
                    AGE,
                ]
            }
        }
        "MutatingAdmissionPolicy" => {
            const {
                &[
                    NAME,
                    number("Mutations", "How many changes it makes."),
                    column("ParamKind", "The kind of its parameters."),
                    AGE,
                ]
            }
        }
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => POLICY_BINDING,
        "FlowSchema" => FLOW_SCHEMA,
        "PriorityLevelConfiguration" => PRIORITY_LEVEL,
        "ResourceClaim" => const { &[NAME, column("State", "What has become of it."), AGE] },
        "ResourceSlice" => SLICE,
        "APIService" => API_SERVICE,
        _ => return None,
    })
}

pub(super) fn cells(
    resource: &Resource,
    object: &Value,
    age: &dyn Fn() -> Value,
) -> Option<Vec<Value>> {
    columns(resource)?;
    let (spec, status) = (&object["spec"], &object["status"]);
    let name = object["metadata"]["name"].clone();
    let count = |value: &Value| Value::from(list(value).len());
    Some(match resource.kind {
        "CertificateSigningRequest" => request(object, age()),
        "CSIDriver" => driver(object, age()),
        "CSINode" => vec![name, count(&spec["drivers"]), age()],
        "CSIStorageCapacity" => vec![
            name,
            object["storageClassName"].clone(),
            object["capacity"].as_str().unwrap_or("<unset>").into(),
        ],
        "VolumeAttachment" => vec![
            name,
            text(&spec["attacher"]).into(),
            text(&spec["source"]["persistentVolumeName"]).into(),
            text(&spec["nodeName"]).into(),
            (status["attached"] == true).into(),
            age(),
        ],
        "VolumeAttributesClass" => vec![name, text(&object["driverName"]).into(), age()],
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            vec![name, count(&object["webhooks"]), age()]
        }
        "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => {
            let kind = &spec["paramKind"];
            let kind = match text(&kind["kind"]) {
                "" => "<unset>".to_owned(),
                name => format!("{}/{name}", text(&kind["apiVersion"])),
            };
            let rules = match &spec["validations"] {
                Value::Null => &spec["mutations"],
                validations => validations,
            };
            vec![name, count(rules), kind.into(), age()]
        }
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            vec![
                name,
                text(&spec["policyName"]).into(),
                param_ref(spec).into(),
                age(),
            ]
        }
        "FlowSchema" => vec![
            name,
            text(&spec["priorityLevelConfiguration"]["name"]).into(),
            spec["matchingPrecedence"]
                .as_i64()
                .unwrap_or_default()
                .into(),
            none_if_empty(text(&spec["distinguisherMethod"]["type"])).into(),
            age(),
            condition(status, "Dangling")
                .map_or("?", |found| text(&found["status"]))
                .into(),
        ],
        "PriorityLevelConfiguration" => {
            let limited = &spec["limited"];
            let queuing = &limited["limitResponse"]["queuing"];
            let number = |value: &Value| match value {
                Value::Null => "<none>".into(),
                number => number.clone(),
            };
            vec![
                name,
                text(&spec["type"]).into(),
                number(&limited["nominalConcurrencyShares"]),
                number(&queuing["queues"]),
                number(&queuing["handSize"]),
                number(&queuing["queueLengthLimit"]),
                age(),
            ]
        }
        "ResourceClaim" => vec![name, claim_state(object).into(), age()],
        "ResourceSlice" => vec![
            name,
            text(&spec["nodeName"]).into(),
            text(&spec["driver"]).into(),
            text(&spec["pool"]["name"]).into(),
            age(),
        ],
        "APIService" => api_service(object, age()),
        _ => return None,
    })
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = list(&status["conditions"]).iter();
    conditions.find(|condition| condition["type"] == kind)
}

fn request(object: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let has = |kind: &str| condition(status, kind).is_some();
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(&status["certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let duration = match spec["expirationSeconds"].as_i64() {
        Some(seconds) => human_duration(seconds),
        None => "<none>".to_owned(),
    };
    vec![
        object["metadata"]["name"].clone(),
        age,
        none_if_empty(text(&spec["signerName"])).into(),
        text(&spec["username"]).into(),
        duration.into(),
        state.into(),
    ]
}

fn driver(object: &Value, age: Value) -> Vec<Value> {
    let spec = &object["spec"];
    let yes = |field: &str| Value::from(spec[field] == true);
    let tokens = match list(&spec["tokenRequests"]) {
        [] => "<unset>".to_owned(),
        tokens => joined(tokens.iter().map(|token| &token["audience"])),
    };
    let modes = joined(list(&spec["volumeLifecycleModes"]).iter());
    vec![
        object["metadata"]["name"].clone(),
        (spec["attachRequired"] != false).into(),
        yes("podInfoOnMount"),
        yes("storageCapacity"),
        tokens.into(),
        yes("requiresRepublish"),
        none_if_empty(&modes).into(),
        age,
    ]
}

/// `namespace/name`; `*/name` where the namespace is that of the object in question.
fn param_ref(spec: &Value) -> String {
    let reference = &spec["paramRef"];
    if reference.is_null() {
        return "<unset>".to_owned();
    }
    match (text(&reference["namespace"]), text(&reference["name"])) {
        (_, "") if reference["selector"].is_null() => "<unset>".to_owned(),
        (_, "") => label_selector(&reference["selector"]),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

fn claim_state(object: &Value) -> String {
    let status = &object["status"];
    let deleted = object["metadata"]["deletionTimestamp"].is_string();
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    if !status["allocation"].is_null() {
        states.push("allocated");
        if !list(&status["reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    states.join(",")
}

/// Upstream: `pkg/registry/apiservice/etcd` of kube-aggregator.
fn api_service(object: &Value, age: Value) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let service = match text(&service["name"]) {
        "" => "Local".to_owned(),
        name => format!("{}/{name}", text(&service["namespace"])),
    };
    let available = match condition(&object["status"], "Available") {
        None => "Unknown".to_owned(),
        Some(found) if found["status"] == "True" => "True".to_owned(),
        Some(found) => format!("{} ({})", text(&found["status"]), text(&found["reason"])),
    };
    vec![
        object["metadata"]["name"].clone(),
        service.into(),
        available.into(),
        age,
    ]
}
