//! Fields whose feature is switched off upstream: what a writer says of them is dropped, as if it
//! had not been said, unless the stored object has them already.
//!
//! | field | gate | off since |
//! | --- | --- | --- |
//! | `lifecycle.stopSignal` of containers | `ContainerStopSignals` | v1.33 (alpha) |
//! | `nodeAllocatableResourceMappings` of devices | `DRANodeAllocatableResources` | v1.36 (alpha) |
//! | `spec.preventPodSchedulingIfMissing` of CSIDrivers | `VolumeLimitScaling` | v1.35 (alpha) |
//!
//! Upstream: `pkg/api/pod/util.go`, `DropDisabledPodFields` and `DropDisabledTemplateFields`.

use serde_json::Value;

use crate::resources::Resource;

const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Drops from `new` what is switched off and not used in `old`.
pub fn drop_disabled(resource: &Resource, new: &mut Value, old: Option<&Value>) {
    if (resource.group, resource.plural) == ("storage.k8s.io", "csidrivers") {
        const FIELD: &str = "preventPodSchedulingIfMissing";
        let is_used = old.is_some_and(|old| !old["spec"][FIELD].is_null());
        if let Some(spec) = new["spec"].as_object_mut().filter(|_| !is_used) {
            spec.remove(FIELD);
        }
    }
    if (resource.group, resource.plural) == ("resource.k8s.io", "resourceslices") {
        const FIELD: &str = "nodeAllocatableResourceMappings";
        let is_used = old.is_some_and(|old| old.to_string().contains(FIELD));
        let devices = new
            .pointer_mut("/spec/devices")
            .and_then(Value::as_array_mut);
        for device in devices.into_iter().flatten().filter(|_| !is_used) {
            if let Some(device) = device.as_object_mut() {
                device.remove(FIELD);
            }
        }
    }
    let Some(path) = pod_spec_path(resource) else {
        return;
    };
    let old = old.and_then(|old| old.pointer(path));
    if let Some(spec) = new.pointer_mut(path)
        && !old.is_some_and(uses_stop_signals)
    {
        drop_stop_signals(spec);
    }
}

/// Where the spec of a pod, or of its template, is.
fn pod_spec_path(resource: &Resource) -> Option<&'static str> {
    match (resource.group, resource.plural) {
        ("", "pods") => Some("/spec"),
        ("apps", "deployments" | "replicasets" | "daemonsets" | "statefulsets")
        | ("", "replicationcontrollers")
        | ("batch", "jobs") => Some("/spec/template/spec"),
        ("", "podtemplates") => Some("/template/spec"),
        ("batch", "cronjobs") => Some("/spec/jobTemplate/spec/template/spec"),
        _ => None,
    }
}

fn uses_stop_signals(spec: &Value) -> bool {
    let lists = CONTAINER_LISTS.iter();
    let mut containers = lists.flat_map(|list| spec[list].as_array().into_iter().flatten());
    containers.any(|container| !container["lifecycle"]["stopSignal"].is_null())
}

fn drop_stop_signals(spec: &mut Value) {
    let lists = CONTAINER_LISTS.iter();
    for list in lists {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            let lifecycle = container.get_mut("lifecycle");
            let Some(lifecycle) = lifecycle.and_then(Value::as_object_mut) else {
                continue;
            };
            // One that said nothing else goes with it.
            if lifecycle.remove("stopSignal").is_some() && lifecycle.is_empty() {
                container.remove("lifecycle");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources;

    fn check(kind: (&str, &str), lifecycle: Value, old: Option<Value>, expected: Option<Value>) {
        let resource = resources::by_kind(kind.0, "v1", kind.1).expect("is served");
        let object = |lifecycle: Value| {
            let spec = json!({ "initContainers": [{ "name": "i" }], "containers": [
                { "name": "c", "lifecycle": lifecycle },
            ] });
            match kind.1 {
                "Pod" => json!({ "spec": spec }),
                _ => json!({ "spec": { "template": { "spec": spec } } }),
            }
        };
        let mut new = object(lifecycle);
        drop_disabled(resource, &mut new, old.map(object).as_ref());
        let path = pod_spec_path(resource).expect("has a pod's spec");
        let container = new.pointer(&format!("{path}/containers/0"));
        assert_eq!(container.unwrap().get("lifecycle"), expected.as_ref());
    }

    #[test]
    fn stop_signals_are_dropped_unless_they_are_in_use() {
        let signal = || json!({ "stopSignal": "SIGUSR1" });
        let hook = || json!({ "preStop": { "sleep": { "seconds": 1 } } });
        let both = || json!({ "stopSignal": "SIGUSR1", "preStop": hook()["preStop"] });
        for kind in [("", "Pod"), ("apps", "Deployment"), ("apps", "ReplicaSet")] {
            check(kind, signal(), None, None);
            check(kind, both(), None, Some(hook()));
            check(kind, both(), Some(hook()), Some(hook()));
            check(kind, hook(), None, Some(hook()));
            check(kind, signal(), Some(signal()), Some(signal()));
        }
    }
}
