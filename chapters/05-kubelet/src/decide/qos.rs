//! A pod's quality of service: who is squeezed first when the node runs short.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{quantity, spec};

/// Amounts by resource.
type List = BTreeMap<String, Quantity>;

/// `Guaranteed`, `Burstable` or `BestEffort`.
///
/// Upstream: `pkg/apis/core/v1/helper/qos/qos.go`.
pub fn qos_class(pod: &Pod) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for resources in asked(pod) {
        let requests = resources.requests.unwrap_or_default();
        let limits = resources.limits.unwrap_or_default();
        let milli = |list: &List, name: &str| list.get(name).map(quantity::milli_value);
        // ANCHOR: exercise-05.4
        for name in ["cpu", "memory"] {
            let limit = milli(&limits, name).unwrap_or(0);
            // Who names only a limit asks for as much.
            let request = milli(&requests, name).unwrap_or(limit);
            any |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && request == limit;
        }
        // ANCHOR_END: exercise-05.4
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What the pod as a whole asks for, if it says so; else what each of its containers does.
fn asked(pod: &Pod) -> Vec<ResourceRequirements> {
    let said = |list: &Option<List>| list.as_ref().is_some_and(|list| !list.is_empty());
    let whole = spec::of(pod).resources.as_ref();
    match whole.filter(|whole| said(&whole.requests) || said(&whole.limits)) {
        Some(whole) => vec![whole.clone()],
        None => spec::init_containers(pod)
            .iter()
            .chain(&spec::of(pod).containers)
            .map(|container| container.resources.clone().unwrap_or_default())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn class(whole: &Value, containers: &[&Value]) -> &'static str {
        let containers: Vec<Value> = containers
            .iter()
            .map(|resources| json!({ "name": "c", "resources": resources }))
            .collect();
        let spec = json!({ "containers": containers, "resources": whole });
        qos_class(&serde_json::from_value(json!({ "spec": spec })).unwrap())
    }

    #[test]
    fn classes_by_what_is_asked_for() {
        let (nothing, both) = (json!({}), json!({ "cpu": "1", "memory": "1Gi" }));
        let full = json!({ "limits": both });
        let cpu = json!({ "requests": { "cpu": "1" } });
        assert_eq!(class(&nothing, &[&nothing]), "BestEffort");
        assert_eq!(class(&nothing, &[&full]), "Guaranteed");
        assert_eq!(class(&nothing, &[&full, &cpu]), "Burstable");
        // What the pod as a whole asks for counts instead.
        assert_eq!(class(&full, &[&nothing]), "Guaranteed");
        assert_eq!(class(&cpu, &[&full]), "Burstable");
    }
}
