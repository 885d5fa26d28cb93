//! What stands between the two markers of an exercise: found, read, replaced.

use std::fmt;
use std::ops::Range;

/// Where an exercise is in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The bytes between the markers' lines.
    bytes: Range<usize>,
    /// The line after the first marker, counted from 1.
    pub line: usize,
}

/// Why there is no region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// A marker that is not there.
    Missing(String),
    /// A marker that is there more than once.
    Doubled(String),
    /// The end stands before the beginning.
    Swapped(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(marker) => write!(f, "the line `{marker}` is gone"),
            Self::Doubled(marker) => write!(f, "the line `{marker}` is there more than once"),
            Self::Swapped(marker) => write!(f, "the line `{marker}` stands before its beginning"),
        }
    }
}

/// The lines that mark `anchor`.
pub fn markers(anchor: &str) -> [String; 2] {
    [
        format!("// ANCHOR: {anchor}"),
        format!("// ANCHOR_END: {anchor}"),
    ]
}

/// Finds `anchor` in `text`.
///
/// # Errors
/// When the markers are not there, once each and in order.
pub fn find(text: &str, anchor: &str) -> Result<Region, Broken> {
    let [begin, end] = markers(anchor);
    let (_, begin_line, start) = only(text, &begin)?;
    let (stop, _, _) = only(text, &end)?;
    if stop < start {
        return Err(Broken::Swapped(end));
    }
    Ok(Region {
        bytes: start..stop,
        line: begin_line + 1,
    })
}

/// Where the one line that is `marker` begins, its number from 1, and where the next line begins.
fn only(text: &str, marker: &str) -> Result<(usize, usize, usize), Broken> {
    let mut found = None;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let next = at + line.len();
        if line.trim() == marker && found.replace((at, number + 1, next)).is_some() {
            return Err(Broken::Doubled(marker.to_owned()));
        }
        at = next;
    }
    found.ok_or_else(|| Broken::Missing(marker.to_owned()))
}

impl Region {
    /// What stands there.
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        &text[self.bytes.clone()]
    }

    /// `text` with `new` there instead.
    pub fn replaced(&self, text: &str, new: &str) -> String {
        let newline = if new.is_empty() || new.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let (before, after) = (&text[..self.bytes.start], &text[self.bytes.end..]);
        format!("{before}{new}{newline}{after}")
    }
}

/// Whether two pieces of code differ in more than the space around their lines.
pub fn same_code(one: &str, other: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    lines(one) == lines(other)
}

/// The names of all exercises that `text` has markers of.
pub fn anchors(text: &str) -> Vec<String> {
    let begins = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("// ANCHOR: "));
    begins
        .filter(|anchor| anchor.starts_with("exercise-"))
        .map(str::to_owned)
        .collect()
}

/// `into`, with the regions of exercises as `from` has them, where both have them; that of `but`
/// stays.
pub fn carried(from: &str, into: &str, but: Option<&str>) -> String {
    let mut text = into.to_owned();
    for anchor in anchors(from) {
        if Some(&*anchor) == but {
            continue;
        }
        if let (Ok(theirs), Ok(here)) = (find(from, &anchor), find(&text, &anchor)) {
            text = here.replaced(&text, theirs.of(from));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a\n    // ANCHOR: exercise-04.1\n    one\n    two\n    \
                        // ANCHOR_END: exercise-04.1\nb\n";

    #[test]
    fn a_region_is_found_and_replaced() {
        let region = find(TEXT, "exercise-04.1").unwrap();
        assert_eq!(region.of(TEXT), "    one\n    two\n");
        assert_eq!(region.line, 3);
        let hole = region.replaced(TEXT, "    todo!()");
        assert_eq!(
            hole,
            "a\n    // ANCHOR: exercise-04.1\n    todo!()\n    // ANCHOR_END: exercise-04.1\nb\n"
        );
        let back = find(&hole, "exercise-04.1").unwrap();
        assert_eq!(back.replaced(&hole, region.of(TEXT)), TEXT);
    }

    #[test]
    fn broken_markers_are_named() {
        let said = |text: &str| find(text, "exercise-04.1").unwrap_err().to_string();
        assert_eq!(
            said("nothing"),
            "the line `// ANCHOR: exercise-04.1` is gone"
        );
        assert_eq!(
            said(&TEXT.replace("ANCHOR_END", "ANCHOR_ENDE")),
            "the line `// ANCHOR_END: exercise-04.1` is gone"
        );
        assert_eq!(
            said(&TEXT.repeat(2)),
            "the line `// ANCHOR: exercise-04.1` is there more than once"
        );
        assert_eq!(
            said("// ANCHOR_END: exercise-04.1\n// ANCHOR: exercise-04.1\n"),
            "the line `// ANCHOR_END: exercise-04.1` stands before its beginning"
        );
        // Another exercise's markers are not taken for ours.
        assert!(find(&TEXT.replace("04.1", "04.10"), "exercise-04.1").is_err());
    }

    #[test]
    fn what_others_wrote_is_carried_over() {
        let two = format!("{TEXT}{}", TEXT.replace("04.1", "04.2"));
        let theirs = two.replace("one", "theirs");
        let carried = carried(&theirs, &two, Some("exercise-04.1"));
        let of = |anchor| find(&carried, anchor).unwrap().of(&carried).to_owned();
        assert_eq!(of("exercise-04.1"), "    one\n    two\n");
        assert_eq!(of("exercise-04.2"), "    theirs\n    two\n");
    }

    #[test]
    fn layout_is_no_difference() {
        assert!(same_code("  a\n\n  b\n", "a\nb"));
        assert!(!same_code("a", "b"));
    }
}
