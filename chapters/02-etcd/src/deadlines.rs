//! When each lease ends: the clock of the store, beside its core that has none.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use crate::api::LeaseId;

/// The leases' ends.
#[derive(Debug, Default)]
pub struct Deadlines {
    ends: HashMap<LeaseId, Instant>,
    /// When each one is to be looked at. A lease that is kept alive is not moved here, which would
    /// cost every keep-alive a search: it is found to last longer when its time comes.
    due: BinaryHeap<Reverse<(Instant, LeaseId)>>,
}

impl Deadlines {
    /// Starts the clock of a lease; returns when it ends.
    pub fn start(&mut self, id: LeaseId, ttl_seconds: i64, now: Instant) -> Instant {
        let at = deadline(now, ttl_seconds);
        self.ends.insert(id, at);
        self.due.push(Reverse((at, id)));
        at
    }

    /// Makes a lease last its whole time from `now`; false if its time was up.
    pub fn renew(&mut self, id: LeaseId, ttl_seconds: i64, now: Instant) -> bool {
        match self.ends.get_mut(&id) {
            Some(at) if *at > now => {
                *at = deadline(now, ttl_seconds);
                true
            }
            _ => false,
        }
    }

    /// Forgets a lease.
    pub fn stop(&mut self, id: LeaseId) {
        self.ends.remove(&id);
    }

    /// When a lease ends.
    pub fn end(&self, id: LeaseId) -> Option<Instant> {
        self.ends.get(&id).copied()
    }

    /// Leases whose time is up, at most `limit`, in the order of their ends. They stay until they
    /// are stopped: who cannot end them now asks again, from [`Deadlines::retry`] on.
    pub fn ended(&mut self, now: Instant, limit: usize) -> Vec<LeaseId> {
        let mut ended = Vec::new();
        while ended.len() < limit
            && let Some(Reverse((at, id))) = self.due.peek().copied()
            && at <= now
        {
            // ANCHOR: exercise-02.6
            self.due.pop();
            match self.ends.get(&id) {
                // It was kept alive since.
                Some(end) if *end > now => self.due.push(Reverse((*end, id))),
                Some(_) => ended.push(id),
                None => {}
            }
            // ANCHOR_END: exercise-02.6
        }
        ended
    }

    /// Has a lease that could not be ended looked at again at `at`.
    pub fn retry(&mut self, id: LeaseId, at: Instant) {
        self.due.push(Reverse((at, id)));
    }

    /// When the next lease is to be looked at.
    pub fn next(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }
}

/// When a lease of `ttl_seconds` from `now` ends; the longest ones go beyond what a clock holds.
fn deadline(now: Instant, ttl_seconds: i64) -> Instant {
    let ttl = Duration::from_secs(ttl_seconds.unsigned_abs());
    now.checked_add(ttl)
        .unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_when_it_was_last_kept_alive_for() {
        let mut deadlines = Deadlines::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        deadlines.start(1, 10, start);
        deadlines.start(2, 10, start);
        deadlines.start(3, 5, start);
        deadlines.stop(3);
        assert!(deadlines.renew(1, 10, at(6)));
        assert!(deadlines.ended(at(9), 100).is_empty());
        assert_eq!(deadlines.ended(at(10), 100), [2]);
        assert!(
            !deadlines.renew(2, 10, at(10)),
            "its time is up, ended or not"
        );
        deadlines.retry(2, at(11));
        assert_eq!(deadlines.next(), Some(at(11)));
        assert_eq!(deadlines.ended(at(16), 1), [2]);
        assert_eq!(deadlines.ended(at(16), 1), [1]);
        assert_eq!(deadlines.next(), None);
    }
}
