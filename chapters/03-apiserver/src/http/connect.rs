//! What a connection is asked for with, as an object that admission can look at.
//!
//! Upstream: `PodExecOptions` and its kin of `pkg/apis/core`, which are made of the query.

use serde_json::{Value, json};

use super::call::Call;

/// The options of a connection to a part of an object: `PodExecOptions` of `pods/exec`.
pub fn options(call: &Call) -> Value {
    let part = call.info.subresource.as_str();
    let kind = match part {
        "exec" => "PodExecOptions".to_owned(),
        "attach" => "PodAttachOptions".to_owned(),
        "portforward" => "PodPortForwardOptions".to_owned(),
        _ => format!("{}ProxyOptions", call.resource.kind),
    };
    let mut options = json!({"apiVersion": "v1", "kind": kind});
    match part {
        "exec" | "attach" => {
            for flag in ["stdin", "stdout", "stderr", "tty"] {
                if call.query.flag(flag) {
                    options[flag] = true.into();
                }
            }
            let container = call.query.get("container");
            if !container.is_empty() {
                options["container"] = container.into();
            }
            let command: Vec<&str> = call.query.all("command").collect();
            if !command.is_empty() {
                options["command"] = json!(command);
            }
        }
        "portforward" => {
            let ports = call.query.all("ports").flat_map(|ports| ports.split(','));
            let ports: Vec<u16> = ports.filter_map(|port| port.parse().ok()).collect();
            if !ports.is_empty() {
                options["ports"] = json!(ports);
            }
        }
        _ => options["path"] = call.info.rest.as_str().into(),
    }
    options
}
