//! The APIServices of what this server itself serves: each group and version has one, from the
//! start.
//!
//! Upstream: `pkg/controlplane/apiserver/aggregator.go`, whose numbers order the groups.

use serde_json::{Value, json};

use crate::resources;

/// The priorities of groups, and of their versions.
const PRIORITIES: &[(&str, &str, i64, i64)] = &[
    ("", "v1", 18000, 1),
    ("apps", "v1", 17800, 15),
    ("events.k8s.io", "v1", 17750, 15),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("batch", "v1", 17400, 15),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("networking.k8s.io", "v1", 17200, 15),
    ("policy", "v1", 17100, 15),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("storage.k8s.io", "v1", 16800, 15),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("node.k8s.io", "v1", 16300, 15),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("resource.k8s.io", "v1", 15900, 25),
];

/// One for each group and version that is built in.
pub(super) fn local() -> Vec<Value> {
    let served = |group: &str, version: &str| {
        resources::all().any(|resource| resource.group == group && resource.version == version)
    };
    let priorities = PRIORITIES.iter();
    priorities
        .filter(|(group, version, ..)| served(group, version))
        .map(|(group, version, group_priority, version_priority)| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {
                    "name": format!("{version}.{group}"),
                    "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
                },
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": group_priority,
                    "versionPriority": version_priority,
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_one_in_the_order_of_discovery() {
        let order: Vec<(&str, &str)> = PRIORITIES.iter().map(|(g, v, ..)| (*g, *v)).collect();
        let mut last = 0;
        for resource in resources::all() {
            // It serves the list, and is not on it.
            if resource.group == "apiregistration.k8s.io" {
                continue;
            }
            let place = order
                .iter()
                .position(|place| *place == (resource.group, resource.version));
            let place = place.unwrap_or_else(|| panic!("{} has no priority", resource.group));
            assert!(
                place >= last || resource.group == "autoscaling",
                "{}",
                resource.group
            );
            last = place;
        }
        assert_eq!(local()[0]["metadata"]["name"], "v1.");
    }
}
