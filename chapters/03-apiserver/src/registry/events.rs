//! Events have two forms, of core/v1 and of events.k8s.io/v1; they are kept in the first. Custom
//! objects are shown as their definition says now.
//!
//! Upstream: `pkg/apis/core/v1` and `pkg/apis/events/v1/conversion.go`.

use serde_json::Value;

use super::{autoscaling, keys};
use crate::custom;
use crate::resources::Resource;

/// Fields that have two names: in core/v1, and in events.k8s.io/v1.
const NAMES: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// A stored object, as a resource shows it.
pub fn present(resource: &Resource, object: Value) -> Value {
    if let Some(custom) = resource.custom {
        return custom::present(custom, object);
    }
    if keys::stored_as(resource) == *resource {
        return object;
    }
    if resource.group == "autoscaling" {
        return autoscaling::to_v1(object);
    }
    convert(object, "events.k8s.io/v1", |(core, events)| (core, events))
}

/// An object of a resource, as it is stored.
pub fn to_stored(resource: &Resource, object: Value) -> Value {
    if keys::stored_as(resource) == *resource {
        return object;
    }
    if resource.group == "autoscaling" {
        return autoscaling::from_v1(object);
    }
    convert(object, "v1", |(core, events)| (events, core))
}

fn convert(
    mut object: Value,
    api_version: &str,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) -> Value {
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    for &names in NAMES {
        let (from, to) = direction(names);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
    fields.insert("apiVersion".into(), api_version.into());
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;
    use serde_json::json;

    #[test]
    fn round_trip() {
        let resource = resources::by_kind("events.k8s.io", "v1", "Event").expect("is served");
        let stored = json!({"apiVersion": "v1", "kind": "Event", "message": "m", "count": 2,
            "involvedObject": {"name": "x"}, "reportingComponent": "k", "reason": "r"});
        let shown = present(resource, stored.clone());
        assert_eq!(
            shown,
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "m",
                "deprecatedCount": 2, "regarding": {"name": "x"}, "reportingController": "k",
                "reason": "r"})
        );
        assert_eq!(to_stored(resource, shown), stored);
    }
}
