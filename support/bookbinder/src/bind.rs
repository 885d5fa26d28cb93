//! Walking the pages: what each directive and code block becomes, and every problem on the way.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mdbook_driver::MDBook;
use mdbook_preprocessor::book::Book;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

use crate::fence::Fence;
use crate::files::{Disk, Files, SOURCE};
use crate::include::directive;
use crate::times::{self, Time};
use crate::{Problem, exercises, include, links, summary, trace};

/// Builds the book; returns where its first page is.
///
/// # Errors
/// Every problem of the book.
pub fn build(files: &Disk, root: &Path) -> Result<PathBuf> {
    // Before mdBook: it would ask for less, and say less.
    refuse(&check(files))?;
    let mut book = MDBook::load(root.join("book"))?;
    book.with_preprocessor(Binder {
        files: Disk::new(root),
    });
    book.build()?;
    Ok(root.join("book/book/index.html"))
}

/// An error that names all of `problems`, if there are any.
///
/// # Errors
/// When there are.
pub fn refuse(problems: &[Problem]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    bail!("the book has problems:\n  {}", lines.join("\n  "))
}

/// Every problem of the book.
pub fn check(files: &dyn Files) -> Vec<Problem> {
    let pages = summary::pages(files);
    let times = times::of(files, &pages);
    let mut problems = [summary::check(files), exercises::check(files)].concat();
    for name in std::iter::once("SUMMARY.md").chain(pages.iter().map(String::as_str)) {
        let path = Path::new(SOURCE).join(name);
        // A page that is named and not there is a broken link of the summary.
        if let Some(text) = files.read(&path) {
            problems.extend(
                page(files, &path, &text, &times)
                    .err()
                    .into_iter()
                    .flatten(),
            );
        }
    }
    problems.sort();
    problems
}

/// A page as mdBook shall get it.
///
/// # Errors
/// Its problems.
fn page(
    files: &dyn Files,
    path: &Path,
    text: &str,
    times: &[Time],
) -> Result<String, Vec<Problem>> {
    let mut bound = String::new();
    let mut wrong = links::check(files, path, text);
    let time = path
        .strip_prefix(SOURCE)
        .ok()
        .and_then(|name| times.iter().find(|time| Path::new(&time.page) == name));
    if time.is_some_and(|time| is_chapter(&time.page) && time.reading == 0) {
        let what = "a chapter says how long it takes: {{#takes MINUTES}}";
        wrong.push((1, what.into()));
    }
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let result = match ticks(line) {
            Some(ticks) => {
                let mut fence = Fence {
                    info: line.trim().trim_start_matches('`').trim(),
                    body: Vec::new(),
                    open: line,
                    close: ticks,
                    line: number,
                };
                for (number, line) in lines.by_ref() {
                    if line.trim() == ticks {
                        fence.close = line;
                        break;
                    }
                    fence.body.push((number, line));
                }
                fence.bind(files, path)
            }
            None => outside(files, path, line, time, times).map_err(|what| vec![(number, what)]),
        };
        match result {
            Ok(text) => bound += &text,
            Err(found) => wrong.extend(found),
        }
    }
    let problem = |(line, what)| Problem {
        file: path.to_owned(),
        line,
        what,
    };
    if wrong.is_empty() {
        Ok(bound)
    } else {
        Err(wrong.into_iter().map(problem).collect())
    }
}

/// `01-docker-ps.md`, as opposed to `glossary.md`.
fn is_chapter(page: &str) -> bool {
    page.starts_with(|c: char| c.is_ascii_digit())
}

/// The ticks of a line that opens a code block.
fn ticks(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let end = line.find(|c| c != '`').unwrap_or(line.len());
    (end >= 3 && !line[end..].contains('`')).then(|| &line[..end])
}

/// A line outside of code blocks, with its directives carried out.
fn outside(
    files: &dyn Files,
    path: &Path,
    line: &str,
    time: Option<&Time>,
    times: &[Time],
) -> Result<String, String> {
    let Some(found) = directive(line) else {
        return Ok(format!("{}\n", line.replace("\\{{#", "{{#")));
    };
    if !found.before.trim().is_empty() || !found.after.trim().is_empty() {
        return Err(format!(
            "{{{{#{}}}}} stands on a line of its own",
            found.name
        ));
    }
    match (found.name, time) {
        ("trace", _) => trace::bind(files, found.argument),
        ("times", _) => Ok(times::table(times)),
        ("takes", Some(time)) if found.argument.parse::<u32>().is_ok() => Ok(times::takes(time)),
        ("takes", _) => Err("{{#takes MINUTES}}, as a number".into()),
        ("include", _) if found.argument.ends_with(".md") => {
            let lines = include::lines(files, path, found.argument)?;
            Ok(lines.join("\n") + "\n")
        }
        ("include", _) => Err("{{#include}} stands in a code block".into()),
        (other, _) => Err(format!("there is no {{{{#{other}}}}}")),
    }
}

/// mdBook's view of it.
struct Binder {
    files: Disk,
}

impl Preprocessor for Binder {
    fn name(&self) -> &str {
        "bookbinder"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        let times = times::of(&self.files, &summary::pages(&self.files));
        let mut problems = Vec::new();
        book.for_each_chapter_mut(|chapter| {
            let Some(source) = &chapter.source_path else {
                return;
            };
            let path = Path::new(SOURCE).join(source);
            match page(&self.files, &path, &chapter.content, &times) {
                Ok(text) => chapter.content = text,
                Err(found) => problems.extend(found),
            }
        });
        refuse(&problems).context("it changed while it was built")?;
        Ok(book)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    fn problems(page: &str) -> Vec<String> {
        let files = Memory::new([
            ("book/src/SUMMARY.md", "- [One](01.md)\n"),
            (
                "book/src/01.md",
                &format!("# One\n\n{{{{#takes 5}}}}\n\n{page}\n"),
            ),
            ("chapters/a.rs", "fn a() {}\n"),
            ("chapters/a.md", "| a | table |\n"),
        ]);
        check(&files).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_problem_has_a_file_and_a_line() {
        assert_eq!(
            problems("```rust\n{{#include ../../chapters/a.rs}}\n```"),
            [""; 0]
        );
        assert_eq!(problems("{{#include ../../chapters/a.md}}"), [""; 0]);
        for (page, problem) in [
            (
                "```rust\n{{#include ../../chapters/b.rs}}\n```",
                "book/src/01.md:6: there is no file ../../chapters/b.rs",
            ),
            (
                "a\n\n````console\n$ true\n```\n````",
                "book/src/01.md:9: no test runs this",
            ),
            ("{{#trace 01-x}}", "book/src/01.md:5: no test replays this"),
            (
                "{{#include ../../chapters/b.md}}",
                "book/src/01.md:5: there is no file ../../chapters/b.md",
            ),
            ("[a](b.md)", "book/src/01.md:5: a link to b.md"),
            ("{{#include ../../chapters/a.rs}}", "stands in a code block"),
            ("see {{#times}}", "stands on a line of its own"),
            ("{{#timse}}", "there is no {{#timse}}"),
            ("{{#takes long}}", "as a number"),
        ] {
            let found = problems(page);
            assert!(
                found.len() == 1 && found[0].contains(problem),
                "{page}: {found:?}"
            );
        }
    }

    #[test]
    fn what_mdbook_gets() {
        let files = Memory::new([]);
        let time = Time {
            page: "01.md".into(),
            title: "One".into(),
            reading: 5,
            exercises: 0,
        };
        let text =
            "# One\n{{#takes 5}}\nas `\\{{#times}}` is written\n~\n```text\n\\{{#times}}\n```\n";
        assert_eq!(
            page(&files, Path::new("book/src/01.md"), text, &[time]).unwrap(),
            "# One\n<p class=\"takes\">This takes about 5 minutes.</p>\nas `{{#times}}` is written\n\
             ~\n```text\n{{#times}}\n```\n"
        );
    }

    #[test]
    fn a_chapter_says_how_long_it_takes() {
        let files = Memory::new([
            (
                "book/src/SUMMARY.md",
                "- [One](01.md)\n- [Two](02.md)\n- [Words](words.md)\n",
            ),
            ("book/src/01.md", "# One\n"),
            ("book/src/words.md", "# Words\n"),
        ]);
        let found: Vec<String> = check(&files).iter().map(Problem::to_string).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("01.md:1: a chapter says how long it takes"));
        assert!(found[1].contains("SUMMARY.md:2: a link to 02.md, which is not there"));
    }
}
