//! What an exercise is, and a planted bug, and what each is called where.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, anyhow};
use serde::Deserialize;

/// Chapter and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The chapter.
    pub chapter: u8,
    /// Which exercise of the chapter, or which planted bug; its first bug has no number.
    pub number: Option<u8>,
    /// It is a planted bug.
    pub is_bug: bool,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_bug {
            f.write_str("bug ")?;
        }
        f.write_str(&self.bare())
    }
}

impl Id {
    /// Without saying whether it is a bug: what the commands take.
    pub fn bare(self) -> String {
        match self.number {
            Some(number) => format!("{:02}.{number}", self.chapter),
            None => format!("{:02}", self.chapter),
        }
    }
}

impl FromStr for Id {
    type Err = anyhow::Error;

    /// `04.2` and `4.2` mean the same, and so do `04` and `4`, which is a bug, as is `bug 04.2`.
    fn from_str(text: &str) -> Result<Self> {
        let (text, says_bug) = match text.strip_prefix("bug ") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let parse = |part: &str| part.parse::<u8>().ok();
        let id = match text.split_once('.') {
            Some((chapter, number)) => parse(chapter).zip(parse(number).map(Some)),
            None => parse(text).map(|chapter| (chapter, None)),
        };
        let (chapter, number) = id.ok_or_else(|| anyhow!("{text:?} is not a number like 04.2"))?;
        Ok(Self {
            chapter,
            number,
            is_bug: says_bug || number.is_none(),
        })
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
    /// Checks of others run through its lines too, so it is verified by itself.
    pub alone: bool,
    /// The rest.
    pub kind: Kind,
}

impl Task {
    /// What its check's functions are called; a suffix may follow.
    pub fn check_name(&self) -> String {
        let kind = if self.id.is_bug { "bug" } else { "exercise" };
        format!("{kind}_{}", self.id.bare().replace('.', "_"))
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
        let kind = if self.id.is_bug { "bug" } else { "ex" };
        format!("cargo xtask {kind} {verb} {}", self.id.bare())
    }

    /// The heading of its section in the book.
    pub fn heading(&self) -> String {
        match (self.id.is_bug, self.id.number) {
            (false, _) => format!("Exercise {}: {}", self.id, self.title),
            (true, None) => "A planted bug".to_owned(),
            (true, Some(_)) => format!("Planted {}: {}", self.id, self.title),
        }
    }

    /// Its page in the book, from the workspace's root.
    pub fn page(&self) -> PathBuf {
        Path::new("book/src").join(&self.book)
    }

    /// What to call its files in `.workshop`.
    pub fn stem(&self) -> String {
        if self.id.is_bug {
            format!("bug-{}", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// The task that a reader names.
///
/// # Errors
/// With the numbers that there are.
pub fn named<'a>(tasks: &'a [Task], name: &str) -> Result<&'a Task> {
    let id = name.parse::<Id>().ok();
    // Where only bugs are meant, 05.2 is one, and 05.1 the first one.
    let all_bugs = tasks.iter().all(|task| task.id.is_bug);
    let id = id.map(|id| Id {
        number: id.number.filter(|number| !all_bugs || *number > 1),
        is_bug: id.is_bug || all_bugs,
        ..id
    });
    tasks
        .iter()
        .find(|task| Some(task.id) == id)
        .ok_or_else(|| {
            let there: Vec<String> = tasks.iter().map(|task| task.id.bare()).collect();
            anyhow!("there is no {name:?}; there are: {}", there.join(", "))
        })
}
