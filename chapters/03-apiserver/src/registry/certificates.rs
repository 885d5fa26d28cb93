//! Certificate signing requests: who asked is the server's to say, and three doors lead to one
//! object, so that who approves and who signs may be two.
//!
//! | written through | changes |
//! | --- | --- |
//! | the object | metadata; what was asked for stays |
//! | `approval` | conditions |
//! | `status` | the certificate, and conditions but `Approved` and `Denied` |
//!
//! Upstream: `pkg/registry/certificates/certificates/strategy.go`.

use serde_json::{Value, json};

use super::meta;
use crate::authn::User;
use crate::resources::Resource;

const DECISIONS: [&str; 2] = ["Approved", "Denied"];

/// Whether it is a request for a certificate.
pub(super) fn is_request(resource: &Resource) -> bool {
    resource.group == "certificates.k8s.io"
}

/// Writes into a new request who makes it, whatever it says itself.
pub fn fill_in_requester(resource: &Resource, object: &mut Value, user: &User) {
    if !is_request(resource) {
        return;
    }
    let spec = &mut object["spec"];
    for (field, value) in [
        ("username", json!(user.name)),
        ("uid", json!(user.uid)),
        ("groups", json!(user.groups)),
        ("extra", json!(user.extra)),
    ] {
        let is_empty = value == json!("") || value == json!([]) || value == json!({});
        match spec.as_object_mut() {
            Some(spec) if is_empty => {
                spec.remove(field);
            }
            Some(spec) => {
                spec.insert(field.to_owned(), value);
            }
            None => {}
        }
    }
}

/// Keeps of the old request what a change through this door may not touch.
pub(super) fn prepare_update(subresource: &str, new: &mut Value, old: &Value) {
    meta::carry(old, new, "spec");
    match subresource {
        "" => meta::carry(old, new, "status"),
        "approval" => {
            let said = new["status"].clone();
            meta::carry(old, new, "status");
            if !new["status"].is_object() {
                new["status"] = json!({});
            }
            meta::carry(&said, &mut new["status"], "conditions");
        }
        _ => keep_decisions(new, old),
    }
}

/// Puts the old decisions in the place of the new ones, where they are as many: if not, validation
/// refuses the change.
fn keep_decisions(new: &mut Value, old: &Value) {
    let of = |object: &Value, decision: &str| -> Vec<usize> {
        let all = object["status"]["conditions"].as_array();
        let all = all.into_iter().flatten().enumerate();
        all.filter(|(_, condition)| condition["type"] == decision)
            .map(|(index, _)| index)
            .collect()
    };
    for decision in DECISIONS {
        let (olds, news) = (of(old, decision), of(new, decision));
        if olds.len() == news.len() {
            for (old_index, new_index) in olds.into_iter().zip(news) {
                new["status"]["conditions"][new_index] =
                    old["status"]["conditions"][old_index].clone();
            }
        }
    }
}

/// Notes when conditions were written and when they came to be so, unless their writer did.
pub(super) fn note_times(new: &mut Value, old: &Value, now: &str) {
    let olds = old["status"]["conditions"].as_array();
    let news = new.pointer_mut("/status/conditions");
    for condition in news.and_then(Value::as_array_mut).into_iter().flatten() {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.into();
        }
        if condition["lastTransitionTime"].is_null() {
            let before = olds.into_iter().flatten().find(|old| {
                old["type"] == condition["type"]
                    && old["status"] == condition["status"]
                    && !old["lastTransitionTime"].is_null()
            });
            condition["lastTransitionTime"] =
                before.map_or_else(|| now.into(), |old| old["lastTransitionTime"].clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(certificate: &str, conditions: Value) -> Value {
        json!({"spec": {"username": "jane"},
            "status": {"certificate": certificate, "conditions": conditions}})
    }

    #[test]
    fn each_door_leads_to_its_own_part() {
        let approved = json!({"type": "Approved", "status": "True", "reason": "old"});
        let old = request("old", json!([approved]));
        let mut wish = request("new", json!([{"type": "Approved", "reason": "new"}]));
        wish["spec"]["username"] = json!("admin");
        let through = |door: &str| {
            let mut new = wish.clone();
            prepare_update(door, &mut new, &old);
            new
        };
        assert_eq!(through(""), old);
        let conditions = wish["status"]["conditions"].clone();
        assert_eq!(through("approval"), request("old", conditions));
        assert_eq!(through("status"), request("new", json!([approved])));
    }

    #[test]
    fn conditions_have_their_times() {
        let old = request(
            "",
            json!([{"type": "A", "status": "True", "lastTransitionTime": "then"}]),
        );
        let mut new = request(
            "",
            json!([{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]),
        );
        note_times(&mut new, &old, "now");
        let at = |index: usize| new["status"]["conditions"][index]["lastTransitionTime"].clone();
        assert_eq!((at(0), at(1)), (json!("then"), json!("now")));
        assert_eq!(new["status"]["conditions"][0]["lastUpdateTime"], "now");
    }
}
