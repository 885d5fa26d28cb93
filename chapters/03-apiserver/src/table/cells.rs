//! The cells of each kind, in the order of its columns.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::duration::since;
use super::network::{
    cluster_ip, endpoints, external_ip, service_ports, slice_addresses, slice_ports,
};
use super::{admin, autoscaling, ingress, pod, storage, workloads};
use crate::resources::Resource;

pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let meta = &object["metadata"];
    let (spec, status) = (&object["spec"], &object["status"]);
    let name = || meta["name"].clone();
    let age = || Value::from(since(&meta["creationTimestamp"], now));
    let number = |value: &Value| Value::from(value.as_i64().unwrap_or_default());
    let size = |value: &Value| value.as_object().map_or(0, Map::len);
    match resource.kind {
        "Pod" => pod::cells(object, now),
        "Deployment" => {
            let ready = status["readyReplicas"].as_i64().unwrap_or_default();
            let desired = spec["replicas"].as_i64().unwrap_or(1);
            let mut cells = vec![
                name(),
                format!("{ready}/{desired}").into(),
                number(&status["updatedReplicas"]),
                number(&status["availableReplicas"]),
                age(),
            ];
            cells.extend(template_cells(spec));
            cells
        }
        "ReplicaSet" => {
            let mut cells = vec![
                name(),
                spec["replicas"].as_i64().unwrap_or(1).into(),
                number(&status["replicas"]),
                number(&status["readyReplicas"]),
                age(),
            ];
            cells.extend(template_cells(spec));
            cells
        }
        "Service" => vec![
            name(),
            text(&spec["type"]).into(),
            none_if_empty(cluster_ip(spec)).into(),
            external_ip(object).into(),
            service_ports(spec).into(),
            age(),
            none_if_empty(&labels(&spec["selector"])).into(),
        ],
        "Endpoints" => vec![name(), endpoints(object).into(), age()],
        "EndpointSlice" => {
            vec![
                name(),
                text(&object["addressType"]).into(),
                slice_ports(object).into(),
                slice_addresses(object).into(),
                age(),
            ]
        }
        "Node" => node_cells(object, age()),
        "Namespace" => vec![name(), text(&status["phase"]).into(), age()],
        "Event" => event_cells(object, now),
        "ConfigMap" => {
            vec![
                name(),
                (size(&object["data"]) + size(&object["binaryData"])).into(),
                age(),
            ]
        }
        "Secret" => vec![
            name(),
            text(&object["type"]).into(),
            size(&object["data"]).into(),
            age(),
        ],
        "ServiceAccount" => vec![name(), list(&object["secrets"]).len().into(), age()],
        "Lease" => vec![name(), text(&spec["holderIdentity"]).into(), age()],
        "Role" | "ClusterRole" | "CustomResourceDefinition" => {
            vec![name(), meta["creationTimestamp"].clone()]
        }
        "RoleBinding" | "ClusterRoleBinding" => binding_cells(object, age()),
        "RuntimeClass" => vec![name(), text(&object["handler"]).into(), age()],
        "PriorityClass" => vec![
            name(),
            number(&object["value"]),
            (object["globalDefault"] == true).into(),
            age(),
            text(&object["preemptionPolicy"]).into(),
        ],
        "PersistentVolume" => storage::volume(object, age()),
        "PersistentVolumeClaim" => storage::claim(object, age()),
        "StorageClass" => storage::class(object, age()),
        _ => admin::cells(resource, object, &age)
            .or_else(|| workloads::cells(resource, object, now))
            .or_else(|| ingress::cells(resource, object, now))
            .or_else(|| autoscaling::cells(resource, object, now))
            .unwrap_or_else(|| vec![name(), age()]),
    }
}

/// A string; empty if it is not there.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list; empty if it is not there.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn none_if_empty(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn unknown_if_empty(text: &str) -> &str {
    if text.is_empty() { "<unknown>" } else { text }
}

/// `a,b`
pub(super) fn joined<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    values.map(text).collect::<Vec<_>>().join(",")
}

/// `a=1,b=2`
pub(super) fn labels(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect::<Vec<_>>()
        .join(",")
}

/// Containers, images and selector of what has a pod template.
fn template_cells(spec: &Value) -> [Value; 3] {
    let containers = list(&spec["template"]["spec"]["containers"]);
    [
        joined(containers.iter().map(|c| &c["name"])).into(),
        joined(containers.iter().map(|c| &c["image"])).into(),
        label_selector(&spec["selector"]).into(),
    ]
}

/// `a=1,b in (x,y),!c`, by key. Upstream: `metav1.LabelSelectorAsSelector`.
pub(super) fn label_selector(selector: &Value) -> String {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<(&str, String)> = equal
        .map(|(key, value)| (key.as_str(), format!("{key}={}", text(value))))
        .collect();
    for expression in list(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let mut values: Vec<&str> = list(&expression["values"]).iter().map(text).collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push((
            key,
            match text(&expression["operator"]) {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "DoesNotExist" => format!("!{key}"),
                _ => key.to_owned(),
            },
        ));
    }
    terms.sort();
    terms
        .into_iter()
        .map(|(_, term)| term)
        .collect::<Vec<_>>()
        .join(",")
}

fn node_cells(node: &Value, age: Value) -> Vec<Value> {
    let (status, info) = (&node["status"], &node["status"]["nodeInfo"]);
    let ready = list(&status["conditions"])
        .iter()
        .find(|c| c["type"] == "Ready");
    let mut state = match ready {
        Some(ready) if ready["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| -> Value {
        let found = list(&status["addresses"])
            .iter()
            .find(|address| address["type"] == kind);
        none_if_empty(found.map_or("", |address| text(&address["address"]))).into()
    };
    vec![
        node["metadata"]["name"].clone(),
        state.into(),
        none_if_empty(&roles(node)).into(),
        age,
        text(&info["kubeletVersion"]).into(),
        address("InternalIP"),
        address("ExternalIP"),
        unknown_if_empty(text(&info["osImage"])).into(),
        unknown_if_empty(text(&info["kernelVersion"])).into(),
        unknown_if_empty(text(&info["containerRuntimeVersion"])).into(),
    ]
}

/// From labels `node-role.kubernetes.io/ROLE` and `kubernetes.io/role=ROLE`.
fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let mut roles: Vec<&str> = labels
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) => Some(role),
                None if key == "kubernetes.io/role" => value.as_str(),
                None => None,
            },
        )
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    roles.join(",")
}

/// Of an event of core/v1, or of events.k8s.io/v1, which names the same things differently.
fn event_cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &str, new: &str| match &event[core] {
        Value::Null => event[new].clone(),
        value => value.clone(),
    };
    let ago = |time: &Value| since(time, now);
    let first = match either("firstTimestamp", "deprecatedFirstTimestamp") {
        Value::Null => ago(&event["eventTime"]),
        time => ago(&time),
    };
    let series = &event["series"];
    let (last, count) = if series.is_object() {
        (
            ago(&series["lastObservedTime"]),
            series["count"].as_i64().unwrap_or_default(),
        )
    } else {
        let last = match either("lastTimestamp", "deprecatedLastTimestamp") {
            Value::Null => first.clone(),
            time => ago(&time),
        };
        (
            last,
            either("count", "deprecatedCount")
                .as_i64()
                .unwrap_or(1)
                .max(1),
        )
    };
    let about = either("involvedObject", "regarding");
    let kind = text(&about["kind"]).to_lowercase();
    let target = match text(&about["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        last.into(),
        text(&event["type"]).into(),
        text(&event["reason"]).into(),
        target.into(),
        text(&about["fieldPath"]).into(),
        event_source(event, &either("source", "deprecatedSource")).into(),
        text(&either("message", "note")).trim().into(),
        first.into(),
        count.into(),
        event["metadata"]["name"].clone(),
    ]
}

/// `kubelet, worker-1`
fn event_source(event: &Value, source: &Value) -> String {
    let reporter = match text(&event["reportingComponent"]) {
        "" => text(&event["reportingController"]),
        component => component,
    };
    let component = match text(&source["component"]) {
        "" => reporter,
        component => component,
    };
    let host = match text(&source["host"]) {
        "" => text(&event["reportingInstance"]),
        host => host,
    };
    if host.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {host}")
    }
}

fn binding_cells(binding: &Value, age: Value) -> Vec<Value> {
    let role = &binding["roleRef"];
    let subjects = |kind: &str| -> Value {
        let matching = list(&binding["subjects"])
            .iter()
            .filter(|s| s["kind"] == kind);
        let names = matching.map(|subject| match kind {
            "ServiceAccount" => {
                format!("{}/{}", text(&subject["namespace"]), text(&subject["name"]))
            }
            _ => text(&subject["name"]).to_owned(),
        });
        names.collect::<Vec<_>>().join(", ").into()
    };
    vec![
        binding["metadata"]["name"].clone(),
        format!("{}/{}", text(&role["kind"]), text(&role["name"])).into(),
        age,
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
