//! The decision: one pod, one look at the cluster, one node or the reasons why not.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{PersistentVolume, Pod};

use crate::filter::{Filters, Rejection};
use crate::labels::Labels;
use crate::node_info::{NodeInfo, PodInfo};
use crate::score;
use crate::volumes::VolumeCache;

/// The cluster at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// Its nodes, by name.
    pub nodes: &'a [NodeInfo],
    /// The labels of each namespace.
    pub namespaces: &'a BTreeMap<String, Labels>,
    /// The namespace and selector of each Service.
    pub services: &'a [(String, Labels)],
    /// Claims and volumes.
    pub volumes: &'a VolumeCache,
}

/// Where a pod goes, and what was thought of every node.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The node's name.
    pub node: String,
    /// The score of each node that would do, by name.
    pub scores: BTreeMap<String, f64>,
    /// Why each other node would not.
    pub rejections: BTreeMap<String, Rejection>,
    /// The volumes that its claims get with the node, as they are to be written.
    pub volumes: Vec<PersistentVolume>,
}

/// Why a pod goes nowhere. Its `Display` is upstream's message, word for word: users, and
/// programs, read it in the pod's condition and its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitError {
    /// Why each node would not do, by name.
    pub rejections: BTreeMap<String, Rejection>,
    /// Why no node was looked at.
    pub pre_filter: Option<String>,
    /// The pod says that it must not push others off a node.
    pub never_preempts: bool,
    /// Nodes where pods of lower priority could be pushed off, which this scheduler does not do.
    pub preemptible: usize,
}

/// Finds the best node for a pod.
///
/// # Errors
///
/// [`FitError`] if there is none.
pub fn schedule(pod: &Pod, snapshot: &Snapshot<'_>) -> Result<Decision, FitError> {
    let info = PodInfo::new(pod);
    let never_preempts = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.preemption_policy.as_deref() == Some("Never"));
    let filters = match Filters::new(pod, &info, snapshot) {
        Ok(filters) => filters,
        Err(rejection) => {
            let nodes = snapshot.nodes.iter();
            return Err(FitError {
                rejections: nodes
                    .map(|node| (node.name.clone(), rejection.clone()))
                    .collect(),
                pre_filter: Some(rejection.reasons.join(", ")),
                never_preempts,
                preemptible: 0,
            });
        }
    };
    let mut feasible = Vec::new();
    let mut rejections = BTreeMap::new();
    for node in snapshot.nodes {
        match filters.check(node) {
            Ok(()) => feasible.push(node),
            Err(rejection) => {
                rejections.insert(node.name.clone(), rejection);
            }
        }
    }
    let spec = pod.spec.clone().unwrap_or_default();
    if feasible.is_empty() {
        let has_lower = |node: &&NodeInfo| {
            !rejections[&node.name].is_final
                && node.pods.iter().any(|other| other.priority < info.priority)
        };
        let preemptible = snapshot.nodes.iter().filter(has_lower).count();
        return Err(FitError {
            rejections,
            pre_filter: None,
            never_preempts,
            preemptible,
        });
    }
    let scores = score::score(&spec, &info, &feasible, snapshot);
    // Upstream draws lots among the best. Here the one with fewest pods takes it, then the first
    // by name, so that the same cluster always gives the same answer.
    let best = feasible
        .iter()
        .zip(&scores)
        .max_by(|(a, a_score), (b, b_score)| {
            a_score
                .total_cmp(b_score)
                .then_with(|| b.pods.len().cmp(&a.pods.len()))
                .then_with(|| b.name.cmp(&a.name))
        })
        .map(|(node, _)| *node)
        .expect("some node is feasible");
    let scores = feasible
        .iter()
        .map(|node| node.name.clone())
        .zip(scores)
        .collect();
    Ok(Decision {
        volumes: filters.volumes(best),
        node: best.name.clone(),
        scores,
        rejections,
    })
}

impl std::error::Error for FitError {}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.rejections.len();
        if nodes == 0 {
            return write!(f, "no nodes available to schedule pods");
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self
            .rejections
            .values()
            .flat_map(|rejection| &rejection.reasons)
        {
            *counts.entry(reason).or_default() += 1;
        }
        let reasons = match &self.pre_filter {
            Some(reason) => reason.clone(),
            None => sorted(counts),
        };
        write!(f, "0/{nodes} nodes are available: {reasons}. ")?;
        // Upstream asks its DynamicResources plugin too, which says this of a pod without claims.
        write!(f, "no new claims to deallocate, preemption: ")?;
        if self.never_preempts {
            return write!(f, "not eligible due to preemptionPolicy=Never.");
        }
        let finals = self
            .rejections
            .values()
            .filter(|rejection| rejection.is_final)
            .count();
        let victims = [
            ("Preemption is not helpful for scheduling", finals),
            (
                "No preemption victims found for incoming pod",
                nodes - finals - self.preemptible,
            ),
            (
                "Preemption is not supported by this scheduler",
                self.preemptible,
            ),
        ];
        let victims = victims
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        write!(f, "0/{nodes} nodes are available: {}.", sorted(victims))
    }
}

/// `2 this, 4 that`, sorted as text, as upstream does: its numbers too.
fn sorted(counts: BTreeMap<&str, usize>) -> String {
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    parts.sort();
    parts.join(", ")
}
