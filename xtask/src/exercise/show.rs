//! Saying things: a little colour on a terminal, plain text elsewhere.

use std::io::IsTerminal;

use super::diff::{Line, difference};

/// How things are said.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// As standard output wants it: `NO_COLOR` and a terminal that has none are respected.
    pub fn for_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let colour = std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        Self { colour }
    }

    /// Without colour.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { colour: false }
    }

    /// Whether there is colour.
    pub fn colour(self) -> bool {
        self.colour
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// What is important.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What is right.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// What can be skipped.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// The difference between two texts.
    pub fn difference(self, old: &str, new: &str) -> String {
        let lines = difference(old, new, 3).into_iter().map(|line| match line {
            Line::Same(text) => format!("    {text}"),
            Line::Old(text) => self.red(&format!("  - {text}")),
            Line::New(text) => self.green(&format!("  + {text}")),
            Line::Gap => self.dim("    …"),
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// `text` with each line moved in.
pub fn indented(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        if line.is_empty() {
            String::new()
        } else {
            format!("  {line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `text` in lines of at most `width` letters, where its words allow.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// `50 min`, `1 h 20 min`.
pub fn duration(minutes: u32) -> String {
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// `1 check`, `3 checks`.
pub fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_words() {
        assert_eq!(duration(50), "50 min");
        assert_eq!(duration(120), "2 h");
        assert_eq!(duration(135), "2 h 15 min");
        assert_eq!(count(1, "check"), "1 check");
        assert_eq!(count(0, "check"), "0 checks");
    }

    #[test]
    fn sentences_are_wrapped_between_words() {
        assert_eq!(wrapped("one two  three", 7), "one two\nthree");
        assert_eq!(wrapped("a-long-word b", 4), "a-long-word\nb");
        assert_eq!(wrapped("", 4), "");
    }

    #[test]
    fn a_difference_is_shown_plainly() {
        let shown = Paint::plain().difference("a\nb\n", "a\nc\n");
        assert_eq!(shown, "    a\n  - b\n  + c");
        assert_eq!(indented("a\n\nb\n"), "  a\n\n  b");
    }
}
