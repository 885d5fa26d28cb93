//! Quality of service, which scopes of quotas go by.
//!
//! Upstream: `pkg/apis/core/v1/helper/qos/qos.go`.

use serde_json::Value;

use crate::quantity::Quantity;

/// The quality-of-service class of a pod: who is killed first when a node runs out of memory.
/// `Guaranteed` if each container asks for exactly its limits of cpu and memory, `BestEffort` if
/// none asks for any, `Burstable` otherwise.
pub fn qos_class(spec: &Value) -> &'static str {
    let lists = ["initContainers", "containers"];
    let containers = lists
        .iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten());
    let amount = |container: &Value, list: &str, resource: &str| {
        let quantity = container["resources"][list][resource].as_str();
        quantity
            .and_then(Quantity::parse)
            .filter(|quantity| !quantity.is_zero())
    };
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for resource in ["cpu", "memory"] {
            let limit = amount(container, "limits", resource);
            let request = amount(container, "requests", resource).or(limit);
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quality_of_service() {
        let class =
            |resources: Value| qos_class(&json!({"containers": [{"resources": resources}]}));
        let full = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(class(json!({})), "BestEffort");
        assert_eq!(class(json!({"limits": full})), "Guaranteed");
        assert_eq!(
            class(json!({"limits": full, "requests": {"cpu": "1000m"}})),
            "Guaranteed",
            "one amount in two forms"
        );
        assert_eq!(class(json!({"requests": full})), "Burstable");
    }
}
