//! Server-side apply, and the record of who owns which field.
//!
//! A client says what it wants, `apply`, and no more; the server merges it into the object. What
//! a manager applied before and no longer names goes, unless somebody else owns it. A field that
//! another manager owns with another value is a conflict, unless it is forced.
//!
//! ```text
//!  live object ----+                       +-- merged -- prune --> new object
//!                  +-- merge --------------+
//!  configuration --+                       +-- compare with live: take over, or conflict
//!        |
//!        +-- typed::field_set --> fields of this manager --> metadata.managedFields
//! ```
//!
//! Every other write (create, update, patch) is compared with what was there, and the fields that
//! changed become its manager's: [`track_update`].
//!
//! | file | what it holds |
//! | --- | --- |
//! | `path.rs` | sets of fields, and their form in JSON, `FieldsV1` |
//! | `typed.rs` | walks over typed objects: which fields they have, what differs |
//! | `added.rs` | which fields come or go with a whole value |
//! | `merge.rs` | the merge of a configuration into an object |
//! | `misfits.rs` | what of a configuration does not fit its type |
//! | `update.rs` | the rules of ownership |
//! | `reset.rs` | fields that a write cannot change |
//! | `reconcile.rs` | sets that were noted under another schema |
//! | `piece.rs` | a merge without an owner, for policies |
//! | `versions.rs` | versions that fields may be noted in |
//! | `managed.rs` | `metadata.managedFields` |
//!
//! All versions of a kind have one form here, so a manager's fields never need conversion.
//! Objects of JSON are sorted by their keys' letters, so the keyed entries of `FieldsV1` are, too,
//! where upstream sorts numbers by value.
//! Upstream: `staging/src/k8s.io/apimachinery/pkg/util/managedfields`,
//! `sigs.k8s.io/structured-merge-diff`; KEP-555.

mod added;
mod managed;
mod merge;
mod misfits;
mod path;
mod piece;
mod reconcile;
mod reset;
mod typed;
mod update;
mod versions;

use serde_json::{Map, Value, json};

use crate::custom;
use crate::resources::{Custom, Resource};
use crate::schema::{FieldValidation, Shape, check, type_named};
use crate::status::ApiError;
use managed::{Managed, Manager};
pub use piece::merge_piece;
use reset::Reset;
use update::Conflict;

/// What an object is: a built-in type by its name, or a version that a client has defined.
#[derive(Debug, Clone, Copy)]
pub enum Typed<'a> {
    /// `io.k8s.api.core.v1.Pod`
    Named(&'a str),
    /// Such.
    Custom(&'a Custom),
}

impl<'a> Typed<'a> {
    /// The objects of a resource.
    pub fn of(resource: &Resource<'a>) -> Typed<'a> {
        match resource.custom {
            Some(custom) => Typed::Custom(custom),
            None => Typed::Named(resource.schema),
        }
    }

    /// Name in OpenAPI.
    fn name(self) -> &'a str {
        match self {
            Typed::Custom(custom) => &custom.schema_name,
            Typed::Named(name) => name,
        }
    }

    fn kind(self) -> &'a str {
        match self {
            Typed::Custom(custom) => &custom.definition.kind,
            Typed::Named(name) => name.rsplit('.').next().unwrap_or(name),
        }
    }

    fn shape(self) -> Result<Shape, ApiError> {
        let name = match self {
            Typed::Custom(custom) => return Ok(custom.shape.clone()),
            Typed::Named(name) => name,
        };
        let found = type_named(name).map(Shape::Struct);
        found.ok_or_else(|| ApiError::internal(format!("no type {name:?}")))
    }

    fn check(self, value: Value) -> Result<Value, ApiError> {
        let checked = match self {
            Typed::Named(name) => check(name, value, FieldValidation::Ignore),
            Typed::Custom(custom) => custom::check(custom, value, FieldValidation::Ignore),
        };
        checked.map(|checked| checked.value)
    }

    /// The object that a create starts from.
    fn empty(self) -> Result<Value, ApiError> {
        match self {
            Typed::Named(_) => self.check(json!({})),
            Typed::Custom(_) => Ok(json!({})),
        }
    }
}

impl<'a> From<&'a str> for Typed<'a> {
    fn from(name: &'a str) -> Typed<'a> {
        Typed::Named(name)
    }
}

/// Annotation in which `kubectl apply` keeps what it last applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What the annotations of an object may take together. Upstream: `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// Applies `config`, the body of the request as it was sent, for `manager`. `live` is the object
/// as stored, `None` if it is to be created; `api_version` that of the path (`apps/v1`); `now`
/// RFC 3339. An apply that changes nothing returns `live` as it is.
///
/// # Errors
///
/// `Conflict` with a cause for each field that others own, unless `force`; `BadRequest` and
/// internal errors where the configuration does not fit the type, as upstream.
#[allow(clippy::too_many_arguments)]
pub fn apply<'a>(
    typed: impl Into<Typed<'a>>,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: bool,
    subresource: &str,
    api_version: &str,
    now: &str,
) -> Result<Value, ApiError> {
    let typed = typed.into();
    let shape = typed.shape()?;
    let mut managed = match live.map(|live| managed::decode(&live["metadata"]["managedFields"])) {
        Some(None) => return Err(ApiError::internal("failed to decode managed fields")),
        Some(Some(managed)) => managed,
        None => Managed::new(),
    };
    check_config(&shape, typed.kind(), config, api_version)?;
    let object = match live {
        Some(live) => managed::without(live),
        None => typed.empty()?,
    };
    let reset = Reset::of(typed, subresource);
    if managed.is_empty() && live.is_some() {
        // What was there before anybody's fields were tracked must not be pruned.
        let before = Manager::updater("before-first-apply", api_version, subresource);
        let nothing = typed.empty()?;
        update::update(&shape, &nothing, &object, &mut managed, before, now, &reset);
    }
    bring_up_to_date(typed, &shape, &mut managed);
    let current = Manager::applier(manager, subresource);
    let attempt = |managed: &mut Managed, force: bool| {
        update::apply(
            &shape,
            &object,
            config,
            managed,
            &current,
            api_version,
            force,
            &reset,
        )
    };
    let before = managed.clone();
    let applied = match attempt(&mut managed, force) {
        Err(conflicts) if manager == "kubectl" => {
            managed = before;
            // `kubectl apply --server-side` takes over what `kubectl apply` applied.
            let allowed = last_applied(&shape, &object, api_version).unwrap_or_default();
            let others: Vec<Conflict> = conflicts
                .into_iter()
                .filter(|conflict| !allowed.has(&conflict.path))
                .collect();
            if others.is_empty() {
                attempt(&mut managed, true)
            } else {
                Err(others)
            }
        }
        applied => applied,
    };
    let mut new = applied.map_err(|conflicts| conflict_error(&conflicts))?;
    if let Some(owned) = managed.get_mut(&current) {
        owned.time = Some(now.to_owned());
    }
    if manager == "kubectl" {
        renew_last_applied(&mut new, config);
    }
    let mut new = typed.check(new)?;
    managed::write(&managed, &mut new);
    match live {
        Some(live) if managed::same_but_times(live, &new) => Ok(live.clone()),
        _ => Ok(new),
    }
}

/// Records in `new` that `manager` wrote it in place of `live` (`None`: created it), by create,
/// update or patch. `api_version` is that of the request, `now` RFC 3339. An update that changes
/// nothing leaves the record as it was.
pub fn track_update<'a>(
    typed: impl Into<Typed<'a>>,
    live: Option<&Value>,
    new: &mut Value,
    manager: &str,
    subresource: &str,
    api_version: &str,
    now: &str,
) {
    let typed = typed.into();
    let Ok(shape) = typed.shape() else {
        return;
    };
    let Some(empty) = typed.empty().ok().filter(|_| new["metadata"].is_object()) else {
        return;
    };
    let of_live = || {
        let entries = live.map(|live| &live["metadata"]["managedFields"]);
        entries.and_then(managed::decode).unwrap_or_default()
    };
    let sent = &new["metadata"]["managedFields"];
    let mut managed = if !subresource.is_empty() {
        of_live()
    } else if managed::is_reset(sent) {
        Managed::new()
    } else {
        // Who knows nothing of managed fields must not delete them.
        managed::decode(sent)
            .filter(|sent| !sent.is_empty())
            .unwrap_or_else(of_live)
    };
    // The record itself is nobody's: that it is not in `new` changes nothing in it.
    managed::forget(new);
    let old = live.unwrap_or(&empty);
    // Once forgotten, ownership is tracked again from the first apply on.
    if live.is_none() || !managed.is_empty() {
        bring_up_to_date(typed, &shape, &mut managed);
        let current = Manager::updater(manager, api_version, subresource);
        let reset = Reset::of(typed, subresource);
        update::update(&shape, old, new, &mut managed, current, now, &reset);
        managed::cap(&mut managed);
    }
    managed::write(&managed, new);
}

/// Notes fields as the type is today, and forgets what was noted of versions that are unknown.
fn bring_up_to_date(typed: Typed, shape: &Shape, managed: &mut Managed) {
    managed.retain(|_, owned| versions::is_known(typed, &owned.api_version));
    for owned in managed.values_mut() {
        reconcile::reconcile(shape, &mut owned.set);
    }
}

/// Whether two versions of an object differ in nothing but the times at which fields changed
/// hands: then there is nothing to write.
pub fn same_but_times(live: &Value, new: &Value) -> bool {
    managed::same_but_times(live, new)
}

/// Checks a configuration of `autoscaling/v1` `Scale`, which is applied to a part of an object.
///
/// # Errors
/// As [`apply`].
pub fn check_scale(config: &Value) -> Result<(), ApiError> {
    let typed = Typed::Named("io.k8s.api.autoscaling.v1.Scale");
    check_config(&typed.shape()?, typed.kind(), config, "autoscaling/v1")
}

fn check_config(
    shape: &Shape,
    kind: &str,
    config: &Value,
    api_version: &str,
) -> Result<(), ApiError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let said = text(&config["apiVersion"]);
    let (group, version) = said.split_once('/').unwrap_or(("", &said));
    if said != api_version || config["kind"] != *kind {
        return Err(ApiError::bad_request(format!(
            "invalid object type: {group}/{version}, Kind={}",
            text(&config["kind"])
        )));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let misfits = misfits::misfits(shape, config);
    let problem = match misfits.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let mut error = ApiError::internal("");
    error.details = None;
    error.message = format!(
        "failed to create typed patch object ({}/{}; {group}/{version}, Kind={kind}): {problem}",
        text(&config["metadata"]["namespace"]),
        text(&config["metadata"]["name"]),
    );
    Err(error)
}

/// Fields that `kubectl apply` applied and that are still as it left them.
fn last_applied(shape: &Shape, live: &Value, api_version: &str) -> Option<path::Set> {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    let last: Value = serde_json::from_str(text).ok()?;
    if last["apiVersion"] != api_version || !misfits::misfits(shape, &last).is_empty() {
        return None;
    }
    let difference = typed::compare(shape, &last, live);
    let set = typed::field_set(shape, &last);
    Some(
        set.difference(&difference.modified)
            .difference(&difference.added)
            .difference(&difference.removed),
    )
}

/// Has the annotation say what is applied now, if there is one and there is room for it.
fn renew_last_applied(new: &mut Value, config: &Value) {
    let annotations = new["metadata"]["annotations"].as_object_mut();
    let Some(annotations) = annotations.filter(|annotations| {
        let last = annotations.get(LAST_APPLIED).and_then(Value::as_str);
        last.is_some_and(|last| !last.is_empty())
    }) else {
        return;
    };
    annotations.insert(LAST_APPLIED.into(), as_last_applied(config).into());
    let length = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if annotations.iter().map(length).sum::<usize>() > ANNOTATIONS_BYTES_MAX {
        annotations.remove(LAST_APPLIED);
    }
}

/// The annotation for a configuration: itself, without the annotation, on a line.
fn as_last_applied(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations") {
        annotations
            .as_object_mut()
            .map(|annotations| annotations.remove(LAST_APPLIED));
    }
    format!("{config}\n")
}

fn conflict_error(conflicts: &[Conflict]) -> ApiError {
    // As upstream sorts them: by name, appliers before updaters.
    let mut conflicts = conflicts.to_vec();
    let order = |m: &Manager| {
        (
            m.name.clone(),
            !m.applied,
            m.api_version.clone(),
            m.subresource.clone(),
        )
    };
    conflicts.sort_by_key(|conflict| order(&conflict.manager));
    let conflicts = conflicts.as_slice();
    let shown = |conflict: &Conflict| path::show(&conflict.path);
    let message = match conflicts {
        [one] => {
            let manager = one.manager.show();
            format!(
                "Apply failed with 1 conflict: conflict with {manager}: {}",
                shown(one)
            )
        }
        many => {
            let mut lines = Vec::new();
            let mut last = None;
            // They come manager by manager.
            for conflict in many {
                if last != Some(&conflict.manager) {
                    lines.push(format!("conflicts with {}:", conflict.manager.show()));
                    last = Some(&conflict.manager);
                }
                lines.push(format!("- {}", shown(conflict)));
            }
            format!(
                "Apply failed with {} conflicts: {}",
                many.len(),
                lines.join("\n")
            )
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", conflict.manager.show()),
                "field": shown(conflict),
            })
        })
        .collect();
    let mut details = Map::new();
    details.insert("causes".into(), causes.into());
    ApiError {
        details: Some(details),
        ..ApiError::new(409, "Conflict", message)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
