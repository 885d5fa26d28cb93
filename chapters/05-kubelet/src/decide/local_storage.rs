//! Whether a pod uses more of the node's disk than it may: the limits of its `emptyDir` volumes,
//! of its containers, and of the containers together.
//!
//! The first limit that is exceeded ends the pod, at once. Upstream:
//! `pkg/kubelet/eviction/eviction_manager.go: localStorageEviction`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{quantity, spec};

const RESOURCE: &str = "ephemeral-storage";

/// What a pod uses, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Each `emptyDir`, by the volume's name.
    pub empty_dirs: BTreeMap<String, u64>,
    /// Each container's logs and writable layer, by name.
    pub containers: BTreeMap<String, u64>,
}

/// Whether anything of the pod has a limit: of most pods nothing has to be counted.
pub fn is_limited(pod: &Pod) -> bool {
    let volumes = spec::of(pod).volumes.iter().flatten();
    let mut empty_dirs = volumes.filter_map(|volume| volume.empty_dir.as_ref());
    empty_dirs.any(|source| source.size_limit.is_some()) || limits_containers(pod)
}

/// Whether a container of the pod has a limit.
pub fn limits_containers(pod: &Pod) -> bool {
    let mut containers = spec::of(pod).containers.iter();
    containers.any(|container| limit(container).is_some())
}

/// What the pod is ended for, in upstream's words; `None` if it keeps to its limits.
pub fn exceeded(pod: &Pod, usage: &Usage) -> Option<String> {
    over_size_limit(pod, usage)
        .or_else(|| over_pod_limit(pod, usage))
        .or_else(|| over_container_limit(pod, usage))
}

fn over_size_limit(pod: &Pod, usage: &Usage) -> Option<String> {
    spec::of(pod).volumes.iter().flatten().find_map(|volume| {
        let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
        let used = *usage.empty_dirs.get(&volume.name)?;
        let is_over = quantity::value(limit) > 0 && used > bytes(limit);
        is_over.then(|| {
            format!(
                "Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ",
                volume.name, limit.0
            )
        })
    })
}

fn over_pod_limit(pod: &Pod, usage: &Usage) -> Option<String> {
    let limits: Vec<&Quantity> = spec::of(pod).containers.iter().filter_map(limit).collect();
    let total: u64 = limits.iter().map(|limit| bytes(limit)).sum();
    let in_memory = |name: &str| {
        let mut volumes = spec::of(pod).volumes.iter().flatten();
        let volume = volumes.find(|volume| volume.name == name);
        let source = volume.and_then(|volume| volume.empty_dir.as_ref());
        source.is_some_and(|source| source.medium.as_deref() == Some("Memory"))
    };
    let on_disk = usage.empty_dirs.iter().filter(|(name, _)| !in_memory(name));
    let used = on_disk.map(|(_, used)| used).sum::<u64>() + usage.containers.values().sum::<u64>();
    let is_over = !limits.is_empty() && used > total;
    is_over.then(|| {
        let total = match limits.as_slice() {
            [only] => only.0.clone(),
            _ => in_binary(total),
        };
        format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. ")
    })
}

fn over_container_limit(pod: &Pod, usage: &Usage) -> Option<String> {
    spec::of(pod).containers.iter().find_map(|container| {
        let limit = limit(container)?;
        let used = *usage.containers.get(&container.name)?;
        (used > bytes(limit)).then(|| {
            format!(
                "Container {} exceeded its local ephemeral storage limit \"{}\". ",
                container.name, limit.0
            )
        })
    })
}

fn limit(container: &Container) -> Option<&Quantity> {
    let resources = container.resources.as_ref()?;
    resources.limits.as_ref()?.get(RESOURCE)
}

fn bytes(quantity: &Quantity) -> u64 {
    u64::try_from(quantity::value(quantity)).unwrap_or(0)
}

/// As quantities are printed: with the largest suffix that leaves a whole number.
fn in_binary(bytes: u64) -> String {
    let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let fits = |power: &usize| bytes != 0 && bytes.is_multiple_of(1 << (10 * power));
    let power = (0..suffixes.len()).rev().find(fits).unwrap_or(0);
    format!("{}{}", bytes >> (10 * power), suffixes[power])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MI: u64 = 1 << 20;

    fn pod() -> Pod {
        let limited = |name: &str, limit: &str| json!({"name": name, "resources": {"limits": {RESOURCE: limit}}});
        serde_json::from_value(json!({"spec": {
            "containers": [limited("a", "10Mi"), limited("b", "20Mi"), {"name": "free"}],
            "volumes": [
                {"name": "cache", "emptyDir": {"sizeLimit": "5Mi"}},
                {"name": "quick", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                {"name": "any", "emptyDir": {}},
            ],
        }}))
        .unwrap()
    }

    #[test]
    fn the_first_limit_that_is_exceeded_is_told() {
        let check = |empty_dirs: &[(&str, u64)], containers: &[(&str, u64)], expect: &str| {
            let by_name = |list: &[(&str, u64)]| {
                let list = list.iter();
                list.map(|(name, used)| ((*name).to_owned(), *used))
                    .collect()
            };
            let usage = Usage {
                empty_dirs: by_name(empty_dirs),
                containers: by_name(containers),
            };
            assert_eq!(exceeded(&pod(), &usage).unwrap_or_default(), expect);
        };
        check(&[("cache", 5 * MI), ("any", 20 * MI)], &[("a", 5 * MI)], "");
        check(
            &[("cache", 5 * MI + 1)],
            &[],
            "Usage of EmptyDir volume \"cache\" exceeds the limit \"5Mi\". ",
        );
        // Memory is no disk.
        check(&[("quick", 100 * MI)], &[("a", 5 * MI)], "");
        check(
            &[("any", 20 * MI)],
            &[("a", 5 * MI), ("free", 6 * MI)],
            "Pod ephemeral local storage usage exceeds the total limit of containers 30Mi. ",
        );
        check(
            &[],
            &[("a", 11 * MI)],
            "Container a exceeded its local ephemeral storage limit \"10Mi\". ",
        );
    }

    #[test]
    fn a_pod_without_limits_is_not_counted() {
        assert!(is_limited(&pod()));
        let free = json!({"spec": {"containers": [{"name": "free"}],
            "volumes": [{"name": "any", "emptyDir": {}}]}});
        assert!(!is_limited(&serde_json::from_value(free).unwrap()));
        assert_eq!(in_binary(30 * MI), "30Mi");
        assert_eq!(in_binary(1500), "1500");
    }
}
