//! Whether a node takes a pod that was given to it.
//!
//! A scheduler has looked at this before, if one was asked; but a pod may name its node itself,
//! two schedulers may give away the same room, and a static pod was seen by none.
//!
//! Upstream: `pkg/kubelet/lifecycle/predicate.go`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod};

use super::ports::host_ports;
use super::requests::{Amounts, add, pod_requests, shown};
use super::{quantity, spec};

/// Why a node does not take a pod: the pod has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// One word: `OutOfcpu`, `NodePorts`, `NodeAffinity`.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// The node as admission sees it.
#[derive(Debug, Clone, Copy)]
pub struct Room<'a> {
    /// The node's name.
    pub node_name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// What it has to give, by resource: `cpu` → `2`.
    pub allocatable: &'a BTreeMap<String, String>,
    /// The pods it has taken and that are not over.
    pub others: &'a [&'a Pod],
}

/// Decides whether the node takes the pod.
///
/// # Errors
/// Why not. The first reason counts, as upstream: resources, affinity, ports.
pub fn admit(pod: &Pod, room: &Room<'_>) -> Result<(), Rejection> {
    if let Some(shortage) = shortage(pod, room) {
        return Err(shortage);
    }
    let failed = |predicate: &str, why: &str| Rejection {
        reason: predicate.to_owned(),
        message: format!("Predicate {predicate} failed: {why}"),
    };
    if !matches_node(pod, room) {
        let why = "node(s) didn't match Pod's node affinity/selector";
        return Err(failed("NodeAffinity", why));
    }
    let taken: Vec<HostPort> = room.others.iter().flat_map(|other| ports(other)).collect();
    if ports(pod)
        .iter()
        .any(|port| taken.iter().any(|other| port.clashes(other)))
    {
        let why = "node(s) didn't have free ports for the requested pod ports";
        return Err(failed("NodePorts", why));
    }
    Ok(())
}

/// The first resource of which there is not enough.
pub fn shortage(pod: &Pod, room: &Room<'_>) -> Option<Rejection> {
    let mut used = Amounts::new();
    for other in room.others {
        add(&mut used, &pod_requests(other));
    }
    let mut asked = pod_requests(pod);
    let one = 1_000_000_000;
    asked.insert("pods".to_owned(), one);
    used.insert("pods".to_owned(), one * room.others.len() as i128);
    // As upstream: pods first, then what every node has, then the rest by name.
    let mut names: Vec<&str> = vec!["pods", "cpu", "memory", "ephemeral-storage"];
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let more = asked.keys().map(String::as_str);
    names.extend(more.filter(|name| !known.contains(name)));
    names.into_iter().find_map(|name| {
        let requested = *asked.get(name)?;
        // What the node does not have at all, it does not count.
        let capacity = quantity::parse_nanos(room.allocatable.get(name)?)?;
        let used = used.get(name).copied().unwrap_or_default();
        (requested > 0 && used + requested > capacity).then(|| Rejection {
            reason: format!("OutOf{name}"),
            message: format!(
                "Node didn't have enough resource: {name}, requested: {}, used: {}, capacity: {}",
                shown(name, requested),
                shown(name, used),
                shown(name, capacity)
            ),
        })
    })
}

/// A port of the node that a pod wants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPort {
    protocol: String,
    ip: String,
    number: i32,
}

impl HostPort {
    /// Without an address it is that port of every address.
    fn clashes(&self, other: &HostPort) -> bool {
        let any = |ip: &str| matches!(ip, "" | "0.0.0.0");
        self.number == other.number
            && self.protocol == other.protocol
            && (any(&self.ip) || any(&other.ip) || self.ip == other.ip)
    }
}

fn ports(pod: &Pod) -> Vec<HostPort> {
    let wanted = host_ports(pod).filter_map(|port| {
        Some(HostPort {
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            ip: port.host_ip.clone().unwrap_or_default(),
            number: port.host_port?,
        })
    });
    wanted.collect()
}

fn matches_node(pod: &Pod, room: &Room<'_>) -> bool {
    let spec = spec::of(pod);
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| room.labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| {
            node.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    selected
        && required.is_none_or(|required| {
            let mut terms = required.node_selector_terms.iter();
            terms.any(|term| matches_term(term, room))
        })
}

/// Whether anything of the pod depends on the node's labels.
pub fn asks_for_labels(pod: &Pod) -> bool {
    let spec = spec::of(pod);
    let affinity = spec.affinity.as_ref();
    let affinity = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
    spec.node_selector
        .as_ref()
        .is_some_and(|selector| !selector.is_empty())
        || affinity.is_some_and(|node| {
            node.required_during_scheduling_ignored_during_execution
                .is_some()
        })
}

fn matches_term(term: &NodeSelectorTerm, room: &Room<'_>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        // A term that says nothing matches nothing.
        return false;
    }
    let by_label = |requirement: &NodeSelectorRequirement| {
        holds(
            requirement,
            room.labels.get(&requirement.key).map(String::as_str),
        )
    };
    let by_field = |requirement: &NodeSelectorRequirement| {
        requirement.key == "metadata.name" && holds(requirement, Some(room.node_name))
    };
    expressions.iter().all(by_label) && fields.iter().all(by_field)
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let compare = |accept: fn(&i64, &i64) -> bool| {
        let number = value.and_then(|value| value.parse::<i64>().ok());
        let bound = values.first().and_then(|bound| bound.parse::<i64>().ok());
        number
            .zip(bound)
            .is_some_and(|(number, bound)| accept(&number, &bound))
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        let mut spec = spec;
        if spec["containers"].is_null() {
            spec["containers"] = json!([]);
        }
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    fn check(spec: Value, others: &[Value], expected: Result<(), &str>) {
        let others: Vec<Pod> = others.iter().cloned().map(pod).collect();
        let others: Vec<&Pod> = others.iter().collect();
        let text = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        let room = Room {
            node_name: "worker-1",
            labels: &text(&[("disk", "ssd"), ("cores", "2")]),
            allocatable: &text(&[("cpu", "2"), ("memory", "1Gi"), ("pods", "3")]),
            others: &others,
        };
        let said = admit(&pod(spec.clone()), &room);
        let said = said.map_err(|rejection| format!("{}: {}", rejection.reason, rejection.message));
        assert_eq!(said, expected.map_err(str::to_owned), "{spec}");
    }

    fn asks(cpu: &str) -> Value {
        json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] })
    }

    #[test]
    fn there_is_room_or_not() {
        check(asks("2"), &[], Ok(()));
        check(
            asks("500m"),
            &[asks("1600m")],
            Err(
                "OutOfcpu: Node didn't have enough resource: cpu, requested: 500, used: 1600, \
                 capacity: 2000",
            ),
        );
        check(
            asks("0"),
            &[asks("0"), asks("0"), asks("0")],
            Err(
                "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, \
                 capacity: 3",
            ),
        );
    }

    #[test]
    fn a_port_of_the_node_is_given_once() {
        let port = |ip: &str, protocol: &str| {
            json!({ "containers": [{ "name": "c", "ports": [
                { "containerPort": 80, "hostPort": 80, "hostIP": ip, "protocol": protocol }] }] })
        };
        let refused = Err(
            "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports \
                           for the requested pod ports",
        );
        check(port("", "TCP"), &[port("127.0.0.1", "TCP")], refused);
        check(
            port("127.0.0.2", "TCP"),
            &[port("127.0.0.1", "TCP")],
            Ok(()),
        );
        check(port("", "UDP"), &[port("", "TCP")], Ok(()));
    }

    #[test]
    fn the_node_is_the_one_that_was_asked_for() {
        let refused = Err(
            "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match \
                           Pod's node affinity/selector",
        );
        check(json!({ "nodeSelector": { "disk": "ssd" } }), &[], Ok(()));
        check(json!({ "nodeSelector": { "disk": "hdd" } }), &[], refused);
        let affinity = |list: &str, key: &str, operator: &str, value: &str| {
            json!({ "affinity": { "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                    { list: [{ "key": key, "operator": operator, "values": [value] }] }] } } } })
        };
        check(
            affinity("matchExpressions", "cores", "Gt", "1"),
            &[],
            Ok(()),
        );
        check(
            affinity("matchExpressions", "cores", "Lt", "2"),
            &[],
            refused,
        );
        check(
            affinity("matchFields", "metadata.name", "In", "worker-1"),
            &[],
            Ok(()),
        );
        check(
            affinity("matchFields", "metadata.name", "In", "worker-2"),
            &[],
            refused,
        );
    }
}
