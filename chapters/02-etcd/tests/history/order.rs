//! Whether all calls fit into the order that the server says they had.
//!
//! etcd numbers its writes, so here is nothing to be searched: the store tells the order, and it
//! only has to be a right one. That is more than [`super::linearizable`] asks, as it is for all
//! keys at once, and it sees what that cannot: a write that took effect twice, or that nobody
//! asked for, or a revision given out again after a crash.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::calls::{Call, Change, Op, Outcome, Value};

/// Checks `calls` against `log`, all changes that the store has told of.
pub fn check(calls: &[Call], log: &[Change]) -> Result<(), String> {
    let history = History::new(log)?;
    real_time(calls)?;
    let mut answered = BTreeSet::new();
    for call in calls {
        history.answer_fits(call)?;
        if let Some(answer) = call.answer.filter(|_| call.has_written()) {
            answered.insert(answer.revision);
        }
    }
    history.all_were_asked_for(calls, &answered)
}

/// What each key held at each revision.
struct History {
    changes: BTreeMap<i64, Change>,
    keys: BTreeMap<usize, BTreeMap<i64, Value>>,
}

impl History {
    fn new(log: &[Change]) -> Result<Self, String> {
        let mut history = Self {
            changes: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        for change in log {
            if let Some(other) = history.changes.insert(change.revision, *change) {
                return Err(format!("one revision, two writes: {other:?}, {change:?}"));
            }
            let versions = history.keys.entry(change.key).or_default();
            versions.insert(change.revision, change.value);
        }
        Ok(history)
    }

    /// What a key held when the store was at a revision.
    fn at(&self, key: usize, revision: i64) -> Value {
        let versions = self.keys.get(&key)?;
        versions
            .range(..=revision)
            .next_back()
            .and_then(|(_, value)| *value)
    }

    fn answer_fits(&self, call: &Call) -> Result<(), String> {
        let Some(answer) = call.answer else {
            return Ok(());
        };
        let change = self
            .changes
            .get(&answer.revision)
            .filter(|change| change.key == call.key);
        let fits = match (call.op, answer.outcome) {
            (Op::Put(value) | Op::Swap { to: value, .. }, Outcome::Written) => {
                let from = self.at(call.key, answer.revision - 1);
                let swapped = !matches!(call.op, Op::Swap { from: wanted, .. } if wanted != from);
                swapped && change.is_some_and(|change| change.value == Some(value))
            }
            (Op::Delete, Outcome::Deleted(true)) => {
                change.is_some_and(|change| change.value.is_none())
            }
            (Op::Delete, Outcome::Deleted(false)) => self.at(call.key, answer.revision).is_none(),
            (Op::Swap { from, .. }, Outcome::Found(found)) => {
                from != found && self.at(call.key, answer.revision) == found
            }
            (Op::Get, Outcome::Found(found)) => self.at(call.key, answer.revision) == found,
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => {
                let found = self.at(call.key, answer.revision);
                Err(format!(
                    "the key held {found:?} then, and {change:?}: {call:?}"
                ))
            }
        }
    }

    /// Each change is one call's: of a client that was answered, or of one that was not.
    fn all_were_asked_for(&self, calls: &[Call], answered: &BTreeSet<i64>) -> Result<(), String> {
        let mut unanswered: HashMap<(usize, Value), usize> = HashMap::new();
        for call in calls.iter().filter(|call| call.answer.is_none()) {
            match call.op {
                Op::Put(value) | Op::Swap { to: value, .. } => {
                    *unanswered.entry((call.key, Some(value))).or_default() += 1;
                }
                Op::Delete => *unanswered.entry((call.key, None)).or_default() += 1,
                Op::Get => {}
            }
        }
        for change in self
            .changes
            .values()
            .filter(|it| !answered.contains(&it.revision))
        {
            match unanswered.get_mut(&(change.key, change.value)) {
                Some(left) if *left > 0 => *left -= 1,
                _ => return Err(format!("nobody asked for {change:?}")),
            }
        }
        Ok(())
    }
}

/// Who begins after another's answer sees at least what that one saw, and writes after it.
fn real_time(calls: &[Call]) -> Result<(), String> {
    let mut begins: Vec<&Call> = calls.iter().collect();
    begins.sort_by_key(|call| call.called);
    let mut ends: Vec<_> = calls
        .iter()
        .filter_map(|call| Some((call.answer?, call)))
        .collect();
    ends.sort_by_key(|(answer, _)| answer.at);
    let mut ends = ends.into_iter().peekable();
    let mut newest: Option<(i64, &Call)> = None;
    let mut writes = BTreeSet::new();
    for call in begins {
        while let Some((answer, ended)) = ends.next_if(|(answer, _)| answer.at < call.called) {
            if newest.is_none_or(|(revision, _)| answer.revision > revision) {
                newest = Some((answer.revision, ended));
            }
        }
        let Some(answer) = call.answer else {
            continue;
        };
        if call.has_written() && !writes.insert(answer.revision) {
            return Err(format!(
                "its revision was given to another write, too: {call:?}"
            ));
        }
        let Some((revision, ended)) = newest else {
            continue;
        };
        let least = revision + i64::from(call.has_written());
        if answer.revision < least {
            return Err(format!(
                "back in time: {call:?} began after {ended:?} was answered"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::calls::Answer;
    use super::*;

    fn call(op: Op, at: u64, revision: i64, outcome: Outcome) -> Call {
        Call {
            key: 0,
            op,
            called: Duration::from_secs(2 * at),
            answer: Some(Answer {
                at: Duration::from_secs(2 * at + 1),
                revision,
                outcome,
            }),
        }
    }

    fn change(revision: i64, value: Value) -> Change {
        Change {
            revision,
            key: 0,
            value,
        }
    }

    fn says(calls: &[Call], log: &[Change], what: &str) {
        let error = check(calls, log).expect_err("is wrong");
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn an_order_that_fits() {
        let (put, get) = (Op::Put(1), Op::Get);
        let swap = Op::Swap {
            from: Some(1),
            to: 2,
        };
        let lost = Call {
            answer: None,
            ..call(Op::Put(3), 9, 0, Outcome::Written)
        };
        let calls = [
            call(get, 0, 1, Outcome::Found(None)),
            call(put, 1, 2, Outcome::Written),
            call(swap, 2, 3, Outcome::Written),
            call(swap, 3, 3, Outcome::Found(Some(2))),
            call(Op::Delete, 4, 4, Outcome::Deleted(true)),
            call(Op::Delete, 5, 4, Outcome::Deleted(false)),
            lost,
        ];
        let log = [change(2, Some(1)), change(3, Some(2)), change(4, None)];
        assert_eq!(check(&calls, &log), Ok(()));
        let with_lost = [&log[..], &[change(5, Some(3))]].concat();
        assert_eq!(check(&calls, &with_lost), Ok(()));
        says(
            &calls,
            &[&with_lost[..], &[change(6, Some(3))]].concat(),
            "nobody asked for",
        );
    }

    #[test]
    fn orders_that_do_not() {
        let put = call(Op::Put(1), 1, 2, Outcome::Written);
        let log = [change(2, Some(1))];
        says(&[put], &[], "the key held None then, and None");
        says(&[put], &[change(2, Some(7))], "the key held");
        says(&[put], &[log[0], log[0]], "one revision, two writes");
        says(&[put], &[log[0], change(3, Some(8))], "nobody asked for");
        let get = |at, revision, found| call(Op::Get, at, revision, Outcome::Found(found));
        says(&[put, get(2, 2, None)], &log, "the key held Some(1) then");
        says(&[put, get(2, 1, None)], &log, "back in time");
        let again = call(Op::Put(2), 2, 2, Outcome::Written);
        says(
            &[put, again],
            &[change(2, Some(2))],
            "given to another write",
        );
        let at_once = Call {
            called: put.called,
            ..again
        };
        says(&[put, at_once], &log, "given to another write");
        let earlier = call(Op::Put(2), 2, 1, Outcome::Written);
        says(
            &[put, earlier],
            &[change(1, Some(2)), log[0]],
            "back in time",
        );
        let swap = |from, outcome| call(Op::Swap { from, to: 2 }, 2, 3, outcome);
        let swapped = [log[0], change(3, Some(2))];
        says(
            &[put, swap(None, Outcome::Written)],
            &swapped,
            "the key held",
        );
        let refused = call(
            Op::Swap {
                from: Some(1),
                to: 2,
            },
            2,
            2,
            Outcome::Found(Some(1)),
        );
        says(&[put, refused], &log, "the key held");
        let deleted = |there| call(Op::Delete, 2, 2, Outcome::Deleted(there));
        says(&[put, deleted(false)], &log, "the key held");
        let to_late = call(Op::Delete, 2, 3, Outcome::Deleted(true));
        says(&[put, to_late], &log, "the key held");
    }
}
