//! CEL: the small language in which rules about objects are written.
//!
//! ```text
//!  "self.min <= self.max"  ──parser.rs──▶  tree  ──check.rs──▶  its type, or what is wrong
//!                                            │
//!                                            └──eval.rs──▶  true, or what is wrong
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `lexer.rs`, `parser.rs` | text to a tree |
//! | `environment.rs` | what an expression may name, by where it stands |
//! | `types.rs`, `overloads.rs` | types; the signatures of all functions |
//! | `check.rs` | the type of an expression |
//! | `value.rs`, `json.rs` | values; from JSON as a schema says, and back |
//! | `eval.rs`, `operators.rs`, `macros.rs` | a tree to a value |
//! | `sizes.rs`, `estimate.rs`, `call_costs.rs` | what an expression will cost at the worst |
//! | `budget.rs`, `cost.rs` | what may be spent, and what a call costs |
//! | `functions.rs` | which function a call is of |
//! | `convert.rs`, `texts.rs`, `format.rs`, `lists.rs`, `optionals.rs`, `times.rs` | functions of the language and its extensions |
//! | `addresses.rs`, `formats.rs`, `quantities.rs`, `semver.rs`, `urls.rs`, `authorizer.rs` | what Kubernetes adds |
//!
//! What the names of an expression stand for is said by whoever runs it ([`Names`]): a rule has
//! `self` and `oldSelf`, a policy has an object, a request and variables of its own, which are not
//! evaluated unless they are used.
//!
//! An expression cannot run for long: each step costs, and there is a limit for an expression and
//! one for all of an object's. A rule that would cost too much on the largest object that its schema
//! allows is refused when it is written. Its own parser and evaluator, since the crate for it counts
//! no cost and checks no types, and would add a generated parser to the build.
//!
//! Selectors of devices are checked alone.
//!
//! Left out: upstream folds what is constant before it runs an expression, so that it costs
//! nothing; times are shown in UTC, whichever zone they were written in. What is no CEL at all is
//! told in fewer words than upstream's parser has.
//!
//! Upstream: `github.com/google/cel-spec`, `staging/src/k8s.io/apiserver/pkg/cel`.

mod addresses;
mod authorizer;
mod budget;
mod call_costs;
mod check;
mod convert;
mod cost;
mod durations;
mod environment;
mod escape;
mod estimate;
#[cfg(test)]
mod estimate_tests;
mod eval;
mod format;
mod formats;
mod functions;
mod json;
mod lexer;
mod lists;
mod macros;
mod operators;
mod optionals;
mod overloads;
mod parser;
mod quantities;
mod semver;
mod sizes;
#[cfg(test)]
mod tests;
mod texts;
mod times;
mod types;
mod urls;
mod value;

pub use authorizer::{Check, Decision, Stage};
pub use budget::{Budget, Failure};
pub use environment::Environment;
pub use formats::Format;
pub use semver::Semver;
pub use sizes::Sizes;
pub use types::{BOOL, INT, Object, STRING, Type};
pub use value::{Key, Made, Val};

/// What one expression may cost. Upstream: `PerCallLimit`.
pub const RULE_COST_MAX: u64 = 1_000_000;
/// What all rules of an object may cost together. Upstream: `RuntimeCELCostBudget`.
pub const OBJECT_COST_MAX: u64 = 10_000_000;

/// What the names of an expression stand for.
pub trait Names {
    /// The value of a variable, by its whole name: `object`, `variables.replicas`,
    /// `authorizer.requestResource`. A variable is asked for when it is used, and each time that it
    /// is; one whose evaluation takes long is to be kept. None: there is none of this name.
    fn value(&self, name: &str, budget: &mut Budget) -> Option<Result<Val, Failure>>;

    /// Whether a user may do something, for `authorizer`.
    fn check(&self, check: &Check) -> Decision;
}

/// What the names of a rule stand for.
struct OwnAndOld<'a> {
    own: &'a Val,
    old: Option<&'a Val>,
}

impl Names for OwnAndOld<'_> {
    fn value(&self, name: &str, _budget: &mut Budget) -> Option<Result<Val, Failure>> {
        match name {
            "self" => Some(Ok(self.own.clone())),
            "oldSelf" => self.old.map(|old| Ok(old.clone())),
            _ => None,
        }
    }

    /// No rule has an `authorizer`.
    fn check(&self, _check: &Check) -> Decision {
        Decision::default()
    }
}

/// An expression that was understood.
#[derive(Debug, Clone)]
pub struct Expression {
    root: parser::Node,
    result: Type,
}

impl Expression {
    /// Understands an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where, in upstream's form: `ERROR: <input>:1:1: …`.
    pub fn compile(text: &str, environment: &Environment) -> Result<Expression, String> {
        let root = parser::parse(text).map_err(|problem| problem.show(text))?;
        let result = check::check(&root, environment).map_err(|problems| {
            let shown: Vec<String> = problems.iter().map(|problem| problem.show(text)).collect();
            shown.join("\n")
        })?;
        Ok(Expression { root, result })
    }

    /// What it evaluates to.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// What it costs at the worst, in the environment that it was compiled for, where values are of
    /// these sizes. Upstream: `EstimateCost`.
    pub fn cost_max(&self, environment: &Environment, sizes: &Sizes) -> u64 {
        let notes = check::Notes::of(&self.root, environment);
        estimate::estimate(&self.root, &notes, sizes)
    }

    /// Whether it looks at what was there before.
    pub fn uses_old_self(&self) -> bool {
        self.root.names("oldSelf")
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// What went wrong, or that it costs too much.
    pub fn run(&self, names: &dyn Names, budget: &mut Budget) -> Result<Val, Failure> {
        eval::evaluate(&self.root, names, budget)
    }

    /// Evaluates it, which was compiled for a rule.
    ///
    /// # Errors
    /// What went wrong, or that it costs too much.
    pub fn evaluate(
        &self,
        own: &Val,
        old: Option<&Val>,
        budget: &mut Budget,
    ) -> Result<Val, Failure> {
        self.run(&OwnAndOld { own, old }, budget)
    }
}
