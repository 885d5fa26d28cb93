//! What a budget's status becomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{
    PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::pods;

/// How long an evicted pod may take until its deletion is seen; after that, it was not deleted.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);
/// The condition that says whether a pod may be evicted.
const DISRUPTION_ALLOWED: &str = "DisruptionAllowed";

/// How many pods a budget is about, and how many of them have to be healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Pods there should be.
    pub expected: i32,
    /// Healthy ones.
    pub desired_healthy: i32,
}

fn spec(budget: &PodDisruptionBudget) -> PodDisruptionBudgetSpec {
    budget.spec.clone().unwrap_or_default()
}

/// Whether a budget is a share of the pods that there should be, which their owners say. A plain
/// number of pods that stay says all by itself.
pub fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let spec = spec(budget);
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// The numbers of a budget that has so many `pods`, whose owners want `scale` of them. Upstream:
/// `getExpectedPodCount`.
///
/// # Errors
/// If a percentage is none.
pub fn number(budget: &PodDisruptionBudget, pods: usize, scale: i32) -> Result<Number, String> {
    let spec = spec(budget);
    let (expected, desired_healthy) = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => (scale, (scale - share(most, scale)?).max(0)),
        (None, Some(IntOrString::Int(least))) => (i32::try_from(pods).unwrap_or(i32::MAX), *least),
        (None, Some(least)) => (scale, share(least, scale)?),
        (None, None) => (0, 0),
    };
    Ok(Number {
        expected,
        desired_healthy,
    })
}

const NO_PERCENTAGE: &str =
    "invalid value for IntOrString: invalid type: string is not a percentage";

/// A number, or a percentage of `total`, rounded up.
fn share(value: &IntOrString, total: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|it| it.parse::<i64>().ok());
            let percent = percent.ok_or(NO_PERCENTAGE)?;
            let share = (i64::from(total) * percent + 99).div_euclid(100);
            Ok(i32::try_from(share).unwrap_or(i32::MAX))
        }
    }
}

/// The status that follows from a budget's pods, and when to look again, if time changes it.
/// Upstream: `buildDisruptedPodMap`, `countHealthyPods` and `updatePdbStatus`.
pub fn status(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    number: Number,
    now: Timestamp,
) -> (PodDisruptionBudgetStatus, Option<Timestamp>) {
    let old = budget.status.clone().unwrap_or_default();
    let evicted = old.disrupted_pods.clone().unwrap_or_default();
    let alive = || {
        let them = pods.iter();
        them.filter(|pod| pod.metadata.deletion_timestamp.is_none())
    };
    // Evicted, and not seen to be deleted yet.
    let disrupted: BTreeMap<String, Time> = alive()
        .filter_map(|pod| evicted.get_key_value(&pod.name_any()))
        .filter(|(_, since)| since.0 + DELETION_TIMEOUT >= now)
        .map(|(name, since)| (name.clone(), since.clone()))
        .collect();
    let again = disrupted.values().map(|time| time.0).min();
    let healthy = alive()
        .filter(|pod| pods::is_ready(pod) && !disrupted.contains_key(&pod.name_any()))
        .count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    // With no pods to expect nothing is allowed, so that the first ones to come are safe before
    // they were counted.
    let allowed = match number.expected > 0 {
        true => (healthy - number.desired_healthy).max(0),
        false => 0,
    };
    let (holds, reason) = match allowed > 0 {
        true => ("True", "SufficientPods"),
        false => ("False", "InsufficientPods"),
    };
    let generation = budget.metadata.generation;
    let status = PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(number.desired_healthy),
        expected_pods: Some(number.expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: generation,
        conditions: Some(conditions(&old, holds, reason, "", generation, now)),
    };
    (status, again.map(|since| since + DELETION_TIMEOUT))
}

/// The status of a budget that could not be worked out: nothing is allowed. Upstream: `failSafe`.
pub fn failed(
    budget: &PodDisruptionBudget,
    why: &str,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let old = budget.status.clone().unwrap_or_default();
    let generation = old.observed_generation;
    let conditions = conditions(&old, "False", "SyncFailed", why, generation, now);
    PodDisruptionBudgetStatus {
        disruptions_allowed: Some(0),
        conditions: Some(conditions),
        ..old
    }
}

/// Those that there were, with the one that is kept here. Upstream: `meta.SetStatusCondition`.
fn conditions(
    old: &PodDisruptionBudgetStatus,
    status: &str,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let is_it = |condition: &Condition| condition.type_ == DISRUPTION_ALLOWED;
    let place = conditions.iter().position(is_it);
    let since = place.map(|place| &conditions[place]);
    let since = since.filter(|condition| condition.status == status);
    let condition = Condition {
        type_: DISRUPTION_ALLOWED.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation,
        last_transition_time: since.map_or(Time(now), |it| it.last_transition_time.clone()),
    };
    match place {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
    conditions
}

/// Whether a budget says so already.
pub fn is_same(budget: &PodDisruptionBudget, status: &PodDisruptionBudgetStatus) -> bool {
    let Some(old) = &budget.status else {
        return false;
    };
    let disrupted = |it: &PodDisruptionBudgetStatus| it.disrupted_pods.clone().unwrap_or_default();
    let numbers = |it: &PodDisruptionBudgetStatus| {
        [
            it.current_healthy,
            it.desired_healthy,
            it.expected_pods,
            it.disruptions_allowed,
        ]
        .map(Option::unwrap_or_default)
    };
    numbers(old) == numbers(status)
        && disrupted(old) == disrupted(status)
        && old.observed_generation == status.observed_generation
        && old.conditions == status.conditions
}

/// What is told of a budget with pods that nobody owns.
pub fn unmanaged_message(budget: &PodDisruptionBudget) -> String {
    let selector = serde_json::to_string(&spec(budget).selector).unwrap_or_default();
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be \
         unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may \
         result in undefined behavior. To account for these pods please set \".spec.minAvailable\" \
         field of the PDB to an integer value."
    )
}
