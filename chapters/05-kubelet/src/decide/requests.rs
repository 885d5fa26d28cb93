//! What a pod asks of its node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{quantity, spec};

/// Amounts by resource, in billionths of its unit.
pub type Amounts = BTreeMap<String, i128>;

/// What a pod asks for: its containers together, or its largest init container if that is more,
/// with the sidecars that run at that time; and its overhead.
///
/// Upstream: `component-helpers/resource/helpers.go: PodRequests`.
pub fn pod_requests(pod: &Pod) -> Amounts {
    let mut total = Amounts::new();
    // ANCHOR: exercise-05.11
    for container in &spec::of(pod).containers {
        add(&mut total, &container_requests(container));
    }
    let (mut sidecars, mut initializing) = (Amounts::new(), Amounts::new());
    for container in spec::init_containers(pod) {
        let mut now = container_requests(container);
        if spec::is_sidecar(container) {
            add(&mut sidecars, &now);
            now.clone_from(&sidecars);
        } else {
            add(&mut now, &sidecars);
        }
        at_least(&mut initializing, &now);
    }
    add(&mut total, &sidecars);
    at_least(&mut total, &initializing);
    // ANCHOR_END: exercise-05.11
    // What the pod as a whole asks for counts instead of what its containers do.
    let whole = spec::of(pod).resources.clone().unwrap_or_default();
    total.extend(amounts(whole.requests.as_ref()));
    add(&mut total, &amounts(spec::of(pod).overhead.as_ref()));
    total
}

/// What one container asks for.
pub fn container_requests(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    amounts(resources.and_then(|resources| resources.requests.as_ref()))
}

/// An amount as messages show it: millicores of `cpu`, whole units of all else.
pub fn shown(resource: &str, nanos: i128) -> i128 {
    let unit = if resource == "cpu" {
        1_000_000
    } else {
        1_000_000_000
    };
    nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) != 0)
}

fn amounts(
    list: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
) -> Amounts {
    list.into_iter()
        .flatten()
        .filter_map(|(name, quantity)| Some((name.clone(), quantity::parse_nanos(&quantity.0)?)))
        .collect()
}

/// Adds amounts to a sum.
pub fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        *total.entry(name.clone()).or_default() += amount;
    }
}

/// Raises each amount to what is needed at least.
fn at_least(total: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let known = total.entry(name.clone()).or_default();
        *known = (*known).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_larger_of_start_and_run_counts() {
        let asks = |cpu: &str| json!({ "requests": { "cpu": cpu } });
        let pod: Pod = serde_json::from_value(json!({ "spec": {
            "initContainers": [
                { "name": "s", "restartPolicy": "Always", "resources": asks("100m") },
                { "name": "i", "resources": asks("500m") },
            ],
            "containers": [
                { "name": "a", "resources": asks("200m") },
                { "name": "b", "resources": asks("100m") },
            ],
            "overhead": { "cpu": "50m" },
        }}))
        .unwrap();
        // While it starts 100 + 500, while it runs 100 + 200 + 100; and its overhead.
        assert_eq!(shown("cpu", pod_requests(&pod)["cpu"]), 650);
    }
}
