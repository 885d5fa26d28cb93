//! Compaction that nobody has to ask for: `--auto-compaction-mode` and `-retention`.
//!
//! ```text
//!   periodic, 1h     the revision is noted every 6 min.; what is older than the note of an hour
//!                    ago is forgotten, once an hour (once a period, if that is shorter)
//!   revision, 1000   all but the newest 1000 revisions are forgotten, every 5 min.
//! ```
//!
//! An API server compacts its store itself, every five minutes; this is for other clients.
//! Upstream: `server/etcdserver/api/v3compactor`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::flags;
use crate::Store;
use crate::api::{Error, Revision};

/// The longest time between two compactions by age.
const PERIOD_MAX: Duration = Duration::from_secs(3600);

/// Notes of the revision in such a time.
const NOTES: u32 = 10;

/// How often is looked for revisions that are too many.
const REVISION_INTERVAL: Duration = Duration::from_secs(300);

/// How much of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// All that is not older.
    Period(Duration),
    /// So many revisions.
    Revisions(i64),
}

/// What the two flags say; none to keep all.
///
/// # Errors
///
/// If the retention is neither a number nor a time.
pub fn retention(mode: &str, text: &str) -> Result<Option<Retention>, String> {
    let retention = match (mode, text.parse::<u32>()) {
        ("revision", Ok(count)) => Retention::Revisions(count.into()),
        ("revision", Err(_)) => {
            return Err(format!(
                "--auto-compaction-retention: {text:?} is no number of revisions"
            ));
        }
        (_, Ok(hours)) => Retention::Period(Duration::from_secs(3600) * hours),
        (_, Err(_)) => {
            let period = flags::duration(text);
            Retention::Period(
                period.map_err(|error| format!("--auto-compaction-retention: {error}"))?,
            )
        }
    };
    let is_none = [Retention::Period(Duration::ZERO), Retention::Revisions(0)].contains(&retention);
    Ok((!is_none).then_some(retention))
}

/// Decides when to compact, and up to where.
struct Compactor {
    retention: Retention,
    /// The revision at the last few looks, the oldest first.
    notes: VecDeque<Revision>,
    /// The last compaction, or the start.
    since: Instant,
    last: Revision,
}

impl Compactor {
    fn new(retention: Retention, now: Instant, revision: Revision) -> Self {
        Self {
            retention,
            notes: VecDeque::from([revision]),
            since: now,
            last: 0,
        }
    }

    /// The time between two looks.
    fn interval(&self) -> Duration {
        match self.retention {
            Retention::Period(period) => period.min(PERIOD_MAX) / NOTES,
            Retention::Revisions(_) => REVISION_INTERVAL,
        }
    }

    /// Looks at the revision; returns up to where to compact, if now is the time.
    fn tick(&mut self, now: Instant, revision: Revision) -> Option<Revision> {
        let up_to = match self.retention {
            Retention::Revisions(count) => revision - count,
            Retention::Period(period) => {
                let notes_max = period.as_nanos() / self.interval().as_nanos() + 1;
                let oldest = self.notes[0];
                self.notes.push_back(revision);
                if self.notes.len() as u128 > notes_max {
                    self.notes.pop_front();
                }
                // The first time the notes have to be as old as what is kept.
                let wait = if self.last == 0 {
                    period
                } else {
                    period.min(PERIOD_MAX)
                };
                if now.duration_since(self.since) < wait {
                    return None;
                }
                oldest
            }
        };
        (up_to > 0 && up_to != self.last).then_some(up_to)
    }

    fn compacted(&mut self, now: Instant, revision: Revision) {
        self.since = now;
        self.last = revision;
    }
}

/// Compacts for ever.
pub async fn run(store: Store, retention: Retention) {
    let mut compactor = Compactor::new(retention, Instant::now(), store.revision());
    loop {
        tokio::time::sleep(compactor.interval()).await;
        let Some(revision) = compactor.tick(Instant::now(), store.revision()) else {
            continue;
        };
        match store.compact(revision).await {
            // Somebody else was quicker.
            Ok(()) | Err(Error::Compacted { .. }) => {
                tracing::info!(revision, "compacted");
                compactor.compacted(Instant::now(), revision);
            }
            Err(error) => tracing::warn!(%error, revision, "cannot compact"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a store that gets a revision a minute is compacted, in minutes, and up to where.
    fn compactions(retention: Retention, minutes: u64) -> Vec<(u64, Revision)> {
        let start = Instant::now();
        let mut compactor = Compactor::new(retention, start, 1);
        let mut found = Vec::new();
        let mut passed = Duration::ZERO;
        loop {
            passed += compactor.interval();
            let minute = passed.as_secs() / 60;
            if minute > minutes {
                return found;
            }
            if let Some(revision) = compactor.tick(start + passed, 1 + minute as i64) {
                found.push((minute, revision));
                compactor.compacted(start + passed, revision);
            }
        }
    }

    #[test]
    fn the_past_is_kept_for_a_time() {
        let hours = |hours| Retention::Period(PERIOD_MAX * hours);
        assert_eq!(compactions(hours(1), 190), [(60, 1), (120, 55), (180, 115)]);
        assert_eq!(
            compactions(hours(3), 310),
            [(180, 1), (240, 55), (300, 115)]
        );
        let ten_minutes = Retention::Period(Duration::from_secs(600));
        assert_eq!(compactions(ten_minutes, 25), [(10, 1), (20, 10)]);
    }

    #[test]
    fn so_many_revisions_are_kept() {
        let ten = Retention::Revisions(10);
        assert_eq!(compactions(ten, 20), [(10, 1), (15, 6), (20, 11)]);
    }

    #[test]
    fn a_store_at_rest_is_left_alone() {
        let now = Instant::now();
        let mut compactor = Compactor::new(Retention::Revisions(10), now, 30);
        assert_eq!(compactor.tick(now, 30), Some(20));
        compactor.compacted(now, 20);
        assert_eq!(compactor.tick(now, 30), None);
    }

    #[test]
    fn retentions_are_read() {
        let hour = Duration::from_secs(3600);
        let is =
            |mode, text, expect| assert_eq!(retention(mode, text), Ok(expect), "{mode} {text}");
        is("periodic", "0", None);
        is("periodic", "72", Some(Retention::Period(hour * 72)));
        is("periodic", "30m", Some(Retention::Period(hour / 2)));
        is("revision", "1000", Some(Retention::Revisions(1000)));
        is("revision", "0", None);
        assert!(retention("revision", "1h").is_err());
        assert!(retention("periodic", "soon").is_err());
    }
}
