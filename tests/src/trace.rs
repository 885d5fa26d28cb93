//! Traces in the book: what is done, what `lab trace` drew of it, and whether it still would.
//!
//! ```text
//! # What it shows.
//! only: scheduler                                        who is shown, beside the command
//! before: kubectl create deployment web …                what has to be there
//! trace: kubectl scale deployment web --replicas=2       what is recorded
//! after: kubectl delete deployment web                   what takes it away
//! ```
//!
//! The components of a cluster do their work side by side, so no two recordings have the same
//! lines in the same order. What has to be the same is the set of steps: who, to whom, what. So
//! names that are made up, revisions, and how often are masked, and the order is let go.

use std::collections::BTreeSet;
use std::path::Path;

/// What a `.trace` file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Components that are shown; all where it is empty.
    pub only: Vec<String>,
    /// What has to be there.
    pub before: Vec<String>,
    /// What is recorded.
    pub trace: String,
    /// What takes it away.
    pub after: Vec<String>,
}

impl Script {
    /// Reads a `.trace` file.
    ///
    /// # Panics
    /// When a line is none of those that there are.
    pub fn parse(text: &str) -> Script {
        let mut script = Script::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (what, rest) = line.split_once(": ").unwrap_or((line, ""));
            let rest = rest.to_owned();
            match what {
                "only" => script.only.push(rest),
                "before" => script.before.push(rest),
                "trace" => script.trace = rest,
                "after" => script.after.push(rest),
                _ => panic!("a trace has no line {line:?}"),
            }
        }
        assert!(!script.trace.is_empty(), "it says what is recorded");
        script
    }
}

/// The steps of a drawing as text, masked: sender, receiver, what, and how it was answered.
pub fn steps(text: &str) -> BTreeSet<String> {
    let mut steps = BTreeSet::new();
    let mut said = (String::new(), String::new());
    for line in text.lines() {
        let Some((from, arrow, rest)) = ["──►", "┄┄►"].iter().find_map(|arrow| {
            let (from, rest) = line.split_once(arrow)?;
            Some((from.trim(), *arrow, rest.trim()))
        }) else {
            continue;
        };
        // Columns are at least two spaces apart.
        let (to, what) = rest.split_once("  ").unwrap_or((rest, ""));
        if !from.is_empty() {
            said = (from.to_owned(), what.trim().to_owned());
        }
        let words = format!("{} {arrow} {to}  {}", said.0, said.1);
        steps.insert(mask(&words));
    }
    steps
}

/// Which of the two has steps that the other lacks; none when they have the same.
pub fn difference(recorded: &BTreeSet<String>, drawn: &BTreeSet<String>) -> Option<String> {
    let gone = recorded.difference(drawn).map(|step| format!("- {step}\n"));
    let come = drawn.difference(recorded).map(|step| format!("+ {step}\n"));
    let difference: String = gone.chain(come).collect();
    (!difference.is_empty()).then_some(difference)
}

/// The scripts of a folder, by name.
///
/// # Panics
/// When the folder cannot be read.
pub fn scripts(dir: &Path) -> Vec<(String, Script)> {
    let files = std::fs::read_dir(dir).expect("the traces are there");
    let mut scripts: Vec<(String, Script)> = files
        .map(|file| file.expect("can be read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "trace"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("can be read");
            (name.into_owned(), Script::parse(&text))
        })
        .collect();
    scripts.sort_by(|a, b| a.0.cmp(&b.0));
    scripts
}

fn mask(step: &str) -> String {
    let words = step.split_whitespace().filter(|word| !is_volatile(word));
    words.map(mask_word).collect::<Vec<_>>().join(" ")
}

/// A revision, or how often.
fn is_volatile(word: &str) -> bool {
    let number = word.strip_prefix("r+").or_else(|| word.strip_prefix("r-"));
    let number = number.or_else(|| word.strip_prefix('×'));
    number.is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()))
}

/// `pods/web-7w8s9n8q5p-wx62z` → `pods/web-HASH-RANDOM`, `worker-2` → `worker-N`. Which address a
/// Service gets is chance.
fn mask_word(word: &str) -> String {
    if word.starts_with("ipaddresses/") {
        return "ipaddresses/IP".to_owned();
    }
    let is_generated = |part: &str| {
        // The letters of generated names: upstream's `SafeEncodeString`.
        part.chars()
            .all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
    };
    let mut before = "";
    let parts = word.split('-').map(|part| {
        let masked = match part.len() {
            8..=10 if is_generated(part) => "HASH",
            5 if is_generated(part) => "RANDOM",
            1..=2 if before == "worker" && part.parse::<u8>().is_ok() => "N",
            _ => part,
        };
        before = part;
        masked
    });
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_read() {
        let script = Script::parse("# Why.\nbefore: a b\nbefore: c\ntrace: d -f e\nafter: g\n");
        assert_eq!(script.before, ["a b", "c"]);
        assert_eq!((script.trace.as_str(), script.after.len()), ("d -f e", 1));
    }

    #[test]
    fn steps_are_compared_without_what_is_by_chance() {
        let first = "# kubectl …\n\n\
            scheduler    ──► apiserver      create pods/web-7w8s9n8q5p-wx62z binding  201  r+7\n\
            apiserver    ┄┄► controllers    MODIFIED pods/web-7w8s9n8q5p-wx62z             r+7\n\
            \x20            ┄┄► kubelet worker-2\n\
            controllers  ──► apiserver      update endpoints/web ×2                   200  r+9\n";
        let second = "controllers  ──► apiserver      update endpoints/web            200  r+3\n\
            scheduler    ──► apiserver      create pods/web-6w8s9n8q5p-bcdfg binding  201  r+4\n\
            apiserver    ┄┄► kubelet worker-1 MODIFIED pods/web-6w8s9n8q5p-bcdfg           r+4\n\
            apiserver    ┄┄► controllers    MODIFIED pods/web-6w8s9n8q5p-bcdfg             r+4\n"
            .replace("worker-1 MOD", "worker-1  MOD");
        let (first, second) = (steps(first), steps(&second));
        assert_eq!(difference(&first, &second), None);
        assert!(
            first.contains("controllers ──► apiserver update endpoints/web 200"),
            "{first:?}"
        );
        let without: BTreeSet<String> = first.iter().skip(1).cloned().collect();
        let difference = difference(&first, &without).expect("one is gone");
        assert!(
            difference.starts_with("- apiserver ┄┄► controllers"),
            "{difference}"
        );
    }
}
