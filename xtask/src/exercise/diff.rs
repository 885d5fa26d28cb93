//! The difference between two texts, line by line.

/// A line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// In the old text alone.
    Old(&'a str),
    /// In the new text alone.
    New(&'a str),
    /// Lines that are the same, left out.
    Gap,
}

/// What turns `old` into `new`, by the longest run of lines that both have.
fn lines<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // common[i][j]: how many lines old[i..] and new[j..] have in common.
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
    lines
}

/// What turns `old` into `new`, with `context` lines around each change.
pub fn difference<'a>(old: &'a str, new: &'a str, context: usize) -> Vec<Line<'a>> {
    let all = lines(old, new);
    let is_change = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let mut shown = Vec::new();
    for (at, line) in all.iter().enumerate() {
        let around = &all[at.saturating_sub(context)..all.len().min(at + context + 1)];
        if around.iter().any(is_change) {
            shown.push(*line);
        } else if shown.last().is_some_and(|last| *last != Line::Gap) {
            shown.push(Line::Gap);
        }
    }
    if shown.last() == Some(&Line::Gap) {
        shown.pop();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let lines = difference(old, new, 1).into_iter().map(|line| match line {
            Line::Same(text) => format!(" {text}"),
            Line::Old(text) => format!("-{text}"),
            Line::New(text) => format!("+{text}"),
            Line::Gap => "…".to_owned(),
        });
        lines.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_difference_shows_what_changed() {
        assert_eq!(shown("a\nb\nc\n", "a\nx\nc\n"), " a|-b|+x| c");
        assert_eq!(shown("a\n", "a\n"), "");
        assert_eq!(shown("", "a\n"), "+a");
        assert_eq!(
            shown("1\n2\n3\n4\n5\n6\n7\n8\n", "0\n1\n2\n3\n4\n5\n6\n8\n"),
            "+0| 1|…| 6|-7| 8"
        );
    }
}
