//! Code blocks: what may be typed into one, and what becomes of it.

use std::path::Path;

use transcript::Stage;

use crate::files::{Files, TRANSCRIPTS, beside};
use crate::{include, picture};

/// How many lines of Rust may be typed: a name, a signature, a call.
const TYPED_LINES_MAX: usize = 5;

/// A fenced code block of a page.
pub struct Fence<'a> {
    /// What stands behind the opening ticks: `rust,ignore`, `picture A title`.
    pub info: &'a str,
    /// What is inside, each line with its number.
    pub body: Vec<(usize, &'a str)>,
    /// The opening line, whole.
    pub open: &'a str,
    /// The closing line, whole.
    pub close: &'a str,
    /// The number of the opening line.
    pub line: usize,
}

/// What is wrong, at a line.
pub type Wrong = Vec<(usize, String)>;

impl Fence<'_> {
    fn language(&self) -> &str {
        let end = self.info.find([',', ' ']).unwrap_or(self.info.len());
        &self.info[..end]
    }

    /// The block as mdBook shall get it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn bind(&self, files: &dyn Files, page: &Path) -> Result<String, Wrong> {
        match self.language() {
            "picture" => self.picture(),
            "console" => self.console(files, page),
            "rust" => {
                self.check_typed()?;
                self.included(files, page, false)
            }
            _ => self.included(files, page, false),
        }
    }

    fn picture(&self) -> Result<String, Wrong> {
        let title = self.info.trim_start_matches("picture").trim();
        if title.is_empty() {
            let what = "a picture has a title: ```picture What it shows".into();
            return Err(vec![(self.line, what)]);
        }
        let lines: Vec<&str> = self.body.iter().map(|(_, line)| *line).collect();
        Ok(picture::figure(title, &lines))
    }

    fn check_typed(&self) -> Result<(), Wrong> {
        let typed = self.body.iter();
        let typed = typed.filter(|(_, line)| include::directive(line).is_none());
        let fragment = self.info.split(',').any(|word| word.trim() == "fragment");
        if typed.count() > TYPED_LINES_MAX && !fragment {
            let what = "Rust of more than five lines is included, not typed (or marked: \
                        ```rust,fragment)";
            return Err(vec![(self.line, what.into())]);
        }
        Ok(())
    }

    /// A console session: recorded by a test, or commands alone.
    fn console(&self, files: &dyn Files, page: &Path) -> Result<String, Wrong> {
        let mut wrong = Wrong::new();
        for (number, line) in &self.body {
            if let Some(found) = include::directive(line) {
                let path = found.argument.split(':').next().unwrap_or_default();
                wrong.extend(unplayed(files, page, path).map(|what| (*number, what)));
            } else if !["$ ", "> ", "# "]
                .iter()
                .any(|mark| line.trim_start().starts_with(mark))
                && !line.trim().is_empty()
            {
                let what = "no test runs this: the output of a command is included from \
                            book/transcripts";
                wrong.push((*number, what.into()));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        self.included(files, page, true)
    }

    /// The block with its includes resolved.
    fn included(&self, files: &dyn Files, page: &Path, session: bool) -> Result<String, Wrong> {
        let mut wrong = Wrong::new();
        let mut text = format!("{}\n", self.open);
        for (number, line) in &self.body {
            let Some(found) = include::directive(line) else {
                text += &format!("{}\n", line.replace("\\{{#", "{{#"));
                continue;
            };
            if found.name != "include" {
                wrong.push((
                    *number,
                    format!("{{{{#{}}}}} is not for code blocks", found.name),
                ));
                continue;
            }
            match include::lines(files, page, found.argument) {
                Ok(lines) if session => {
                    let shown = transcript::shown(lines.iter().map(String::as_str));
                    text += &indented(shown.lines(), found.before);
                }
                Ok(lines) => text += &indented(lines.iter().map(String::as_str), found.before),
                Err(what) => wrong.push((*number, what)),
            }
        }
        text += &format!("{}\n", self.close);
        if wrong.is_empty() {
            Ok(text)
        } else {
            Err(wrong)
        }
    }
}

/// As far in as the directive stood: a block may be part of a list.
fn indented<'a>(lines: impl Iterator<Item = &'a str>, indent: &str) -> String {
    let lines = lines.map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("{indent}{line}\n"),
    });
    lines.collect()
}

/// Why no test plays the file, if none does.
fn unplayed(files: &dyn Files, page: &Path, path: &str) -> Option<String> {
    let resolved = beside(page, path)?;
    // A file that is not there is the include's problem.
    let text = files.read(&resolved)?;
    if resolved.parent() != Some(Path::new(TRANSCRIPTS)) {
        return Some(format!(
            "no test runs {path}: sessions are in {TRANSCRIPTS}"
        ));
    }
    Stage::of(&text).is_none().then(|| {
        format!("no test runs {path}: its first line is none of `# on: lab`, `engine`, `host`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    fn bind(info: &str, body: &[&str]) -> Result<String, Wrong> {
        let files = Memory::new([
            (
                "chapters/a.rs",
                "// ANCHOR: a\nfn a() {}\n// ANCHOR_END: a\n",
            ),
            (
                "book/transcripts/01-a.txt",
                "# on: host\n\n$ echo; echo a\n·\na\n\n# ANCHOR: b\n$ echo b\nb\n# ANCHOR_END: b\n",
            ),
            ("book/transcripts/01-no.txt", "$ echo a\na\n"),
            ("chapters/session.txt", "# on: host\n$ echo a\na\n"),
        ]);
        let fence = Fence {
            info,
            body: body
                .iter()
                .enumerate()
                .map(|(at, line)| (at + 2, *line))
                .collect(),
            open: "```x",
            close: "```",
            line: 1,
        };
        fence.bind(&files, Path::new("book/src/01.md"))
    }

    fn refused(info: &str, body: &[&str], line: usize, what: &str) {
        let wrong = bind(info, body).unwrap_err();
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].0 == line && wrong[0].1.contains(what), "{wrong:?}");
    }

    #[test]
    fn rust_is_included() {
        let include = "{{#include ../../chapters/a.rs:a}}";
        assert_eq!(bind("rust", &[include]).unwrap(), "```x\nfn a() {}\n```\n");
        assert!(bind("rust,ignore", &["a"; 5]).is_ok());
        assert!(bind("rust,fragment", &["a"; 6]).is_ok());
        assert!(bind("toml", &["a"; 6]).is_ok());
        refused("rust", &["a"; 6], 1, "included, not typed");
        refused("rust,ignore", &["a"; 6], 1, "included, not typed");
        refused("text", &["", "{{#include ../no.txt}}"], 3, "no file");
    }

    #[test]
    fn a_session_is_one_that_a_test_plays() {
        let whole = bind("console", &["{{#include ../transcripts/01-a.txt}}"]);
        assert_eq!(
            whole.unwrap(),
            "```x\n$ echo; echo a\n\na\n\n$ echo b\nb\n```\n"
        );
        let part = bind("console", &["{{#include ../transcripts/01-a.txt:b}}"]);
        assert_eq!(part.unwrap(), "```x\n$ echo b\nb\n```\n");
        let inset = bind("console", &["  {{#include ../transcripts/01-a.txt:b}}"]);
        assert_eq!(inset.unwrap(), "```x\n  $ echo b\n  b\n```\n");
        assert!(bind("console", &["# why", "  $ cargo test"]).is_ok());
        refused("console", &["$ echo a", "a"], 3, "no test runs this");
        refused(
            "console",
            &["{{#include ../transcripts/01-no.txt}}"],
            2,
            "no test runs ../transcripts/01-no.txt",
        );
        refused(
            "console",
            &["{{#include ../../chapters/session.txt}}"],
            2,
            "sessions are in",
        );
    }

    #[test]
    fn a_picture_has_a_title() {
        assert!(bind("picture A line", &["───"]).unwrap().contains("<svg"));
        refused("picture", &["───"], 1, "has a title");
    }
}
