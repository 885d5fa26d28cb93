//! Eviction: a deletion of a pod that a disruption budget may refuse.
//!
//! ```text
//!  pod ended, pending, or ending ──▶ deleted: nothing is disrupted
//!  no budget selects it ──▶ deleted
//!  budget selects it, and it is not ready, and enough others are ──▶ deleted, if still not ready
//!  budget selects it ──▶ may one more go?  yes: one taken from the budget ──▶ deleted
//!                                          no: 429, with the budget's state as cause
//! ```
//!
//! Upstream: `pkg/registry/core/pod/storage/eviction.go`.

use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Body;
use super::call::{Call, decode_as};
use super::options;
use super::subresource::set_condition;
use crate::registry::delete::DeleteOptions;
use crate::registry::{Target, meta};
use crate::resources;
use crate::selectors::LabelSelector;
use crate::status::{ApiError, Subject};

/// How often an eviction is tried again because the pod or the budget was changed meanwhile.
const ATTEMPTS: usize = 20;
/// How many evicted pods a budget remembers that its controller has not seen yet.
const DISRUPTED_MAX: usize = 2000;

/// Answers `POST …/pods/{name}/eviction`.
///
/// # Errors
/// 429 if a budget says no.
pub async fn evict(call: &Call<'_>, body: Bytes) -> Result<Response<Body>, ApiError> {
    let mode = call.field_validation();
    let schema = "io.k8s.api.policy.v1.Eviction";
    let json = call.json(&body)?;
    let (mut eviction, _) = decode_as(schema, "Eviction", "policy/v1", &json, mode)?;
    call.check_address(&eviction)?;
    if meta::name(&eviction) != call.info.name {
        let wrong = "name in URL does not match name in Eviction object";
        return Err(ApiError::bad_request(wrong));
    }
    let mut options = options::parse_delete(&eviction["deleteOptions"])?;
    options.dry_run |= call.dry_run;
    let registry = &call.api.registry;
    registry.admit_part(&call.target(), &mut eviction, &call.writer())?;
    let pod = Target {
        subresource: "",
        ..call.target()
    };
    for attempt in 1.. {
        let live = registry.get(&pod).await?;
        let version = meta::text(&live, "resourceVersion").to_owned();
        let mut asked = options.clone();
        let (free, must_be_same) = match way(&live, &budgets(call, &live)?)? {
            Way::Free => (true, false),
            Way::FreeWhileUnchanged => (true, true),
            Way::Budget(name) => {
                take(call, &name, &options).await?;
                (false, false)
            }
        };
        if must_be_same && asked.resource_version.is_none() {
            asked.resource_version = Some(version);
        }
        match end(call, &pod, &asked).await {
            // It was changed meanwhile, and may be another case now.
            Err(error)
                if error.reason == "Conflict"
                    && free
                    && options.resource_version.is_none()
                    && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "code": 201});
    Ok(call.answer(201, &done))
}

/// The budgets of a pod's namespace that select it.
fn budgets(call: &Call, pod: &Value) -> Result<Vec<Value>, ApiError> {
    let resource = resources::by_kind("policy", "v1", "PodDisruptionBudget").expect("are served");
    let slot = call.api.registry.slot(resource)?;
    let entries = slot.objects(meta::namespace(pod), None);
    let all = entries
        .iter()
        .filter_map(|entry| slot.codec.decode(&entry.stored, entry.revision).ok());
    Ok(all.filter(|budget| selects(budget, pod)).collect())
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    // None selects nothing; an empty one, everything.
    selector.is_object()
        && LabelSelector::from_object(selector)
            .is_ok_and(|selector| selector.matches(&pod["metadata"]["labels"]))
}

/// How a pod may go.
#[derive(Debug, PartialEq)]
pub enum Way {
    /// Without asking a budget.
    Free,
    /// The same, if it has not changed since this was said.
    FreeWhileUnchanged,
    /// If this budget has one to spare.
    Budget(String),
}

/// Decides how a pod that is selected by these budgets may go.
///
/// # Errors
/// 500 if there is more than one: nobody knows which of them to ask.
pub fn way(pod: &Value, budgets: &[Value]) -> Result<Way, ApiError> {
    // ANCHOR: exercise-03.14
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    if meta::is_terminating(pod) || matches!(phase, "Succeeded" | "Failed") {
        return Ok(Way::Free);
    }
    if phase == "Pending" {
        return Ok(Way::FreeWhileUnchanged);
    }
    let budget = match budgets {
        [] => return Ok(Way::Free),
        [budget] => budget,
        _ => return Err(several_budgets()),
    };
    let status = &budget["status"];
    let (healthy, desired) = (
        number(status, "currentHealthy"),
        number(status, "desiredHealthy"),
    );
    let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
    if !is_ready(pod) && (always || healthy >= desired && desired > 0) {
        return Ok(Way::FreeWhileUnchanged);
    }
    Ok(Way::Budget(meta::name(budget).to_owned()))
    // ANCHOR_END: exercise-03.14
}

fn several_budgets() -> ApiError {
    let wrong = "This pod has more than one PodDisruptionBudget, which the eviction subresource \
                 does not support.";
    ApiError::new(500, "", wrong)
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn number(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or_default()
}

/// Takes one disruption from a budget, for the pod of this call.
async fn take(call: &Call<'_>, name: &str, options: &DeleteOptions) -> Result<(), ApiError> {
    let resource = resources::by_kind("policy", "v1", "PodDisruptionBudget").expect("are served");
    let target = Target {
        resource,
        subresource: "status",
        namespace: &call.info.namespace,
        name,
    };
    let registry = &call.api.registry;
    if options.dry_run {
        let budget = registry.get(&target).await?;
        return taken(&budget, &call.info.name, Timestamp::now()).map(|_| ());
    }
    // What is made of the budget as it is now is put if it still is that: two evictions at once
    // take one each.
    let change = |live: Option<&Value>| {
        let live = live.ok_or_else(|| ApiError::not_found(target.subject()))?;
        taken(live, &call.info.name, Timestamp::now())
    };
    registry.update(&target, &call.writer(), change).await?;
    Ok(())
}

/// A budget with one disruption taken from it.
///
/// # Errors
/// 429 or 403 if it has none.
fn taken(budget: &Value, pod: &str, now: Timestamp) -> Result<Value, ApiError> {
    let name = meta::name(budget);
    let status = &budget["status"];
    if number(status, "observedGeneration") < meta::generation(budget) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(too_many(10, why));
    }
    let allowed = number(status, "disruptionsAllowed");
    let not_now = format!("The disruption budget {name} does not allow evicting pods currently");
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return Err(forbidden(name, why, format!("{not_now}: {why}")));
    }
    let disrupted = status["disruptedPods"].as_object();
    if disrupted.is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        let told = "too many pending evictions not confirmed by PDB controller";
        return Err(forbidden(name, why, format!("{not_now}: {told}")));
    }
    if allowed == 0 {
        return Err(too_many(0, exhausted(name, status, not_now)));
    }
    let mut budget = budget.clone();
    budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
    budget["status"]["disruptedPods"][pod] = meta::time(now).into();
    Ok(budget)
}

/// Why a budget has none left.
fn exhausted(name: &str, status: &Value, not_now: String) -> String {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let condition = conditions.find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False");
    let text = |field: &str| {
        condition
            .and_then(|c| c[field].as_str())
            .unwrap_or_default()
    };
    let (reason, message) = (text("reason"), text("message"));
    let (healthy, desired) = (
        number(status, "currentHealthy"),
        number(status, "desiredHealthy"),
    );
    if reason == "SyncFailed" && !message.is_empty() {
        format!("{not_now} because it failed sync: {message}")
    } else if healthy <= desired {
        format!(
            "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        )
    } else if !message.is_empty() {
        format!("{not_now} ({reason}): {message}")
    } else {
        not_now
    }
}

const CAUSE: &str = "DisruptionBudget";

fn too_many(retry_after_seconds: i64, why: String) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::new(429, "TooManyRequests", message);
    let mut details = serde_json::Map::new();
    details.insert("causes".into(), json!([{"reason": CAUSE, "message": why}]));
    if retry_after_seconds > 0 {
        details.insert("retryAfterSeconds".into(), retry_after_seconds.into());
    }
    error.details = Some(details);
    error
}

fn forbidden(budget: &str, why: &str, cause: String) -> ApiError {
    let subject = Subject {
        group: "policy",
        resource: "poddisruptionbudget",
        kind: "PodDisruptionBudget",
        name: budget,
    };
    let mut error = ApiError::forbidden(subject, why);
    let details = error.details.get_or_insert_default();
    details.insert(
        "causes".into(),
        json!([{"reason": CAUSE, "message": cause}]),
    );
    error
}

/// Notes in the pod's status that it is disrupted, and deletes it.
async fn end(call: &Call<'_>, pod: &Target<'_>, options: &DeleteOptions) -> Result<(), ApiError> {
    let registry = &call.api.registry;
    let mut options = options.clone();
    if !options.dry_run {
        let status = Target {
            subresource: "status",
            ..*pod
        };
        let condition = json!({"type": "DisruptionTarget", "status": "True",
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
            "lastProbeTime": null, "lastTransitionTime": meta::time(Timestamp::now())});
        let note = |live: Option<&Value>| {
            let live = live.ok_or_else(|| ApiError::not_found(pod.subject()))?;
            check_preconditions(live, &options)?;
            let mut object = live.clone();
            set_condition(&mut object, condition.clone());
            Ok(object)
        };
        let noted = registry.update(&status, &call.writer(), note).await?;
        if options.resource_version.is_some() {
            let version = meta::text(&noted.object, "resourceVersion");
            options.resource_version = Some(version.to_owned());
        }
    }
    registry.delete(pod, &options).await?;
    Ok(())
}

fn check_preconditions(pod: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let subject = Subject {
        group: "",
        resource: "Pod",
        kind: "Pod",
        name: meta::name(pod),
    };
    for (what, wanted, field, then) in [
        ("UID", &options.uid, "uid", "deleted and then recreated"),
        (
            "ResourceVersion",
            &options.resource_version,
            "resourceVersion",
            "modified",
        ),
    ] {
        let there = meta::text(pod, field);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != there) {
            return Err(ApiError::conflict(
                subject,
                format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in \
                     record ({there}). The object might have been {then}"
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 2}, "spec": {}, "status": status})
    }

    fn pod(phase: &str, ready: &str) -> Value {
        json!({"metadata": {"name": "p"}, "status": {"phase": phase,
            "conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn ways() {
        let asks = || Ok(Way::Budget("b".into()));
        let short = || [budget(json!({"currentHealthy": 1, "desiredHealthy": 2}))];
        let enough = || [budget(json!({"currentHealthy": 2, "desiredHealthy": 2}))];
        let mut always = short();
        always[0]["spec"]["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        assert_eq!(way(&pod("Succeeded", "False"), &short()), Ok(Way::Free));
        assert_eq!(
            way(&pod("Pending", "False"), &short()),
            Ok(Way::FreeWhileUnchanged)
        );
        assert_eq!(way(&pod("Running", "True"), &[]), Ok(Way::Free));
        assert_eq!(way(&pod("Running", "True"), &enough()), asks());
        assert_eq!(
            way(&pod("Running", "False"), &enough()),
            Ok(Way::FreeWhileUnchanged)
        );
        assert_eq!(way(&pod("Running", "False"), &short()), asks());
        assert_eq!(
            way(&pod("Running", "False"), &always),
            Ok(Way::FreeWhileUnchanged)
        );
        let two = [enough(), enough()].concat();
        assert_eq!(
            way(&pod("Running", "True"), &two).map_err(|e| e.code),
            Err(500)
        );
    }

    #[test]
    fn a_budget_is_taken_from() {
        let now = "2026-01-01T00:00:00Z".parse().expect("is a time");
        let refused = |status: Value| {
            let error = taken(&budget(status), "p", now).expect_err("has none");
            let details = error.details.expect("has some");
            let cause = details["causes"][0]["message"].as_str().map(str::to_owned);
            (
                error.code,
                details.get("retryAfterSeconds").cloned(),
                cause.expect("is there"),
            )
        };
        let left = taken(
            &budget(json!({"observedGeneration": 2, "disruptionsAllowed": 2})),
            "p",
            now,
        );
        assert_eq!(
            left.expect("has some")["status"],
            json!({"observedGeneration": 2, "disruptionsAllowed": 1,
                "disruptedPods": {"p": "2026-01-01T00:00:00Z"}})
        );
        assert_eq!(
            refused(json!({"observedGeneration": 1, "disruptionsAllowed": 2})),
            (
                429,
                Some(json!(10)),
                "The disruption budget b is still being processed by the server.".into()
            )
        );
        assert_eq!(
            refused(json!({"observedGeneration": 2, "currentHealthy": 1, "desiredHealthy": 2})),
            (
                429,
                None,
                "The disruption budget b needs 2 healthy pods and has 1 currently".into()
            )
        );
        let failed = json!([{"type": "DisruptionAllowed", "status": "False",
            "reason": "SyncFailed", "message": "no scale"}]);
        assert_eq!(
            refused(json!({"observedGeneration": 2, "conditions": failed})).2,
            "The disruption budget b does not allow evicting pods currently because it failed \
             sync: no scale"
        );
        assert_eq!(
            refused(json!({"observedGeneration": 2, "disruptionsAllowed": -1})).0,
            403
        );
    }
}
