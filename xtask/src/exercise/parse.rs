//! Reading exercises from `exercises/*.toml`, and planted bugs from `exercises/bugs/*.toml`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::task::{Id, Kind, Task, Wrong};

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

impl Task {
    /// Reads what a file called `name.toml` says.
    pub fn parse(name: &str, text: &str, is_bug: bool) -> Result<Self> {
        let (number, _) = name
            .split_once('-')
            .context("its name is not like 04.1-taints")?;
        let id = Id {
            is_bug,
            ..number.parse()?
        };
        ensure!(
            is_bug || id.number.is_some(),
            "exercises are numbered like 04.1, planted bugs like 04 and 04.2"
        );
        ensure!(
            !is_bug || id.number != Some(1),
            "the first bug of a chapter is numbered like 04"
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
            alone: common.alone,
            kind,
        })
    }
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
    #[serde(default)]
    alone: bool,
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
    use crate::exercise::task::named;

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
        assert!(named(&tasks, "04").is_err());
        let unknown = named(&tasks, "04.7").unwrap_err().to_string();
        assert_eq!(unknown, "there is no \"04.7\"; there are: 04.1");
    }

    #[test]
    fn a_chapter_has_several_bugs() {
        let text = crate::exercise::source::tests::BUG;
        let bugs = ["04-a", "04.2-b"].map(|name| Task::parse(name, text, true).unwrap());
        assert_eq!(bugs[1].id.to_string(), "bug 04.2");
        assert_eq!(bugs[1].check_name(), "bug_04_2");
        assert_eq!(bugs[1].command("start"), "cargo xtask bug start 04.2");
        assert_eq!(bugs[1].heading(), "Planted bug 04.2: t");
        let names = |name| named(&bugs, name).map(|task| task.name.as_str()).ok();
        assert_eq!(
            ["4", "04.1", "bug 04", "4.2", "bug 04.2", "4.3"].map(names),
            [
                Some("04-a"),
                Some("04-a"),
                Some("04-a"),
                Some("04.2-b"),
                Some("04.2-b"),
                None
            ]
        );
        // Beside exercises, a number with a dot is an exercise's.
        let mut both = vec![Task::parse("04.2-c", TAINTS, false).unwrap()];
        both.extend(bugs);
        assert_eq!(named(&both, "04.2").unwrap().name, "04.2-c");
        assert_eq!(named(&both, "bug 04.2").unwrap().name, "04.2-b");
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
