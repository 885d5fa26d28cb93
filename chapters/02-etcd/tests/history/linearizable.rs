//! Whether the calls of a key can have been done one after the other.
//!
//! A history is *linearizable* if each call can be given one moment between its beginning and its
//! end so that, done at those moments, the calls have the answers that they had. Wing and Gong's
//! search finds such moments. Of the calls that were running at first, one must have been done
//! before all others: try each; take it out of the history, look at the rest in the same way; go
//! back where nothing fits. Lowe's remark makes that fast: which calls were done and what the key
//! holds then decides the rest, so no such pair need be tried twice.
//!
//! ```text
//!   put 1 ├────────┤              put 1, get, put 2: fits
//!   put 2     ├─────────────┤     put 2, ...: then the read cannot have found 1
//!   get → 1     ├────┤
//! ```
//!
//! A key is looked at alone, as what is linearizable key by key is so as a whole. A call without
//! an answer may be done at any time after its beginning, or never.

use std::collections::{BTreeMap, HashSet};

use super::calls::{Call, Value};

/// Checks every key; says which one cannot be.
pub fn check(calls: &[Call]) -> Result<(), String> {
    let mut by_key: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        by_key.entry(call.key).or_default().push(call);
    }
    by_key.into_iter().try_for_each(|(key, calls)| {
        Search::new(calls)
            .run()
            .map_err(|wrong| format!("key {key} is not linearizable: {wrong}"))
    })
}

/// Beginnings and ends of calls in order of time, as a list that calls are taken out of.
struct Search<'a> {
    calls: Vec<&'a Call>,
    /// Of each call its beginning and its end, if it has one.
    places: Vec<(usize, Option<usize>)>,
    /// What is at each place; the list's head is place 0, its end the last one.
    kinds: Vec<Kind>,
    next: Vec<usize>,
    before: Vec<usize>,
    /// Answered calls that are still to be done.
    left: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Bound,
    Begin(usize),
    End(usize),
}

impl<'a> Search<'a> {
    fn new(calls: Vec<&'a Call>) -> Self {
        let mut events = Vec::new();
        for (n, call) in calls.iter().enumerate() {
            // Of two events at the same time the beginning comes first: they may overlap.
            events.push((call.called, 0, n));
            events.extend(call.answer.map(|answer| (answer.at, 1, n)));
        }
        events.sort_unstable();
        let mut places = vec![(0, None); calls.len()];
        let mut kinds = vec![Kind::Bound];
        for (_, is_end, n) in events {
            let place = kinds.len();
            kinds.push(if is_end == 1 {
                places[n].1 = Some(place);
                Kind::End(n)
            } else {
                places[n].0 = place;
                Kind::Begin(n)
            });
        }
        kinds.push(Kind::Bound);
        Self {
            left: calls.iter().filter(|call| call.answer.is_some()).count(),
            next: (1..=kinds.len()).collect(),
            before: (0..kinds.len())
                .map(|place| place.saturating_sub(1))
                .collect(),
            calls,
            places,
            kinds,
        }
    }

    fn run(mut self) -> Result<(), String> {
        let mut value: Value = None;
        let mut done = Done::of(self.calls.len());
        let mut tried = HashSet::new();
        let mut path: Vec<(usize, Value)> = Vec::new();
        // The first call that could not be placed, of the attempt that came furthest.
        let mut furthest = (0, None);
        let mut place = self.next[0];
        while self.left > 0 {
            if let Kind::Begin(n) = self.kinds[place] {
                if let Some(after) = self.calls[n].step(value) {
                    done.flip(n);
                    if tried.insert((done.clone(), after)) {
                        path.push((n, value));
                        value = after;
                        self.take_out(n);
                        place = self.next[0];
                        continue;
                    }
                    done.flip(n);
                }
                place = self.next[place];
                continue;
            }
            // Here a call ends that was not done, or all is tried: what was done last was wrong.
            if let Kind::End(n) = self.kinds[place]
                && path.len() >= furthest.0
            {
                furthest = (path.len(), Some((n, value)));
            }
            let Some((n, value_before)) = path.pop() else {
                let (_, stuck) = furthest;
                return Err(stuck.map_or_else(String::new, |(n, value)| {
                    format!(
                        "{:?} does not fit; the key may have held {value:?}",
                        self.calls[n]
                    )
                }));
            };
            self.put_back(n);
            done.flip(n);
            value = value_before;
            place = self.next[self.places[n].0];
        }
        Ok(())
    }

    fn take_out(&mut self, n: usize) {
        let (begin, end) = self.places[n];
        for place in std::iter::once(begin).chain(end) {
            let (before, next) = (self.before[place], self.next[place]);
            self.next[before] = next;
            self.before[next] = before;
        }
        self.left -= usize::from(end.is_some());
    }

    /// Undoes `take_out`, of the call that was taken out last.
    fn put_back(&mut self, n: usize) {
        let (begin, end) = self.places[n];
        for place in end.into_iter().chain([begin]) {
            let (before, next) = (self.before[place], self.next[place]);
            self.next[before] = place;
            self.before[next] = place;
        }
        self.left += usize::from(end.is_some());
    }
}

/// A set of calls.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn of(calls: usize) -> Self {
        Self(vec![0; calls.div_ceil(64)])
    }

    fn flip(&mut self, n: usize) {
        self.0[n / 64] ^= 1 << (n % 64);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::calls::{Answer, Op, Outcome};
    use super::*;

    /// `op` from one time to another; an outcome of none never came.
    fn call(op: Op, called: u64, at: u64, outcome: Option<Outcome>) -> Call {
        Call {
            key: 0,
            op,
            called: Duration::from_secs(called),
            answer: outcome.map(|outcome| Answer {
                at: Duration::from_secs(at),
                revision: 0,
                outcome,
            }),
        }
    }

    fn put(value: u64, called: u64, at: u64) -> Call {
        call(Op::Put(value), called, at, Some(Outcome::Written))
    }

    fn get(value: Value, called: u64, at: u64) -> Call {
        call(Op::Get, called, at, Some(Outcome::Found(value)))
    }

    fn swap(from: Value, to: u64, called: u64, at: u64, outcome: Outcome) -> Call {
        call(Op::Swap { from, to }, called, at, Some(outcome))
    }

    fn fits(calls: &[Call]) -> bool {
        check(calls).is_ok()
    }

    #[test]
    fn one_after_the_other() {
        assert!(fits(&[get(None, 0, 1), put(1, 2, 3), get(Some(1), 4, 5)]));
        assert!(!fits(&[put(1, 0, 1), get(None, 2, 3)]), "a stale read");
        assert!(
            !fits(&[get(Some(1), 0, 1), put(1, 2, 3)]),
            "read before it was written"
        );
        assert!(!fits(&[get(Some(1), 0, 1)]), "read and never written");
        assert!(
            !fits(&[put(1, 0, 1), put(2, 2, 3), get(Some(1), 4, 5)]),
            "a lost write"
        );
    }

    #[test]
    fn at_the_same_time() {
        let (a, b) = (put(1, 0, 10), put(2, 0, 10));
        assert!(fits(&[a, b, get(Some(1), 11, 12)]));
        assert!(fits(&[a, b, get(Some(2), 11, 12)]));
        assert!(fits(&[
            a,
            b,
            get(None, 1, 2),
            get(Some(2), 3, 4),
            get(Some(1), 5, 6)
        ]));
        assert!(
            !fits(&[a, b, get(Some(1), 11, 12), get(Some(2), 13, 14)]),
            "back in time"
        );
        assert!(
            !fits(&[a, get(Some(1), 1, 2), get(None, 3, 4)]),
            "back in time"
        );
    }

    #[test]
    fn without_an_answer() {
        let lost = call(Op::Put(1), 1, 0, None);
        assert!(fits(&[lost, get(None, 2, 3)]), "never done");
        assert!(fits(&[lost, get(Some(1), 2, 3)]), "done at once");
        assert!(
            fits(&[lost, get(None, 2, 3), get(Some(1), 4, 5)]),
            "done late"
        );
        assert!(
            fits(&[lost, put(2, 2, 3), get(Some(2), 4, 5), get(Some(1), 6, 7)]),
            "later still"
        );
        assert!(
            !fits(&[lost, get(Some(1), 2, 3), get(None, 4, 5)]),
            "done and undone"
        );
        assert!(
            !fits(&[get(Some(1), 0, 1), call(Op::Put(1), 2, 0, None)]),
            "done before asked"
        );
    }

    #[test]
    fn swaps_and_deletions() {
        let done = Outcome::Written;
        assert!(fits(&[
            put(1, 0, 1),
            swap(Some(1), 2, 2, 3, done),
            get(Some(2), 4, 5)
        ]));
        assert!(
            !fits(&[put(1, 0, 1), swap(Some(7), 2, 2, 3, done)]),
            "swapped from nothing"
        );
        assert!(
            !fits(&[
                put(1, 0, 1),
                swap(Some(1), 2, 2, 9, done),
                swap(Some(1), 3, 2, 9, done)
            ]),
            "both have won"
        );
        assert!(
            !fits(&[
                put(1, 0, 1),
                swap(Some(1), 2, 2, 3, Outcome::Found(Some(1)))
            ]),
            "refused"
        );
        let delete = |there| call(Op::Delete, 2, 3, Some(Outcome::Deleted(there)));
        assert!(fits(&[put(1, 0, 1), delete(true), get(None, 4, 5)]));
        assert!(
            !fits(&[put(1, 0, 1), delete(false)]),
            "did not find what was there"
        );
        assert!(
            !fits(&[put(1, 0, 1), delete(true), get(Some(1), 4, 5)]),
            "came back"
        );
    }
}
