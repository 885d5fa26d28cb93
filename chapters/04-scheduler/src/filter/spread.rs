//! `PodTopologySpread`: pods of a kind spread evenly over zones, hosts or any other domain.
//!
//! The nodes that share a value of the label `topologyKey` are a domain. A pod may go to a domain
//! if that has, with it, at most `maxSkew` more of the pods that the constraint's selector
//! selects than the domain that has fewest.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{PodSpec, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Rejection, node_affinity_selects, tolerates};
use crate::labels::selects;
use crate::node_info::{NodeInfo, PodInfo};
use crate::schedule::Snapshot;

const NAME: &str = "PodTopologySpread";

/// One constraint, as `DoNotSchedule` filters and `ScheduleAnyway` scores by it.
pub struct Constraint {
    /// The label whose value is a node's domain.
    pub topology_key: String,
    /// How uneven it may be.
    pub max_skew: i64,
    min_domains: i64,
    selector: Option<LabelSelector>,
    honor_affinity: bool,
    honor_taints: bool,
}

impl Constraint {
    /// The constraints of a pod that say `when_unsatisfiable`.
    pub fn of(spec: &PodSpec, pod: &PodInfo, when_unsatisfiable: &str) -> Vec<Self> {
        let constraints = spec.topology_spread_constraints.iter().flatten();
        constraints
            .filter(|constraint| constraint.when_unsatisfiable == when_unsatisfiable)
            .map(|constraint| Self::new(constraint, pod))
            .collect()
    }

    fn new(constraint: &TopologySpreadConstraint, pod: &PodInfo) -> Self {
        let mut selector = constraint.label_selector.clone();
        // `matchLabelKeys` narrows the selector to pods with this pod's own values.
        for key in constraint.match_label_keys.iter().flatten() {
            if let (Some(selector), Some(value)) = (&mut selector, pod.labels.get(key)) {
                let labels = selector.match_labels.get_or_insert_default();
                labels.insert(key.clone(), value.clone());
            }
        }
        Self {
            topology_key: constraint.topology_key.clone(),
            max_skew: constraint.max_skew.into(),
            min_domains: constraint.min_domains.unwrap_or(1).into(),
            selector,
            honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    /// Whether the node's pods count: those on nodes where the pod could not go anyway may not.
    pub fn counts_node(&self, spec: &PodSpec, node: &NodeInfo) -> bool {
        let keeps_off = |effect: &str| matches!(effect, "NoSchedule" | "NoExecute");
        let tolerated = || {
            let mut taints = node.taints.iter().filter(|taint| keeps_off(&taint.effect));
            taints.all(|taint| tolerates(spec.tolerations.as_ref(), taint))
        };
        (!self.honor_affinity || node_affinity_selects(spec, node))
            && (!self.honor_taints || tolerated())
    }

    /// How many of the node's pods the constraint is about.
    pub fn count(&self, namespace: &str, node: &NodeInfo) -> i64 {
        let counts = |pod: &&std::sync::Arc<PodInfo>| {
            pod.namespace == namespace
                && !pod.terminating
                && selects(self.selector.as_ref(), &pod.labels)
        };
        node.pods.iter().filter(counts).count() as i64
    }
}

/// A pod's `DoNotSchedule` constraints with what is in each domain now.
pub struct Spread {
    constraints: Vec<Counted>,
}

struct Counted {
    constraint: Constraint,
    /// 1 if the pod itself would count.
    itself: i64,
    counts: BTreeMap<String, i64>,
}

impl Spread {
    /// Counts the pods in each domain.
    pub fn new(spec: &PodSpec, pod: &PodInfo, snapshot: &Snapshot<'_>) -> Self {
        let constraints = Constraint::of(spec, pod, "DoNotSchedule");
        // A node counts only if it has a domain for every constraint.
        let keys: BTreeSet<String> = constraints.iter().map(|c| c.topology_key.clone()).collect();
        let nodes: Vec<&NodeInfo> = snapshot
            .nodes
            .iter()
            .filter(|node| keys.iter().all(|key| node.labels.contains_key(key)))
            .collect();
        let counted = |constraint: Constraint| {
            let mut counts = BTreeMap::new();
            for node in nodes
                .iter()
                .filter(|node| constraint.counts_node(spec, node))
            {
                let domain = node.labels[&constraint.topology_key].clone();
                *counts.entry(domain).or_default() += constraint.count(&pod.namespace, node);
            }
            let itself = i64::from(selects(constraint.selector.as_ref(), &pod.labels));
            Counted {
                constraint,
                itself,
                counts,
            }
        };
        Self {
            constraints: constraints.into_iter().map(counted).collect(),
        }
    }

    /// Whether the node's domains may have one more.
    pub fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        for Counted {
            constraint,
            itself,
            counts,
        } in &self.constraints
        {
            let Some(domain) = node.labels.get(&constraint.topology_key) else {
                let reason =
                    "node(s) didn't match pod topology spread constraints (missing required label)";
                return Err(Rejection::new(NAME, reason, true));
            };
            let enough_domains = counts.len() as i64 >= constraint.min_domains;
            let fewest = counts
                .values()
                .min()
                .copied()
                .filter(|_| enough_domains)
                .unwrap_or(0);
            let here = counts.get(domain).copied().unwrap_or(0);
            if here + itself - fewest > constraint.max_skew {
                let reason = "node(s) didn't match pod topology spread constraints";
                return Err(Rejection::new(NAME, reason, false));
            }
        }
        Ok(())
    }
}
