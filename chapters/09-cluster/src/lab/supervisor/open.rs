//! Components that end at the hole of an exercise, and what the lab says of that.

use std::path::Path;

use component::open_exercise::{EXIT_CODE, number_in};

use super::nodes::NodeHandle;
use crate::lab::logs;

/// Lines of a log in which the last words of a component are looked for.
const LAST_WORDS: usize = 20;

/// Which exercise a component came upon that ended with `how`, by its last words in `log`.
pub fn exercise(how: &str, log: &Path) -> Option<String> {
    if how != format!("exit code {EXIT_CODE}") {
        return None;
    }
    named(&logs::tail(log, LAST_WORDS))
}

/// The one that was named last: a log goes over several starts.
fn named(text: &str) -> Option<String> {
    text.lines().rev().find_map(number_in).map(str::to_owned)
}

/// What is to be said of a lab in which a component came upon a hole; none where none did.
pub fn message(nodes: &[NodeHandle]) -> Option<String> {
    nodes.iter().find_map(|node| {
        let (component, number) = node.open_exercise()?;
        Some(words(component, &node.node.name, number))
    })
}

fn words(component: &str, node: &str, number: &str) -> String {
    format!(
        "exercise {number} is open, and the {component} of {node} came upon it and ended. What \
         does not need it runs on: `cargo xtask lab status`. When `cargo xtask ex check {number}` \
         is green, `cargo xtask lab` starts the lab anew, with what you wrote"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_name_the_exercise() {
        let log =
            "exercise 02.1 is open: see\nINFO scheduling\nexercise 04.1 is open: see the book";
        assert_eq!(named(log).as_deref(), Some("04.1"));
        assert_eq!(named("INFO scheduling\nthread panicked"), None);
        assert_eq!(exercise("exit code 1", Path::new("/nowhere")), None);
        assert!(words("scheduler", "control-plane", "04.1").starts_with("exercise 04.1 is open"));
    }
}
