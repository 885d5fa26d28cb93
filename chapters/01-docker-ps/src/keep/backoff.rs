//! How long to wait before the same is tried again. Upstream: `client-go/util/flowcontrol`.
//!
//! One rule for an image that is missing and for a process that ends again and again (what
//! `kubectl` shows as `ImagePullBackOff` and `CrashLoopBackOff`): who needs help again soon is
//! helped a little later each time.

use std::collections::HashMap;
use std::time::Duration;

const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// When each container may be acted on again. Times are given by the caller, from any one start.
#[derive(Debug, Default)]
pub struct Backoff {
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    delay: Duration,
    until: Duration,
}

impl Backoff {
    /// Whether `name` may be acted on.
    pub fn may(&self, name: &str, now: Duration) -> bool {
        self.entries
            .get(name)
            .is_none_or(|entry| entry.until <= now)
    }

    /// `name` is acted on now: the next time is this much later, and twice as much the time after.
    /// What went well for as long as the longest delay begins anew.
    pub fn acted(&mut self, name: &str, now: Duration) -> Duration {
        let before = self.entries.get(name);
        let recent = before.filter(|entry| now < entry.until + DELAY_MAX);
        let delay = recent.map_or(DELAY_MIN, |entry| (entry.delay * 2).min(DELAY_MAX));
        let until = now + delay;
        self.entries.insert(name.to_owned(), Entry { delay, until });
        delay
    }

    /// The world has changed: everything may be tried at once.
    pub fn forget(&mut self) {
        self.entries.clear();
    }

    /// The next moment at which one of `names` may be acted on that may not be now.
    pub fn next<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Duration> {
        names
            .filter_map(|name| self.entries.get(name))
            .map(|entry| entry.until)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_wait_is_twice_the_last_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(backoff.may("web", now));
            waits.push(backoff.acted("web", now).as_secs());
            now = backoff.next(["web", "db"].into_iter()).unwrap();
            assert!(!backoff.may("web", now - SECOND / 2));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(backoff.may("db", Duration::ZERO), "each name for itself");
    }

    #[test]
    fn what_went_well_for_long_begins_anew() {
        let mut backoff = Backoff::default();
        backoff.acted("web", Duration::ZERO);
        assert_eq!(backoff.acted("web", SECOND), SECOND * 2);
        assert_eq!(backoff.acted("web", SECOND * 34), SECOND);
        backoff.forget();
        assert!(backoff.may("web", SECOND * 34));
    }
}
