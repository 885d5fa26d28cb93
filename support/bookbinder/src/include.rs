//! `{{#include path:anchor}}`: what it names, and whether that is there.

use std::path::Path;

use crate::files::{Files, beside};

/// A directive of a page: `{{#name argument}}`.
#[derive(Debug, PartialEq)]
pub struct Directive<'a> {
    /// What stands before it on its line.
    pub before: &'a str,
    /// What is asked for.
    pub name: &'a str,
    /// Of what.
    pub argument: &'a str,
    /// What stands behind it.
    pub after: &'a str,
}

/// The first directive of a line. A backslash before it takes its meaning away.
pub fn directive(line: &str) -> Option<Directive<'_>> {
    let (before, rest) = line.split_once("{{#")?;
    if before.ends_with('\\') {
        return None;
    }
    let (inside, after) = rest.split_once("}}")?;
    let (name, argument) = inside
        .split_once(char::is_whitespace)
        .unwrap_or((inside, ""));
    Some(Directive {
        before,
        name: name.trim(),
        argument: argument.trim(),
        after,
    })
}

/// The lines that `page` includes with `argument`, without the markers of other anchors in it.
///
/// # Errors
/// What is missing.
pub fn lines(files: &dyn Files, page: &Path, argument: &str) -> Result<Vec<String>, String> {
    let (path, anchor) = match argument.split_once(':') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (argument, None),
    };
    if let Some(anchor) = anchor
        && anchor.chars().all(|c| c.is_ascii_digit() || c == ':')
    {
        return Err(format!("{argument}: lines move, name an anchor"));
    }
    let text = beside(page, path).and_then(|path| files.read(&path));
    let text = text.ok_or_else(|| format!("there is no file {path}"))?;
    let lines = match anchor {
        Some(anchor) => anchored(&text, anchor).map_err(|what| format!("{path} {what}"))?,
        None => text.lines().collect(),
    };
    let lines = lines.into_iter().filter(|line| marker(line).is_none());
    let lines: Vec<&str> = lines.collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Err(format!("{argument} has nothing in it"));
    }
    Ok(without_indent(&lines))
}

/// The lines between the markers of an anchor.
fn anchored<'a>(text: &'a str, anchor: &str) -> Result<Vec<&'a str>, String> {
    let (mut lines, mut found, mut inside) = (Vec::new(), false, false);
    for line in text.lines() {
        match marker(line) {
            Some((true, name)) if name == anchor => (found, inside) = (true, true),
            Some((false, name)) if name == anchor => inside = false,
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    match (found, inside) {
        (false, _) => Err(format!("has no anchor {anchor:?}")),
        (true, true) => Err(format!("does not end anchor {anchor:?}")),
        (true, false) => Ok(lines),
    }
}

/// `// ANCHOR: name` or `// ANCHOR_END: name`: whether it begins, and the name.
fn marker(line: &str) -> Option<(bool, &str)> {
    let begins = |word| line.split_once(word).map(|(_, name)| name.trim());
    let (begin, name) = match begins("ANCHOR_END: ") {
        Some(name) => (false, name),
        None => (true, begins("ANCHOR: ")?),
    };
    (!name.contains(char::is_whitespace)).then_some((begin, name))
}

/// A method's listing stands as far left as a function's.
fn without_indent(lines: &[&str]) -> Vec<String> {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start_matches(' ').len());
    let indent = indent.min().unwrap_or(0);
    let cut = |line: &&str| line.get(indent..).unwrap_or("").to_owned();
    lines.iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    fn include(argument: &str) -> Result<Vec<String>, String> {
        let file = "\
            impl A {\n\
            \x20   // ANCHOR: whole\n\
            \x20   fn a() {\n\
            \x20       // ANCHOR: exercise-01.1\n\
            \x20       b();\n\
            \x20       // ANCHOR_END: exercise-01.1\n\
            \x20   }\n\
            \x20   // ANCHOR_END: whole\n\
            }\n\
            // ANCHOR: half\n\
            // ANCHOR: hollow\n\
            \n\
            // ANCHOR_END: hollow\n";
        let files = Memory::new([("chapters/a.rs", file)]);
        lines(&files, Path::new("book/src/01.md"), argument)
    }

    #[test]
    fn an_anchor_is_its_lines() {
        assert_eq!(
            include("../../chapters/a.rs:whole").unwrap(),
            ["fn a() {", "    b();", "}"]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (argument, problem) in [
            (
                "../../chapters/b.rs:whole",
                "there is no file ../../chapters/b.rs",
            ),
            ("../../chapters/a.rs:none", "has no anchor \"none\""),
            ("../../chapters/a.rs:half", "does not end anchor \"half\""),
            ("../../chapters/a.rs:hollow", "has nothing in it"),
            ("../../chapters/a.rs:3:5", "lines move, name an anchor"),
            ("../../chapters/a.rs:3", "lines move, name an anchor"),
        ] {
            let said = include(argument).unwrap_err();
            assert!(said.contains(problem), "{argument}: {said}");
        }
    }

    #[test]
    fn directives_are_found_in_their_line() {
        let found = directive("a {{#include x.rs:step }} b").unwrap();
        assert_eq!((found.name, found.argument), ("include", "x.rs:step"));
        assert_eq!((found.before, found.after), ("a ", " b"));
        assert_eq!(directive("{{#times}}").unwrap().name, "times");
        assert_eq!(directive("as \\{{#times}} is written"), None);
    }
}
