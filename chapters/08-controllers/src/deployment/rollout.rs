//! How many pods each ReplicaSet of a Deployment should have next.
//!
//! A rolling update moves replicas from the old ReplicaSets to the new one inside two fences: at
//! most `replicas + maxSurge` pods exist, at least `replicas - maxUnavailable` are available. Each
//! step is taken from what is seen now; nothing is remembered between steps. Upstream:
//! `rolling.go`, `recreate.go` and `sync.go` in `pkg/controller/deployment`.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::revision::{DESIRED_REPLICAS, MAX_REPLICAS, age, annotation};

/// A ReplicaSet whose replicas should change.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Which.
    pub replica_set: Arc<ReplicaSet>,
    /// To how many.
    pub to: i32,
}

/// The numbers that fence a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fences {
    /// Pods that are wanted.
    pub replicas: i32,
    /// Pods that may exist beyond those.
    pub max_surge: i32,
    /// Pods of those that may be missing.
    pub max_unavailable: i32,
}

impl Fences {
    /// The fences of a Deployment; both zero for `Recreate`. Percentages of surge round up, of
    /// unavailability down; both at zero would stand still, so that one may then be missing.
    pub fn of(deployment: &Deployment) -> Fences {
        let spec = deployment.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        if is_recreate(deployment) {
            return Fences {
                replicas,
                max_surge: 0,
                max_unavailable: 0,
            };
        }
        let rolling = spec
            .and_then(|spec| spec.strategy.as_ref())
            .and_then(|strategy| strategy.rolling_update.clone())
            .unwrap_or_default();
        let max_surge = scaled(rolling.max_surge.as_ref(), replicas, f64::ceil);
        let mut max_unavailable = scaled(rolling.max_unavailable.as_ref(), replicas, f64::floor);
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        Fences {
            replicas,
            max_surge,
            max_unavailable: max_unavailable.min(replicas),
        }
    }

    fn most(&self) -> i32 {
        self.replicas + self.max_surge
    }

    fn fewest_available(&self) -> i32 {
        self.replicas - self.max_unavailable
    }
}

fn scaled(value: Option<&IntOrString>, total: i32, round: fn(f64) -> f64) -> i32 {
    match value {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let percent: f64 = text.trim_end_matches('%').parse().unwrap_or(0.0);
            round(percent * f64::from(total) / 100.0) as i32
        }
        None => 0,
    }
}

/// Whether the old pods must all be gone before new ones come.
pub fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// Replicas that a ReplicaSet is asked to have.
pub fn wanted(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

/// Replicas of a ReplicaSet that are available.
pub fn available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

fn sum(sets: &[Arc<ReplicaSet>], count: fn(&ReplicaSet) -> i32) -> i32 {
    sets.iter().map(|set| count(set)).sum()
}

/// How many replicas the ReplicaSet of a new template gets at once.
/// Upstream: `NewRSNewReplicas`.
pub fn new_replicas(deployment: &Deployment, new: i32, all: i32) -> i32 {
    let fences = Fences::of(deployment);
    if is_recreate(deployment) {
        return fences.replicas;
    }
    let room = fences.most() - all;
    if room <= 0 {
        new
    } else {
        new + room.min(fences.replicas - new)
    }
}

/// The next step of a rolling update: up with the new, or down with the old.
pub fn roll(deployment: &Deployment, new: &Arc<ReplicaSet>, old: &[Arc<ReplicaSet>]) -> Vec<Scale> {
    let fences = Fences::of(deployment);
    let all = wanted(new) + sum(old, wanted);
    let target = match wanted(new).cmp(&fences.replicas) {
        std::cmp::Ordering::Equal => wanted(new),
        std::cmp::Ordering::Greater => fences.replicas,
        std::cmp::Ordering::Less => new_replicas(deployment, wanted(new), all),
    };
    if target != wanted(new) {
        return vec![Scale {
            replica_set: new.clone(),
            to: target,
        }];
    }
    shrink_old(fences, new, old)
}

/// Takes replicas from old ReplicaSets: first those that do not work anyway, then as many as the
/// availability fence lets go. Upstream: `reconcileOldReplicaSets`.
fn shrink_old(fences: Fences, new: &Arc<ReplicaSet>, old: &[Arc<ReplicaSet>]) -> Vec<Scale> {
    let mut by_age: Vec<(Arc<ReplicaSet>, i32)> =
        old.iter().map(|set| (set.clone(), wanted(set))).collect();
    by_age.sort_by_key(|(set, _)| age(set));
    // ANCHOR: exercise-08.1
    // Pods of the new template that do not work yet replace none.
    let mut removable = available(new) + sum(old, wanted) - fences.fewest_available();
    if removable <= 0 {
        return Vec::new();
    }
    for (set, replicas) in &mut by_age {
        let broken = (*replicas - available(set)).max(0);
        let taken = broken.min(removable);
        *replicas -= taken;
        removable -= taken;
    }
    let works = available(new) + sum(old, available);
    let mut spare = (works - fences.fewest_available()).max(0);
    for (_, replicas) in &mut by_age {
        let taken = (*replicas).min(spare);
        *replicas -= taken;
        spare -= taken;
    }
    // ANCHOR_END: exercise-08.1
    changed(by_age)
}

/// All old ReplicaSets to zero.
pub fn stop_old(old: &[Arc<ReplicaSet>]) -> Vec<Scale> {
    changed(old.iter().map(|set| (set.clone(), 0)).collect())
}

/// Whether the Deployment's own replicas changed since its ReplicaSets were last scaled.
/// Upstream: `isScalingEvent`.
pub fn is_scaling(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> bool {
    let replicas = Fences::of(deployment).replicas;
    sets.iter().filter(|set| wanted(set) > 0).any(|set| {
        let desired: Option<i32> = annotation(set.metadata.annotations.as_ref(), DESIRED_REPLICAS);
        desired.is_some_and(|desired| desired != replicas)
    })
}

/// Brings all ReplicaSets to the Deployment's size in the middle of (or outside) a rollout, each
/// in proportion to its own. Upstream: `scale` in `sync.go`.
pub fn scale(
    deployment: &Deployment,
    new: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
) -> Vec<Scale> {
    let fences = Fences::of(deployment);
    let mut active: Vec<Arc<ReplicaSet>> = new
        .into_iter()
        .chain(old)
        .filter(|set| wanted(set) > 0)
        .cloned()
        .collect();
    if active.len() <= 1 {
        let latest = active
            .pop()
            .or_else(|| new.cloned())
            .or_else(|| old.iter().max_by(|a, b| age(a).cmp(&age(b))).cloned());
        let targets = latest
            .into_iter()
            .map(|set| (set, fences.replicas))
            .collect();
        return changed_or_outdated(fences, targets);
    }
    if let Some(new) = new
        && is_saturated(fences, new)
    {
        return stop_old(old);
    }
    if is_recreate(deployment) {
        return Vec::new();
    }
    proportionally(fences, active)
}

fn is_saturated(fences: Fences, new: &ReplicaSet) -> bool {
    let desired: Option<i32> = annotation(new.metadata.annotations.as_ref(), DESIRED_REPLICAS);
    wanted(new) == fences.replicas
        && desired == Some(fences.replicas)
        && available(new) == fences.replicas
}

fn proportionally(fences: Fences, mut active: Vec<Arc<ReplicaSet>>) -> Vec<Scale> {
    let total = sum(&active, wanted);
    let allowed = if fences.replicas > 0 {
        fences.most()
    } else {
        0
    };
    let to_add = allowed - total;
    // The largest first; when shrinking, the oldest of equals first, when growing, the newest.
    active.sort_by(|a, b| {
        let by_age = if to_add > 0 {
            age(b).cmp(&age(a))
        } else {
            age(a).cmp(&age(b))
        };
        wanted(b).cmp(&wanted(a)).then(by_age)
    });
    let mut left = to_add;
    let mut targets: Vec<(Arc<ReplicaSet>, i32)> = Vec::new();
    for set in active {
        let share = share_of(&set, allowed, to_add, left);
        left -= share;
        let target = wanted(&set) + share;
        targets.push((set, target));
    }
    // What rounding left over goes to the largest.
    if let Some((_, largest)) = targets.first_mut() {
        *largest = (*largest + left).max(0);
    }
    changed_or_outdated(fences, targets)
}

/// As [`changed`], and those whose annotation still names another size: until it does not, the
/// Deployment counts as being scaled, and no rollout goes on.
fn changed_or_outdated(fences: Fences, targets: Vec<(Arc<ReplicaSet>, i32)>) -> Vec<Scale> {
    let outdated = |set: &ReplicaSet| {
        annotation(set.metadata.annotations.as_ref(), DESIRED_REPLICAS) != Some(fences.replicas)
    };
    targets
        .into_iter()
        .filter(|(set, to)| wanted(set) != *to || outdated(set))
        .map(|(replica_set, to)| Scale { replica_set, to })
        .collect()
}

/// Upstream: `GetReplicaSetProportion`.
fn share_of(set: &ReplicaSet, allowed: i32, to_add: i32, left: i32) -> i32 {
    if to_add == 0 || left == 0 {
        return 0;
    }
    let before: i32 = annotation(set.metadata.annotations.as_ref(), MAX_REPLICAS)
        .filter(|most| *most > 0)
        .unwrap_or(allowed.max(1));
    let exact = f64::from(wanted(set)) * f64::from(allowed) / f64::from(before);
    let share = exact.round() as i32 - wanted(set);
    if to_add > 0 {
        share.clamp(0, left)
    } else {
        share.clamp(left, 0)
    }
}

fn changed(targets: Vec<(Arc<ReplicaSet>, i32)>) -> Vec<Scale> {
    targets
        .into_iter()
        .filter(|(set, to)| wanted(set) != *to)
        .map(|(replica_set, to)| Scale { replica_set, to })
        .collect()
}
