//! What of a status the API server does not know yet, as a strategic merge patch.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

use super::conditions::{DISRUPTION, OWNED};

/// The patch that turns the status the API server is known to have into the one wanted, or `None`
/// if nothing of it differs. It names only the conditions that change, so nobody else's is lost,
/// and the pod's uid, so that it never lands on a namesake.
///
/// Upstream: `pkg/util/pod/pod.go: PatchPodStatus`.
pub fn status_patch(pod: &Pod, known: &PodStatus, wanted: &PodStatus) -> Option<Value> {
    let known = to_map(known);
    let wanted = to_map(wanted);
    let mut status = Map::new();
    for (key, value) in &wanted {
        let was = known.get(key);
        if was == Some(value) {
            continue;
        }
        let change = match key.as_str() {
            "conditions" => changed_conditions(was, value),
            "podIPs" | "hostIPs" => replaced_list(was, value),
            _ => value.clone(),
        };
        if change.as_array().is_none_or(|list| !list.is_empty()) {
            status.insert(key.clone(), change);
        }
    }
    for key in known.keys().filter(|key| !wanted.contains_key(*key)) {
        status.insert(key.clone(), Value::Null);
    }
    (!status.is_empty())
        .then(|| json!({ "metadata": { "uid": pod.metadata.uid }, "status": status }))
}

/// Lists merge by key, so those of ours that differ are enough.
fn changed_conditions(known: Option<&Value>, wanted: &Value) -> Value {
    let known = known
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ours = wanted.as_array().into_iter().flatten().filter(|condition| {
        let type_ = condition["type"].as_str().unwrap_or_default();
        (OWNED.contains(&type_) || type_ == DISRUPTION) && !known.contains(condition)
    });
    let with_gaps_closed = ours.map(|condition| {
        let mut condition = condition.clone();
        let type_ = condition["type"].clone();
        let was = known.iter().find(|known| known["type"] == type_);
        for field in ["reason", "message"] {
            // What is left out of a merge stays as it was, so what went away is said.
            if was.is_some_and(|was| was.get(field).is_some()) && condition.get(field).is_none() {
                condition[field] = Value::Null;
            }
        }
        condition
    });
    // What is ours and is not said any more is taken away.
    let said = |type_: &Value| {
        let mut wanted = wanted.as_array().into_iter().flatten();
        wanted.any(|condition| condition["type"] == *type_)
    };
    let gone = known.iter().map(|condition| &condition["type"]);
    let gone = gone
        .filter(|type_| OWNED.contains(&type_.as_str().unwrap_or_default()) && !said(type_))
        .map(|type_| json!({ "$patch": "delete", "type": type_ }));
    Value::Array(with_gaps_closed.chain(gone).collect())
}

/// Lists that merge by address: a new address replaces the old one only if that is asked for.
fn replaced_list(known: Option<&Value>, wanted: &Value) -> Value {
    let had_any = known
        .and_then(Value::as_array)
        .is_some_and(|list| !list.is_empty());
    let mut list = wanted.as_array().cloned().unwrap_or_default();
    if had_any {
        list.push(json!({ "$patch": "replace" }));
    }
    Value::Array(list)
}

fn to_map(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "web", "uid": "u1" } })).unwrap()
    }

    #[test]
    fn names_only_what_changed_and_only_what_is_ours() {
        let known = status(json!({
            "phase": "Pending", "podIPs": [{ "ip": "10.244.1.2" }], "reason": "Gone",
            "conditions": [
                { "type": "Ready", "status": "False", "reason": "ContainersNotReady" },
                { "type": "example.com/gate", "status": "True" },
            ],
        }));
        let wanted = status(json!({
            "phase": "Running", "podIPs": [{ "ip": "10.244.1.3" }],
            "conditions": [
                { "type": "Ready", "status": "True" },
                { "type": "example.com/gate", "status": "False" },
            ],
        }));
        let patch = status_patch(&pod(), &known, &wanted).unwrap();
        assert_eq!(
            patch,
            json!({
                "metadata": { "uid": "u1" },
                "status": {
                    "phase": "Running",
                    "reason": null,
                    "podIPs": [{ "ip": "10.244.1.3" }, { "$patch": "replace" }],
                    "conditions": [{ "type": "Ready", "status": "True", "reason": null }],
                },
            })
        );
        assert_eq!(status_patch(&pod(), &wanted, &wanted), None);
    }

    #[test]
    fn takes_away_what_is_ours_and_gone() {
        let ready = json!({ "type": "Ready", "status": "True" });
        let resizing = json!({ "type": "PodResizeInProgress", "status": "True" });
        let theirs = json!({ "type": "example.com/gate", "status": "True" });
        let known = status(json!({ "conditions": [ready, resizing, theirs] }));
        let wanted = status(json!({ "conditions": [ready] }));
        let patch = status_patch(&pod(), &known, &wanted).unwrap();
        let delete = json!({ "$patch": "delete", "type": "PodResizeInProgress" });
        assert_eq!(patch["status"], json!({ "conditions": [delete] }));
    }
}
