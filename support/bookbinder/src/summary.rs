//! The table of contents: every page is in it.

use std::path::Path;

use crate::Problem;
use crate::files::{Files, SOURCE};
use crate::links;

/// The pages that the summary names, in its order.
pub fn pages(files: &dyn Files) -> Vec<String> {
    let text = files.read(&Path::new(SOURCE).join("SUMMARY.md"));
    let links = links::of(&text.unwrap_or_default());
    links.into_iter().map(|(_, target)| target).collect()
}

/// Pages that are not in the summary.
pub fn check(files: &dyn Files) -> Vec<Problem> {
    let named = pages(files);
    let all = files.list(Path::new(SOURCE));
    let pages = all
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "md"));
    let forgotten = pages.filter(|path| {
        let name = path.strip_prefix(SOURCE).unwrap_or(path).to_string_lossy();
        name != "SUMMARY.md" && !named.iter().any(|named| *named == name)
    });
    let problem = |file: &std::path::PathBuf| Problem {
        file: file.clone(),
        line: 1,
        what: "this page is not in SUMMARY.md".into(),
    };
    forgotten.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    #[test]
    fn a_page_that_is_not_named_is_found() {
        let files = Memory::new([
            (
                "book/src/SUMMARY.md",
                "# Summary\n\n[Zero](00.md)\n\n- [One](part/01.md)\n",
            ),
            ("book/src/00.md", "# Zero\n"),
            ("book/src/part/01.md", "# One\n"),
            ("book/src/part/02.md", "# Two\n"),
        ]);
        assert_eq!(pages(&files), ["00.md", "part/01.md"]);
        let problems = check(&files);
        assert_eq!(problems.len(), 1);
        assert_eq!(
            problems[0].to_string(),
            "book/src/part/02.md:1: this page is not in SUMMARY.md"
        );
    }
}
