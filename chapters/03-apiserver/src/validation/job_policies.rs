//! What a Job makes of its pods' ends: which failures count, and when it has succeeded.
//!
//! Upstream: `validatePodFailurePolicy`, `validateSuccessPolicy` in
//! `pkg/apis/batch/validation/validation.go`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    check::{Errors, has, join, list, not_negative, text, too_long, wrongs},
    names,
};
use crate::status::FieldError;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const RULES_MAX: usize = 20;
const PATTERNS_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const INDEXES_BYTES_MAX: usize = 64 * 1024;

/// The policies in a Job's spec.
pub(super) fn policies(errors: &mut Errors, spec: &Value, path: &str) {
    if has(spec, "podFailurePolicy") {
        let path = join(path, "podFailurePolicy.rules");
        let rules = list(&spec["podFailurePolicy"], "rules");
        at_most(errors, rules, RULES_MAX, &path);
        for (index, rule) in rules.iter().enumerate() {
            failure_rule(errors, spec, rule, &format!("{path}[{index}]"));
        }
    }
    if has(spec, "successPolicy") {
        success(errors, spec, &join(path, "successPolicy"));
    }
    let replaced = text(spec, "podReplacementPolicy");
    if has(spec, "podReplacementPolicy") {
        let allowed: &[&str] = match has(spec, "podFailurePolicy") {
            true => &["Failed"],
            false => &["Failed", "TerminatingOrFailed"],
        };
        if !allowed.contains(&replaced) {
            let at = join(path, "podReplacementPolicy");
            errors.push(FieldError::not_supported(at, &json!(replaced), allowed));
        }
    }
}

fn failure_rule(errors: &mut Errors, spec: &Value, rule: &Value, path: &str) {
    let at = join(path, "action");
    match text(rule, "action") {
        "FailIndex" => {
            if !has(spec, "backoffLimitPerIndex") {
                let wrong = "requires the backoffLimitPerIndex to be set";
                errors.push(FieldError::invalid(at, &rule["action"], wrong));
            }
        }
        _ => valid_value(errors, rule, path, "action", &ACTIONS),
    }
    let patterns = list(rule, "onPodConditions");
    if has(rule, "onExitCodes") {
        exit_codes(
            errors,
            spec,
            &rule["onExitCodes"],
            &join(path, "onExitCodes"),
        );
    }
    if !patterns.is_empty() {
        let path = join(path, "onPodConditions");
        at_most(errors, patterns, PATTERNS_MAX, &path);
        for (index, pattern) in patterns.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let kind = text(pattern, "type");
            let wrong = names::qualified_name(kind);
            wrongs(errors, &join(&path, "type"), &kind.into(), wrong);
            valid_value(errors, pattern, &path, "status", &STATUSES);
        }
    }
    let wrong = match (has(rule, "onExitCodes"), patterns.is_empty()) {
        (true, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (false, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    errors.push(without_value(path, wrong));
}

fn exit_codes(errors: &mut Errors, spec: &Value, codes: &Value, path: &str) {
    valid_value(errors, codes, path, "operator", &OPERATORS);
    if let Some(name) = codes["containerName"].as_str() {
        let pod = &spec["template"]["spec"];
        let mut containers = list(pod, "containers")
            .iter()
            .chain(list(pod, "initContainers"));
        if !containers.any(|container| container["name"] == name) {
            let wrong = "must be one of the container or initContainer names in the pod template";
            let at = join(path, "containerName");
            errors.push(FieldError::invalid(at, &json!(name), wrong));
        }
    }
    let path = join(path, "values");
    let values = list(codes, "values");
    if values.is_empty() {
        let wrong = "at least one value is required";
        errors.push(FieldError::invalid(path.clone(), &json!([]), wrong));
    }
    at_most(errors, values, EXIT_CODES_MAX, &path);
    let mut seen = BTreeSet::new();
    for (index, value) in values.iter().enumerate() {
        let at = format!("{path}[{index}]");
        if codes["operator"] == "In" && *value == 0 {
            let wrong = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(at.clone(), value, wrong));
        }
        if !seen.insert(value.as_i64()) {
            errors.push(FieldError::duplicate(at, value));
        }
    }
    if !values.is_sorted_by_key(Value::as_i64) {
        let values = json!(values);
        errors.push(FieldError::invalid(path, &values, "must be ordered"));
    }
}

fn success(errors: &mut Errors, spec: &Value, path: &str) {
    if spec["completionMode"] != "Indexed" {
        let wrong = "requires indexed completion mode";
        return errors.push(FieldError::invalid(path, &spec["successPolicy"], wrong));
    }
    let path = join(path, "rules");
    let rules = list(&spec["successPolicy"], "rules");
    if rules.is_empty() {
        let wrong = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(path.clone(), wrong));
    }
    at_most(errors, rules, RULES_MAX, &path);
    // That there are completions is checked elsewhere.
    let completions = spec["completions"].as_i64().unwrap_or_default();
    for (index, rule) in rules.iter().enumerate() {
        success_rule(errors, rule, completions, &format!("{path}[{index}]"));
    }
}

fn success_rule(errors: &mut Errors, rule: &Value, completions: i64, path: &str) {
    let indexes = rule["succeededIndexes"].as_str();
    let count = rule["succeededCount"].as_i64();
    if indexes.is_none() && count.is_none() {
        let wrong = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, wrong));
    }
    let mut total = None;
    if let Some(indexes) = indexes {
        let at = join(path, "succeededIndexes");
        if indexes.len() > INDEXES_BYTES_MAX {
            errors.push(too_long(&at, INDEXES_BYTES_MAX));
        }
        match self::indexes(indexes, completions) {
            Ok(intervals) => total = Some(intervals.iter().map(|(a, b)| b - a + 1).sum()),
            Err(why) => {
                let wrong = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(at, &json!(indexes), wrong));
                total = Some(0);
            }
        }
    }
    let Some(count) = count else { return };
    not_negative(errors, rule, path, "succeededCount");
    let at = join(path, "succeededCount");
    if count > completions {
        let of = "the number of specified completions";
        let wrong = format!("must be less than or equal to {completions} ({of})");
        errors.push(FieldError::invalid(at.clone(), &json!(count), wrong));
    }
    if let Some(total) = total
        && count > total
    {
        let of = "the number of indexes in the specified succeededIndexes field";
        let wrong = format!("must be less than or equal to {total} ({of})");
        errors.push(FieldError::invalid(at, &json!(count), wrong));
    }
}

/// Indexes as a Job writes them, `0,2-4,7`: in order, and below the number of completions.
///
/// # Errors
/// What is wrong with them. Upstream: `validateIndexesFormat`.
pub(super) fn indexes(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut intervals = Vec::new();
    if text.is_empty() {
        return Ok(intervals);
    }
    let mut last: Option<i64> = None;
    for part in text.split(',') {
        let ends: Vec<&str> = part.split('-').collect();
        if ends.len() > 2 {
            return Err(format!(
                "the fragment {part:?} violates the requirement that an index interval can have \
                 at most two parts separated by '-'"
            ));
        }
        let first = index(ends[0], completions)?;
        if last.is_some_and(|last| last >= first) {
            return Err(format!(
                "non-increasing order, previous: {}, current: {first}",
                last.unwrap_or_default()
            ));
        }
        let mut end = first;
        if let Some(text) = ends.get(1) {
            end = index(text, completions)?;
            if first >= end {
                return Err(format!(
                    "non-increasing order, previous: {first}, current: {end}"
                ));
            }
        }
        intervals.push((first, end));
        last = Some(end);
    }
    Ok(intervals)
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    let Ok(index) = text.parse::<i64>() else {
        return Err(format!(
            "cannot convert string to integer for index: {text:?}"
        ));
    };
    if index >= completions {
        return Err(format!("too large index: {text:?}"));
    }
    Ok(index)
}

/// A value that must be there and be one of these, which are told when it is not there.
fn valid_value(errors: &mut Errors, parent: &Value, path: &str, key: &str, values: &[&str]) {
    match text(parent, key) {
        "" => {
            let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            let wrong = format!("valid values: [{}]", quoted.join(" "));
            errors.push(FieldError::required(join(path, key), wrong));
        }
        value if values.contains(&value) => {}
        value => errors.push(FieldError::not_supported(
            join(path, key),
            &json!(value),
            values,
        )),
    }
}

fn at_most(errors: &mut Errors, list: &[Value], max: usize, path: &str) {
    if list.len() > max {
        errors.push(super::forms::too_many(path, list.len(), max));
    }
}

/// An invalid field whose value is not told. Upstream: `field.OmitValueType`.
pub(super) fn without_value(path: &str, wrong: &str) -> FieldError {
    FieldError {
        reason: "FieldValueInvalid",
        field: path.to_owned(),
        message: format!("Invalid value: {wrong}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_in_order() {
        assert_eq!(indexes("", 5), Ok(vec![]));
        assert_eq!(indexes("0,2-4", 5), Ok(vec![(0, 0), (2, 4)]));
        for (text, why) in [
            ("5", "too large index: \"5\""),
            ("1,1", "non-increasing order, previous: 1, current: 1"),
            ("3-2", "non-increasing order, previous: 3, current: 2"),
            ("x", "cannot convert string to integer for index: \"x\""),
            (
                "1-2-3",
                "the fragment \"1-2-3\" violates the requirement that an index interval can have \
                 at most two parts separated by '-'",
            ),
        ] {
            assert_eq!(indexes(text, 5), Err(why.to_owned()), "{text}");
        }
    }
}
