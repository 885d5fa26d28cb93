//! What to say of a node that is silent, and which taints keep pods away from it.
//!
//! Upstream: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Taint of a node whose kubelet says that it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Taint of a node that nothing is heard of.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Conditions of a kubelet that become `Unknown` with it.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Taints by condition: `(condition, status, taint)`; each forbids new pods.
const TAINTS_BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    (
        "MemoryPressure",
        "True",
        "node.kubernetes.io/memory-pressure",
    ),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    (
        "NetworkUnavailable",
        "True",
        "node.kubernetes.io/network-unavailable",
    ),
];
/// Taint of a node that is cordoned.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The status of a condition, `Unknown` where there is none.
pub fn condition_status<'a>(node: &'a Node, type_: &str) -> Option<&'a str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == type_)?;
    Some(condition.status.as_str())
}

/// The conditions of a node after nothing was heard of it for the grace period; `None` if they
/// say so already.
pub fn silent_conditions(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let mut conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone())
        .unwrap_or_default();
    let mut changed = false;
    for type_ in KUBELET_CONDITIONS {
        let known = conditions
            .iter()
            .position(|condition| condition.type_ == type_);
        let unknown = match known {
            Some(position) if conditions[position].status == "Unknown" => continue,
            Some(position) => NodeCondition {
                reason: Some("NodeStatusUnknown".into()),
                message: Some("Kubelet stopped posting node status.".into()),
                ..conditions[position].clone()
            },
            None => NodeCondition {
                type_: type_.to_owned(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                ..NodeCondition::default()
            },
        };
        let unknown = NodeCondition {
            status: "Unknown".into(),
            last_transition_time: Some(Time(now)),
            ..unknown
        };
        match known {
            Some(position) => conditions[position] = unknown,
            None => conditions.push(unknown),
        }
        changed = true;
    }
    changed.then_some(conditions)
}

/// The taints that a node should have, given those that it has; `None` if they are right.
/// Taints of other owners stay. A taint that stays keeps the time it was added at: evictions count
/// from then.
pub fn taints(node: &Node, now: Timestamp) -> Option<Vec<Taint>> {
    let spec = node.spec.clone().unwrap_or_default();
    let current = spec.taints.unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (type_, status, taint) in TAINTS_BY_CONDITION {
        if condition_status(node, type_) == Some(status) {
            wanted.push((taint, "NoSchedule"));
            if taint == NOT_READY || taint == UNREACHABLE {
                wanted.push((taint, "NoExecute"));
            }
        }
    }
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    // A kubelet that has said nothing yet: the taint that it was registered with stays.
    let silent = condition_status(node, "Ready").is_none();
    let ours = |key: &str| {
        key == UNSCHEDULABLE
            || TAINTS_BY_CONDITION
                .iter()
                .any(|(_, _, taint)| *taint == key && !(silent && *taint == NOT_READY))
    };
    let mut desired: Vec<Taint> = current
        .iter()
        .filter(|taint| {
            !ours(&taint.key) || wanted.contains(&(taint.key.as_str(), taint.effect.as_str()))
        })
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !desired
            .iter()
            .any(|taint| taint.key == key && taint.effect == effect)
        {
            desired.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                value: None,
                time_added: Some(Time(now)),
            });
        }
    }
    (desired != current).then_some(desired)
}

/// Whether a node has been silent for too long. `heard` is when its lease or status was last seen
/// to change, by our own clock.
pub fn is_silent(heard: Duration, grace: Duration) -> bool {
    heard > grace
}
