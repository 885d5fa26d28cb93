//! CEL: the small language in which rules about objects are written.
//!
//! ```text
//!  "self.min <= self.max"  ──parser.rs──▶  tree  ──check.rs──▶  names and fields are known
//!                                            │
//!                                            └──eval.rs──▶  true, or what is wrong
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `lexer.rs`, `parser.rs` | text to a tree |
//! | `check.rs` | whether names, fields and functions are known |
//! | `value.rs` | values, made from JSON as a schema says |
//! | `eval.rs` | operators, macros, the cost of each step |
//! | `functions.rs`, `library.rs` | functions of the language, and those that Kubernetes adds |
//!
//! A rule cannot run for long: each step costs, and there is a limit for a rule and one for all of
//! an object's. Its own parser and evaluator, since the crate for it counts no cost and checks no
//! types, and would add a generated parser to the build.
//!
//! Left out: upstream's estimate of what a rule will cost, which it makes when a rule is written;
//! types of expressions beyond fields of the schema; `bytes`, two-variable comprehensions,
//! optional access by `?.`, `semver`, and the parts of timestamps.
//!
//! Upstream: `github.com/google/cel-spec`, `staging/src/k8s.io/apiserver/pkg/cel`.

mod check;
mod eval;
mod functions;
mod lexer;
mod library;
mod parser;
#[cfg(test)]
mod tests;
mod value;

pub use eval::{Budget, Failure};
pub use value::Val;

use crate::custom::Schema;

/// What one rule may cost. Upstream: `PerCallLimit`.
pub const RULE_COST_MAX: u64 = 1_000_000;
/// What all rules of an object may cost together. Upstream: `RuntimeCELCostBudget`.
pub const OBJECT_COST_MAX: u64 = 10_000_000;

/// An expression that was understood.
#[derive(Debug, Clone)]
pub struct Expression {
    root: parser::Node,
}

impl Expression {
    /// Understands an expression about `self` (and `oldSelf`) of a schema.
    ///
    /// # Errors
    /// What is wrong with it, and where, in upstream's form.
    pub fn compile(text: &str, schema: &Schema) -> Result<Expression, String> {
        let shown = |problem: parser::Problem| problem.show(text);
        let root = parser::parse(text).map_err(shown)?;
        check::check(&root, schema).map_err(shown)?;
        Ok(Expression { root })
    }

    /// Whether it looks at what was there before.
    pub fn uses_old_self(&self) -> bool {
        self.root.names("oldSelf")
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// What went wrong, or that it costs too much.
    pub fn evaluate(
        &self,
        own: &Val,
        old: Option<&Val>,
        budget: &mut Budget,
    ) -> Result<Val, Failure> {
        eval::evaluate(&self.root, own, old, budget)
    }
}
