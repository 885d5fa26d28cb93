//! What a lab lacks because of open exercises: said before it is built.

use std::path::Path;

use super::parse::load;
use super::source::{self, Standing};
use super::store::{State, Store};
use super::task::{Kind, Task};

/// Says which holes and planted bugs the code has that the lab is about to be built from. A lab
/// starts with them all the same, so what cannot be read is no reason to stop.
pub fn say_what_is_open(root: &Path) {
    let tasks = |bugs| load(root, bugs).unwrap_or_default();
    for task in tasks(false).iter().chain(&tasks(true)) {
        let text = source::read(root, task).unwrap_or_default();
        let state = Store::of(root).progress().unwrap_or_default().state(task);
        if let Some(line) = line(task, &text, state) {
            eprintln!("{line}");
        }
    }
}

/// What is to be said of a task whose file holds `text`.
fn line(task: &Task, text: &str, state: Option<State>) -> Option<String> {
    let is_open = source::standing(task, text) == Standing::Open;
    match &task.kind {
        Kind::Exercise { missing, .. } => is_open.then(|| {
            format!(
                "note: exercise {} is open ({}): {missing}.\n      `cargo xtask ex check {}` says \
                 more, `ex solve` puts the reference back",
                task.id, task.title, task.id
            )
        }),
        // Only whoever planted it is told, and not where.
        Kind::Bug { .. } => (is_open && state == Some(State::Open)).then(|| {
            let check = task.command("check");
            format!(
                "note: the planted {} is in; `{check}` says when it is out",
                task.id
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exercise::source::tests::bug;

    #[test]
    fn what_is_open_is_said() {
        let mut task = bug();
        let said = |task: &Task, text, state| line(task, text, state);
        let planted = "at(revision + 1)";
        assert!(said(&task, planted, None).is_none());
        assert!(said(&task, "at(revision)", Some(State::Open)).is_none());
        let line = said(&task, planted, Some(State::Open)).unwrap();
        assert!(
            line.contains("planted bug 04") && !line.contains("a.rs"),
            "{line}"
        );
        task.id.number = Some(1);
        task.id.is_bug = false;
        task.kind = Kind::Exercise {
            missing: "no pod gets a node".into(),
            task: String::new(),
            hole: "todo!()".into(),
            wrong: Vec::new(),
        };
        let text = "// ANCHOR: exercise-04.1\ntodo!()\n// ANCHOR_END: exercise-04.1\n";
        let line = said(&task, text, None).unwrap();
        assert!(
            line.contains("exercise 04.1 is open (t): no pod gets a node."),
            "{line}"
        );
    }
}
