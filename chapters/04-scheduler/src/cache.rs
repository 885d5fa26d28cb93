//! The cluster as the scheduler knows it: nodes with their pods, kept up by watch events.
//!
//! A pod that was just sent to a node is put there at once, before the API server has heard of
//! it: the next pod must see the room as taken. That is called *assuming* it. The pod's own watch
//! event confirms it later; a binding that fails takes it off again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::labels::Labels;
use crate::node_info::{NodeInfo, PodInfo};
use crate::schedule::Snapshot;
use crate::volumes::VolumeCache;

/// Whom it could help that a pod is on a node, or is another now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helps {
    /// Nobody.
    Nobody,
    /// A pod that wants to be near others, or that counts them.
    WhoLooksAtPods,
    /// Any pod: it asks for less, or is not anymore what others keep away from.
    Anybody,
}

/// Nodes, the pods on them, and what else decisions look at.
#[derive(Debug, Default)]
pub struct Cache {
    /// By name.
    nodes: Vec<NodeInfo>,
    /// Pods of nodes that are not known, or no more.
    homeless: HashMap<String, Vec<Arc<PodInfo>>>,
    /// Where each pod is, by uid.
    assigned: HashMap<String, String>,
    /// The labels of each namespace.
    pub namespaces: BTreeMap<String, Labels>,
    /// Claims and volumes.
    pub volumes: VolumeCache,
    /// The selector of each Service, by namespace and name.
    services: BTreeMap<(String, String), (String, Labels)>,
    service_list: Vec<(String, Labels)>,
}

impl Cache {
    /// The cluster now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            nodes: &self.nodes,
            namespaces: &self.namespaces,
            services: &self.service_list,
            volumes: &self.volumes,
        }
    }

    /// The names of all nodes.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// The uids of all pods that are on a node.
    pub fn assigned_uids(&self) -> impl Iterator<Item = &str> {
        self.assigned.keys().map(String::as_str)
    }

    /// Adds or updates a node. Returns whether that could make a difference to a pod.
    pub fn set_node(&mut self, node: &Node) -> bool {
        let name = node.metadata.name.clone().unwrap_or_default();
        match self.find(&name) {
            Ok(at) => self.nodes[at].set_node(node),
            Err(at) => {
                let mut info = NodeInfo::new(node);
                for pod in self.homeless.remove(&name).unwrap_or_default() {
                    info.add_pod(pod);
                }
                self.nodes.insert(at, info);
                true
            }
        }
    }

    /// Removes a node. Its pods are remembered: they may be seen to go after it, and it may come
    /// back before.
    pub fn remove_node(&mut self, name: &str) {
        if let Ok(at) = self.find(name) {
            let node = self.nodes.remove(at);
            if !node.pods.is_empty() {
                self.homeless.insert(node.name, node.pods);
            }
        }
    }

    /// Whether a pod is on a node.
    pub fn is_assigned(&self, uid: &str) -> bool {
        self.assigned.contains_key(uid)
    }

    /// Puts a pod on a node, or takes over what has changed about it.
    pub fn assign(&mut self, pod: &Pod, node: &str) -> Helps {
        let info = Arc::new(PodInfo::new(pod));
        let is_here = self.assigned.get(&info.uid).is_some_and(|at| at == node);
        let mut pods = self.pods_of(node).iter();
        let before = pods.find(|before| is_here && before.uid == info.uid);
        let helps = match before {
            Some(before) if *before == info => return Helps::Nobody,
            Some(before) if before.labels != info.labels || before.requests != info.requests => {
                Helps::Anybody
            }
            _ => Helps::WhoLooksAtPods,
        };
        self.forget(&info.uid.clone());
        self.assigned.insert(info.uid.clone(), node.to_owned());
        match self.find(node) {
            Ok(at) => self.nodes[at].add_pod(info),
            Err(_) => self.homeless.entry(node.to_owned()).or_default().push(info),
        }
        helps
    }

    /// Takes a pod off its node. Returns whether it was on one.
    pub fn forget(&mut self, uid: &str) -> bool {
        let Some(node) = self.assigned.remove(uid) else {
            return false;
        };
        if let Ok(at) = self.find(&node) {
            self.nodes[at].remove_pod(uid);
        } else if let Some(pods) = self.homeless.get_mut(&node) {
            pods.retain(|pod| pod.uid != uid);
            if pods.is_empty() {
                self.homeless.remove(&node);
            }
        }
        true
    }

    /// Adds or updates a Service; one without a selector selects nothing.
    pub fn set_service(&mut self, namespace: &str, name: &str, selector: Option<Labels>) {
        let key = (namespace.to_owned(), name.to_owned());
        match selector {
            Some(selector) => self.services.insert(key, (namespace.to_owned(), selector)),
            None => self.services.remove(&key),
        };
        self.service_list = self.services.values().cloned().collect();
    }

    /// The namespace and name of all Services.
    pub fn service_keys(&self) -> impl Iterator<Item = &(String, String)> {
        self.services.keys()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.nodes
            .binary_search_by(|node| node.name.as_str().cmp(name))
    }

    fn pods_of(&self, node: &str) -> &[Arc<PodInfo>] {
        match self.find(node) {
            Ok(at) => &self.nodes[at].pods,
            Err(_) => self.homeless.get(node).map_or(&[], Vec::as_slice),
        }
    }
}
