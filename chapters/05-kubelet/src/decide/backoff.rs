//! Back-off of what fails again and again: crashing containers, image pulls.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// Doubling delays by key. Upstream: `client-go/util/flowcontrol/backoff.go`.
///
/// A failure is counted by [`Backoff::next`] when the thing is tried again, so the first retry
/// comes at once, the second after `initial`, then twice as long each time up to `max`. Who has
/// been well for twice `max` starts over.
#[derive(Debug)]
pub struct Backoff {
    initial: SignedDuration,
    max: SignedDuration,
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// How long after a failure it is tried again.
    delay: SignedDuration,
    /// When it was last tried again.
    updated: Timestamp,
}

impl Backoff {
    /// The back-off of containers and images: 10 s, doubling up to 5 minutes.
    pub fn new() -> Backoff {
        Backoff {
            initial: SignedDuration::from_secs(10),
            max: SignedDuration::from_mins(5),
            entries: HashMap::new(),
        }
    }

    /// How much longer to wait, if at all, after a failure at `failed_at`.
    pub fn remaining(
        &self,
        key: &str,
        failed_at: Timestamp,
        now: Timestamp,
    ) -> Option<SignedDuration> {
        let entry = self.entries.get(key)?;
        if self.expired(entry, failed_at) {
            return None;
        }
        let remaining = entry.delay - now.duration_since(failed_at);
        remaining.is_positive().then_some(remaining)
    }

    /// The delay that is in force for a key.
    pub fn delay(&self, key: &str) -> Option<SignedDuration> {
        self.entries.get(key).map(|entry| entry.delay)
    }

    /// Counts a retry of what failed at `failed_at`.
    pub fn next(&mut self, key: &str, failed_at: Timestamp, now: Timestamp) {
        // ANCHOR: exercise-05.6
        let delay = match self.entries.get(key) {
            Some(entry) if !self.expired(entry, failed_at) => (entry.delay * 2).min(self.max),
            _ => self.initial,
        };
        let updated = now;
        let entry = Entry { delay, updated };
        self.entries.insert(key.to_owned(), entry);
        // ANCHOR_END: exercise-05.6
    }

    /// Forgets a key.
    pub fn reset(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// Forgets every key that starts with `prefix`: a pod that is gone.
    pub fn forget(&mut self, prefix: &str) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }

    /// Whether what is known of a key is of another time: it had been well for long.
    fn expired(&self, entry: &Entry, failed_at: Timestamp) -> bool {
        failed_at.duration_since(entry.updated) > self.max * 2
    }
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_five_minutes_and_starts_over_after_ten_well_spent() {
        let mut backoff = Backoff::new();
        let mut now = Timestamp::UNIX_EPOCH;
        let mut waits = Vec::new();
        for _ in 0..8 {
            // It crashes at once; each crash waits out what is left.
            let failed_at = now;
            let wait = backoff
                .remaining("pod_c", failed_at, now)
                .unwrap_or_default();
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(backoff.remaining("pod_c", failed_at, now), None);
            backoff.next("pod_c", failed_at, now);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);

        // It ran well for eleven minutes, then crashed.
        now += SignedDuration::from_mins(11);
        assert_eq!(backoff.remaining("pod_c", now, now), None);
        backoff.next("pod_c", now, now);
        assert_eq!(backoff.delay("pod_c"), Some(SignedDuration::from_secs(10)));
    }
}
