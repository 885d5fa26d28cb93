//! What an evaluation may still spend, and how one ends that has no value.

/// Why there is no value.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// It cost too much.
    Cost,
    /// Something is not as the expression takes it to be, in upstream's words.
    Error(String),
}

impl Failure {
    pub(super) fn error(what: impl Into<String>) -> Failure {
        Failure::Error(what.into())
    }

    /// A function or an operator for other types than these.
    pub(super) fn overload() -> Failure {
        Failure::error("no such overload")
    }
}

/// How much work one unit of cost may be, at the most.
const WORK_FOR_COST: u64 = 16;

/// What may still be spent.
///
/// Cost is what upstream counts. It takes some steps to be as cheap as looking at a number, which
/// go over whole trees: `a == b`, `format`. So work is counted beside it, which is what the
/// machine does; it is never what ends an ordinary expression, and it bounds time and memory of
/// those that are made to have neither bounded.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    work: u64,
}

impl Budget {
    /// So much.
    pub fn new(left: u64) -> Budget {
        Budget {
            left,
            work: left.saturating_mul(WORK_FOR_COST),
        }
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes what a step costs.
    ///
    /// # Errors
    /// There is not as much left; then nothing is.
    pub(super) fn spend(&mut self, cost: u64) -> Result<(), Failure> {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Failure::Cost)
    }

    /// Takes what a step does: about a value looked at, or a byte made.
    pub(super) fn work(&mut self, steps: usize) -> Result<(), Failure> {
        let left = self.work.checked_sub(steps as u64);
        self.work = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Failure::Cost)
    }
}
