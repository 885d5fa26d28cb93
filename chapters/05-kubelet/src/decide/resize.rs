//! Changing what a running pod may use, without a new pod.
//!
//! ```text
//! wanted (spec) ──may it?──▶ allocated (kept on disk) ──runtime──▶ actuated (kept on disk)
//!      │                          │                                    │
//!      │ no: PodResizePending     │ not the same: PodResizeInProgress  │ status.resources
//! ```
//!
//! What is allocated counts against the node's room, whatever the spec wishes; and what was last
//! told to the runtime is what a container has. Both outlive the kubelet in a file beside the
//! pod's volumes.
//!
//! Upstream: `pkg/kubelet/allocation`, `kuberuntime_manager.go: doPodResizeAction`, KEP-1287.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::admission::{Room, shortage};
use super::requests::{pod_requests, shown};
use super::{quantity, spec};
use crate::runtime::Resources;

/// What the kubelet remembers of a pod's resources, by container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// What each may use.
    pub allocated: BTreeMap<String, ResourceRequirements>,
    /// What the runtime was last told.
    pub actuated: BTreeMap<String, ResourceRequirements>,
}

/// A resize that cannot be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred`: perhaps later; `Infeasible`: never on this node.
    pub reason: &'static str,
    /// Of what there is too little.
    pub message: String,
}

/// What follows from what a spec wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has what it wishes.
    Unchanged,
    /// It may have what it wishes.
    Allocate,
    /// It may not, or not yet.
    Pending(Pending),
}

/// The containers whose resources can change: the pod's own, and sidecars.
pub fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    let sidecars = spec::init_containers(pod).iter();
    sidecars
        .filter(|container| spec::is_sidecar(container))
        .chain(&spec::of(pod).containers)
}

/// What the spec wishes for, by container.
pub fn wanted(pod: &Pod) -> BTreeMap<String, ResourceRequirements> {
    let resources = |c: &Container| (c.name.clone(), c.resources.clone().unwrap_or_default());
    resizable(pod).map(resources).collect()
}

/// The pod as it is allowed to be: its spec with the resources that are allocated.
pub fn allocated_pod(pod: &Pod, allocation: &Allocation) -> Pod {
    let mut allocated = pod.clone();
    let Some(spec) = &mut allocated.spec else {
        return allocated;
    };
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        if let Some(resources) = allocation.allocated.get(&container.name) {
            container.resources = Some(resources.clone());
        }
    }
    allocated
}

/// Decides about what the spec wishes. `room.others` are the other pods as they are allocated.
pub fn decide(pod: &Pod, allocation: &Allocation, room: &Room<'_>) -> Verdict {
    let wishes = wanted(pod);
    let unchanged = wishes.iter().all(|(name, wish)| {
        allocation
            .allocated
            .get(name)
            .is_none_or(|has| same_amounts(wish, has))
    });
    if unchanged {
        return Verdict::Unchanged;
    }
    let asked = pod_requests(pod);
    for name in ["memory", "cpu"] {
        let capacity = room
            .allocatable
            .get(name)
            .and_then(|text| quantity::parse_nanos(text));
        let (Some(asked), Some(capacity)) = (asked.get(name), capacity) else {
            continue;
        };
        if *asked > capacity {
            return Verdict::Pending(Pending {
                reason: "Infeasible",
                message: format!(
                    "Node didn't have enough capacity: {name}, requested: {}, capacity: {}",
                    shown(name, *asked),
                    shown(name, capacity)
                ),
            });
        }
    }
    match shortage(pod, room) {
        None => Verdict::Allocate,
        Some(shortage) => Verdict::Pending(Pending {
            reason: "Deferred",
            message: shortage.message,
        }),
    }
}

/// Whether two sets of resources ask for the same, however they write it.
pub fn same_amounts(a: &ResourceRequirements, b: &ResourceRequirements) -> bool {
    let list = |list: &Option<BTreeMap<String, Quantity>>| -> BTreeMap<String, Option<i128>> {
        let list = list.iter().flatten();
        list.map(|(name, quantity)| (name.clone(), quantity::parse_nanos(&quantity.0)))
            .collect()
    };
    list(&a.limits) == list(&b.limits) && list(&a.requests) == list(&b.requests)
}

/// Whether a change means a new container, by the container's own policy.
pub fn needs_restart(
    container: &Container,
    from: &ResourceRequirements,
    to: &ResourceRequirements,
) -> bool {
    let amount = |list: &Option<BTreeMap<String, Quantity>>, name: &str| {
        let quantity = list.as_ref().and_then(|list| list.get(name));
        quantity.and_then(|quantity| quantity::parse_nanos(&quantity.0))
    };
    container.resize_policy.iter().flatten().any(|policy| {
        let name = &policy.resource_name;
        let changes = amount(&from.limits, name) != amount(&to.limits, name)
            || amount(&from.requests, name) != amount(&to.requests, name);
        policy.restart_policy == "RestartContainer" && changes
    })
}

/// Resources as the runtime takes them.
pub fn for_runtime(resources: &ResourceRequirements) -> Resources {
    let limit = |name: &str| resources.limits.as_ref()?.get(name);
    let request = |name: &str| resources.requests.as_ref()?.get(name);
    Resources {
        cpu_request_millis: request("cpu").map(quantity::milli_value),
        cpu_limit_millis: limit("cpu").map(quantity::milli_value),
        memory_limit_bytes: limit("memory").map(quantity::value),
    }
}

/// What events of a resize tell, after their first words.
pub fn told(pod: &Pod, error: Option<&str>) -> String {
    let init: Vec<_> = spec::init_containers(pod)
        .iter()
        .filter(|container| spec::is_sidecar(container))
        .map(|c| json!({ "name": c.name, "resources": c.resources }))
        .collect();
    let main = spec::of(pod).containers.iter();
    let main: Vec<_> = main
        .map(|c| json!({ "name": c.name, "resources": c.resources }))
        .collect();
    let mut told = json!({ "containers": main, "generation": pod.metadata.generation });
    if !init.is_empty() {
        told["initContainers"] = json!(init);
    }
    if let Some(error) = error {
        told["error"] = json!(error);
    }
    told.to_string()
}
