//! Which pod goes first when the node runs short.
//!
//! A node that runs out of memory or disk fails all of its pods; so, a little before that, its
//! kubelet ends one after another, those first that use more than they asked for.
//!
//! Upstream: `pkg/kubelet/eviction`.

use k8s_openapi::api::core::v1::Pod;

use super::admission::Rejection;
use super::requests::pod_requests;
use super::static_pod;
use super::{qos, spec};

/// Priority from which on a pod is one that the cluster cannot do without.
pub const CRITICAL_PRIORITY: i32 = 2_000_000_000;
/// How long an evicted pod has to end: the shortage is now.
pub const GRACE_SECONDS: i64 = 1;

/// How much of something there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// What is free, in bytes or pieces.
    pub available: u64,
    /// All there is.
    pub capacity: u64,
}

/// What the machine has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// `memory.available`, in bytes.
    pub memory: Option<Supply>,
    /// `nodefs.available`, in bytes.
    pub disk: Option<Supply>,
    /// `nodefs.inodesFree`.
    pub inodes: Option<Supply>,
}

/// Of what the node is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// `memory`, `ephemeral-storage` or `inodes`.
    pub resource: &'static str,
    /// What has to be left.
    pub threshold: u64,
    /// What is.
    pub available: u64,
}

/// Decides whether the node is short of anything, by upstream's default thresholds: 100 MiB of
/// memory, 10 % of the disk, 5 % of its inodes. Memory first, as it is short at once.
pub fn shortage(signals: &Signals) -> Option<Shortage> {
    let below = |resource, supply: Option<Supply>, threshold: fn(u64) -> u64| {
        let supply = supply?;
        let threshold = threshold(supply.capacity);
        (supply.available < threshold).then_some(Shortage {
            resource,
            threshold,
            available: supply.available,
        })
    };
    below("memory", signals.memory, |_| 100 << 20)
        .or_else(|| below("ephemeral-storage", signals.disk, |all| all / 10))
        .or_else(|| below("inodes", signals.inodes, |all| all / 20))
}

/// A pod that may be evicted.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What it uses of what is short, where that is known.
    pub usage: Option<u64>,
}

/// The pod that goes first, if any may. In this order count: does it use more than it asked for,
/// its priority, and how much more.
///
/// Where the usage of a pod is not known it counts as too much if the pod asked for nothing.
pub fn first_to_go<'a>(candidates: &[Candidate<'a>], short: &Shortage) -> Option<&'a Pod> {
    let may_go = candidates
        .iter()
        .filter(|candidate| !is_critical(candidate.pod));
    let worst = may_go.max_by_key(|candidate| {
        let asked = asked(candidate.pod, short.resource);
        let usage = candidate.usage.unwrap_or(u64::from(asked == 0));
        let over = usage.saturating_sub(asked);
        let priority = spec::of(candidate.pod).priority.unwrap_or(0);
        // Of two alike the first by name, so that the choice is told from what is known.
        let name = std::cmp::Reverse(super::pod_key(candidate.pod));
        (usage > asked, std::cmp::Reverse(priority), over, name)
    });
    worst.map(|candidate| candidate.pod)
}

fn asked(pod: &Pod, resource: &str) -> u64 {
    let asked = pod_requests(pod).get(resource).copied().unwrap_or(0);
    u64::try_from(asked / 1_000_000_000).unwrap_or(0)
}

/// Whether the cluster cannot do without a pod: it is static, or its priority says so.
pub fn is_critical(pod: &Pod) -> bool {
    static_pod::is_static(pod) || spec::of(pod).priority.unwrap_or(0) >= CRITICAL_PRIORITY
}

/// What the status of an evicted pod says.
pub fn message(short: &Shortage) -> String {
    let shown = |amount: u64| match (short.resource, amount) {
        ("inodes", amount) => amount.to_string(),
        (_, amount) if amount.is_multiple_of(1 << 20) => format!("{}Mi", amount >> 20),
        (_, amount) => format!("{}Ki", amount >> 10),
    };
    format!(
        "The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
        short.resource,
        shown(short.threshold),
        shown(short.available)
    )
}

/// Whether a node that is short takes a pod: of memory, none that promises nothing about it; of
/// disk, none at all but what is critical.
///
/// # Errors
/// Why not.
pub fn admit(pod: &Pod, short: Option<&Shortage>) -> Result<(), Rejection> {
    let Some(short) = short.filter(|_| !is_critical(pod)) else {
        return Ok(());
    };
    let condition = if short.resource == "memory" {
        if qos::qos_class(pod) != "BestEffort" || tolerates_memory_pressure(pod) {
            return Ok(());
        }
        "MemoryPressure"
    } else {
        "DiskPressure"
    };
    Err(Rejection {
        reason: "Evicted".to_owned(),
        message: format!("The node had condition: [{condition}]. "),
    })
}

fn tolerates_memory_pressure(pod: &Pod) -> bool {
    let tolerations = spec::of(pod).tolerations.iter().flatten();
    let mut of_the_taint = tolerations.filter(|toleration| {
        let key = toleration.key.as_deref().unwrap_or_default();
        let any_effect = toleration.effect.as_deref().unwrap_or_default();
        let exists = toleration.operator.as_deref() == Some("Exists");
        (key == "node.kubernetes.io/memory-pressure" || (key.is_empty() && exists))
            && matches!(any_effect, "" | "NoSchedule")
    });
    of_the_taint.next().is_some()
}
