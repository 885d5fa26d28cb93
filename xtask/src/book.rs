//! `cargo xtask book`, and the check that the book's includes are there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::root;
use crate::kubectl::is_installed;

/// Builds the book with mdBook, and opens it.
pub fn run(no_open: bool) -> Result<()> {
    let problems = check_includes(&root().join("book"));
    if !problems.is_empty() {
        bail!(
            "the book includes what is not there:\n  {}",
            problems.join("\n  ")
        );
    }
    if !is_installed("mdbook") {
        bail!("mdBook is not installed: `cargo install mdbook`");
    }
    let mut command = Command::new("mdbook");
    command
        .arg("build")
        .args((!no_open).then_some("--open"))
        .arg(root().join("book"));
    let status = command.status().context("cannot run mdbook")?;
    if !status.success() {
        bail!("mdbook failed");
    }
    Ok(())
}

/// What the pages of the book below `dir` include and is not there: mdBook itself stays silent
/// about a missing file or anchor.
pub fn check_includes(dir: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for page in pages(&dir.join("src")) {
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            for include in includes(line) {
                if let Err(problem) = resolve(&page, include) {
                    problems.push(format!("{}:{}: {problem}", page.display(), number + 1));
                }
            }
        }
    }
    problems
}

fn pages(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a line includes: `path` or `path:anchor`.
fn includes(line: &str) -> impl Iterator<Item = &str> {
    line.split("{{#").skip(1).filter_map(|rest| {
        let (directive, _) = rest.split_once("}}")?;
        let (name, argument) = directive.split_once(char::is_whitespace)?;
        ["include", "rustdoc_include", "playground"]
            .contains(&name)
            .then(|| argument.trim())
    })
}

fn resolve(page: &Path, include: &str) -> Result<(), String> {
    let (path, anchor) = match include.split_once(':') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (include, None),
    };
    let file = page.parent().unwrap_or(Path::new(".")).join(path);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{path}: {error}"))?;
    let Some(anchor) = anchor else { return Ok(()) };
    if anchor.chars().all(|c| c.is_ascii_digit() || c == ':') {
        return Err(format!("{include}: lines move, name an anchor"));
    }
    let marker = |kind: &str| {
        let marker = format!("{kind}: {anchor}");
        text.lines().any(|line| line.trim_end().ends_with(&marker))
    };
    match (marker("ANCHOR"), marker("ANCHOR_END")) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("{path} has no anchor {anchor:?}")),
        (true, false) => Err(format!("{path} does not end anchor {anchor:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_includes_and_what_they_miss() {
        let line = "a {{#include ../x.rs:step}} b {{#title T}} {{#rustdoc_include y.rs}}";
        assert_eq!(includes(line).collect::<Vec<_>>(), ["../x.rs:step", "y.rs"]);
        let page = Path::new(file!());
        let here = |anchor: &str| {
            let page = root().join(page);
            resolve(&page, &format!("book.rs:{anchor}"))
        };
        // ANCHOR: whole
        // ANCHOR_END: whole
        // ANCHOR: half
        assert_eq!(here("whole"), Ok(()));
        assert!(here("half").unwrap_err().contains("does not end"));
        assert!(here("none").unwrap_err().contains("has no anchor"));
        assert!(here("1:5").unwrap_err().contains("lines move"));
    }
}
