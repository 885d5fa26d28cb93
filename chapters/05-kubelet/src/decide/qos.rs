//! A pod's quality of service: who is squeezed first when the node runs short.

use k8s_openapi::api::core::v1::Pod;

use super::{quantity, spec};

/// `Guaranteed`, `Burstable` or `BestEffort`.
///
/// Upstream: `pkg/apis/core/v1/helper/qos/qos.go`.
pub fn qos_class(pod: &Pod) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for container in spec::init_containers(pod)
        .iter()
        .chain(&spec::of(pod).containers)
    {
        let resources = container.resources.clone().unwrap_or_default();
        let requests = resources.requests.unwrap_or_default();
        let limits = resources.limits.unwrap_or_default();
        for name in ["cpu", "memory"] {
            let limit = limits.get(name).map(quantity::milli_value).unwrap_or(0);
            let request = requests
                .get(name)
                .map(quantity::milli_value)
                .unwrap_or(limit);
            any |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
