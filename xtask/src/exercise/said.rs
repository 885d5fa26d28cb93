//! What a failed check said, taken out of what the test runner printed.
//!
//! The marks are those of the crate `exercise`, in `support/exercise`, which says how a check
//! writes them. It is not linked: the marks are what both agree on.

const BEGIN: &str = "┌─ check";
const END: &str = "└─";

/// A test that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its name.
    pub test: String,
    /// What was printed on the way.
    pub printed: Vec<String>,
    /// Why.
    pub why: Why,
}

/// Why a test failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Why {
    /// It saw what it did not expect; the lines say what.
    Saw(Vec<String>),
    /// It came upon the hole of this exercise.
    Open(String),
    /// Something panicked.
    Panicked {
        /// File, line and column.
        at: String,
        /// What it said.
        message: Vec<String>,
    },
    /// Anything else.
    Other,
}

impl Failure {
    /// All that it says, to be searched.
    pub fn text(&self) -> String {
        match &self.why {
            Why::Saw(lines) => lines.join("\n"),
            Why::Open(id) => format!("exercise {id} is open"),
            Why::Panicked { at, message } => format!("{at}\n{}", message.join("\n")),
            Why::Other => String::new(),
        }
    }
}

/// The number of the exercise whose hole says `text`.
pub fn open_exercise(text: &str) -> Option<&str> {
    text.split("exercise ").skip(1).find_map(|rest| {
        let (id, _) = rest.split_once(" is open")?;
        let is_id = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_digit() || c == '.');
        is_id(id).then_some(id)
    })
}

/// The failures that `output`, of a test program, tells of.
pub fn failures(output: &str) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(test) = heading(line) else { continue };
        let mut section = Vec::new();
        // The list of names at the end has the same heading as the list of sections.
        while let Some(line) = lines.next_if(|line| heading(line).is_none() && *line != "failures:")
        {
            section.push(line);
        }
        failures.push(failure(test, &section));
    }
    failures
}

/// `---- exercise_04_1 stdout ----`
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

fn failure(test: &str, section: &[&str]) -> Failure {
    let panics = |line: &&str| line.starts_with("thread '") && line.contains(" panicked at ");
    let first = section.iter().position(panics);
    let printed = &section[..first.unwrap_or(section.len())];
    let rest = &section[first.unwrap_or(section.len())..];
    let why = if let Some(id) = open_exercise(&rest.join("\n")) {
        Why::Open(id.to_owned())
    } else if let Some(saw) = block(section) {
        Why::Saw(saw)
    } else if let Some((head, message)) = rest.split_first() {
        let (_, at) = head.split_once(" panicked at ").unwrap_or_default();
        Why::Panicked {
            at: at.trim_end_matches(':').to_owned(),
            message: message
                .iter()
                .take_while(|line| !line.starts_with("note: run with") && !panics(line))
                .filter(|line| !line.trim().is_empty())
                .map(|&line| line.to_owned())
                .collect(),
        }
    } else {
        Why::Other
    };
    Failure {
        test: test.to_owned(),
        printed: printed
            .iter()
            .filter(|line| !line.trim().is_empty())
            .map(|&line| line.to_owned())
            .collect(),
        why,
    }
}

/// The lines between the marks, without what frames them.
fn block(section: &[&str]) -> Option<Vec<String>> {
    let begin = section.iter().position(|line| *line == BEGIN)?;
    let lines = section[begin + 1..].iter();
    let inside = lines.take_while(|line| **line != END);
    let bare = inside.map(|line| line.strip_prefix("│ ").unwrap_or(line).to_owned());
    Some(bare.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(section: &str) -> String {
        format!(
            "\nrunning 2 tests\ntest exercise_04_1 ... FAILED\ntest exercise_04_1_more ... ok\n\n\
             failures:\n\n---- exercise_04_1 stdout ----\n{section}\n\n\nfailures:\n    \
             exercise_04_1\n\ntest result: FAILED. 1 passed; 1 failed\n"
        )
    }

    fn only(section: &str) -> Failure {
        let mut failures = failures(&output(section));
        assert_eq!(failures.len(), 1);
        failures.remove(0)
    }

    #[test]
    fn what_a_check_said_is_found() {
        let failure = only(
            "my own line\n\nthread 'exercise_04_1' (7) panicked at tests/exercises.rs:8:5:\n\n\
             ┌─ check\n│ tried     a\n│ saw       1\n│           2\n└─\nnote: run with `RUST_B`",
        );
        let lines = ["tried     a", "saw       1", "          2"];
        assert_eq!(failure.why, Why::Saw(lines.map(str::to_owned).into()));
        assert_eq!(failure.printed, ["my own line"]);
        assert_eq!(failure.test, "exercise_04_1");
    }

    #[test]
    fn a_panic_and_a_hole_are_told_apart() {
        let panic = |message: &str| {
            only(&format!(
                "\nthread 'exercise_04_1' panicked at src/a.rs:3:1:\n{message}\nnote: run with x"
            ))
        };
        let at = "src/a.rs:3:1".to_owned();
        let message = vec!["index out of bounds".to_owned()];
        let expected = Why::Panicked { at, message };
        assert_eq!(panic("index out of bounds").why, expected);
        let hole = panic("not yet implemented: exercise 04.2 is open: see the book");
        assert_eq!(hole.why, Why::Open("04.2".into()));
        assert_eq!(only("no panic at all").why, Why::Other);
    }

    #[test]
    fn nothing_failed() {
        assert_eq!(failures("\nrunning 1 test\ntest a ... ok\n"), []);
        assert_eq!(open_exercise("exercise one is open"), None);
    }
}
