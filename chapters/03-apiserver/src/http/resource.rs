//! The verbs: get, list, create, update, patch, delete.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::call::{Call, invalid_option, yaml_to_json};
use super::negotiate;
use super::watch;
use crate::apply;
use crate::patch;
use crate::registry::delete::{DeleteOptions, Propagation};
use crate::registry::list::ListOptions;
use crate::registry::write::Writer;
use crate::registry::{Target, events, meta, strategy};
use crate::schema;
use crate::status::{ApiError, FieldError};

/// Answers a request about an object or a collection.
///
/// # Errors
/// What the client reads as a `Status`.
pub async fn handle(call: &Call, body: Bytes) -> Result<Response<Body>, ApiError> {
    match call.info.verb {
        "get" => get(call),
        "list" => list(call).await,
        "watch" => watch::watch(&call.api, call.view()?, call.selection()?, &call.query).await,
        "create" if call.info.name.is_empty() => create(call, &body).await,
        "update" => update(call, &body).await,
        "patch" => patch(call, &body).await,
        "delete" => delete(call, &body).await,
        "deletecollection" => delete_collection(call, &body).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn get(call: &Call) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let registry = &call.api.registry;
    let target = call.target();
    let kv = registry
        .read(&target)?
        .ok_or_else(|| ApiError::not_found(target.subject()))?;
    let mut out = Vec::with_capacity(kv.value.len() + 64);
    view.write(
        &mut out,
        registry.slot(call.resource)?,
        &kv.value,
        kv.mod_revision,
    )?;
    Ok(answer::maybe_gzip(
        &call.headers,
        200,
        "application/json",
        out,
    ))
}

async fn list(call: &Call) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let selection = call.selection()?;
    let query = &call.query;
    let options = ListOptions {
        resource_version: query.get("resourceVersion").to_owned(),
        version_match: query.get("resourceVersionMatch").to_owned(),
        limit: query.get("limit").parse().unwrap_or(0),
        continue_token: query.get("continue").to_owned(),
    };
    let registry = &call.api.registry;
    let listed = registry.list(call.resource, &selection, &options).await?;
    let out = view.list(registry.slot(call.resource)?, &listed)?;
    Ok(answer::maybe_gzip(
        &call.headers,
        200,
        "application/json",
        out,
    ))
}

async fn create(call: &Call, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let (object, warnings) = call.decode(body)?;
    let object = events::to_stored(call.resource, object);
    call.check_escalation(None, &object)?;
    let created = call
        .api
        .registry
        .create(&call.target(), object, &call.writer())
        .await?;
    let mut response = view.answer(201, &call.headers, created);
    answer::warn(&mut response, &warnings);
    Ok(response)
}

async fn update(call: &Call, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let (object, warnings) = call.decode(body)?;
    if meta::name(&object).is_empty() {
        return Err(ApiError::bad_request(
            "the name of the object must be provided to be updated",
        ));
    }
    let object = events::to_stored(call.resource, object);
    let target = call.target();
    let written = call
        .api
        .registry
        .update(&target, &call.writer(), |live| {
            call.check_escalation(live, &object)?;
            Ok(object.clone())
        })
        .await?;
    let code = if written.created { 201 } else { 200 };
    let mut response = view.answer(code, &call.headers, written.object);
    answer::warn(&mut response, &warnings);
    Ok(response)
}

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
            "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
            "application/apply-patch+yaml" => Ok(PatchType::Apply),
            _ => Err(ApiError::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types \
                 include: application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
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

async fn patch(call: &Call, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let mut warnings = Vec::new();
    let target = call.target();
    let registry = &call.api.registry;
    let patch_type = PatchType::of(call)?;
    let written = if patch_type == PatchType::Apply {
        let config = apply_config(call, body)?;
        let writer = Writer {
            apply: true,
            ..call.writer()
        };
        let force = call.query.flag("force");
        let now = meta::time(jiff::Timestamp::now());
        let version = call.resource.api_version();
        registry
            .update(&target, &writer, |live| {
                let presented = live.map(|live| events::present(call.resource, live.clone()));
                let applied = apply::apply(
                    call.resource.schema,
                    presented.as_ref(),
                    &config,
                    &call.manager,
                    force,
                    target.subresource,
                    &version,
                    &now,
                )?;
                let applied = events::to_stored(call.resource, applied);
                call.check_escalation(live, &applied)?;
                Ok(applied)
            })
            .await?
    } else {
        if call.query.has("force") {
            let detail = "may not be specified for non-apply patch";
            return Err(invalid_option(
                "PatchOptions",
                FieldError::forbidden("force", detail),
            ));
        }
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
    let mut response = view.answer(code, &call.headers, written.object);
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
    let checked = schema::check(resource.schema, patched, call.field_validation()?)?;
    let (object, warnings) = (checked.value, checked.warnings);
    call.check_address(&object)?;
    Ok((events::to_stored(resource, object), warnings))
}

/// What an apply wants, which says of itself what it is.
pub fn apply_config(call: &Call, body: &[u8]) -> Result<Value, ApiError> {
    if call.query.get("fieldManager").is_empty() {
        let detail = "is required for apply patch";
        return Err(invalid_option(
            "PatchOptions",
            FieldError::required("fieldManager", detail),
        ));
    }
    let resource = call.resource;
    // As it was sent: decoding would add what is always written (`status: {}`), and who applies
    // would come to own it. What the schema does not know, the apply itself refuses.
    let mut config: Value = serde_json::from_slice(&yaml_to_json(body)?)
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
    Ok(config)
}

async fn delete(call: &Call, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let options = delete_options(call, body)?;
    let target = call.target();
    call.api.registry.admit_delete(&target, &call.user)?;
    let deleted = call.api.registry.delete(&target, &options).await?;
    if !deleted.gone || strategy::returns_deleted_object(call.resource) {
        return Ok(call.view()?.answer(200, &call.headers, deleted.object));
    }
    let mut details = json!({"name": target.name, "kind": call.resource.plural,
        "uid": meta::uid(&deleted.object)});
    if !call.resource.group.is_empty() {
        details["group"] = call.resource.group.into();
    }
    Ok(answer::json(200, &answer::success(details)))
}

async fn delete_collection(call: &Call, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let options = delete_options(call, body)?;
    let view = call.view()?;
    let selection = call.selection()?;
    let registry = &call.api.registry;
    let listed = registry
        .list(call.resource, &selection, &ListOptions::default())
        .await?;
    for entry in &listed.entries {
        let target = Target {
            namespace: entry.namespace(),
            name: entry.name(),
            ..call.target()
        };
        registry.admit_delete(&target, &call.user)?;
        match registry.delete(&target, &options).await {
            Err(error) if error.reason != "NotFound" => return Err(error),
            _ => {}
        }
    }
    let out = view.list(registry.slot(call.resource)?, &listed)?;
    Ok(answer::maybe_gzip(
        &call.headers,
        200,
        "application/json",
        out,
    ))
}

/// `metav1.DeleteOptions` of the body, or, without one, of the query.
pub fn delete_options(call: &Call, body: &[u8]) -> Result<DeleteOptions, ApiError> {
    let sent: Value = if body.is_empty() {
        let query = &call.query;
        let mut options = json!({});
        if let Ok(seconds) = query.get("gracePeriodSeconds").parse::<i64>() {
            options["gracePeriodSeconds"] = seconds.into();
        }
        if query.has("propagationPolicy") {
            options["propagationPolicy"] = query.get("propagationPolicy").into();
        }
        if query.has("orphanDependents") {
            options["orphanDependents"] = query.flag("orphanDependents").into();
        }
        options
    } else {
        serde_json::from_slice(&call.json(body)?).map_err(|error| {
            ApiError::bad_request(format!("unable to decode DeleteOptions: {error}"))
        })?
    };
    let mut options = parse_delete_options(&sent)?;
    options.dry_run |= call.dry_run;
    Ok(options)
}

/// Reads `metav1.DeleteOptions`.
///
/// # Errors
/// 422 if the options contradict each other or do not exist.
pub fn parse_delete_options(sent: &Value) -> Result<DeleteOptions, ApiError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let propagation = match (
        sent["propagationPolicy"].as_str(),
        sent["orphanDependents"].as_bool(),
    ) {
        (Some(_), Some(_)) => {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            let error =
                FieldError::invalid("propagationPolicy", &sent["propagationPolicy"], detail);
            return Err(invalid_option("DeleteOptions", error));
        }
        (None, None) => None,
        (None, Some(true)) | (Some("Orphan"), None) => Some(Propagation::Orphan),
        (None, Some(false)) | (Some("Background"), None) => Some(Propagation::Background),
        (Some("Foreground"), None) => Some(Propagation::Foreground),
        (Some(other), None) => {
            let known = ["Foreground", "Background", "Orphan"];
            let error = FieldError::not_supported("propagationPolicy", &other.into(), &known);
            return Err(invalid_option("DeleteOptions", error));
        }
    };
    Ok(DeleteOptions {
        grace_period_seconds: sent["gracePeriodSeconds"].as_i64(),
        uid: text(&sent["preconditions"]["uid"]),
        resource_version: text(&sent["preconditions"]["resourceVersion"]),
        propagation,
        dry_run: sent["dryRun"].as_array().is_some_and(|all| !all.is_empty()),
    })
}

/// Whether a resource (or its part) takes the verb at all.
pub fn allows(call: &Call) -> bool {
    let verbs = match call.subresource {
        Some(subresource) => subresource.verbs,
        None => call.resource.verbs,
    };
    verbs.contains(&call.info.verb) || (call.method == Method::HEAD && call.info.verb == "get")
}
