//! The queue of pods that have no node.
//!
//! ```text
//!              pop                    no node fits
//!   active ──────────► in flight ──────────────────► unschedulable
//!     ▲  ▲                 │                              │
//!     │  └─────────────────┴─► waiting (after an error)   │ an event that could help
//!     └─────────────────────── backing off ◄──────────────┘
//! ```
//!
//! Active pods go by priority, then by age. A pod that did not fit waits for an event; then it is
//! tried again, behind all active ones as long as its back-off (1 s, doubled each time, up to
//! 10 s) lasts: so pods that can be placed never wait for one that cannot, and when nothing else
//! is to be done it need not wait either. An error, unlike that, has its full back-off.
//!
//! The queue has no clock: the time is given to it.
//!
//! Upstream: `pkg/scheduler/backend/queue/scheduling_queue.go`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A pod that no event has helped is tried again after this all the same.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(5 * 60);

/// By priority, highest first, then by age.
type Order = (Reverse<i32>, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    BackingOff,
    InFlight,
    Unschedulable { since: Instant },
    Waiting { until: Instant },
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    order: Order,
    state: State,
    attempts: u32,
    backoff_until: Option<Instant>,
}

/// Pods without a node, by uid.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<String, Entry>,
    active: BTreeSet<(Order, String)>,
    backing_off: BTreeSet<(Order, String)>,
    next_age: u64,
}

impl Queue {
    /// Adds a pod, or takes over its update; one that did not fit is tried again if it asks for
    /// something else now. One in flight stays that.
    pub fn set(&mut self, pod: Arc<Pod>) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.next_age += 1;
            let priority = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.priority)
                .unwrap_or(0);
            let order = (Reverse(priority), self.next_age);
            self.active.insert((order, uid.clone()));
            let entry = Entry {
                pod,
                order,
                state: State::Active,
                attempts: 0,
                backoff_until: None,
            };
            self.entries.insert(uid, entry);
            return;
        };
        let changed = asks_differently(&entry.pod, &pod);
        entry.pod = pod;
        if changed && matches!(entry.state, State::Unschedulable { .. }) {
            self.activate(&uid);
        }
    }

    /// Removes a pod. Returns whether it was here.
    pub fn remove(&mut self, uid: &str) -> bool {
        let Some(entry) = self.entries.remove(uid) else {
            return false;
        };
        self.active.remove(&(entry.order, uid.to_owned()));
        self.backing_off.remove(&(entry.order, uid.to_owned()));
        true
    }

    /// The uids of all pods here.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether a pod is here.
    pub fn contains(&self, uid: &str) -> bool {
        self.entries.contains_key(uid)
    }

    /// The pod whose turn it is.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<Pod>> {
        self.wake(now);
        let (_, uid) = self
            .active
            .pop_first()
            .or_else(|| self.backing_off.pop_first())?;
        let entry = self.entries.get_mut(&uid).expect("what is queued is here");
        entry.state = State::InFlight;
        Some(entry.pod.clone())
    }

    /// A pod in flight did not fit anywhere.
    pub fn did_not_fit(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.back_off(now);
            entry.state = State::Unschedulable { since: now };
        }
    }

    /// A pod in flight could not be bound.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            let until = entry.back_off(now);
            entry.state = State::Waiting { until };
        }
    }

    /// Something has happened that could help pods that did not fit, if `could_help` says so.
    pub fn retry(&mut self, now: Instant, could_help: impl Fn(&Pod) -> bool) {
        let helped: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Unschedulable { .. }))
            .filter(|(_, entry)| could_help(&entry.pod))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in helped {
            self.retry_one(&uid, now);
        }
    }

    /// When [`Queue::pop`] may give something that it does not give now.
    pub fn next_wake(&self) -> Option<Instant> {
        self.entries.values().filter_map(Entry::wake_at).min()
    }

    fn wake(&mut self, now: Instant) {
        let due = |entry: &Entry| entry.wake_at().is_some_and(|at| at <= now);
        let due: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, e)| due(e))
            .map(|(uid, _)| uid.clone())
            .collect();
        due.iter().for_each(|uid| self.activate(uid));
    }

    fn retry_one(&mut self, uid: &str, now: Instant) {
        let entry = self.entries.get_mut(uid).expect("it was just found");
        if entry.backoff_until.is_some_and(|until| until > now) {
            entry.state = State::BackingOff;
            self.backing_off.insert((entry.order, uid.to_owned()));
        } else {
            self.activate(uid);
        }
    }

    fn activate(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.state = State::Active;
            self.active.insert((entry.order, uid.to_owned()));
        }
    }
}

impl Entry {
    fn back_off(&mut self, now: Instant) -> Instant {
        let factor = 1 << self.attempts.min(4);
        self.attempts += 1;
        let until = now + (BACKOFF_MIN * factor).min(BACKOFF_MAX);
        self.backoff_until = Some(until);
        until
    }

    fn wake_at(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Unschedulable { since } => Some(since + UNSCHEDULABLE_MAX),
            State::Active | State::BackingOff | State::InFlight => None,
        }
    }
}

/// Whether a pod's update could change where it fits. Its status, which the scheduler writes
/// itself, never does.
fn asks_differently(before: &Pod, after: &Pod) -> bool {
    before.spec != after.spec || before.metadata.labels != after.metadata.labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodSpec;

    fn pod(uid: &str, priority: i32) -> Arc<Pod> {
        let mut pod = Pod::default();
        pod.metadata.uid = Some(uid.to_owned());
        pod.spec = Some(PodSpec {
            priority: Some(priority),
            ..PodSpec::default()
        });
        Arc::new(pod)
    }

    fn pop(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.pop(now).and_then(|pod| pod.metadata.uid.clone())
    }

    #[test]
    fn by_priority_then_age() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (uid, priority) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)] {
            queue.set(pod(uid, priority));
        }
        queue.set(pod("a", 0));
        queue.remove("d");
        let order: Vec<String> = std::iter::from_fn(|| pop(&mut queue, now)).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn one_that_did_not_fit_waits_for_an_event_and_lets_others_go_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.set(pod("big", 5));
        assert_eq!(pop(&mut queue, now).as_deref(), Some("big"));
        queue.did_not_fit("big", now);
        assert_eq!(pop(&mut queue, now), None);
        queue.retry(now, |_| false);
        assert_eq!(pop(&mut queue, now), None);
        queue.retry(now, |_| true);
        queue.set(pod("small", 0));
        assert_eq!(pop(&mut queue, now).as_deref(), Some("small"));
        assert_eq!(pop(&mut queue, now).as_deref(), Some("big"));

        // Its back-off over, priority counts again; and it asks for something else.
        queue.did_not_fit("big", now);
        queue.set(pod("small 2", 0));
        queue.set(pod("big", 6));
        assert_eq!(pop(&mut queue, now + BACKOFF_MAX).as_deref(), Some("big"));
    }

    #[test]
    fn an_error_has_its_back_off() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.set(pod("a", 0));
        for seconds in [1, 2, 4, 8, 10, 10] {
            assert_eq!(pop(&mut queue, now).as_deref(), Some("a"));
            queue.failed("a", now);
            queue.retry(now, |_| true);
            assert_eq!(pop(&mut queue, now), None);
            assert_eq!(queue.next_wake(), Some(now + Duration::from_secs(seconds)));
            now += Duration::from_secs(seconds);
        }
    }
}
