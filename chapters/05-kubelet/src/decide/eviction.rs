//! Which pod goes first when the node runs short.
//!
//! A node that runs out of memory or disk fails all of its pods; so, a little before that, its
//! kubelet ends one after another, those first that use more than they asked for.
//!
//! Upstream: `pkg/kubelet/eviction`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use k8s_openapi::api::core::v1::Pod;

use super::admission::Rejection;
use super::requests::pod_requests;
use super::static_pod;
use super::{qos, quantity, spec};

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
}

/// How much has to be left of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    Amount(u64),
    Percent(u64),
}

/// What has to be left: `memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%`, which
/// is upstream's default. What is not named may run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds(BTreeMap<&'static str, Least>);

/// The signals that there are, and the resource that each is about; what is short at once first.
const SIGNALS: [(&str, &str); 3] = [
    ("memory.available", "memory"),
    ("nodefs.available", "ephemeral-storage"),
    ("nodefs.inodesFree", "inodes"),
];

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds(BTreeMap::from([
            ("memory.available", Least::Amount(100 << 20)),
            ("nodefs.available", Least::Percent(10)),
            ("nodefs.inodesFree", Least::Percent(5)),
        ]))
    }
}

impl Thresholds {
    /// By signal, as a kubelet's configuration writes them.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let entries = self.0.iter().map(|(signal, least)| {
            let least = match least {
                Least::Amount(amount) => amount.to_string(),
                Least::Percent(percent) => format!("{percent}%"),
            };
            ((*signal).to_owned(), least)
        });
        entries.collect()
    }
}

impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Thresholds, String> {
        let mut thresholds = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, least) = part
                .split_once('<')
                .ok_or_else(|| format!("{part:?} is not signal<quantity"))?;
            let known = SIGNALS.iter().find(|(signal, _)| *signal == name);
            let (signal, _) = known.ok_or_else(|| format!("there is no signal {name:?}"))?;
            let malformed = || format!("{least:?} is neither a quantity nor a percentage");
            let least = match least.strip_suffix('%') {
                Some(percent) => Least::Percent(percent.parse().map_err(|_| malformed())?),
                None => {
                    let nanos = quantity::parse_nanos(least).ok_or_else(malformed)?;
                    let whole = u64::try_from(nanos / 1_000_000_000);
                    Least::Amount(whole.map_err(|_| malformed())?)
                }
            };
            thresholds.insert(*signal, least);
        }
        Ok(Thresholds(thresholds))
    }
}

impl Display for Thresholds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, (signal, least)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match least {
                Least::Amount(amount) => write!(f, "{comma}{signal}<{amount}")?,
                Least::Percent(percent) => write!(f, "{comma}{signal}<{percent}%")?,
            }
        }
        Ok(())
    }
}

/// Of what the node is short, what is short at once first.
pub fn shortages(signals: &Signals, thresholds: &Thresholds) -> Vec<Shortage> {
    let supplies = [signals.memory, signals.disk, signals.inodes];
    let short = SIGNALS
        .iter()
        .zip(supplies)
        .filter_map(|((signal, resource), supply)| {
            let supply = supply?;
            let threshold = match thresholds.0.get(signal)? {
                Least::Amount(amount) => *amount,
                Least::Percent(percent) => supply.capacity / 100 * percent,
            };
            (supply.available < threshold).then_some(Shortage {
                signal,
                resource,
                threshold,
                available: supply.available,
            })
        });
    short.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_as_they_are_written() {
        let default = Thresholds::default();
        assert_eq!(default.to_string().parse(), Ok(default));
        let none: Thresholds = "".parse().unwrap();
        let empty = Supply {
            available: 0,
            capacity: 1,
        };
        let signals = Signals {
            memory: Some(empty),
            ..Signals::default()
        };
        assert_eq!(shortages(&signals, &none), []);
        assert_eq!(shortages(&signals, &Thresholds::default()).len(), 1);
        for malformed in [
            "memory.available",
            "memory<1Mi",
            "memory.available<x",
            "nodefs.available<-1%",
        ] {
            assert!(malformed.parse::<Thresholds>().is_err(), "{malformed}");
        }
    }
}
