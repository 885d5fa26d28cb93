//! What a client writes down.

use std::time::Duration;

/// What a key holds: none if it is not there. Every value is written once only, so that it says
/// who wrote it.
pub type Value = Option<u64>;

/// What was asked of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Get,
    Put(u64),
    Delete,
    /// Put `to` if it holds `from`, else read it, in one transaction.
    Swap {
        from: Value,
        to: u64,
    },
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// To a read, and to a swap that was not done: what is there.
    Found(Value),
    /// To a put, and to a swap that was done.
    Written,
    /// To a deletion: whether there was something.
    Deleted(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub at: Duration,
    /// The store's revision, in the header of the answer.
    pub revision: i64,
    pub outcome: Outcome,
}

/// A call and its answer; none if the connection died before there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub key: usize,
    pub op: Op,
    pub called: Duration,
    pub answer: Option<Answer>,
}

impl Call {
    /// What the key holds after this call, if it may hold `before`; none if the answer does not
    /// fit. A call without an answer fits anything.
    pub fn step(&self, before: Value) -> Option<Value> {
        let outcome = self.answer.map(|answer| answer.outcome);
        let (expected, after) = match self.op {
            Op::Get => (Outcome::Found(before), before),
            Op::Put(value) => (Outcome::Written, Some(value)),
            Op::Delete => (Outcome::Deleted(before.is_some()), None),
            Op::Swap { from, to } if from == before => (Outcome::Written, Some(to)),
            Op::Swap { .. } => (Outcome::Found(before), before),
        };
        (outcome.is_none() || outcome == Some(expected)).then_some(after)
    }

    /// Whether it has changed the key, as far as its client knows.
    pub fn has_written(&self) -> bool {
        let outcome = self.answer.map(|answer| answer.outcome);
        matches!(outcome, Some(Outcome::Written | Outcome::Deleted(true)))
    }
}

/// A change of a key, as the store tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub revision: i64,
    pub key: usize,
    /// None: it was deleted.
    pub value: Value,
}
