//! What a pod asks for and what a node has.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::{milli_value, value};

/// What a container that asks for no CPU is taken to use, when nodes are scored, in thousandths.
const DEFAULT_MILLI_CPU: i64 = 100;

/// What a container that asks for no memory is taken to use, when nodes are scored, in bytes.
const DEFAULT_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

type ResourceList = BTreeMap<String, Quantity>;

/// Amounts of resources by name: CPU in thousandths of one, memory and storage in bytes, all else
/// in its own unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    amounts: BTreeMap<String, i64>,
}

impl Resources {
    /// The amounts of a list as the API has it.
    pub fn from_list(list: &ResourceList) -> Self {
        let amount = |(name, quantity): (&String, &Quantity)| {
            let amount = if name == "cpu" {
                milli_value(quantity)
            } else {
                value(quantity)
            };
            (name.clone(), amount)
        };
        Self {
            amounts: list.iter().map(amount).collect(),
        }
    }

    /// How much of `name`.
    pub fn get(&self, name: &str) -> i64 {
        self.amounts.get(name).copied().unwrap_or(0)
    }

    /// All that is there, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.amounts
            .iter()
            .map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let sum = self.amounts.entry(name.to_owned()).or_default();
            *sum = sum.saturating_add(amount);
        }
    }

    /// Takes `other` away again.
    pub fn subtract(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let left = self.amounts.entry(name.to_owned()).or_default();
            *left = left.saturating_sub(amount);
        }
    }

    /// Raises each amount to at least that of `other`.
    fn raise_to(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            let most = self.amounts.entry(name.to_owned()).or_default();
            *most = amount.max(*most);
        }
    }

    fn set(&mut self, name: &str, amount: i64) {
        self.amounts.insert(name.to_owned(), amount);
    }
}

/// What a pod asks for: its containers together, or what its init containers need at their worst
/// moment, whichever is more, and its overhead. An init container that restarts always is a
/// sidecar and counts with both.
///
/// Upstream: `PodRequests` in `staging/src/k8s.io/component-helpers/resource/helpers.go`. What a
/// node has already allocated to a pod that is being resized is not looked at.
pub fn pod_requests(spec: &PodSpec) -> Resources {
    let mut sum = combine(spec, requests);
    // A pod may ask as a whole; then that is what it gets.
    let whole = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    for (name, amount) in whole.map(Resources::from_list).unwrap_or_default().iter() {
        sum.set(name, amount);
    }
    sum.add(&overhead(spec));
    sum
}

/// As [`pod_requests`], but a container that asks for no CPU or memory counts as a small one, so
/// that a hundred such pods do not look like nothing.
pub fn pod_scoring_requests(spec: &PodSpec) -> Resources {
    let mut sum = combine(spec, |container| {
        let mut requests = requests(container);
        for (name, default) in [("cpu", DEFAULT_MILLI_CPU), ("memory", DEFAULT_MEMORY_BYTES)] {
            if !requests.amounts.contains_key(name) {
                requests.set(name, default);
            }
        }
        requests
    });
    sum.add(&overhead(spec));
    sum
}

fn combine(spec: &PodSpec, requests: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&requests(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut now = requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&now);
            sidecars.add(&now);
            now = Resources::default();
        }
        now.add(&sidecars);
        starting.raise_to(&now);
    }
    running.raise_to(&starting);
    running
}

fn requests(container: &Container) -> Resources {
    let requests = container
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    requests.map(Resources::from_list).unwrap_or_default()
}

fn overhead(spec: &PodSpec) -> Resources {
    spec.overhead
        .as_ref()
        .map(Resources::from_list)
        .unwrap_or_default()
}
