//! Scores: of the nodes where a pod may go, which is best?
//!
//! Each score is upstream's plugin of the same name: it gives every node 0 to 100, and the sum,
//! by upstream's weights, decides. Left out: `ImageLocality`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;

use crate::filter::{Constraint, term_selects_pod, terms_of, tolerates};
use crate::labels::{Labels, term_selects};
use crate::node_info::{NodeInfo, PodInfo};
use crate::schedule::Snapshot;

/// The best that a plugin can say of a node.
const SCORE_MAX: f64 = 100.0;

/// The score of each of `nodes`, in their order.
pub fn score(
    spec: &PodSpec,
    pod: &PodInfo,
    nodes: &[&NodeInfo],
    snapshot: &Snapshot<'_>,
) -> Vec<f64> {
    let weighted = [
        (3.0, taint_toleration(spec, nodes)),
        (2.0, node_affinity(spec, nodes)),
        (1.0, each(nodes, |node| least_allocated(pod, node))),
        (1.0, each(nodes, |node| balanced_allocation(pod, node))),
        (2.0, topology_spread(spec, pod, nodes, snapshot)),
        (2.0, inter_pod_affinity(pod, nodes, snapshot)),
    ];
    let sum = |at: usize| {
        weighted
            .iter()
            .map(|(weight, scores)| weight * scores[at].floor())
            .sum()
    };
    (0..nodes.len()).map(sum).collect()
}

fn each(nodes: &[&NodeInfo], score: impl Fn(&NodeInfo) -> f64) -> Vec<f64> {
    nodes.iter().map(|node| score(node)).collect()
}

/// `TaintToleration`: fewest taints that would rather keep the pod off.
fn taint_toleration(spec: &PodSpec, nodes: &[&NodeInfo]) -> Vec<f64> {
    // Only tolerations that mean this effect, or any, are about it.
    let tolerations: Vec<_> = spec
        .tolerations
        .iter()
        .flatten()
        .filter(|t| matches!(t.effect.as_deref(), None | Some("" | "PreferNoSchedule")))
        .cloned()
        .collect();
    let rather_not = each(nodes, |node| {
        let taints = node
            .taints
            .iter()
            .filter(|taint| taint.effect == "PreferNoSchedule");
        taints
            .filter(|taint| !tolerates(Some(&tolerations), taint))
            .count() as f64
    });
    let most = rather_not.iter().copied().fold(0.0, f64::max);
    let score = |count: f64| {
        if most == 0.0 {
            SCORE_MAX
        } else {
            SCORE_MAX * (1.0 - count / most)
        }
    };
    rather_not.into_iter().map(score).collect()
}

/// `NodeAffinity`: most weight of preferred terms that mean the node.
fn node_affinity(spec: &PodSpec, nodes: &[&NodeInfo]) -> Vec<f64> {
    let affinity = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref());
    let terms = affinity
        .and_then(|a| {
            a.preferred_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default();
    let weights = each(nodes, |node| {
        let means_node = terms
            .iter()
            .filter(|term| term_selects(&term.preference, &node.name, &node.labels));
        means_node.map(|term| f64::from(term.weight)).sum()
    });
    let most = weights.iter().copied().fold(0.0, f64::max);
    let score = |weight: f64| {
        if most == 0.0 {
            0.0
        } else {
            SCORE_MAX * weight / most
        }
    };
    weights.into_iter().map(score).collect()
}

/// `NodeResourcesFit`: most CPU and memory left over.
fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> f64 {
    let left = |name: &str| {
        let allocatable = node.allocatable.get(name) as f64;
        let used = (node.scoring_requested.get(name) + pod.scoring_requests.get(name)) as f64;
        if allocatable <= 0.0 || used > allocatable {
            return 0.0;
        }
        ((allocatable - used) * SCORE_MAX / allocatable).floor()
    };
    (left("cpu") + left("memory")) / 2.0
}

/// `NodeResourcesBalancedAllocation`: CPU and memory used to the same degree.
fn balanced_allocation(pod: &PodInfo, node: &NodeInfo) -> f64 {
    let fraction = |name: &str| {
        let allocatable = node.allocatable.get(name) as f64;
        let used = (node.requested.get(name) + pod.requests.get(name)) as f64;
        if allocatable <= 0.0 {
            1.0
        } else {
            (used / allocatable).min(1.0)
        }
    };
    // A pod that asks for neither cannot tip the balance anywhere.
    if pod.requests.get("cpu") == 0 && pod.requests.get("memory") == 0 {
        return 0.0;
    }
    (1.0 - (fraction("cpu") - fraction("memory")).abs() / 2.0) * SCORE_MAX
}

/// `PodTopologySpread`: fewest pods of its kind in the node's domains. A pod that says nothing of
/// spreading is spread from its siblings, over hosts and, more weakly, zones.
fn topology_spread(
    spec: &PodSpec,
    pod: &PodInfo,
    nodes: &[&NodeInfo],
    snapshot: &Snapshot<'_>,
) -> Vec<f64> {
    let constraints = Constraint::of(spec, pod, "ScheduleAnyway");
    let says_nothing = spec
        .topology_spread_constraints
        .iter()
        .flatten()
        .next()
        .is_none();
    let mut sums = vec![0.0; nodes.len()];
    let mut is_scored = vec![true; nodes.len()];
    if says_nothing {
        let siblings = Siblings::new(pod, snapshot);
        if siblings.is_empty() {
            return sums;
        }
        for (key, max_skew) in [
            ("topology.kubernetes.io/zone", 5),
            ("kubernetes.io/hostname", 3),
        ] {
            let count = |node: &NodeInfo| siblings.count(pod, node);
            add_spread(&mut sums, nodes, snapshot, key, max_skew, |_| true, count);
        }
    } else {
        for constraint in &constraints {
            let key = &constraint.topology_key;
            for (scored, node) in is_scored.iter_mut().zip(nodes) {
                *scored &= node.labels.contains_key(key);
            }
            let counts_node = |node: &NodeInfo| constraint.counts_node(spec, node);
            let count = |node: &NodeInfo| constraint.count(&pod.namespace, node);
            add_spread(
                &mut sums,
                nodes,
                snapshot,
                key,
                constraint.max_skew,
                counts_node,
                count,
            );
        }
    }
    let scored = || {
        sums.iter()
            .zip(&is_scored)
            .filter(|(_, scored)| **scored)
            .map(|(sum, _)| *sum)
    };
    let (least, most) = (
        scored().fold(f64::MAX, f64::min),
        scored().fold(0.0, f64::max),
    );
    let score = |(sum, scored): (&f64, &bool)| match (*scored, most) {
        (false, _) => 0.0,
        (true, 0.0) => SCORE_MAX,
        (true, _) => SCORE_MAX * (most + least - sum) / most,
    };
    sums.iter().zip(&is_scored).map(score).collect()
}

/// Adds what one constraint says: the pods in a node's domain, weighed up the more domains there
/// are, as each then has fewer.
fn add_spread(
    sums: &mut [f64],
    nodes: &[&NodeInfo],
    snapshot: &Snapshot<'_>,
    key: &str,
    max_skew: i64,
    counts_node: impl Fn(&NodeInfo) -> bool,
    count: impl Fn(&NodeInfo) -> i64,
) {
    let mut domains: BTreeMap<&str, i64> = BTreeMap::new();
    for node in nodes {
        if let Some(domain) = node.labels.get(key) {
            domains.insert(domain, 0);
        }
    }
    let weight = (domains.len() as f64 + 2.0).ln();
    for node in snapshot.nodes.iter().filter(|node| counts_node(node)) {
        let domain = node
            .labels
            .get(key)
            .and_then(|domain| domains.get_mut(domain.as_str()));
        if let Some(sum) = domain {
            *sum += count(node);
        }
    }
    for (sum, node) in sums.iter_mut().zip(nodes) {
        if let Some(domain) = node.labels.get(key) {
            *sum += (domains[domain.as_str()] as f64 * weight + (max_skew - 1) as f64).round();
        }
    }
}

/// The pods that belong together with a pod: those of the same controller, and those behind the
/// same Services.
struct Siblings<'a> {
    controller: Option<&'a str>,
    selectors: Vec<&'a Labels>,
}

impl<'a> Siblings<'a> {
    fn new(pod: &'a PodInfo, snapshot: &Snapshot<'a>) -> Self {
        let services = snapshot.services.iter().filter(|(namespace, selector)| {
            let selects = selector
                .iter()
                .all(|(key, value)| pod.labels.get(key) == Some(value));
            *namespace == pod.namespace && !selector.is_empty() && selects
        });
        let selectors = services.map(|(_, selector)| selector).collect();
        Self {
            controller: pod.controller.as_deref(),
            selectors,
        }
    }

    fn is_empty(&self) -> bool {
        self.controller.is_none() && self.selectors.is_empty()
    }

    fn count(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let is_sibling = |other: &PodInfo| {
            other.namespace == pod.namespace
                && !other.terminating
                && (self.controller.is_none() || other.controller.as_deref() == self.controller)
                && self.selectors.iter().all(|selector| {
                    selector
                        .iter()
                        .all(|(key, value)| other.labels.get(key) == Some(value))
                })
        };
        node.pods.iter().filter(|other| is_sibling(other)).count() as i64
    }
}

/// `InterPodAffinity`: near pods that the pod prefers, and that prefer it.
fn inter_pod_affinity(pod: &PodInfo, nodes: &[&NodeInfo], snapshot: &Snapshot<'_>) -> Vec<f64> {
    let mut weights: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for node in snapshot.nodes {
        for other in &node.pods {
            let mine =
                terms_of(pod).filter(|(_, term)| term_selects_pod(term, pod, other, snapshot));
            let its =
                terms_of(other).filter(|(_, term)| term_selects_pod(term, other, pod, snapshot));
            for (weight, term) in mine.chain(its) {
                if let Some(value) = node.labels.get(&term.topology_key) {
                    *weights.entry((&term.topology_key, value)).or_default() += weight;
                }
            }
        }
    }
    let sums = each(nodes, |node| {
        let near = weights
            .iter()
            .filter(|((key, value), _)| node.labels.get(*key).is_some_and(|label| label == value));
        near.map(|(_, weight)| *weight as f64).sum()
    });
    let (least, most) = (
        sums.iter().copied().fold(f64::MAX, f64::min),
        sums.iter().copied().fold(f64::MIN, f64::max),
    );
    let score = |sum: f64| {
        if most == least {
            0.0
        } else {
            SCORE_MAX * (sum - least) / (most - least)
        }
    };
    sums.into_iter().map(score).collect()
}
