//! The filters that look at one node alone.

use k8s_openapi::api::core::v1::{PodSpec, Taint};

use super::{Rejection, node_affinity_selects, tolerates};
use crate::node_info::{NodeInfo, PodInfo};

/// `NodeUnschedulable`: the node is cordoned.
pub fn unschedulable(spec: &PodSpec, node: &NodeInfo) -> Result<(), Rejection> {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if !node.unschedulable || tolerates(spec.tolerations.as_ref(), &cordon) {
        return Ok(());
    }
    Err(Rejection::new(
        "NodeUnschedulable",
        "node(s) were unschedulable",
        true,
    ))
}

/// `NodeName`: the pod names its node, and this is another.
pub fn name(spec: &PodSpec, node: &NodeInfo) -> Result<(), Rejection> {
    match spec.node_name.as_deref() {
        None | Some("") => Ok(()),
        Some(name) if name == node.name => Ok(()),
        Some(_) => Err(Rejection::new(
            "NodeName",
            "node(s) didn't match the requested node name",
            true,
        )),
    }
}

/// `TaintToleration`: the node has a taint that keeps the pod off.
pub fn taints(spec: &PodSpec, node: &NodeInfo) -> Result<(), Rejection> {
    let keeps_off = |taint: &&Taint| matches!(&*taint.effect, "NoSchedule" | "NoExecute");
    let mut taints = node.taints.iter().filter(keeps_off);
    if taints.all(|taint| tolerates(spec.tolerations.as_ref(), taint)) {
        return Ok(());
    }
    Err(Rejection::new(
        "TaintToleration",
        "node(s) had untolerated taint(s)",
        true,
    ))
}

/// `NodeAffinity`: the pod's selector or affinity means other nodes.
pub fn affinity(spec: &PodSpec, node: &NodeInfo) -> Result<(), Rejection> {
    if node_affinity_selects(spec, node) {
        return Ok(());
    }
    let reason = "node(s) didn't match Pod's node affinity/selector";
    Err(Rejection::new("NodeAffinity", reason, true))
}

/// `NodePorts`: a pod on the node has taken one of the host's ports that the pod needs.
pub fn ports(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let wildcard = |ip: &str| ip == "0.0.0.0";
    let taken = pod.host_ports.iter().any(|(ip, protocol, port)| {
        node.host_ports
            .iter()
            .any(|(other_ip, other_protocol, other_port)| {
                (port, protocol) == (other_port, other_protocol)
                    && (ip == other_ip || wildcard(ip) || wildcard(other_ip))
            })
    });
    if !taken {
        return Ok(());
    }
    let reason = "node(s) didn't have free ports for the requested pod ports";
    Err(Rejection::new("NodePorts", reason, false))
}
