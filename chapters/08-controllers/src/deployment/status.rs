//! What a Deployment says of itself. Upstream: `sync.go` and `progress.go` in
//! `pkg/controller/deployment`.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::rollout::{Fences, available, wanted};

/// Reason of `Progressing` once a rollout is through.
pub const NEW_REPLICA_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
/// Reason of `Progressing` once a rollout has stood still for too long.
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// A deadline of this many seconds is none.
const NO_DEADLINE: i32 = i32::MAX;

/// Something that happened while the ReplicaSets were looked at, worth a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Milestone {
    /// The template's ReplicaSet was there already.
    Found(String),
    /// It was made.
    Created(String),
    /// It could not be made.
    CreateFailed(String),
}

/// The status that follows from the ReplicaSets.
pub fn status(
    deployment: &Deployment,
    new: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
    milestone: Option<&Milestone>,
    now: Timestamp,
) -> DeploymentStatus {
    let before = deployment.status.clone().unwrap_or_default();
    let all = || new.into_iter().chain(old);
    let total: i32 = all().map(|set| wanted(set)).sum();
    let sum = |count: fn(&ReplicaSet) -> i32| -> i32 { all().map(|set| count(set)).sum() };
    let available_replicas = sum(available);
    let some = |number: i32| (number != 0).then_some(number);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(|set| {
            set.status.as_ref().map_or(0, |status| status.replicas)
        })),
        updated_replicas: some(
            new.and_then(|set| set.status.as_ref())
                .map_or(0, |status| status.replicas),
        ),
        ready_replicas: some(sum(|set| {
            set.status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0)
        })),
        available_replicas: some(available_replicas),
        unavailable_replicas: some((total - available_replicas).max(0)),
        terminating_replicas: Some(sum(|set| {
            set.status
                .as_ref()
                .and_then(|status| status.terminating_replicas)
                .unwrap_or(0)
        })),
        collision_count: before.collision_count,
        conditions: before.conditions.clone(),
    };
    set_milestone(deployment, &mut status, milestone, now);
    set_paused(deployment, &mut status, now);
    set_available(deployment, &mut status, now);
    set_progressing(deployment, &before, &mut status, new, now);
    set_replica_failure(&mut status, new, old);
    status
}

fn set_milestone(
    deployment: &Deployment,
    status: &mut DeploymentStatus,
    milestone: Option<&Milestone>,
    now: Timestamp,
) {
    if deadline(deployment).is_none() {
        return;
    }
    match milestone {
        Some(Milestone::Found(name)) if progressing(status).is_none() => {
            let message = format!("Found new replica set {name:?}");
            set_condition(
                status,
                "Progressing",
                "True",
                "FoundNewReplicaSet",
                message,
                now,
            );
        }
        Some(Milestone::Created(name)) => {
            let message = format!("Created new replica set {name:?}");
            set_condition(
                status,
                "Progressing",
                "True",
                "NewReplicaSetCreated",
                message,
                now,
            );
        }
        Some(Milestone::CreateFailed(error)) => {
            let reason = "ReplicaSetCreateError";
            set_condition(status, "Progressing", "False", reason, error.clone(), now);
        }
        _ => {}
    }
}

fn set_paused(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let reason = progressing(status).and_then(|condition| condition.reason.clone());
    let was_paused = reason.as_deref() == Some("DeploymentPaused");
    if deadline(deployment).is_none() || reason.as_deref() == Some(TIMED_OUT) {
        return;
    }
    let (reason, message) = match (is_paused(deployment), was_paused) {
        (true, false) => ("DeploymentPaused", "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        _ => return,
    };
    set_condition(
        status,
        "Progressing",
        "Unknown",
        reason,
        message.into(),
        now,
    );
}

fn set_available(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let fences = Fences::of(deployment);
    let enough = status.available_replicas.unwrap_or(0) >= fences.replicas - fences.max_unavailable;
    let (value, reason, message) = if enough {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set_condition(status, "Available", value, reason, message.into(), now);
}

fn set_progressing(
    deployment: &Deployment,
    before: &DeploymentStatus,
    status: &mut DeploymentStatus,
    new: Option<&Arc<ReplicaSet>>,
    now: Timestamp,
) {
    let reason = progressing(status).and_then(|condition| condition.reason.clone());
    let rests = status.replicas == status.updated_replicas
        && reason.as_deref() == Some(NEW_REPLICA_SET_AVAILABLE);
    if deadline(deployment).is_none() || rests || is_paused(deployment) {
        return;
    }
    let subject = match new {
        Some(new) => format!("ReplicaSet {:?}", new.name_any()),
        None => format!("Deployment {:?}", deployment.name_any()),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set_condition(
            status,
            "Progressing",
            "True",
            NEW_REPLICA_SET_AVAILABLE,
            message,
            now,
        );
    } else if has_progressed(before, status) {
        let message = format!("{subject} is progressing.");
        let since = progressing(status)
            .filter(|condition| condition.status == "True")
            .and_then(|condition| condition.last_transition_time.clone());
        status
            .conditions
            .iter_mut()
            .flatten()
            .for_each(|condition| {
                if condition.type_ == "Progressing" {
                    // Written anew even if nothing but its time changes: progress restarts the clock.
                    condition.reason = None;
                }
            });
        set_condition(
            status,
            "Progressing",
            "True",
            "ReplicaSetUpdated",
            message,
            now,
        );
        if let Some(condition) = status
            .conditions
            .iter_mut()
            .flatten()
            .find(|condition| condition.type_ == "Progressing" && since.is_some())
        {
            condition.last_transition_time = since;
        }
    } else if has_timed_out(deployment, status, now) {
        let message = format!("{subject} has timed out progressing.");
        set_condition(status, "Progressing", "False", TIMED_OUT, message, now);
    }
}

/// The ReplicaSets' own trouble becomes the Deployment's.
fn set_replica_failure(
    status: &mut DeploymentStatus,
    new: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
) {
    let failure = new.into_iter().chain(old).find_map(|set| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions
            .iter()
            .find(|condition| condition.type_ == "ReplicaFailure")
            .cloned()
    });
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions
        .iter()
        .position(|condition| condition.type_ == "ReplicaFailure");
    match (failure, known) {
        (None, Some(position)) => {
            conditions.remove(position);
        }
        (Some(failure), None) => conditions.push(DeploymentCondition {
            type_: failure.type_,
            status: failure.status,
            reason: failure.reason,
            message: failure.message,
            last_update_time: failure.last_transition_time.clone(),
            last_transition_time: failure.last_transition_time,
        }),
        _ => {}
    }
}

fn is_paused(deployment: &Deployment) -> bool {
    deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.paused)
        .unwrap_or(false)
}

/// Whether everything runs the current template and works. Upstream: `DeploymentComplete`.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let replicas = Fences::of(deployment).replicas;
    status.updated_replicas.unwrap_or(0) == replicas
        && status.replicas.unwrap_or(0) == replicas
        && status.available_replicas.unwrap_or(0) == replicas
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let outdated = |status: &DeploymentStatus| {
        status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0)
    };
    after.updated_replicas.unwrap_or(0) > before.updated_replicas.unwrap_or(0)
        || outdated(after) < outdated(before)
        || after.ready_replicas.unwrap_or(0) > before.ready_replicas.unwrap_or(0)
        || after.available_replicas.unwrap_or(0) > before.available_replicas.unwrap_or(0)
}

fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(condition) = progressing(status) else {
        return false;
    };
    match condition.reason.as_deref() {
        Some(NEW_REPLICA_SET_AVAILABLE) => return false,
        Some(TIMED_OUT) => return true,
        _ => {}
    }
    overdue_at(deployment, status).is_some_and(|at| at <= now)
}

fn overdue_at(deployment: &Deployment, status: &DeploymentStatus) -> Option<Timestamp> {
    let since = progressing(status)?.last_update_time.as_ref()?.0;
    Some(since + SignedDuration::from_secs(deadline(deployment)?.into()))
}

fn deadline(deployment: &Deployment) -> Option<i32> {
    let seconds = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.progress_deadline_seconds);
    seconds.filter(|seconds| *seconds != NO_DEADLINE)
}

/// When to look again, so that a rollout that stands still is called overdue.
pub fn next_check(
    deployment: &Deployment,
    status: &DeploymentStatus,
    now: Timestamp,
) -> Option<Duration> {
    let reason = progressing(status).and_then(|condition| condition.reason.as_deref());
    if matches!(reason, Some(NEW_REPLICA_SET_AVAILABLE | TIMED_OUT)) || is_paused(deployment) {
        return None;
    }
    let at = overdue_at(deployment, status).filter(|at| *at > now)?;
    // A moment later than the deadline, so that it has surely passed.
    Duration::try_from(at.duration_since(now))
        .ok()
        .map(|wait| wait + Duration::from_millis(10))
}

fn progressing(status: &DeploymentStatus) -> Option<&DeploymentCondition> {
    status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Progressing")
}

/// Writes a condition unless status and reason are the same already; the transition time stays
/// while the status does. Upstream: `SetDeploymentCondition`.
fn set_condition(
    status: &mut DeploymentStatus,
    type_: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let conditions = status.conditions.get_or_insert_default();
    let position = conditions
        .iter()
        .position(|condition| condition.type_ == type_);
    let mut transition = Some(Time(now));
    if let Some(position) = position {
        let old = &conditions[position];
        if old.status == value && old.reason.as_deref() == Some(reason) {
            return;
        }
        if old.status == value {
            transition.clone_from(&old.last_transition_time);
        }
        conditions.remove(position);
    }
    conditions.push(DeploymentCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: transition,
    });
}
/// The merge patch that makes `old` into `new`, and touches nothing but the status.
pub fn patch(old: Option<&DeploymentStatus>, new: &DeploymentStatus) -> Value {
    let json = |status| serde_json::to_value(status).expect("a status goes as JSON");
    let mut status = json(new);
    let before = old.map(json).unwrap_or_default();
    for field in before.as_object().into_iter().flat_map(|map| map.keys()) {
        if status.get(field).is_none() {
            status[field] = Value::Null;
        }
    }
    json!({ "status": status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_no_longer_says_is_taken_away_and_no_annotation_with_it() {
        let old = DeploymentStatus {
            unavailable_replicas: Some(1),
            ..DeploymentStatus::default()
        };
        let new = DeploymentStatus {
            ready_replicas: Some(1),
            ..DeploymentStatus::default()
        };
        let expected = json!({"status": {"readyReplicas": 1, "unavailableReplicas": null}});
        assert_eq!(patch(Some(&old), &new), expected);
    }
}
