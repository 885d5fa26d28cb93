//! `PATCH`: three ways to say what changes, and one to say what is wanted.

use http::Response;
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::call::Call;
use super::negotiate;
use super::read_yaml;
use crate::apply;
use crate::custom;
use crate::patch;
use crate::registry::write::Writer;
use crate::registry::{events, meta};
use crate::schema::{self, FieldValidation};
use crate::status::{ApiError, FieldError, Subject};

/// How a patch says what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902: a list of operations.
    Json,
    /// RFC 7386: what is given replaces, null removes.
    Merge,
    /// As merge, but lists are merged by key.
    Strategic,
    /// The fields that the manager wants to own.
    Apply,
}

impl PatchType {
    /// By media type.
    ///
    /// # Errors
    /// 415 if it is none of them.
    pub fn of(call: &Call) -> Result<PatchType, ApiError> {
        match negotiate::content_type(&call.headers).as_str() {
            "application/json-patch+json" => Ok(PatchType::Json),
            "application/merge-patch+json" => Ok(PatchType::Merge),
            // How lists of custom objects merge is told to server-side apply alone.
            "application/strategic-merge-patch+json" if call.resource.custom.is_some() => {
                Err(ApiError::unsupported_media_type(
                    "the body of the request was in an unknown format - accepted media types \
                     include: application/json-patch+json, application/merge-patch+json, \
                     application/apply-patch+yaml",
                ))
            }
            "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
            "application/apply-patch+yaml" => Ok(PatchType::Apply),
            _ => Err(ApiError::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types \
                 include: application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }

    /// What is unknown or there twice in a patch of this type, which is no apply.
    ///
    /// Upstream: `applyJSPatch` in `apiserver/pkg/endpoints/handlers/patch.go`.
    fn problems(self, body: &[u8]) -> Vec<String> {
        // What cannot be read was refused when it was applied.
        let Ok((patch, repeated)) = custom::read_json(body) else {
            return Vec::new();
        };
        if self != PatchType::Json {
            return repeated;
        }
        let mut problems = Vec::new();
        for (at, operation) in patch.as_array().into_iter().flatten().enumerate() {
            for key in operation
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.keys())
            {
                if !matches!(key.as_str(), "op" | "path" | "from" | "value") {
                    problems.push(format!("unknown field \"[{at}].{key}\""));
                }
            }
        }
        let all = problems.into_iter().chain(repeated);
        all.map(|problem| format!("json patch {problem}")).collect()
    }

    /// Applies a patch of this type, which is no apply, to an object of a type.
    ///
    /// # Errors
    /// 400 or 422 if it is none, or does not fit.
    pub fn patch(self, schema: &str, live: &Value, body: &[u8]) -> Result<Value, ApiError> {
        if self == PatchType::Json {
            return patch::json_patch(live, body);
        }
        let changes: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
        match self {
            PatchType::Strategic => patch::strategic_merge_patch(schema, live, &changes),
            _ => Ok(patch::merge_patch(live, &changes)),
        }
    }
}

/// Answers a patch, of any type.
///
/// # Errors
/// What the client reads as a `Status`.
pub async fn handle(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    if let Some(custom) = call.resource.custom {
        custom::check_conversion(custom)?;
    }
    let view = call.view()?;
    let mut warnings = Vec::new();
    let target = call.target();
    let registry = &call.api.registry;
    let patch_type = PatchType::of(call)?;
    let written = if patch_type == PatchType::Apply {
        let (config, repeated) = apply_config(call, body)?;
        let mode = call.field_validation();
        let writer = Writer {
            apply: true,
            ..call.writer()
        };
        let force = call.query.flag("force");
        let now = meta::time(jiff::Timestamp::now());
        let version = call.resource.api_version();
        let written = registry
            .update(&target, &writer, |live| {
                let uid = meta::uid(&config);
                if live.is_none() {
                    call.check_create()?;
                }
                if live.is_none() && !uid.is_empty() {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing \
                         object was found"
                    );
                    return Err(ApiError::conflict(target.subject(), why));
                }
                let presented = live.map(|live| events::present(call.resource, live.clone()));
                let applied = apply::apply(
                    apply::Typed::of(call.resource),
                    presented.as_ref(),
                    &config,
                    &call.manager,
                    force,
                    target.subresource,
                    &version,
                    &now,
                )?;
                if mode == FieldValidation::Strict && !repeated.is_empty() {
                    return Err(ApiError::bad_request(format!(
                        "error strict decoding patch: error converting YAML to JSON: {}",
                        read_yaml::strict_error(&repeated)
                    )));
                }
                let applied = events::to_stored(call.resource, applied);
                call.check_escalation(live, &applied)?;
                Ok(applied)
            })
            .await?;
        if mode == FieldValidation::Warn {
            warnings = repeated;
        }
        written
    } else {
        registry
            .update(&target, &call.writer(), |live| {
                let live = live.ok_or_else(|| ApiError::not_found(target.subject()))?;
                let (patched, warned) = patched(call, patch_type, live, body)?;
                warnings = warned;
                call.check_escalation(Some(live), &patched)?;
                Ok(patched)
            })
            .await?
    };
    let code = if written.created { 201 } else { 200 };
    let mut response = call.written(&view, code, written.object)?;
    answer::warn(&mut response, &warnings);
    Ok(response)
}

/// A live object with a patch applied, as it is stored.
fn patched(
    call: &Call,
    patch_type: PatchType,
    live: &Value,
    body: &[u8],
) -> Result<(Value, Vec<String>), ApiError> {
    let resource = call.resource;
    let presented = events::present(resource, live.clone());
    let mut patched = patch_type.patch(resource.schema, &presented, body)?;
    for field in ["apiVersion", "kind"] {
        if patched[field] != presented[field] {
            return Err(ApiError::bad_request(format!(
                "the {field} of an object cannot be changed, as the patch does: {}",
                patched[field].take()
            )));
        }
    }
    let mode = call.field_validation();
    // What is wrong with the patch is told together with what it makes.
    let lenient = match mode {
        FieldValidation::Strict => FieldValidation::Warn,
        mode => mode,
    };
    let shown = match patch_type {
        PatchType::Strategic => patch::in_go(body),
        _ => patched.to_string(),
    };
    let checked = match resource.custom {
        Some(custom) => custom::check(custom, patched, lenient)?,
        None => schema::check(resource.schema, patched, lenient)?,
    };
    let warnings = match mode {
        FieldValidation::Ignore => Vec::new(),
        _ => [patch_type.problems(body), checked.warnings].concat(),
    };
    if mode == FieldValidation::Strict && !warnings.is_empty() {
        let subject = Subject {
            group: "",
            resource: "",
            kind: "",
            name: "",
        };
        let detail = format!("strict decoding error: {}", warnings.join(", "));
        let error = FieldError::invalid("patch", &shown.into(), detail);
        return Err(ApiError::invalid(subject, &[error]));
    }
    call.check_name(&checked.value)?;
    Ok((events::to_stored(resource, checked.value), warnings))
}

/// What an apply wants, which says of itself what it is; and which keys it has twice.
pub fn apply_config(call: &Call, body: &[u8]) -> Result<(Value, Vec<String>), ApiError> {
    let resource = call.resource;
    // As it was sent: decoding would add what is always written (`status: {}`), and who applies
    // would come to own it. What the schema does not know, the apply itself refuses.
    let (json, repeated) = read_yaml::read(body)?;
    let mut config: Value = serde_json::from_slice(&json)
        .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))?;
    if !config.is_object() {
        let problem = "error decoding YAML: an object is wanted";
        return Err(ApiError::bad_request(problem.to_owned()));
    }
    if config["metadata"].is_null() {
        config["metadata"] = json!({});
    }
    call.check_address(&config)?;
    meta::set(&mut config, "name", Some(call.info.name.as_str().into()));
    if resource.namespaced {
        meta::set(
            &mut config,
            "namespace",
            Some(call.info.namespace.as_str().into()),
        );
    }
    Ok((config, repeated))
}
