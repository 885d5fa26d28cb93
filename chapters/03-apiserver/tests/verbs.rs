//! The fine print of the verbs: rehearsals, options, preconditions, who may create by another verb,
//! watches over WebSockets.

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

#[path = "verbs/deletion.rs"]
mod deletion;
#[path = "verbs/fields.rs"]
mod fields;
#[path = "verbs/options.rs"]
mod options;
#[path = "verbs/rehearsal.rs"]
mod rehearsal;
#[path = "verbs/sockets.rs"]
mod sockets;
#[path = "verbs/update.rs"]
mod update;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A config map of that name.
fn config_map(name: &str) -> serde_json::Value {
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

/// Code and message of an answer.
fn told(answer: (u16, serde_json::Value)) -> (u16, String) {
    let (code, answer) = answer;
    let message = answer["message"].as_str().unwrap_or_default();
    (code, message.to_owned())
}
