//! What a write asks for beside its body: `CreateOptions`, `UpdateOptions`, `PatchOptions` and
//! `DeleteOptions`, of a query or, the last, of a body.
//!
//! Parameters that nobody knows are passed over. Upstream:
//! `apimachinery/pkg/apis/meta/v1/validation/validation.go`.

use serde_json::{Value, json};

use super::call::{Call, invalid_option};
use super::patching::PatchType;
use super::path::{self, Query};
use crate::registry::delete::{DeleteOptions, Propagation};
use crate::registry::list::ListOptions;
use crate::schema;
use crate::status::{ApiError, FieldError};

/// The longest name of a field manager. Upstream: `FieldManagerMaxLength`.
pub const MANAGER_BYTES_MAX: usize = 128;
/// The type of a deletion's body.
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Checks the options of a write's query.
///
/// # Errors
/// 415 if a patch is of no known type, 422 if an option will not do.
pub fn check(call: &Call) -> Result<(), ApiError> {
    let (kind, patch) = match call.info.verb {
        "create" => ("CreateOptions", None),
        "update" => ("UpdateOptions", None),
        "patch" => ("PatchOptions", Some(PatchType::of(call)?)),
        _ => return Ok(()),
    };
    let errors = errors(&call.query, patch);
    if errors.is_empty() {
        return Ok(());
    }
    Err(invalid_option(kind, &errors))
}

fn errors(query: &Query, patch: Option<PatchType>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let manager = query.get("fieldManager");
    match patch {
        Some(PatchType::Apply) if manager.is_empty() => {
            let detail = "is required for apply patch";
            errors.push(FieldError::required("fieldManager", detail));
        }
        Some(PatchType::Apply) | None => {}
        Some(_) if query.has("force") => {
            let detail = "may not be specified for non-apply patch";
            errors.push(FieldError::forbidden("force", detail));
        }
        Some(_) => {}
    }
    check_manager(&mut errors, manager);
    let rehearsals: Vec<&str> = query.all("dryRun").collect();
    check_dry_run(&mut errors, &rehearsals);
    let validation = query.get("fieldValidation");
    if !matches!(validation, "" | "Ignore" | "Strict" | "Warn") {
        errors.push(FieldError::not_supported(
            "fieldValidation",
            &validation.into(),
            &["", "Ignore", "Strict", "Warn"],
        ));
    }
    errors
}

fn check_manager(errors: &mut Vec<FieldError>, manager: &str) {
    if manager.len() > MANAGER_BYTES_MAX {
        errors.push(FieldError {
            reason: "FieldValueTooLong",
            field: "fieldManager".to_owned(),
            message: format!("Too long: may not be more than {MANAGER_BYTES_MAX} bytes"),
        });
    }
    for (at, letter) in manager.char_indices() {
        if !is_printable(letter) {
            errors.push(FieldError::invalid(
                "fieldManager",
                &manager.into(),
                format!(
                    "invalid character U+{:04X} (at position {at})",
                    letter as u32
                ),
            ));
        }
    }
}

/// Whether a letter can be seen; of spaces, only the plain one. Upstream: Go's `unicode.IsPrint`.
pub fn is_printable(letter: char) -> bool {
    letter == ' ' || !letter.is_control() && !letter.is_whitespace() && !is_format(letter)
}

/// Letters that only say how others are shown: joiners, marks of direction, private use.
fn is_format(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}')
}

fn check_dry_run(errors: &mut Vec<FieldError>, values: &[&str]) {
    if values.iter().any(|value| *value != "All") {
        errors.push(FieldError::not_supported(
            "dryRun",
            &json!(values),
            &["All"],
        ));
    }
}

/// A parameter that is a number.
///
/// # Errors
/// 400 if it is there and is none.
pub fn integer(query: &Query, name: &str) -> Result<Option<i64>, ApiError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    if !query.has(name) {
        return Ok(None);
    }
    let text = query.get(name);
    text.parse()
        .map(Some)
        .map_err(|error: std::num::ParseIntError| {
            let why = match error.kind() {
                PosOverflow | NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
        })
}

/// How fresh a list is to be, and how long.
///
/// # Errors
/// 400 if the limit is no number.
pub fn list(query: &Query) -> Result<ListOptions, ApiError> {
    let limit = integer(query, "limit")?.unwrap_or(0);
    Ok(ListOptions {
        resource_version: query.get("resourceVersion").to_owned(),
        version_match: query.get("resourceVersionMatch").to_owned(),
        limit: usize::try_from(limit).unwrap_or(0),
        continue_token: query.get("continue").to_owned(),
        send_initial_events: query.has("sendInitialEvents"),
    })
}

/// `metav1.DeleteOptions`: of the body, and only without one of the query.
///
/// # Errors
/// 400 if the body is something else, 415 if it is in no known form, 422 if the options contradict
/// each other or do not exist.
pub fn delete(call: &Call, body: &[u8]) -> Result<DeleteOptions, ApiError> {
    let sent = match body {
        [] => of_query(&call.query)?,
        body => decode(&call.json(body)?)?,
    };
    parse_delete(&sent)
}

fn of_query(query: &Query) -> Result<Value, ApiError> {
    let mut sent = json!({});
    if let Some(seconds) = integer(query, "gracePeriodSeconds")? {
        sent["gracePeriodSeconds"] = seconds.into();
    }
    if query.has("propagationPolicy") {
        sent["propagationPolicy"] = query.get("propagationPolicy").into();
    }
    if query.has("orphanDependents") {
        sent["orphanDependents"] = path::is_true(query.get("orphanDependents")).into();
    }
    if query.has("dryRun") {
        sent["dryRun"] = json!(query.all("dryRun").collect::<Vec<_>>());
    }
    Ok(sent)
}

fn decode(body: &[u8]) -> Result<Value, ApiError> {
    let sent: Value = serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })?;
    let kind = sent["kind"].as_str().unwrap_or_default();
    if !matches!(kind, "" | "DeleteOptions") {
        let version = sent["apiVersion"].as_str().unwrap_or("v1");
        // Where upstream's registry of types is made is a part of its words.
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    let fit = schema::fit(DELETE_OPTIONS, sent);
    match fit.wrong_type {
        Some(error) => Err(ApiError::bad_request(error)),
        None => Ok(fit.value),
    }
}

/// Reads `metav1.DeleteOptions`.
///
/// # Errors
/// 422 if the options contradict each other or do not exist.
pub fn parse_delete(sent: &Value) -> Result<DeleteOptions, ApiError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (policy, orphan) = (
        sent["propagationPolicy"].as_str(),
        sent["orphanDependents"].as_bool(),
    );
    let mut errors = Vec::new();
    if policy.is_some() && orphan.is_some() {
        let detail = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid(
            "propagationPolicy",
            &sent["propagationPolicy"],
            detail,
        ));
    }
    let propagation = match (policy, orphan) {
        (None, None) => None,
        (None, Some(true)) | (Some("Orphan"), _) => Some(Propagation::Orphan),
        (None, Some(false)) | (Some("Background"), _) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some(other), _) => {
            // In this order, and with a "nil" that is no value.
            let known = r#""Foreground", "Background", "Orphan", "nil""#;
            errors.push(FieldError {
                reason: "FieldValueNotSupported",
                field: "propagationPolicy".to_owned(),
                message: format!("Unsupported value: {other:?}: supported values: {known}"),
            });
            None
        }
    };
    let rehearsals: Vec<&str> = sent["dryRun"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    check_dry_run(&mut errors, &rehearsals);
    if !errors.is_empty() {
        return Err(invalid_option("DeleteOptions", &errors));
    }
    Ok(DeleteOptions {
        grace_period_seconds: sent["gracePeriodSeconds"].as_i64(),
        uid: text(&sent["preconditions"]["uid"]),
        resource_version: text(&sent["preconditions"]["resourceVersion"]),
        propagation,
        cascades: orphan == Some(false),
        dry_run: !rehearsals.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str, patch: Option<PatchType>) -> Vec<String> {
        let errors = errors(&Query::parse(query), patch);
        errors
            .into_iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect()
    }

    #[test]
    fn options_are_checked_in_order() {
        let good = "fieldManager=a%20b&dryRun=All&fieldValidation=Warn&whatever=1";
        assert_eq!(told(good, None), [""; 0]);
        let bad = "fieldManager=a%0a&dryRun=All&dryRun=Some&fieldValidation=Loose";
        assert_eq!(
            told(bad, None),
            [
                "fieldManager: Invalid value: \"a\\n\": invalid character U+000A (at position 1)",
                "dryRun: Unsupported value: [\"All\",\"Some\"]: supported values: \"All\"",
                "fieldValidation: Unsupported value: \"Loose\": supported values: \"\", \
                 \"Ignore\", \"Strict\", \"Warn\"",
            ]
        );
        let long = format!("fieldManager={}", "x".repeat(129));
        assert_eq!(
            told(&long, None),
            ["fieldManager: Too long: may not be more than 128 bytes"]
        );
        assert_eq!(
            told("dryRun=", Some(PatchType::Apply)),
            [
                "fieldManager: Required value: is required for apply patch",
                "dryRun: Unsupported value: [\"\"]: supported values: \"All\"",
            ]
        );
        assert_eq!(
            told("force=false", Some(PatchType::Merge)),
            ["force: Forbidden: may not be specified for non-apply patch"]
        );
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let limit = |text| integer(&Query::parse(text), "limit").map_err(|error| error.message);
        assert_eq!(limit("x=1"), Ok(None));
        assert_eq!(limit("limit=7"), Ok(Some(7)));
        assert_eq!(
            limit("limit=many"),
            Err("strconv.ParseInt: parsing \"many\": invalid syntax".into())
        );
        assert_eq!(
            limit("limit=9223372036854775808"),
            Err("strconv.ParseInt: parsing \"9223372036854775808\": value out of range".into())
        );
    }
}
