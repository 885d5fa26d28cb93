//! The verbs: get, list, create, update, patch, delete.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::call::Call;
use super::options;
use super::patching;
use super::watch;
use crate::custom;
use crate::registry::cache::Entry;
use crate::registry::list::parse_version;
use crate::registry::write::Writer;
use crate::registry::{Target, events, keys, meta, strategy};
use crate::status::ApiError;

/// Answers a request about an object or a collection.
///
/// # Errors
/// What the client reads as a `Status`.
pub async fn handle(call: &Call<'_>, body: Bytes) -> Result<Response<Body>, ApiError> {
    match call.info.verb {
        "get" => get(call).await,
        "list" => list(call).await,
        "watch" => watch::watch(call).await,
        "create" if call.info.name.is_empty() => create(call, &body).await,
        "update" => update(call, &body).await,
        "patch" => patching::handle(call, &body).await,
        "delete" => delete(call, &body).await,
        "deletecollection" => delete_collection(call, &body).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

async fn get(call: &Call<'_>) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let registry = &call.api.registry;
    let target = call.target();
    let slot = registry.slot(call.resource)?;
    let cached = registry.entry(&target)?;
    let entry = match call.query.get("resourceVersion") {
        // Any version will do: the cache has one, whatever becomes of the store.
        "0" => cached,
        version => {
            // Not older than that: the store has the newest of all, once there is such a revision.
            if let Some(revision) = parse_version(version)? {
                registry.wait_for(revision).await?;
            }
            registry.read(&target).await?.map(|kv| match cached {
                Some(cached) if cached.revision == kv.mod_revision => cached,
                _ => {
                    let key = keys::local(target.namespace, target.name);
                    Arc::new(Entry::new(&slot.resource(), &key, &kv))
                }
            })
        }
    };
    let entry = entry.ok_or_else(|| ApiError::not_found(target.subject()))?;
    check_conversion(call)?;
    view.stored(&call.headers, &slot, &entry)
}

/// Whether what is stored can be shown in the version that is asked for.
fn check_conversion(call: &Call) -> Result<(), ApiError> {
    call.resource
        .custom
        .map_or(Ok(()), custom::check_conversion)
}

async fn list(call: &Call<'_>) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let selection = call.selection()?;
    let options = options::list(&call.query)?;
    let registry = &call.api.registry;
    let listed = registry.list(call.resource, &selection, &options).await?;
    if !listed.entries.is_empty() {
        check_conversion(call)?;
    }
    view.list(&call.headers, &*registry.slot(call.resource)?, &listed)
}

/// What is to be said of a new definition.
fn definition_warnings(call: &Call, created: &Value) -> Vec<String> {
    match call.resource.plural {
        "customresourcedefinitions" => custom::definition::warnings(created),
        _ => Vec::new(),
    }
}

async fn create(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let (object, mut warnings) = call.decode(body)?;
    let object = events::to_stored(call.resource, object);
    call.check_escalation(None, &object)?;
    let created = call
        .api
        .registry
        .create(&call.target(), object, &call.writer())
        .await?;
    warnings.extend(definition_warnings(call, &created));
    let mut response = call.written(&view, 201, created)?;
    answer::warn(&mut response, &warnings);
    Ok(response)
}

async fn update(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let (object, warnings) = call.decode(body)?;
    call.check_name(&object)?;
    let object = events::to_stored(call.resource, object);
    let uid = meta::uid(&object).to_owned();
    let mut decoded = Some(object);
    let target = call.target();
    let written = call
        .api
        .registry
        .update(&target, &call.writer(), |live| {
            check_uid(call, &uid, live)?;
            if live.is_none() {
                call.check_create()?;
            }
            // Whoever was not fast enough reads it anew: few are, and the others need no copy.
            let object = match decoded.take() {
                Some(object) => object,
                None => events::to_stored(call.resource, call.decode(body)?.0),
            };
            call.check_escalation(live, &object)?;
            Ok(object)
        })
        .await?;
    let code = if written.created { 201 } else { 200 };
    let mut response = call.written(&view, code, written.object)?;
    answer::warn(&mut response, &warnings);
    Ok(response)
}

/// Checks that the object to be written over is the one that its writer has seen.
fn check_uid(call: &Call, uid: &str, live: Option<&Value>) -> Result<(), ApiError> {
    let is = live.map(meta::uid).unwrap_or_default();
    if uid.is_empty() || uid == is {
        return Ok(());
    }
    let target = call.target();
    let (place, key) = (
        keys::prefix(call.resource),
        keys::local(target.namespace, target.name),
    );
    // Upstream's storage finds out, and these are its words.
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {place}{key}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {is}"
    );
    Err(ApiError::conflict(target.subject(), why))
}

async fn delete(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let options = options::delete(call, body)?;
    let target = call.target();
    let warnings: Vec<String> = strategy::deletion_warning(call.resource, &options)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let writer = Writer {
        dry_run: options.dry_run,
        ..call.writer()
    };
    call.api.registry.admit_delete(&target, &writer)?;
    let deleted = call.api.registry.delete(&target, &options).await?;
    if !deleted.gone || strategy::returns_deleted_object(call.resource) {
        // Only who asks in the older way is told that the end is yet to come.
        let code = if !deleted.gone && options.cascades {
            202
        } else {
            200
        };
        let mut response = call.view()?.answer(code, &call.headers, deleted.object);
        answer::warn(&mut response, &warnings);
        return Ok(response);
    }
    let mut details = json!({"name": target.name, "kind": call.resource.plural,
        "uid": meta::uid(&deleted.object)});
    if !call.resource.group.is_empty() {
        details["group"] = call.resource.group.into();
    }
    let mut response = call.answer(200, &answer::success(details));
    answer::warn(&mut response, &warnings);
    Ok(response)
}

async fn delete_collection(call: &Call<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let (selection, page) = (call.selection()?, options::list(&call.query)?);
    let options = options::delete(call, body)?;
    let writer = Writer {
        dry_run: options.dry_run,
        ..call.writer()
    };
    let registry = &call.api.registry;
    let listed = registry.list(call.resource, &selection, &page).await?;
    for entry in &listed.entries {
        let target = Target {
            namespace: entry.namespace(),
            name: entry.name(),
            ..call.target()
        };
        registry.admit_delete(&target, &writer)?;
        match registry.delete(&target, &options).await {
            Err(error) if error.reason != "NotFound" => return Err(error),
            _ => {}
        }
    }
    view.list(&call.headers, &*registry.slot(call.resource)?, &listed)
}

/// Whether a resource (or its part) takes the verb at all.
pub fn allows(call: &Call) -> bool {
    let verbs = match call.subresource {
        Some(subresource) => subresource.verbs,
        None => call.resource.verbs,
    };
    verbs.contains(&call.info.verb) || (call.method == Method::HEAD && call.info.verb == "get")
}
