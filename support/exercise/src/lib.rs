//! How the check of an exercise says what it tried, saw and expected.
//!
//! The checks of a chapter are ordinary tests, in its `tests/exercises.rs`: one function named
//! `exercise_NN_M` for exercise `NN.M`, one named `bug_NN` for a chapter's planted bug, `bug_NN_M`
//! for its second one and so on. They pass on the reference, so `cargo xtask test` runs them with
//! all others. What they say when they fail is meant for somebody who is in the middle of an
//! exercise: `cargo xtask exercise check` shows it between the marks below, without the rest of a
//! failed test.
//!
//! ```should_panic
//! use exercise::Check;
//!
//! Check::new("a toleration with operator Exists, against the taint gpu=yes:NoSchedule")
//!     .because("Exists asks for the key alone: the value is not compared")
//!     .expect(false, true);
//! ```

use std::fmt::{Debug, Write};

/// The line that opens what a failed check says.
pub const BEGIN: &str = "┌─ check";
/// The line that closes it.
pub const END: &str = "└─";

/// One thing that a check tries.
#[must_use = "a check checks at `expect`"]
pub struct Check {
    tried: String,
    because: Option<String>,
}

impl Check {
    /// A check that tries what `tried` says, in words of the reader's world.
    pub fn new(tried: impl Into<String>) -> Self {
        Self {
            tried: tried.into(),
            because: None,
        }
    }

    /// Why the expected is right: the rule that a wrong solution missed.
    pub fn because(mut self, rule: impl Into<String>) -> Self {
        self.because = Some(rule.into());
        self
    }

    /// Compares two values.
    ///
    /// # Panics
    /// With what was tried, seen and expected, when they differ.
    #[track_caller]
    pub fn expect<T: PartialEq + Debug>(self, saw: T, expected: T) {
        if saw != expected {
            self.fail(&format!("{saw:#?}"), &format!("{expected:#?}"));
        }
    }

    /// Compares two texts, which are shown as they are.
    ///
    /// # Panics
    /// With what was tried, seen and expected, when they differ.
    #[track_caller]
    pub fn expect_text(self, saw: &str, expected: &str) {
        if saw.trim_end() != expected.trim_end() {
            self.fail(saw, expected);
        }
    }

    #[track_caller]
    fn fail(self, saw: &str, expected: &str) -> ! {
        let mut said = format!("\n{BEGIN}\n");
        part(&mut said, "tried", &self.tried);
        part(&mut said, "saw", saw);
        part(&mut said, "expected", expected);
        if let Some(because) = &self.because {
            part(&mut said, "because", because);
        }
        panic!("{said}{END}");
    }
}

/// `│ saw       first line`, further lines below it.
fn part(said: &mut String, name: &str, text: &str) {
    let text = if text.trim().is_empty() {
        "(nothing)"
    } else {
        text.trim_end()
    };
    for (number, line) in text.lines().enumerate() {
        let name = if number == 0 { name } else { "" };
        writeln!(said, "│ {name:<10}{line}").expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_says_all_it_knows() {
        let failed = std::panic::catch_unwind(|| {
            Check::new("two lines")
                .because("there are two")
                .expect_text("one\n", "one\ntwo\n");
        });
        let said = *failed.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(
            said,
            "\n┌─ check\n│ tried     two lines\n│ saw       one\n│ expected  one\n\
             │           two\n│ because   there are two\n└─"
        );
    }

    #[test]
    fn a_check_that_holds_says_nothing() {
        Check::new("one").expect(1, 1);
        Check::new("the same text").expect_text("a\n", "a");
    }
}
