//! `metadata.managedFields`: who owns which fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::path::Set;

/// Whose fields they are. One manager has an entry for what it applied, and one for each version
/// and subresource it updated by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    /// Applied, or else updated.
    pub(super) applied: bool,
    /// Empty for what is applied: an applier keeps its entry when it changes the version.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

/// The fields of a manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) set: Set,
    pub(super) api_version: String,
    /// When it last changed, RFC 3339.
    pub(super) time: Option<String>,
}

/// All managers of an object.
pub(super) type Managed = BTreeMap<Manager, Owned>;

impl Manager {
    pub(super) fn applier(name: &str, subresource: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            applied: true,
            api_version: String::new(),
            subresource: subresource.to_owned(),
        }
    }

    pub(super) fn updater(name: &str, api_version: &str, subresource: &str) -> Manager {
        Manager {
            name: name.to_owned(),
            applied: false,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
        }
    }

    /// As it stands in conflicts: `"kubectl-client-side-apply" using apps/v1`.
    pub(super) fn show(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if !self.applied {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// Reads `managedFields`; `None` if an entry is malformed.
pub(super) fn decode(entries: &Value) -> Option<Managed> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut managed = Managed::new();
    for entry in entries.as_array().into_iter().flatten() {
        let applied = match entry["operation"].as_str()? {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        let api_version = text(&entry["apiVersion"]);
        if api_version.is_empty() || entry["fieldsType"] != "FieldsV1" {
            return None;
        }
        let manager = Manager {
            name: text(&entry["manager"]),
            applied,
            api_version: if applied {
                String::new()
            } else {
                api_version.clone()
            },
            subresource: text(&entry["subresource"]),
        };
        let set = match &entry["fieldsV1"] {
            Value::Null => Set::default(),
            fields => Set::decode(fields)?,
        };
        let time = entry["time"].as_str().map(str::to_owned);
        managed.insert(
            manager,
            Owned {
                set,
                api_version,
                time,
            },
        );
    }
    Some(managed)
}

/// Whether the entries say that all ownership is to be forgotten: `[]` or `[{}]`.
pub(super) fn is_reset(entries: &Value) -> bool {
    match entries.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => entry.is_empty(),
        _ => false,
    }
}

/// Writes `managedFields` into an object's metadata: appliers first, then by time.
pub(super) fn write(managed: &Managed, object: &mut Value) {
    let mut entries: Vec<(&Manager, &Owned)> = managed
        .iter()
        .filter(|(_, owned)| !owned.set.is_empty())
        .collect();
    entries.sort_by_key(|(manager, owned)| {
        let time = owned
            .time
            .as_ref()
            .and_then(|time| time.parse::<Timestamp>().ok());
        (
            !manager.applied,
            time,
            &manager.name,
            &owned.api_version,
            &manager.subresource,
        )
    });
    let list: Vec<Value> = entries
        .into_iter()
        .map(|(m, owned)| encode(m, owned))
        .collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if !list.is_empty() {
            metadata.insert("managedFields".into(), list.into());
        }
    }
}

fn encode(manager: &Manager, owned: &Owned) -> Value {
    let mut entry = Map::new();
    entry.insert("manager".into(), manager.name.clone().into());
    let operation = if manager.applied { "Apply" } else { "Update" };
    entry.insert("operation".into(), operation.into());
    entry.insert("apiVersion".into(), owned.api_version.clone().into());
    if let Some(time) = &owned.time {
        entry.insert("time".into(), time.clone().into());
    }
    entry.insert("fieldsType".into(), "FieldsV1".into());
    entry.insert("fieldsV1".into(), owned.set.encode());
    if !manager.subresource.is_empty() {
        entry.insert("subresource".into(), manager.subresource.clone().into());
    }
    Value::Object(entry)
}

/// The object without its `managedFields`.
pub(super) fn without(object: &Value) -> Value {
    let mut object = object.clone();
    forget(&mut object);
    object
}

/// Takes an object's `managedFields` out of it.
pub(super) fn forget(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Most managers by update that are told apart.
const UPDATERS_MAX: usize = 10;

/// Joins the oldest updaters, of each version, into one entry where there are too many.
pub(super) fn cap(managed: &mut Managed) {
    let mut updaters: Vec<Manager> = managed.keys().filter(|m| !m.applied).cloned().collect();
    if updaters.len() <= UPDATERS_MAX {
        return;
    }
    updaters.sort_by_key(|manager| {
        let time = managed[manager]
            .time
            .as_ref()
            .and_then(|time| time.parse::<Timestamp>().ok());
        (time, manager.clone())
    });
    let mut left = updaters.len();
    let mut first_of: BTreeMap<String, Manager> = BTreeMap::new();
    for manager in updaters {
        if left <= UPDATERS_MAX {
            break;
        }
        // The oldest of a version stays who it is until there is a second to join it with.
        let version = manager.api_version.clone();
        let Some(first) = first_of.get(&version) else {
            first_of.insert(version, manager);
            continue;
        };
        let bucket = Manager::updater("ancient-changes", &version, "");
        if !managed.contains_key(&bucket)
            && let Some(owned) = managed.remove(first)
        {
            managed.insert(bucket.clone(), owned);
        }
        if let (Some(old), Some(joined)) = (managed.remove(&manager), managed.get_mut(&bucket)) {
            joined.set = std::mem::take(&mut joined.set).union(old.set);
            joined.time = old.time;
            left -= 1;
        }
    }
}

/// Whether two objects are the same but for the times of their managed fields.
pub(super) fn same_but_times(a: &Value, b: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        let entries = object
            .pointer_mut("/metadata/managedFields")
            .and_then(Value::as_array_mut);
        for entry in entries
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            entry.remove("time");
        }
        object
    };
    timeless(a) == timeless(b)
}
