//! What a component does that comes upon the hole of an exercise: it says so, and ends.
//!
//! A hole is a `todo!` that begins `exercise 04.1 is open`. As a panic it would end one task of
//! many, and the component would go on without it, in a state that nobody thought of. So the
//! whole process ends, with an exit code of its own, by which the lab tells it from a failure.

use std::panic::PanicHookInfo;

/// What a process ends with that came upon an open exercise.
pub const EXIT_CODE: i32 = 79;

/// From now on, a panic that comes from the hole of an exercise ends the process, with one plain
/// line; all others stay what they are.
pub fn end_at_holes() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match line(panic) {
        Some(line) => {
            eprintln!("{line}");
            std::process::exit(EXIT_CODE);
        }
        None => usual(panic),
    }));
}

/// `exercise 04.1 is open: …`, from the words of a panic.
fn line(panic: &PanicHookInfo<'_>) -> Option<String> {
    let said = panic.payload_as_str()?;
    let number = number_in(said)?;
    let (_, rest) = said.split_once(" is open")?;
    let rest = rest.lines().next().unwrap_or_default();
    Some(format!("exercise {number} is open{rest}"))
}

/// The number of the exercise that `text` says to be open: `04.1`.
pub fn number_in(text: &str) -> Option<&str> {
    text.split("exercise ").skip(1).find_map(|rest| {
        let (number, _) = rest.split_once(" is open")?;
        let (chapter, which) = number.split_once('.')?;
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        (digits(chapter) && digits(which)).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_told_from_other_panics() {
        let hole = "not yet implemented: exercise 04.1 is open: see the book, chapter 4";
        assert_eq!(number_in(hole), Some("04.1"));
        assert_eq!(number_in("an exercise that is open"), None);
        assert_eq!(
            number_in("exercise one is open; exercise 9.2 is open"),
            Some("9.2")
        );
        assert_eq!(number_in("not yet implemented"), None);
    }

    /// Set while the test below runs this program again.
    const INNER: &str = "COMPONENT_TEST_MEETS_A_HOLE";

    #[test]
    fn a_process_that_meets_a_hole_ends_with_one_line() {
        if std::env::var_os(INNER).is_some() {
            end_at_holes();
            // Caught, as a runtime catches the panics of its tasks: the process ends all the same.
            let _ = std::panic::catch_unwind(|| todo!("exercise 04.1 is open: see the book"));
            return;
        }
        let name = "open_exercise::tests::a_process_that_meets_a_hole_ends_with_one_line";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(INNER, "1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(EXIT_CODE));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim(), "exercise 04.1 is open: see the book");
    }
}
