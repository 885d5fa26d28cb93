//! What a task's file holds: the reference, the hole, or what the reader wrote; and what it held.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use super::region::{self, Broken, Region, same_code};
use super::store::Store;
use super::task::{Kind, Task};

/// How the file stands to its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The hole is there, or the planted bug, untouched.
    Open,
    /// Something else is.
    Written,
    /// The markers are not what they were.
    Broken(Broken),
}

/// How `text`, the file of `task`, stands to it.
pub fn standing(task: &Task, text: &str) -> Standing {
    match &task.kind {
        Kind::Exercise { hole, .. } => match region::find(text, &task.anchor()) {
            Ok(region) if same_code(region.of(text), hole) => Standing::Open,
            Ok(_) => Standing::Written,
            Err(broken) => Standing::Broken(broken),
        },
        Kind::Bug { plant, find, .. } => {
            // One may be a part of the other.
            let planted = text.contains(plant) && (plant.contains(find) || !text.contains(find));
            if planted {
                Standing::Open
            } else {
                Standing::Written
            }
        }
    }
}

/// `text`, which holds the reference, with the bug in it.
///
/// # Errors
/// When the place is not there, once.
pub fn planted(task: &Task, text: &str) -> Result<String> {
    let Kind::Bug { find, plant, .. } = &task.kind else {
        bail!("{} is no bug", task.id);
    };
    match text.matches(find.as_str()).count() {
        1 => Ok(text.replacen(find, plant, 1)),
        // The reader is not told where.
        0 => bail!("{} does not fit the code as it is now", task.id),
        _ => bail!("{} fits the code in more than one place", task.id),
    }
}

/// `text`, in which the bug is, without it; none when the place was changed.
pub fn unplanted(task: &Task, text: &str) -> Option<String> {
    let Kind::Bug { find, plant, .. } = &task.kind else {
        return None;
    };
    (text.matches(plant.as_str()).count() == 1).then(|| text.replacen(plant, find, 1))
}

/// Reads the file of `task`.
pub fn read(root: &Path, task: &Task) -> Result<String> {
    let path = root.join(&task.file);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The region of `task`; an error tells the reader how to get it back.
pub fn region_of(task: &Task, text: &str) -> Result<Region> {
    region::find(text, &task.anchor()).map_err(|broken| {
        let [begin, end] = region::markers(&task.anchor());
        anyhow!(
            "in {}: {broken}.\nYour solution stands between two lines, each there once:\n\n    \
             {begin}\n    …\n    {end}\n\nPut them back, or let `{}` do it: it keeps the whole \
             file first, and tells where.",
            task.file.display(),
            task.command("reset")
        )
    })
}

/// The whole file of `task`, as it was when it was begun; from git, where that is lost.
///
/// # Errors
/// When neither has it: what to do then.
pub fn original(root: &Path, store: &Store, task: &Task) -> Result<String> {
    if let Some(text) = store.as_it_was(task) {
        return Ok(text);
    }
    committed(root, task)
        .filter(|text| holds_reference(task, text))
        .ok_or_else(|| {
            anyhow!(
                "the reference of {} is lost: {} is gone, and git's HEAD has none.\nIf git has an \
             older one, `git log -- {file}` finds it, and `git checkout COMMIT -- {file}` brings \
             it back; copy your own lines first.",
                task.id,
                store.as_it_was_path(task).display(),
                file = task.file.display()
            )
        })
}

/// Whether the file of `task` is as it is before anybody begins.
fn holds_reference(task: &Task, text: &str) -> bool {
    match &task.kind {
        Kind::Exercise { .. } => standing(task, text) == Standing::Written,
        Kind::Bug { find, .. } => text.matches(find.as_str()).count() == 1,
    }
}

/// The file as git's HEAD has it.
pub fn committed(root: &Path, task: &Task) -> Option<String> {
    let output = Command::new("git")
        .arg("show")
        .arg(format!("HEAD:./{}", task.file.display()))
        .current_dir(root)
        .output()
        .ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    String::from_utf8(text).ok()
}

/// The file of `task` with the reference of every one of `tasks` that was begun: what the
/// reader's own work, finished or not, is left out of.
pub fn with_references(root: &Path, store: &Store, tasks: &[&Task], text: &str) -> Result<String> {
    let mut text = text.to_owned();
    // Bugs first: they may need the whole file as it was.
    let (bugs, exercises): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| task.id.is_bug);
    for task in bugs {
        let Kind::Bug { find, .. } = &task.kind else {
            continue;
        };
        let is_open = standing(task, &text) == Standing::Open;
        if !is_open && text.matches(find.as_str()).count() == 1 {
            continue;
        }
        text = match unplanted(task, &text) {
            Some(mended) => mended,
            None => region::carried(&text, &original(root, store, task)?, None),
        };
    }
    for task in exercises {
        if matches!(standing(task, &text), Standing::Broken(_)) {
            let original = original(root, store, task)?;
            text = region::carried(&text, &original, None);
        }
        let region = region_of(task, &text)?;
        let begun = store.as_it_was(task).is_some();
        if begun || standing(task, &text) == Standing::Open {
            let original = original(root, store, task)?;
            let reference = region_of(task, &original)?;
            text = region.replaced(&text, reference.of(&original));
        }
    }
    Ok(text)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Who changes a line that a bug is planted in has to change the bug.
    #[test]
    fn each_task_is_of_what_is_committed() {
        let root = crate::build::root();
        let all = [false, true].map(|bugs| crate::exercise::parse::load(root, bugs));
        for task in all
            .into_iter()
            .flat_map(|tasks| tasks.expect("can be read"))
        {
            // A copy without git has nothing that is committed.
            if let Some(text) = committed(root, &task) {
                assert!(
                    holds_reference(&task, &text),
                    "{}: {:?}",
                    task.id,
                    task.file
                );
            }
        }
    }

    /// What the file of a bug says.
    pub const BUG: &str = r#"
title = "t"
minutes = 5
file = "a.rs"
package = "a"
book = "b.md"
symptom = "s"
find = "at(revision)"
plant = "at(revision + 1)"
says = "s"
hints = []
explain = "e"
"#;

    /// A bug that adds one where nothing is to be added.
    pub fn bug() -> Task {
        Task::parse("04-off-by-one", BUG, true).unwrap()
    }

    #[test]
    fn a_bug_goes_in_and_out() {
        let bug = bug();
        let text = "watch.at(revision);\n";
        let with = planted(&bug, text).unwrap();
        assert_eq!(with, "watch.at(revision + 1);\n");
        assert_eq!(standing(&bug, &with), Standing::Open);
        assert_eq!(standing(&bug, text), Standing::Written);
        assert_eq!(unplanted(&bug, &with).unwrap(), text);
        assert_eq!(unplanted(&bug, "rewritten"), None);
        assert!(planted(&bug, "rewritten").is_err());
        assert!(planted(&bug, &text.repeat(2)).is_err());
    }
}
