//! What an exercise is, and a planted bug, and what each is called where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, anyhow};
use serde::Deserialize;

/// Chapter and number; a bug has no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The chapter.
    pub chapter: u8,
    /// Which exercise of the chapter; none for its planted bug.
    pub number: Option<u8>,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{:02}.{number}", self.chapter),
            None => write!(f, "bug {:02}", self.chapter),
        }
    }
}

impl FromStr for Id {
    type Err = anyhow::Error;

    /// `04.2` and `4.2` mean the same, and so do `04` and `4`.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.strip_prefix("bug ").unwrap_or(text);
        let parse = |part: &str| part.parse::<u8>().ok();
        let id = match text.split_once('.') {
            Some((chapter, number)) => parse(chapter).zip(parse(number).map(Some)),
            None => parse(text).map(|chapter| (chapter, None)),
        };
        let (chapter, number) = id.ok_or_else(|| anyhow!("{text:?} is not a number like 04.2"))?;
        Ok(Self { chapter, number })
    }
}

/// A wrong solution that the check has to refuse.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// What is wrong about it.
    pub name: String,
    /// What stands between the markers.
    pub code: String,
    /// What the check has to say.
    pub says: String,
}

/// What sets an exercise and a planted bug apart.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The reader writes what stands between two markers.
    Exercise {
        /// What a lab lacks while the hole is open, a clause.
        missing: String,
        /// What is to be written.
        task: String,
        /// What stands between the markers instead.
        hole: String,
        /// Solutions that look right.
        wrong: Vec<Wrong>,
    },
    /// The reader finds what is wrong.
    Bug {
        /// What is to be seen in a lab, and how.
        symptom: String,
        /// What is right, once in the file.
        find: String,
        /// What takes its place.
        plant: String,
        /// What the check has to say about it.
        says: String,
        /// Told once it is mended.
        explain: String,
    },
}

/// An exercise or a planted bug.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its number.
    pub id: Id,
    /// The name of its file: `04.1-taints`.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// How long it takes most readers.
    pub minutes: u32,
    /// The file that it changes, from the workspace's root.
    pub file: PathBuf,
    /// The package of that file.
    pub package: String,
    /// The page that explains it, from `book/src`.
    pub book: String,
    /// From a nudge to all but the answer.
    pub hints: Vec<String>,
    /// How long its check may run before it counts as hung.
    pub seconds: u64,
    /// The rest.
    pub kind: Kind,
}

impl Task {
    /// What its check's functions are called; a suffix may follow.
    pub fn check_name(&self) -> String {
        match self.id.number {
            Some(number) => format!("exercise_{:02}_{number}", self.id.chapter),
            None => format!("bug_{:02}", self.id.chapter),
        }
    }

    /// The name of the anchor around an exercise.
    pub fn anchor(&self) -> String {
        format!("exercise-{}", self.id)
    }

    /// What the panic of its hole begins with.
    pub fn open_says(&self) -> String {
        format!("exercise {} is open", self.id)
    }

    /// The command that names it: `ex check 04.1`.
    pub fn command(&self, verb: &str) -> String {
        match self.id.number {
            Some(_) => format!("cargo xtask ex {verb} {}", self.id),
            None => format!("cargo xtask bug {verb} {:02}", self.id.chapter),
        }
    }

    /// The heading of its section in the book.
    pub fn heading(&self) -> String {
        match self.id.number {
            Some(_) => format!("Exercise {}: {}", self.id, self.title),
            None => "A planted bug".to_owned(),
        }
    }

    /// Its page in the book, from the workspace's root.
    pub fn page(&self) -> PathBuf {
        Path::new("book/src").join(&self.book)
    }

    /// What to call its files in `.workshop`.
    pub fn stem(&self) -> String {
        match self.id.number {
            Some(_) => self.name.clone(),
            None => format!("bug-{}", self.name),
        }
    }
}

/// The task that a reader names.
///
/// # Errors
/// With the numbers that there are.
pub fn named<'a>(tasks: &'a [Task], name: &str) -> Result<&'a Task> {
    let id = name.parse::<Id>().ok();
    tasks
        .iter()
        .find(|task| Some(task.id) == id)
        .ok_or_else(|| {
            let there: Vec<String> = tasks
                .iter()
                .map(|task| task.id.to_string().replace("bug ", ""))
                .collect();
            anyhow!("there is no {name:?}; there are: {}", there.join(", "))
        })
}
