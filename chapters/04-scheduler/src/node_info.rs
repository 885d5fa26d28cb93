//! A node as the scheduler sees it: what it has, and the pods that are or will be on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Node, NodeSpec, Pod, PodAffinity, PodAntiAffinity, PodSpec, Taint,
};

use crate::labels::Labels;
use crate::resources::{Resources, pod_requests, pod_scoring_requests};

/// A port of the host that a pod takes: address, protocol, number.
pub type HostPort = (String, String, i32);

/// What of a pod matters to where other pods go.
#[derive(Debug, Clone, PartialEq)]
pub struct PodInfo {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its labels.
    pub labels: Labels,
    /// The uid of what controls it (a ReplicaSet, say).
    pub controller: Option<String>,
    /// It is being deleted.
    pub terminating: bool,
    /// Its priority.
    pub priority: i32,
    /// What it asks for.
    pub requests: Resources,
    /// What it counts for when nodes are scored.
    pub scoring_requests: Resources,
    /// The host's ports that it takes.
    pub host_ports: Vec<HostPort>,
    /// The claims to volumes that it names, each once.
    pub claims: Vec<String>,
    /// Near which pods it wants to be.
    pub affinity: Option<PodAffinity>,
    /// Near which pods it does not want to be.
    pub anti_affinity: Option<PodAntiAffinity>,
}

impl PodInfo {
    /// What matters of `pod`.
    pub fn new(pod: &Pod) -> Self {
        let metadata = &pod.metadata;
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let owners = metadata.owner_references.iter().flatten();
        let affinity = spec.affinity.as_ref();
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
            controller: owners
                .filter(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone())
                .next(),
            terminating: metadata.deletion_timestamp.is_some(),
            priority: spec.priority.unwrap_or(0),
            requests: pod_requests(spec),
            scoring_requests: pod_scoring_requests(spec),
            host_ports: host_ports(spec),
            claims: claims(spec),
            affinity: affinity.and_then(|affinity| affinity.pod_affinity.clone()),
            anti_affinity: affinity.and_then(|affinity| affinity.pod_anti_affinity.clone()),
        }
    }
}

fn claims(spec: &PodSpec) -> Vec<String> {
    let volumes = spec.volumes.iter().flatten();
    let claims = volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref());
    let mut claims: Vec<String> = claims.map(|source| source.claim_name.clone()).collect();
    claims.sort();
    claims.dedup();
    claims
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let host_port = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty());
            let ip = ip.unwrap_or_else(|| "0.0.0.0".to_owned());
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Some((ip, protocol, host_port))
        })
        .collect()
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// It is cordoned.
    pub unschedulable: bool,
    /// What it has for pods.
    pub allocatable: Resources,
    /// The pods on it, those just sent there included.
    pub pods: Vec<Arc<PodInfo>>,
    /// What its pods ask for.
    pub requested: Resources,
    /// What its pods count for when it is scored.
    pub scoring_requested: Resources,
    /// The ports its pods take.
    pub host_ports: BTreeSet<HostPort>,
}

impl NodeInfo {
    /// A node without pods.
    pub fn new(node: &Node) -> Self {
        let mut info = Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            ..Self::default()
        };
        info.set_node(node);
        info
    }

    /// Takes over what the node says of itself now; its pods stay. Returns whether that could
    /// make a difference to a pod.
    pub fn set_node(&mut self, node: &Node) -> bool {
        let nothing = NodeSpec::default();
        let spec = node.spec.as_ref().unwrap_or(&nothing);
        let allocatable = node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref());
        let now = (
            node.metadata.labels.clone().unwrap_or_default(),
            spec.taints.clone().unwrap_or_default(),
            spec.unschedulable.unwrap_or(false),
            allocatable.map(Resources::from_list).unwrap_or_default(),
        );
        let was = (
            std::mem::take(&mut self.labels),
            std::mem::take(&mut self.taints),
            self.unschedulable,
            std::mem::take(&mut self.allocatable),
        );
        let changed = now != was;
        (
            self.labels,
            self.taints,
            self.unschedulable,
            self.allocatable,
        ) = now;
        changed
    }

    /// Puts a pod on the node.
    pub fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.scoring_requested.add(&pod.scoring_requests);
        self.host_ports.extend(pod.host_ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Takes a pod off the node.
    pub fn remove_pod(&mut self, uid: &str) {
        let Some(at) = self.pods.iter().position(|pod| pod.uid == uid) else {
            return;
        };
        let pod = self.pods.swap_remove(at);
        self.requested.subtract(&pod.requests);
        self.scoring_requested.subtract(&pod.scoring_requests);
        for port in &pod.host_ports {
            self.host_ports.remove(port);
        }
    }

    /// How many pods there can be.
    pub fn pods_max(&self) -> i64 {
        self.allocatable.get("pods")
    }
}
