//! etcd's promises about watches.
//!
//! - *ordered*: events come in the order of their revisions;
//! - *unique*: none comes twice;
//! - *reliable*: none is left out between two that came;
//! - *atomic*: those of one revision come together;
//! - *resumable*: all of that also over a broken connection, for a watch that goes on from the
//!   revision after the last one it heard of;
//! - *bookmarkable*: a notice of progress at a revision says that everything up to it has come.

use super::calls::{Change, Value};

/// A watch of all keys, over all its connections.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    pub start_revision: i64,
    pub batches: Vec<Batch>,
}

/// One message. Without events it is a notice of progress.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The store's revision, in the message's header.
    pub revision: i64,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub revision: i64,
    pub key: usize,
    /// Every write is to a key and to its twin, in one transaction.
    pub is_twin: bool,
    pub value: Value,
}

/// Checks a watch against `log`, all changes in order.
pub fn check(watch: &Watch, log: &[Change]) -> Result<(), String> {
    let from = log.partition_point(|change| change.revision < watch.start_revision);
    let mut expected = log[from..].iter().copied().peekable();
    let mut last = 0;
    for batch in &watch.batches {
        for pair in batch.events.chunk_by(|a, b| a.revision == b.revision) {
            let revision = pair[0].revision;
            if revision == last {
                return Err(format!(
                    "not atomic or not unique: {pair:?} came in parts, or again"
                ));
            }
            if revision < last {
                return Err(format!("not ordered: {pair:?} came after revision {last}"));
            }
            last = revision;
            match expected.next() {
                Some(change) if change.revision < revision => {
                    return Err(format!(
                        "not reliable: {change:?} did not come before {pair:?}"
                    ));
                }
                Some(change) if is_of(pair, &change) => {}
                change => return Err(format!("{pair:?} came for {change:?}")),
            }
        }
        if let Some(missing) =
            expected.next_if(|change| batch.events.is_empty() && change.revision <= batch.revision)
        {
            let at = batch.revision;
            return Err(format!(
                "not bookmarkable: at {at}, and {missing:?} had not come"
            ));
        }
        last = last.max(if batch.events.is_empty() {
            batch.revision
        } else {
            0
        });
    }
    Ok(())
}

/// Whether these are the events of a change: of the key and of its twin.
fn is_of(events: &[Event], change: &Change) -> bool {
    let is_it = |event: &Event| event.key == change.key && event.value == change.value;
    events.iter().all(is_it) && matches!(events, [a, b] if a.is_twin != b.is_twin)
}

/// Whether a watch has heard of everything.
pub fn last_revision(watch: &Watch) -> i64 {
    let events = watch.batches.iter().flat_map(|batch| &batch.events);
    events.map(|event| event.revision).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(revision: i64) -> Vec<Event> {
        let event = |is_twin| Event {
            revision,
            key: 0,
            is_twin,
            value: Some(revision as u64),
        };
        vec![event(false), event(true)]
    }

    fn says(batches: &[(i64, Vec<Event>)], what: &str) {
        let log: Vec<Change> = (2..=5)
            .map(|revision| Change {
                revision,
                key: 0,
                value: Some(revision as u64),
            })
            .collect();
        let batches = batches.iter().map(|(revision, events)| Batch {
            revision: *revision,
            events: events.clone(),
        });
        let watch = Watch {
            start_revision: 3,
            batches: batches.collect(),
        };
        match check(&watch, &log) {
            Ok(()) => assert_eq!(what, ""),
            Err(error) => assert!(!what.is_empty() && error.contains(what), "{error}"),
        }
    }

    #[test]
    fn promises_that_are_kept() {
        says(&[], "");
        says(
            &[(4, [pair(3), pair(4)].concat()), (4, vec![]), (5, pair(5))],
            "",
        );
        says(
            &[
                (5, pair(3)),
                (5, pair(4)),
                (5, pair(5)),
                (5, vec![]),
                (5, vec![]),
            ],
            "",
        );
        says(&[(2, vec![]), (3, pair(3))], "");
    }

    #[test]
    fn promises_that_are_broken() {
        says(&[(4, pair(4))], "not reliable");
        says(&[(3, pair(3)), (5, pair(5))], "not reliable");
        says(&[(3, pair(3)), (3, pair(3))], "not unique");
        says(
            &[(4, [pair(3), pair(4)].concat()), (3, pair(3))],
            "not ordered",
        );
        says(
            &[(3, pair(3)[..1].to_vec()), (3, pair(3)[1..].to_vec())],
            "came for",
        );
        says(&[(3, pair(3)), (4, pair(4)[..1].to_vec())], "came for");
        says(&[(2, pair(2)), (3, pair(3))], "came for");
        says(&[(3, vec![]), (3, pair(3))], "not bookmarkable");
        says(&[(3, pair(3)), (5, vec![])], "not bookmarkable");
        says(
            &[(3, pair(3)), (4, pair(4)), (5, pair(5)), (6, pair(6))],
            "came for None",
        );
    }
}
