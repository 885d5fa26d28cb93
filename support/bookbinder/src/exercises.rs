//! The descriptions of exercises and planted bugs, as far as the book is concerned.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Problem;
use crate::files::{EXERCISES, Files, SOURCE};

/// What is looked at in a description.
#[derive(Debug, Deserialize)]
pub struct Exercise {
    /// What it is called, on the page too.
    pub title: String,
    /// How long it takes.
    pub minutes: u32,
    /// The page that explains it.
    pub book: String,
}

/// All of them, by file; an error is what is wrong with the file.
fn read(files: &dyn Files) -> Vec<(PathBuf, Result<Exercise, String>)> {
    let paths = files.list(Path::new(EXERCISES)).into_iter();
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    paths
        .map(|path| {
            let text = files.read(&path).unwrap_or_default();
            let read = toml::from_str(&text).map_err(|error| error.message().to_owned());
            (path, read)
        })
        .collect()
}

/// All that can be read.
pub fn all(files: &dyn Files) -> Vec<Exercise> {
    let read = read(files).into_iter();
    read.filter_map(|(_, exercise)| exercise.ok()).collect()
}

/// Exercises that send the reader to a page or heading that is not there.
pub fn check(files: &dyn Files) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (file, exercise) in read(files) {
        let what = match exercise {
            Ok(exercise) => missing(files, &file, &exercise),
            Err(what) => Some(what),
        };
        problems.extend(what.map(|what| Problem {
            file,
            line: 1,
            what,
        }));
    }
    problems
}

fn missing(files: &dyn Files, file: &Path, exercise: &Exercise) -> Option<String> {
    let page = Path::new(SOURCE).join(&exercise.book);
    let Some(text) = files.read(&page) else {
        return Some(format!("there is no page {}", page.display()));
    };
    // `04.1-which-taints.toml` is exercise 04.1, `bugs/04-nobody-told.toml` is chapter 4's bug,
    // `bugs/05.2-….toml` is chapter 5's second one.
    let name = file.file_stem()?.to_string_lossy();
    let number = name.split('-').next().unwrap_or_default();
    let is_bug = file.parent().is_some_and(|folder| folder.ends_with("bugs"));
    let heading = match (is_bug, number.contains('.')) {
        (false, _) => format!("Exercise {number}: {}", exercise.title),
        (true, false) => "A planted bug".to_owned(),
        (true, true) => format!("Planted bug {number}: {}", exercise.title),
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let mut headings = headings.map(|line| line.trim_start_matches('#').trim());
    (!headings.any(|line| line == heading))
        .then(|| format!("{} has no heading {heading:?}", page.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Memory;

    #[test]
    fn an_exercise_has_its_place_in_the_book() {
        let toml = "title = \"Count\"\nminutes = 5\nbook = \"01.md\"\n";
        let files = Memory::new([
            (
                "book/src/01.md",
                "# One\n\n### Exercise 01.1: Count\n\n## A planted bug\n",
            ),
            ("exercises/01.1-count.toml", toml),
            ("exercises/bugs/01-a.toml", toml),
            ("exercises/bugs/01.2-b.toml", toml),
            ("exercises/01.2-count.toml", toml),
            ("exercises/01.3-none.toml", &toml.replace("01.md", "02.md")),
            ("exercises/01.4-half.toml", "title = \"Count\"\n"),
        ]);
        let found: Vec<String> = check(&files).iter().map(Problem::to_string).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("01.2-count.toml:1: book/src/01.md has no heading"));
        assert!(found[1].contains("there is no page book/src/02.md"));
        assert!(found[2].contains("missing field"), "{}", found[2]);
        assert!(
            found[3].contains("no heading \"Planted bug 01.2: Count\""),
            "{}",
            found[3]
        );
        assert_eq!(all(&files).len(), 5);
    }
}
