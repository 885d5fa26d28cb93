//! What an exercise is, and a planted bug: read from `exercises/*.toml`, `exercises/bugs/*.toml`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
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

    /// Reads what a file called `name.toml` says.
    pub fn parse(name: &str, text: &str, is_bug: bool) -> Result<Self> {
        let (number, _) = name
            .split_once('-')
            .context("its name is not like 04.1-taints")?;
        let id: Id = number.parse()?;
        ensure!(
            is_bug == id.number.is_none(),
            "exercises are numbered like 04.1, planted bugs like 04"
        );
        let (common, kind) = if is_bug {
            let (common, kind) = parse_as::<BugKind>(text)?;
            (common, kind.into())
        } else {
            let (common, kind) = parse_as::<ExerciseKind>(text)?;
            (common, kind.into())
        };
        Ok(Self {
            id,
            name: name.to_owned(),
            title: common.title,
            minutes: common.minutes,
            file: common.file,
            package: common.package,
            book: common.book,
            hints: common.hints,
            seconds: common.seconds,
            kind,
        })
    }
}

/// All exercises, or all bugs, in order.
///
/// # Errors
/// The first file that cannot be understood.
pub fn load(root: &Path, bugs: bool) -> Result<Vec<Task>> {
    let dir = root.join(if bugs { "exercises/bugs" } else { "exercises" });
    let mut tasks: Vec<Task> = Vec::new();
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&path);
        let task = text
            .map_err(Into::into)
            .and_then(|text| Task::parse(&name, &text, bugs));
        tasks.push(task.with_context(|| path.display().to_string())?);
    }
    tasks.sort_by_key(|task| task.id);
    if let Some(twice) = tasks.windows(2).find(|pair| pair[0].id == pair[1].id) {
        bail!("{} and {} have one number", twice[0].name, twice[1].name);
    }
    Ok(tasks)
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

fn seconds() -> u64 {
    20
}

#[derive(Deserialize)]
struct Common {
    title: String,
    minutes: u32,
    file: PathBuf,
    package: String,
    book: String,
    hints: Vec<String>,
    #[serde(default = "seconds")]
    seconds: u64,
}

#[derive(Deserialize)]
struct ExerciseKind {
    missing: String,
    task: String,
    hole: String,
    #[serde(default)]
    wrong: Vec<Wrong>,
}

#[derive(Deserialize)]
struct BugKind {
    symptom: String,
    find: String,
    plant: String,
    says: String,
    explain: String,
}

impl From<ExerciseKind> for Kind {
    fn from(it: ExerciseKind) -> Self {
        Self::Exercise {
            missing: it.missing,
            task: it.task,
            hole: it.hole,
            wrong: it.wrong,
        }
    }
}

impl From<BugKind> for Kind {
    fn from(it: BugKind) -> Self {
        Self::Bug {
            symptom: it.symptom,
            find: it.find,
            plant: it.plant,
            says: it.says,
            explain: it.explain,
        }
    }
}

fn parse_as<K: serde::de::DeserializeOwned>(text: &str) -> Result<(Common, K)> {
    Ok((toml::from_str(text)?, toml::from_str(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAINTS: &str = r#"
title = "Taints"
minutes = 15
file = "chapters/04-scheduler/src/filter/mod.rs"
package = "scheduler"
book = "04-scheduler.md"
missing = "no pod goes anywhere"
task = "write"
hole = '''
    todo!("exercise 04.1 is open: see the book")
'''
hints = ["a", "b"]
[[wrong]]
name = "n"
code = "c"
says = "s"
"#;

    #[test]
    fn a_task_is_read_and_named() {
        let task = Task::parse("04.1-taints", TAINTS, false).unwrap();
        assert_eq!(task.id.to_string(), "04.1");
        assert_eq!(task.check_name(), "exercise_04_1");
        assert_eq!(task.anchor(), "exercise-04.1");
        assert_eq!(task.command("check"), "cargo xtask ex check 04.1");
        let tasks = [task];
        assert!(named(&tasks, "4.1").is_ok());
        assert!(named(&tasks, "04.1").is_ok());
        let unknown = named(&tasks, "04.7").unwrap_err().to_string();
        assert_eq!(unknown, "there is no \"04.7\"; there are: 04.1");
    }

    #[test]
    fn what_is_no_task_is_said() {
        let said = |name, text: &str, bug| Task::parse(name, text, bug).unwrap_err().to_string();
        assert!(said("taints", TAINTS, false).contains("its name is not like"));
        assert!(said("04-taints", TAINTS, false).contains("numbered like 04.1"));
        assert!(said("04-taints", TAINTS, true).contains("symptom"));
        let without = TAINTS.replace("minutes = 15", "");
        assert!(said("04.1-taints", &without, false).contains("minutes"));
    }
}
