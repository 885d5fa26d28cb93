//! Links inside the book and to files of the repository.

use std::collections::HashSet;
use std::path::Path;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::files::{Files, SOURCE, beside};

fn parser(text: &str) -> Parser<'_> {
    // As mdBook reads a page.
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES;
    Parser::new_ext(text, options)
}

/// The links and images of a page, by line.
pub fn of(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (event, range) in parser(text).into_offset_iter() {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event {
            let line = 1 + text[..range.start].matches('\n').count();
            links.push((line, dest_url.to_string()));
        }
    }
    links
}

/// What can be linked to on a page: the ids of its headings, as mdBook gives them.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let mut heading: Option<(Option<String>, String)> = None;
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { id, .. }) => {
                heading = Some((id.map(|id| id.to_string()), String::new()));
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some((_, title)) = &mut heading {
                    title.push_str(&words);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let (id, title) = heading.take().unwrap_or_default();
                let id = id.unwrap_or_else(|| id_of(&title));
                // The second of the same name gets a number.
                let numbered = (1..).map(|n| format!("{id}-{n}"));
                let mut ids = std::iter::once(id.clone()).chain(numbered);
                let free = ids.find(|id| !anchors.contains(id));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

/// Lower case; spaces are dashes; what is neither letter nor digit falls out.
fn id_of(title: &str) -> String {
    let title = title.trim().to_lowercase();
    let kept = title.chars().filter_map(|c| match c {
        c if c.is_whitespace() => Some('-'),
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c),
        _ => None,
    });
    kept.collect()
}

/// What is wrong with the links of a page, by line.
pub fn check(files: &dyn Files, page: &Path, text: &str) -> Vec<(usize, String)> {
    let links = of(text).into_iter();
    links
        .filter_map(|(line, link)| Some((line, broken(files, page, text, &link)?)))
        .collect()
}

fn broken(files: &dyn Files, page: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let (target, there) = if path.is_empty() {
        (page.to_owned(), Some(text.to_owned()))
    } else {
        let Some(target) = beside(page, path).filter(|target| files.exists(target)) else {
            return Some(format!("a link to {path}, which is not there"));
        };
        let there = files.read(&target);
        (target, there)
    };
    let is_page = target.extension().is_some_and(|it| it == "md");
    if is_page && !target.starts_with(SOURCE) {
        // mdBook makes `.html` of every `.md` that is linked to.
        return Some(format!(
            "a link to {path}, which is no page: name it instead"
        ));
    }
    let known = anchor.is_empty() || anchors(&there.unwrap_or_default()).contains(anchor);
    (!known).then(|| {
        format!(
            "a link to {link}, but {} has no such heading",
            target.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    #[test]
    fn ids_are_those_of_mdbook() {
        let page = "# What *is* `kubectl get -w`?\n\n## Run it\n\n## Run it\n\n### Pod {#pods}\n";
        let ids = anchors(page);
        for id in ["what-is-kubectl-get--w", "run-it", "run-it-1", "pods"] {
            assert!(ids.contains(id), "{id}: {ids:?}");
        }
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn broken_links_are_found_by_line() {
        let page = Path::new("book/src/01.md");
        let check = |text: &str| {
            let files = Memory::new([
                ("book/src/01.md", text),
                ("book/src/02.md", "# Two\n\n## Run it\n"),
                ("chapters/a/src/lib.rs", ""),
                ("README.md", "# Read me\n"),
            ]);
            check(&files, page, text)
        };
        let good = "# One\n\n[a](02.md) [b](02.md#run-it) [c](#one) [d](https://a.example/x#y)\n\
                    [e](../../chapters/a/src/lib.rs) [f](../../chapters/a) `[g](no.md)`\n";
        assert_eq!(check(good), []);
        for (link, problem) in [
            ("[a](03.md)", "a link to 03.md, which is not there"),
            ("[a](02.md#walk-it)", "book/src/02.md has no such heading"),
            ("[a](#two)", "book/src/01.md has no such heading"),
            ("![a](a.svg)", "a link to a.svg, which is not there"),
            ("[a](../../chapters/b)", "which is not there"),
            ("[a](../../README.md)", "which is no page"),
        ] {
            let problems = check(&format!("# One\n\n{link}\n"));
            assert_eq!(problems.len(), 1, "{link}");
            assert!(
                problems[0].0 == 3 && problems[0].1.contains(problem),
                "{problems:?}"
            );
        }
    }
}
