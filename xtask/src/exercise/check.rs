//! `check`: runs the checks of a task and says what they saw, for somebody who is learning.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use super::commands::Workshop;
use super::run::{Built, Ran, build_with_patience, run};
use super::said::{Failure, Why, failures};
use super::scratch::{Scratch, package_folder};
use super::show::{count, indented};
use super::source::{self, Standing};
use super::store::State;
use super::task::{Kind, Task};
use crate::build::target_dir_of;

/// How many failures are shown whole.
const SHOWN: usize = 2;
/// How many lines that the reader's code printed are shown.
const PRINTED: usize = 20;
/// How often a watched folder is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How a check went.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Green,
    /// It does not.
    Red,
}

impl Workshop {
    /// `check`: ends with exit code 1 when it does not hold, for scripts; all is said by then.
    pub fn check(&self, task: &Task) -> Result<()> {
        match self.check_once(task)? {
            Verdict::Green => Ok(()),
            Verdict::Red => std::process::exit(1),
        }
    }

    /// `check --watch`: again whenever the chapter's sources change, until it holds.
    pub fn watch(&self, task: &Task) -> Result<()> {
        let folder = package_folder(&self.root, &task.file).join("src");
        loop {
            // Before the check: what is saved during it counts as a change.
            let before = newest(&folder);
            // Broken markers, too, are something that the next save may mend.
            match self.check_once(task) {
                Ok(Verdict::Green) => return Ok(()),
                Ok(Verdict::Red) => {}
                Err(error) => println!("{error:#}"),
            }
            println!("{}", self.paint.dim("\nwatching; Ctrl-C ends it"));
            while newest(&folder) == before {
                std::thread::sleep(LOOK);
            }
            println!();
        }
    }

    fn check_once(&self, task: &Task) -> Result<Verdict> {
        let paint = self.paint;
        let state = self.store.progress()?.state(task);
        let text = source::read(&self.root, task)?;
        if let Kind::Exercise { .. } = task.kind {
            source::region_of(task, &text)?;
        }
        let untouched = source::standing(task, &text) == Standing::Open;
        if untouched && !task.id.is_bug {
            println!("{}", paint.bold(&format!("{} {}", task.id, task.title)));
            println!(
                "  Red is right: nothing is written yet. The hole is at {}",
                self.place(task)?
            );
            println!("  Read    {}", self.reading(task));
            return Ok(Verdict::Red);
        }
        let target = target_dir_of(&self.root)?;
        let scratch = Scratch::sync(&self.root, &target, "check", &BTreeMap::new())?;
        scratch.show_checks_beside(&task.file)?;
        let program = match build_with_patience(&scratch, paint.colour())? {
            Built::Program(program) => program,
            Built::Broken(errors) => {
                println!("{}", errors.trim_end());
                let head = format!("{} was not checked: the code does not compile.", task.id);
                println!("\n{}", paint.red(&head));
                println!("  The compiler's words are above; the check has not run yet.");
                return Ok(Verdict::Red);
            }
        };
        let log = self.store.last_check()?;
        match run(&program, task, &scratch, &log)? {
            Ran::Held(number) => self.held(task, state, number),
            Ran::Failed(output) => {
                println!("{}", paint.red(&format!("✗ {} {}", task.id, task.title)));
                if untouched {
                    println!("  Red is right: the bug is still in.");
                }
                self.tell(task, &failures(&output));
                println!("\n  read    {}", self.reading(task));
                println!("  whole   .workshop/last-check.txt has all that was printed");
                Ok(Verdict::Red)
            }
            Ran::Hung(seconds) => {
                println!("{}", paint.red(&format!("✗ {} {}", task.id, task.title)));
                println!(
                    "  The check did not end in {seconds} seconds, and was ended. Somewhere your \
                     code\n  waits for what cannot come, or loops without getting further."
                );
                Ok(Verdict::Red)
            }
            Ran::Crashed(output) => {
                println!("{}", paint.red(&format!("✗ {} {}", task.id, task.title)));
                println!(
                    "  The check's whole program ended: a call without end, or memory without \
                     end.\n  Its last words:\n{}",
                    indented(&last_lines(&output, 8))
                );
                Ok(Verdict::Red)
            }
            Ran::None => bail!(
                "there is no check called {} in the tests of {}; that is a fault of the workshop",
                task.check_name(),
                task.package
            ),
        }
    }

    fn held(&self, task: &Task, state: Option<State>, number: usize) -> Result<Verdict> {
        let checks = count(number, "check");
        let head = format!("✓ {} {}: {checks} held.", task.id, task.title);
        if state.is_none() {
            println!(
                "{head} It is the reference that was checked: {} was never started.",
                task.id
            );
            return Ok(Verdict::Green);
        }
        if state != Some(State::Shown) {
            self.store
                .record(|progress| progress.entry(task).state = Some(State::Solved))?;
        }
        let praise = match (&task.kind, state) {
            (_, Some(State::Shown)) => "It was shown before.",
            (Kind::Exercise { .. }, _) => "Well done: the cluster runs on your lines now.",
            (Kind::Bug { .. }, _) => "Well found.",
        };
        println!("{} {praise}", self.paint.green(&head));
        if let Kind::Bug { explain, .. } = &task.kind {
            println!("\n{}\n", indented(explain));
        }
        match self.next()? {
            Some(next) => println!(
                "Next: {} {} ({} min): {}",
                next.id,
                next.title,
                next.minutes,
                next.command("start")
            ),
            None => println!("That was the last one."),
        }
        Ok(Verdict::Green)
    }

    fn tell(&self, task: &Task, failures: &[Failure]) {
        for failure in failures.iter().take(SHOWN) {
            println!();
            if !failure.printed.is_empty() {
                println!("{}", self.paint.dim("  your code printed:"));
                for line in failure.printed.iter().take(PRINTED) {
                    println!("    {line}");
                }
            }
            match &failure.why {
                Why::Saw(lines) => println!("{}", indented(&lines.join("\n"))),
                Why::Open(id) if *id == task.id.to_string() => {
                    println!("  The `todo!` of {id} is still there, and the check came upon it.");
                }
                Why::Open(id) => println!(
                    "  The check came upon another hole: exercise {id} is open. Finish it first, \
                     or\n  `cargo xtask ex solve {id}`."
                ),
                Why::Panicked { at, message } => {
                    println!("  The code panicked at {at}:");
                    println!("{}", indented(&indented(&message.join("\n"))));
                }
                Why::Other => println!("  {} failed.", failure.test),
            }
        }
        if failures.len() > SHOWN {
            println!("\n  {} more failed.", failures.len() - SHOWN);
        }
    }
}

fn last_lines(text: &str, number: usize) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(number)..].join("\n")
}

/// Something that changes whenever a file below `folder` does.
fn newest(folder: &Path) -> (Option<SystemTime>, usize) {
    let mut newest = (None, 0);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let below = match entry.file_type() {
            Ok(kind) if kind.is_dir() => self::newest(&entry.path()),
            _ => {
                let is_source = entry.path().extension().is_some_and(|it| it == "rs");
                let changed = entry.metadata().and_then(|it| it.modified()).ok();
                if is_source { (changed, 1) } else { (None, 0) }
            }
        };
        newest = (newest.0.max(below.0), newest.1 + below.1);
    }
    newest
}
