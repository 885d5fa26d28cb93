//! When a node that runs short does something about it: a state machine, fed with what is left.
//!
//! ```text
//!              hard threshold crossed ─────────────────────────▶ a pod goes, at once
//!              soft threshold crossed ──▶ still so after its ──▶ a pod goes, with its own grace
//!                        │                grace period
//!                        ▼
//!              the node has a condition; it keeps it for five minutes after the last time, so
//!              that pods do not come back to a node that is about to run short again
//! ```
//!
//! Once a pod had to go, more than the threshold has to be left before all is well, if
//! `--eviction-minimum-reclaim` says so.
//!
//! Upstream: `pkg/kubelet/eviction/eviction_manager.go: synchronize`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::thresholds::{Amounts, Periods, Thresholds};
use super::{GRACE_SECONDS, SIGNALS, Shortage, Signals};

/// What a node does when it runs short.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// What has to be left, or pods go at once.
    pub hard: Thresholds,
    /// What has to be left, or pods go after a while.
    pub soft: Thresholds,
    /// After which while.
    pub soft_grace: Periods,
    /// How much more than a threshold has to be left once a pod had to go.
    pub minimum_reclaim: Amounts,
    /// How long a pod has to end that goes because of a soft threshold, at most.
    pub max_pod_grace_seconds: i64,
    /// How long the node keeps a condition that has passed.
    pub transition_period: SignedDuration,
}

impl Policy {
    /// Refuses a soft threshold without a period.
    ///
    /// # Errors
    /// Which one it is.
    pub fn validate(&self) -> Result<(), String> {
        let mut soft = self.soft.signals();
        match soft.find(|signal| self.soft_grace.get(signal).is_none()) {
            None => Ok(()),
            Some(signal) => Err(format!(
                "grace period must be specified for the soft eviction threshold {signal}"
            )),
        }
    }
}

/// A threshold: its signal, and whether it is a hard one.
type Key = (&'static str, bool);

/// What is known from one look to the next.
#[derive(Debug, Default)]
pub struct Monitor {
    /// Since when a threshold is crossed.
    since: BTreeMap<Key, Timestamp>,
    /// Those because of which pods go.
    acting: BTreeSet<Key>,
    /// When a condition was last true.
    conditions: BTreeMap<&'static str, Timestamp>,
}

/// What a look shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The node's conditions, `MemoryPressure` and `DiskPressure`, as far as they are true.
    pub conditions: Vec<&'static str>,
    /// Because of what a pod has to go now.
    pub shortage: Option<Shortage>,
}

impl Monitor {
    /// Takes note of what is left.
    pub fn observe(&mut self, policy: &Policy, signals: &Signals, now: Timestamp) -> Verdict {
        let supplies = [signals.memory, signals.disk, signals.inodes];
        let mut crossed: BTreeMap<Key, Shortage> = BTreeMap::new();
        for ((signal, resource), supply) in SIGNALS.iter().zip(supplies) {
            for (thresholds, is_hard) in [(&policy.hard, true), (&policy.soft, false)] {
                let key = (*signal, is_hard);
                let least = thresholds.get(signal).zip(supply);
                let Some((threshold, supply)) = least.map(|(least, s)| (least.of(s.capacity), s))
                else {
                    continue;
                };
                let reclaim = policy.minimum_reclaim.get(signal);
                let more = reclaim.filter(|_| self.acting.contains(&key));
                let more = more.map_or(0, |least| least.of(supply.capacity));
                if supply.available < threshold + more {
                    let shortage = Shortage {
                        signal,
                        resource,
                        threshold,
                        available: supply.available,
                        grace_seconds: match is_hard {
                            true => GRACE_SECONDS,
                            false => policy.max_pod_grace_seconds,
                        },
                        is_hard,
                    };
                    crossed.insert(key, shortage);
                }
            }
        }
        self.since.retain(|key, _| crossed.contains_key(key));
        for (signal, is_hard) in crossed.keys() {
            self.since.entry((signal, *is_hard)).or_insert(now);
            self.conditions.insert(condition(signal), now);
        }
        let is_kept =
            |at: Timestamp| at == now || now.duration_since(at) < policy.transition_period;
        self.conditions.retain(|_, at| is_kept(*at));
        let lasts = |(signal, is_hard): &Key| {
            let grace = policy.soft_grace.get(signal).unwrap_or_default();
            *is_hard || now.duration_since(self.since[&(*signal, *is_hard)]) >= grace
        };
        crossed.retain(|key, _| lasts(key));
        self.acting = crossed.keys().copied().collect();
        // What is short at once comes first, and of one thing the hard threshold.
        let order = |short: &Shortage| {
            let rank = SIGNALS
                .iter()
                .position(|(signal, _)| *signal == short.signal);
            (rank, !short.is_hard)
        };
        Verdict {
            conditions: self.conditions.keys().copied().collect(),
            shortage: crossed.into_values().min_by_key(order),
        }
    }
}

/// The condition of a node that a signal is about.
fn condition(signal: &str) -> &'static str {
    match signal {
        "memory.available" => "MemoryPressure",
        _ => "DiskPressure",
    }
}
