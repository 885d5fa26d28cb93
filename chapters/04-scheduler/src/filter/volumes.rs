//! The filters that look at a pod's claims: `VolumeRestrictions` and `VolumeBinding`.
//!
//! | claim | what the scheduler does |
//! | --- | --- |
//! | bound | only nodes from which its volume is reached |
//! | not bound, of an `Immediate` class | waits: the binder in chapter 8 binds it, whatever the node |
//! | not bound, of a `WaitForFirstConsumer` class | looks on each node for a volume, and binds that |
//!
//! Upstream: `pkg/scheduler/framework/plugins/volumebinding`, `volumerestrictions`.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use volume_binding::{
    Search, bind_to_claim, claim_class, claim_phase, claim_spec, find_matching_volume,
    is_fully_bound, node_fits, request, volume_name, waits_for_consumer,
};

use super::Rejection;
use crate::node_info::{NodeInfo, PodInfo};
use crate::schedule::Snapshot;
use crate::volumes::VolumeCache;

const NAME: &str = "VolumeBinding";

/// The claims of a pod, before any node is looked at.
pub struct PodClaims<'a> {
    cache: &'a VolumeCache,
    bound: Vec<&'a PersistentVolumeClaim>,
    /// Those that get their volume with the node; the smallest first, so that the larger volumes
    /// are left for the larger ones.
    waiting: Vec<&'a PersistentVolumeClaim>,
    /// A claim that only one pod may have, another pod has.
    is_taken: bool,
}

impl<'a> PodClaims<'a> {
    /// Looks at the pod's claims.
    ///
    /// # Errors
    /// Why no node will do before something happens to a claim.
    pub fn new(info: &PodInfo, snapshot: &Snapshot<'a>) -> Result<Self, String> {
        let mut claims = Self {
            cache: snapshot.volumes,
            bound: Vec::new(),
            waiting: Vec::new(),
            is_taken: false,
        };
        let mut has_unbound = false;
        for name in &info.claims {
            let claim = snapshot.volumes.claim(&info.namespace, name);
            let claim = claim.ok_or(format!("persistentvolumeclaim \"{name}\" not found"))?;
            if claim_phase(claim) == "Lost" {
                let volume = volume_name(claim);
                return Err(format!(
                    "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \
                     \"{volume}\""
                ));
            }
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
            }
            let class = snapshot.volumes.class(claim_class(claim));
            if is_fully_bound(claim) {
                claims.bound.push(claim);
            } else if class.is_some_and(waits_for_consumer) && volume_name(claim).is_empty() {
                claims.waiting.push(claim);
            } else {
                has_unbound = true;
            }
            claims.is_taken |= is_for_one_pod(claim) && is_used(info, name, snapshot);
        }
        if has_unbound {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        claims.waiting.sort_by_key(|claim| request(claim));
        Ok(claims)
    }

    /// `VolumeRestrictions`: what only one pod may have is had by another.
    pub fn check_restrictions(&self) -> Result<(), Rejection> {
        if !self.is_taken {
            return Ok(());
        }
        let reason = "node has pod using PersistentVolumeClaim with the same name and \
                      ReadWriteOncePod access mode";
        Err(Rejection::new("VolumeRestrictions", reason, false))
    }

    /// `VolumeBinding`: whether all volumes are reached from the node.
    pub fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let mut reasons = Vec::new();
        let volumes = |claim: &&PersistentVolumeClaim| self.cache.volume(volume_name(claim));
        let reaches = |volume| node_fits(volume, &node.name, &node.labels);
        let mut known = self.bound.iter().filter_map(volumes);
        if !known.all(reaches) {
            reasons.push("node(s) had volume node affinity conflict".to_owned());
        }
        if self.choose(node).is_none() {
            reasons.push("node(s) didn't find available persistent volumes to bind".to_owned());
        }
        if !self.bound.iter().all(|claim| volumes(claim).is_some()) {
            let reason =
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
            reasons.push(reason.to_owned());
        }
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Rejection {
            plugin: NAME,
            reasons,
            is_final: true,
        })
    }

    /// A volume for each claim that waits, as it is to be written; `None` if the node has not
    /// enough of them.
    pub fn choose(&self, node: &NodeInfo) -> Option<Vec<PersistentVolume>> {
        let mut search = Search {
            node: Some((&node.name, &node.labels)),
            ..Search::default()
        };
        let mut chosen = Vec::new();
        for claim in &self.waiting {
            let volume = find_matching_volume(claim, self.cache.volumes(), &search)?;
            search.taken.extend(volume.metadata.name.clone());
            chosen.push(bind_to_claim(volume, claim).unwrap_or_else(|| volume.clone()));
        }
        Some(chosen)
    }
}

fn is_for_one_pod(claim: &PersistentVolumeClaim) -> bool {
    let modes = claim_spec(claim).access_modes.iter().flatten();
    modes.into_iter().any(|mode| mode == "ReadWriteOncePod")
}

fn is_used(info: &PodInfo, claim: &str, snapshot: &Snapshot<'_>) -> bool {
    let mut pods = snapshot.nodes.iter().flat_map(|node| &node.pods);
    pods.any(|pod| {
        pod.uid != info.uid
            && pod.namespace == info.namespace
            && pod.claims.iter().any(|name| name == claim)
    })
}
