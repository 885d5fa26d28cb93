//! `InterPodAffinity`: near some pods, away from others, where near is the same value of a node's
//! label.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodAffinityTerm, PodAntiAffinity};

use super::Rejection;
use crate::labels::selects;
use crate::node_info::{NodeInfo, PodInfo};
use crate::schedule::Snapshot;

const NAME: &str = "InterPodAffinity";

/// How many pods that a term is about there are, by the term's label and its value.
type Counts = BTreeMap<(String, String), i64>;

/// What of the pods that are there matters to where a pod may go.
pub struct AffinityCounts {
    affinity_terms: Vec<PodAffinityTerm>,
    anti_affinity_terms: Vec<PodAffinityTerm>,
    /// Pods that the pod has to be near, all terms taken together.
    wanted: Counts,
    /// Pods that the pod must not be near.
    unwanted: Counts,
    /// Pods that do not want this pod near.
    unwilling: Counts,
    /// The pod has to be near pods like itself; so the first one may go anywhere.
    selects_itself: bool,
}

impl AffinityCounts {
    /// Counts all pods that matter.
    pub fn new(pod: &PodInfo, snapshot: &Snapshot<'_>) -> Self {
        let required = |affinity: &k8s_openapi::api::core::v1::PodAffinity| {
            affinity
                .required_during_scheduling_ignored_during_execution
                .clone()
        };
        let affinity_terms = pod.affinity.as_ref().and_then(required).unwrap_or_default();
        let anti_affinity_terms = required_anti_affinity(pod.anti_affinity.as_ref()).to_vec();
        let selects_all = |other: &PodInfo| {
            affinity_terms
                .iter()
                .all(|term| term_selects_pod(term, pod, other, snapshot))
        };
        let mut counts = Self {
            selects_itself: selects_all(pod),
            affinity_terms: affinity_terms.clone(),
            anti_affinity_terms,
            wanted: Counts::new(),
            unwanted: Counts::new(),
            unwilling: Counts::new(),
        };
        for node in snapshot.nodes {
            for other in &node.pods {
                if !affinity_terms.is_empty() && selects_all(other) {
                    affinity_terms
                        .iter()
                        .for_each(|term| count(&mut counts.wanted, term, node));
                }
                for term in &counts.anti_affinity_terms {
                    if term_selects_pod(term, pod, other, snapshot) {
                        count(&mut counts.unwanted, term, node);
                    }
                }
                for term in required_anti_affinity(other.anti_affinity.as_ref()) {
                    if term_selects_pod(term, other, pod, snapshot) {
                        count(&mut counts.unwilling, term, node);
                    }
                }
            }
        }
        counts
    }

    /// Whether the pod may be near the pods that it would be near on `node`.
    pub fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let has_domains = self
            .affinity_terms
            .iter()
            .all(|term| node.labels.contains_key(&term.topology_key));
        let near = self
            .affinity_terms
            .iter()
            .all(|term| has(&self.wanted, term, node));
        let is_first = self.wanted.is_empty() && self.selects_itself;
        if !has_domains || !(near || is_first) {
            return Err(Rejection::new(
                NAME,
                "node(s) didn't match pod affinity rules",
                true,
            ));
        }
        if self
            .anti_affinity_terms
            .iter()
            .any(|term| has(&self.unwanted, term, node))
        {
            return Err(Rejection::new(
                NAME,
                "node(s) didn't match pod anti-affinity rules",
                false,
            ));
        }
        let unwilling =
            |((key, value), _): (&(String, String), &i64)| node.labels.get(key) == Some(value);
        if self.unwilling.iter().any(unwilling) {
            let reason = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Err(Rejection::new(NAME, reason, false));
        }
        Ok(())
    }
}

fn count(counts: &mut Counts, term: &PodAffinityTerm, node: &NodeInfo) {
    if let Some(value) = node.labels.get(&term.topology_key) {
        *counts
            .entry((term.topology_key.clone(), value.clone()))
            .or_default() += 1;
    }
}

fn has(counts: &Counts, term: &PodAffinityTerm, node: &NodeInfo) -> bool {
    let value = node.labels.get(&term.topology_key);
    value.is_some_and(|value| counts.contains_key(&(term.topology_key.clone(), value.clone())))
}

fn required_anti_affinity(affinity: Option<&PodAntiAffinity>) -> &[PodAffinityTerm] {
    affinity
        .and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_deref()
        })
        .unwrap_or_default()
}

/// The preferred terms of a pod: those it wants to be near of with their weight, those it wants
/// to be away from with its negative.
pub fn terms_of(pod: &PodInfo) -> impl Iterator<Item = (i64, &PodAffinityTerm)> {
    let near = pod.affinity.iter().flat_map(|affinity| {
        affinity
            .preferred_during_scheduling_ignored_during_execution
            .iter()
            .flatten()
    });
    let away = pod.anti_affinity.iter().flat_map(|affinity| {
        affinity
            .preferred_during_scheduling_ignored_during_execution
            .iter()
            .flatten()
    });
    near.map(|term| (i64::from(term.weight), &term.pod_affinity_term))
        .chain(away.map(|term| (-i64::from(term.weight), &term.pod_affinity_term)))
}

/// Whether a term of `owner` is about `other`: by namespace, then by labels.
pub fn term_selects_pod(
    term: &PodAffinityTerm,
    owner: &PodInfo,
    other: &PodInfo,
    snapshot: &Snapshot<'_>,
) -> bool {
    let names = term.namespaces.as_deref().unwrap_or_default();
    let in_namespace = if names.is_empty() && term.namespace_selector.is_none() {
        other.namespace == owner.namespace
    } else {
        let empty = Default::default();
        let labels = snapshot.namespaces.get(&other.namespace).unwrap_or(&empty);
        names.contains(&other.namespace) || selects(term.namespace_selector.as_ref(), labels)
    };
    let same = |key: &String| owner.labels.get(key) == other.labels.get(key);
    let matches = |key: &String| !owner.labels.contains_key(key) || same(key);
    let mismatches = |key: &String| !owner.labels.contains_key(key) || !same(key);
    in_namespace
        && selects(term.label_selector.as_ref(), &other.labels)
        && term.match_label_keys.iter().flatten().all(matches)
        && term.mismatch_label_keys.iter().flatten().all(mismatches)
}
