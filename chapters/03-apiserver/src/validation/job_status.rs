//! What a Job's status may say: its conditions and counts fit together, and it ends once.
//!
//! Upstream: `validateJobStatus`, `ValidateJobStatusUpdate` in
//! `pkg/apis/batch/validation/validation.go`, and which checks apply to which change:
//! `getStatusValidationOptions` in `pkg/registry/batch/job/strategy.go`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, list, not_negative, text},
    job_policies::{indexes, without_value},
};
use crate::status::FieldError;

const CONDITIONS: &str = "status.conditions";

/// A Job with a new status, beside the same with the old one. What was wrong before and is not
/// changed is not told: checks became stricter over time.
pub(super) fn job_status(errors: &mut Errors, new: &Value, old: &Value) {
    let (status, before) = (&new["status"], &old["status"]);
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(errors, status, "status", field);
    }
    uncounted(errors, status);
    ended(errors, status, before);
    times(errors, new, old);
    counts(errors, new, old);
    succeeded(errors, new, old);
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if holds(before, kind) && !holds(status, kind) {
            let wrong = format!("cannot disable the terminal {kind}=True condition");
            errors.push(without_value(CONDITIONS, &wrong));
        }
    }
    // One with as many completions as pods can be made smaller, and loses successes with that.
    let can_shrink = new["spec"]["completions"] == new["spec"]["parallelism"];
    for field in ["failed", "succeeded"] {
        let may_shrink = field == "succeeded" && can_shrink;
        if number(status, field) < number(before, field) && !may_shrink {
            let wrong = format!("cannot decrease the {field} counter");
            let at = join("status", field);
            errors.push(FieldError::invalid(
                at,
                &json!(number(status, field)),
                wrong,
            ));
        }
    }
}

fn number(status: &Value, field: &str) -> i64 {
    status[field].as_i64().unwrap_or_default()
}

/// Whether a condition is true.
fn holds(status: &Value, kind: &str) -> bool {
    let mut conditions = list(status, "conditions").iter();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn is_finished(status: &Value) -> bool {
    holds(status, "Complete") || holds(status, "Failed")
}

/// Pods that have ended and are not counted yet: each once.
fn uncounted(errors: &mut Errors, status: &Value) {
    let mut seen = BTreeSet::new();
    for field in ["succeeded", "failed"] {
        let uids = list(&status["uncountedTerminatedPods"], field);
        for (index, uid) in uids.iter().enumerate() {
            let at = format!("status.uncountedTerminatedPods.{field}[{index}]");
            if *uid == "" {
                errors.push(FieldError::invalid(at, uid, "must not be empty"));
            } else if !seen.insert(uid.as_str()) {
                errors.push(FieldError::duplicate(at, uid));
            }
        }
    }
}

/// What may hold together of the ways in which a Job ends, each when it comes to hold.
fn ended(errors: &mut Errors, status: &Value, before: &Value) {
    let begins = |kind: &str| holds(status, kind) && !holds(before, kind);
    let mut refuse = |wrong: &str| errors.push(without_value(CONDITIONS, wrong));
    let (complete, failed) = (holds(status, "Complete"), holds(status, "Failed"));
    if complete && failed && (begins("Complete") || begins("Failed")) {
        refuse("cannot set Complete=True and Failed=true conditions");
    }
    if complete && holds(status, "FailureTarget") && begins("Complete") {
        refuse("cannot set Complete=True and FailureTarget=true conditions");
    }
    if begins("Failed") && !holds(status, "FailureTarget") {
        refuse("cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if begins("Complete") && !holds(status, "SuccessCriteriaMet") {
        refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    }
}

/// When it began and ended.
fn times(errors: &mut Errors, new: &Value, old: &Value) {
    let (status, before) = (&new["status"], &old["status"]);
    let changed = |field: &str| status[field] != before[field];
    let finishes = is_finished(status) && !is_finished(before);
    let (complete, completes) = (
        holds(status, "Complete"),
        holds(status, "Complete") && !holds(before, "Complete"),
    );
    let completion = &status["completionTime"];
    let at = "status.completionTime";
    if has(status, "completionTime") && !complete && (changed("completionTime") || completes) {
        let wrong = "cannot set completionTime when there is no Complete=True condition";
        errors.push(FieldError::invalid(at, completion, wrong));
    }
    if completes && !has(status, "completionTime") {
        let wrong = "completionTime is required for Complete jobs";
        errors.push(FieldError::required(at, wrong));
    }
    // Whole seconds in one form: as texts they are in order.
    if has(status, "startTime")
        && has(status, "completionTime")
        && text(status, "completionTime") < text(status, "startTime")
        && (changed("startTime") || changed("completionTime"))
    {
        let wrong = "completionTime cannot be set before startTime";
        errors.push(FieldError::invalid(at, completion, wrong));
    }
    if has(status, "completionTime") && has(before, "completionTime") && changed("completionTime") {
        let wrong = "completionTime cannot be mutated";
        errors.push(FieldError::invalid(at, completion, wrong));
    }
    let at = "status.startTime";
    if finishes && !has(status, "startTime") {
        errors.push(FieldError::required(
            at,
            "startTime is required for finished job",
        ));
    }
    if has(before, "startTime") && changed("startTime") && new["spec"]["suspend"] != true {
        let wrong = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(at, wrong));
    }
}

/// How many pods, and which indexes.
fn counts(errors: &mut Errors, new: &Value, old: &Value) {
    let (status, before) = (&new["status"], &old["status"]);
    let spec = &new["spec"];
    let finishes = is_finished(status) && !is_finished(before);
    let changed = |field: &str| status[field] != before[field];
    let mut invalid = |field: &str, wrong: String| {
        errors.push(FieldError::invalid(
            join("status", field),
            &status[field],
            wrong,
        ));
    };
    for field in ["active", "terminating"] {
        if number(status, field) > 0 && is_finished(status) && (finishes || changed(field)) {
            invalid(field, format!("{field}>0 is invalid for finished job"));
        }
    }
    let waiting = &status["uncountedTerminatedPods"];
    let is_waiting = ["failed", "succeeded"]
        .iter()
        .any(|field| !list(waiting, field).is_empty());
    if is_waiting && is_finished(status) && (finishes || changed("uncountedTerminatedPods")) {
        let wrong = "uncountedTerminatedPods needs to be empty for finished job";
        invalid("uncountedTerminatedPods", wrong.into());
    }
    let completions = spec["completions"].as_i64();
    let completed = text(status, "completedIndexes");
    let failed = status["failedIndexes"].as_str();
    if let Some(completions) = completions {
        if changed("completedIndexes")
            && let Err(why) = indexes(completed, completions)
        {
            let wrong = format!("error parsing completedIndexes: {why}");
            invalid("completedIndexes", wrong);
        }
        if changed("failedIndexes")
            && has(spec, "backoffLimitPerIndex")
            && let Some(Err(why)) = failed.map(|failed| indexes(failed, completions))
        {
            invalid(
                "failedIndexes",
                format!("error parsing failedIndexes: {why}"),
            );
        }
    }
    if !completed.is_empty() && spec["completionMode"] != "Indexed" && changed("completedIndexes") {
        let wrong = "cannot set non-empty completedIndexes when non-indexed completion mode";
        invalid("completedIndexes", wrong.into());
    }
    if failed.is_some() && !has(spec, "backoffLimitPerIndex") && changed("failedIndexes") {
        let wrong = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        invalid("failedIndexes", wrong.into());
    }
    if changed("completedIndexes") || changed("failedIndexes") {
        let parsed = |text: &str| indexes(text, completions?).ok();
        let both = parsed(completed).zip(failed.and_then(parsed));
        if let Some(index) = both.and_then(|(completed, failed)| overlap(&completed, &failed)) {
            let wrong = format!("failedIndexes and completedIndexes overlap at index: {index}");
            invalid("failedIndexes", wrong);
        }
    }
    if number(status, "ready") > number(status, "active") && (changed("ready") || changed("active"))
    {
        invalid("ready", "cannot set more ready pods than active".into());
    }
}

/// The first index that is in both lists of intervals.
fn overlap(a: &[(i64, i64)], b: &[(i64, i64)]) -> Option<i64> {
    let common = a.iter().flat_map(|(from, to)| {
        let within = b
            .iter()
            .filter(move |(start, end)| from <= end && start <= to);
        within.map(move |(start, _)| *from.max(start))
    });
    common.min()
}

/// Whether it has met what it takes to succeed.
fn succeeded(errors: &mut Errors, new: &Value, old: &Value) {
    let (status, before) = (&new["status"], &old["status"]);
    let mut refuse = |wrong: &str| errors.push(without_value(CONDITIONS, wrong));
    let met = holds(status, "SuccessCriteriaMet");
    if met && holds(status, "Failed") {
        refuse("cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if met && holds(status, "FailureTarget") {
        refuse("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if has(&new["spec"], "successPolicy") && !met && holds(status, "Complete") {
        refuse(
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        );
    }
    let was_met = holds(before, "SuccessCriteriaMet");
    if was_met && !met {
        refuse("cannot disable the SuccessCriteriaMet=True condition");
    }
    if holds(before, "Complete") && !was_met && met {
        refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str) -> Value {
        json!({"type": kind, "status": "True"})
    }

    fn check(old: Value, new: Value, expected: &[&str]) {
        let job = |status: Value| json!({"spec": {"completions": 3}, "status": status});
        let mut errors = Vec::new();
        job_status(&mut errors, &job(new), &job(old));
        let told: Vec<String> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_job_ends_once_and_in_order() {
        let met = json!({"startTime": "2026-01-01T00:00:00Z", "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet")]});
        let mut complete = met.clone();
        complete["completionTime"] = json!("2026-01-01T00:00:01Z");
        complete["conditions"] = json!([condition("SuccessCriteriaMet"), condition("Complete")]);
        check(json!({}), met.clone(), &[]);
        check(met.clone(), complete.clone(), &[]);
        check(
            complete.clone(),
            met,
            &[
                "status.conditions: Invalid value: cannot disable the terminal Complete=True \
                 condition",
            ],
        );
        let mut early = complete.clone();
        early["completionTime"] = json!("2025-01-01T00:00:01Z");
        check(
            json!({}),
            early,
            &[
                "status.completionTime: Invalid value: \"2025-01-01T00:00:01Z\": completionTime \
                 cannot be set before startTime",
            ],
        );
        check(
            json!({"startTime": "2026-01-01T00:00:00Z", "failed": 2}),
            json!({"startTime": "2026-01-01T00:00:00Z", "failed": 1, "active": 1, "ready": 2,
                "conditions": [condition("Failed")]}),
            &[
                "status.conditions: Invalid value: cannot set Failed=True condition without the \
                 FailureTarget=true condition",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
                "status.ready: Invalid value: 2: cannot set more ready pods than active",
                "status.failed: Invalid value: 1: cannot decrease the failed counter",
            ],
        );
    }

    #[test]
    fn indexes_do_not_overlap() {
        assert_eq!(overlap(&[(0, 2), (5, 5)], &[(3, 4), (5, 7)]), Some(5));
        assert_eq!(overlap(&[(0, 2)], &[(3, 4)]), None);
    }
}
