//! Which pod goes first when the node runs short.
//!
//! A node that runs out of memory or disk fails all of its pods; so, a little before that, its
//! kubelet ends one after another, those first that use more than they asked for. When it does is
//! told by [`Monitor`].
//!
//! Upstream: `pkg/kubelet/eviction`.

mod monitor;
mod thresholds;

use k8s_openapi::api::core::v1::Pod;

use super::admission::Rejection;
use super::requests::pod_requests;
use super::static_pod;
use super::{qos, quantity, spec};
pub use monitor::{Monitor, Policy, Verdict};
pub use thresholds::{Amounts, Periods, Thresholds};

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
    /// `memory.available`, `nodefs.available` or `nodefs.inodesFree`.
    pub signal: &'static str,
    /// `memory`, `ephemeral-storage` or `inodes`.
    pub resource: &'static str,
    /// What has to be left.
    pub threshold: u64,
    /// What is.
    pub available: u64,
    /// How long a pod has to end because of it.
    pub grace_seconds: i64,
    /// It cannot wait.
    pub is_hard: bool,
}

/// The signals that there are, and the resource that each is about; what is short at once first.
const SIGNALS: [(&str, &str); 3] = [
    ("memory.available", "memory"),
    ("nodefs.available", "ephemeral-storage"),
    ("nodefs.inodesFree", "inodes"),
];

/// A pod that may be evicted.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What it uses of what is short, where that is known.
    pub usage: Option<u64>,
    /// What its containers use of it, by name, where that is known.
    pub containers: Vec<(String, u64)>,
}

/// The pod that goes first, if any may: one of which nothing is known, then in this order: does it
/// use more than it asked for, its priority, and how much more.
pub fn first_to_go<'c, 'a>(
    candidates: &'c [Candidate<'a>],
    short: &Shortage,
) -> Option<&'c Candidate<'a>> {
    let may_go = candidates
        .iter()
        .filter(|candidate| !is_critical(candidate.pod));
    may_go.max_by_key(|candidate| {
        let asked = i128::from(asked(candidate.pod, short.resource));
        let over = candidate.usage.map(|usage| i128::from(usage) - asked);
        let priority = spec::of(candidate.pod).priority.unwrap_or(0);
        // Of two alike the first by name, so that the choice is told from what is known.
        let name = std::cmp::Reverse(super::pod_key(candidate.pod));
        let exceeds = over.is_some_and(|over| over > 0);
        let priority = std::cmp::Reverse(priority);
        (over.is_none(), exceeds, priority, over, name)
    })
}

fn asked(pod: &Pod, resource: &str) -> u64 {
    let asked = pod_requests(pod).get(resource).copied().unwrap_or(0);
    u64::try_from(asked / 1_000_000_000).unwrap_or(0)
}

/// How long the containers of an evicted pod have to end.
pub fn grace_seconds(pod: &Pod, short: &Shortage) -> i64 {
    let own = spec::of(pod).termination_grace_period_seconds;
    match short.is_hard {
        true => short.grace_seconds,
        false => own.map_or(short.grace_seconds, |own| own.min(short.grace_seconds)),
    }
}

/// Whether the cluster cannot do without a pod: it is static, or its priority says so.
pub fn is_critical(pod: &Pod) -> bool {
    static_pod::is_static(pod) || spec::of(pod).priority.unwrap_or(0) >= CRITICAL_PRIORITY
}

/// What the status of an evicted pod says: what was short, and which of its containers used more
/// of it than they asked for.
pub fn message(candidate: &Candidate<'_>, short: &Shortage) -> String {
    let resource = short.resource;
    let mut message = format!(
        "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
        shown(resource, short.threshold),
        shown(resource, short.available)
    );
    for (name, usage) in &candidate.containers {
        let Some(container) = spec::find_container(candidate.pod, name) else {
            continue;
        };
        let requests = container.resources.as_ref();
        let requests = requests.and_then(|resources| resources.requests.as_ref());
        let request = requests.and_then(|requests| requests.get(resource));
        let asked = request.map_or(0, quantity::value);
        if i128::from(*usage) > i128::from(asked) {
            message.push_str(&format!(
                "Container {name} was using {}, request is {}, has larger consumption of \
                 {resource}. ",
                shown(resource, *usage),
                request.map_or("0", |request| &request.0)
            ));
        }
    }
    message
}

/// An amount with the largest suffix that tells it exactly: powers of 1024 for bytes, of 1000 for
/// pieces.
fn shown(resource: &str, amount: u64) -> String {
    let (base, suffixes) = match resource {
        "inodes" => (1000, ["", "k", "M", "G", "T"]),
        _ => (1024, ["", "Ki", "Mi", "Gi", "Ti"]),
    };
    let mut rest = amount;
    let mut steps = 0;
    while rest > 0 && rest.is_multiple_of(base) && steps + 1 < suffixes.len() {
        rest /= base;
        steps += 1;
    }
    format!("{rest}{}", suffixes[steps])
}

/// Whether a node with such conditions takes a pod: one that is short of memory none that promises
/// nothing about it; one that is short of disk none at all but what is critical.
///
/// # Errors
/// Why not.
pub fn admit(pod: &Pod, conditions: &[&str]) -> Result<(), Rejection> {
    if conditions.is_empty() || is_critical(pod) {
        return Ok(());
    }
    let promises = qos::qos_class(pod) != "BestEffort" || tolerates_memory_pressure(pod);
    if conditions == ["MemoryPressure"] && promises {
        return Ok(());
    }
    Err(Rejection {
        reason: "Evicted".to_owned(),
        message: format!("The node had condition: [{}]. ", conditions.join(" ")),
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
