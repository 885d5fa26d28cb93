//! Who owns what after a change, and what is pruned by an apply.
//!
//! Upstream: `sigs.k8s.io/structured-merge-diff`, `merge/update.go`.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::managed::{Managed, Manager, Owned};
use super::merge::merge;
use super::path::{Element, Set};
use super::reset::Reset;
use super::typed::{self, Comparison};
use crate::schema::Shape;

/// A field that another manager wants otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) manager: Manager,
    pub(super) path: Vec<Element>,
}

/// Fields that nobody owns: they identify the object, or are the server's own.
static UNOWNED: LazyLock<Set> = LazyLock::new(|| {
    let mut set = Set::of_fields(&["apiVersion", "kind", "metadata"]);
    let names = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    for name in names {
        set.insert(&[Element::field("metadata"), Element::field(name)]);
    }
    set
});

/// Takes fields that changed from their other owners; without `force`, an owned field that is
/// changed or added is a conflict.
fn take_over(
    shape: &Shape,
    old: &Value,
    new: &Value,
    managed: &mut Managed,
    current: &Manager,
    force: bool,
    reset: &Reset,
) -> Result<Comparison, Vec<Conflict>> {
    let mut comparison = typed::compare(shape, old, new);
    for set in [
        &mut comparison.removed,
        &mut comparison.modified,
        &mut comparison.added,
    ] {
        *set = reset.filter(std::mem::take(set));
    }
    let changed = match managed.keys().all(|manager| manager == current) {
        true => Set::default(),
        false => comparison.modified.clone().union(comparison.added.clone()),
    };
    let mut conflicts = Vec::new();
    for (manager, owned) in managed
        .iter_mut()
        .filter(|(manager, _)| *manager != current)
    {
        let contested = owned.set.intersection(&changed);
        if !force {
            let paths = contested.paths().into_iter();
            conflicts.extend(paths.map(|path| Conflict {
                manager: manager.clone(),
                path,
            }));
        }
        owned.set = std::mem::take(&mut owned.set)
            .difference(&contested)
            .difference(&comparison.removed);
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    managed.retain(|_, owned| !owned.set.is_empty());
    Ok(comparison)
}

/// Records a write of `current`, at `now`, that made `new` of `old`.
pub(super) fn update(
    shape: &Shape,
    old: &Value,
    new: &Value,
    managed: &mut Managed,
    current: Manager,
    now: &str,
    reset: &Reset,
) {
    // An entry of its own for this write, so that the time changes only when a field does.
    let this_write = Manager {
        name: String::new(),
        ..current.clone()
    };
    let Ok(comparison) = take_over(shape, old, new, managed, &this_write, true, reset) else {
        return;
    };
    let set = comparison.modified.union(comparison.added);
    let set = set.difference(&UNOWNED);
    if set.is_empty() {
        return;
    }
    let before = managed
        .remove(&current)
        .map(|owned| owned.set)
        .unwrap_or_default();
    let api_version = current.api_version.clone();
    let owned = Owned {
        set: set.union(before),
        api_version,
        time: Some(now.to_owned()),
    };
    managed.insert(current, owned);
}

/// Merges a configuration into `live`; prunes what its manager applied before and no longer does.
#[allow(clippy::too_many_arguments)]
pub(super) fn apply(
    shape: &Shape,
    live: &Value,
    config: &Value,
    managed: &mut Managed,
    current: &Manager,
    api_version: &str,
    force: bool,
    reset: &Reset,
) -> Result<Value, Vec<Conflict>> {
    let merged = merge(shape, live, config);
    let set = reset.filter(typed::field_set(shape, config));
    let before = managed.remove(current);
    let time = before.as_ref().and_then(|owned| owned.time.clone());
    let owned = Owned {
        set,
        api_version: api_version.to_owned(),
        time,
    };
    managed.insert(current.clone(), owned);
    let new = match before {
        Some(before) if !before.set.is_empty() => prune(shape, merged, managed, &before.set),
        _ => merged,
    };
    take_over(shape, live, &new, managed, current, force, reset)?;
    if let Some(owned) = managed.get_mut(current) {
        owned.set = std::mem::take(&mut owned.set).difference(&UNOWNED);
    }
    managed.retain(|_, owned| !owned.set.is_empty());
    Ok(new)
}

/// Removes what was in the manager's last set and is now in nobody's.
fn prune(shape: &Shape, merged: Value, managed: &Managed, last: &Set) -> Value {
    let without =
        |set: &Set| typed::remove(shape, &merged, set).unwrap_or_else(|| Value::Object(Map::new()));
    let named = |set: &Set| typed::with_named_fields(set, shape);
    let all = named(&typed::field_set(shape, &merged));
    let last = named(last);

    // First everything that it applied last time goes…
    let kept = named(&typed::field_set(shape, &without(&last)));
    // … then what somebody owns, this very apply included, comes back …
    let owned = managed
        .values()
        .fold(Set::default(), |set, owned| set.union(owned.set.clone()));
    let pruned = without(&all.clone().difference(&kept.union(named(&owned))));
    // … and so does what was never the manager's own, but stood below what went.
    let kept = named(&typed::field_set(shape, &pruned));
    without(&all.difference(&kept).intersection(&last))
}
