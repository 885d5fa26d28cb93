//! `cargo xtask exercise verify`: checks the checks.
//!
//! For each exercise: the hole compiles; the check meets it; the check holds on the reference, and
//! refuses each listed wrong solution with the words that are meant for it. For each planted bug:
//! it fits in one place, compiles, and its check refuses it. All in a copy of the workspace.

pub mod plan;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::plan::{Variant, What};
use super::parse::load;
use super::run::{Built, build, run as run_check};
use super::scratch::Scratch;
use super::show::{Paint, count, indented};
use super::source;
use super::store::Store;
use super::task::{Task, named};

/// What was tried, and what did not hold.
#[derive(Default)]
struct Tally {
    variants: usize,
    problems: Vec<String>,
}

impl Tally {
    fn problem(&mut self, what: &str, why: &str) {
        let problem = format!("{what}: {}", indented(why).trim_start());
        eprintln!("✗ {problem}");
        self.problems.push(problem);
    }
}

/// Verifies the tasks named by `ids`, those of `chapter`, or all.
pub fn run(root: &Path, ids: &[String], chapter: Option<u8>) -> Result<()> {
    let began = Instant::now();
    let mut all = load(root, false)?;
    all.extend(load(root, true)?);
    all.sort_by_key(|task| task.id);
    let tasks = select(&all, ids, chapter)?;
    let mut tally = Tally::default();
    let references = references(root, &all)?;
    for task in &tasks {
        let page = std::fs::read_to_string(root.join(task.page())).ok();
        for flaw in plan::flaws(task, &references[&task.file], page.as_deref()) {
            tally.problem(&task.id.to_string(), &flaw);
        }
    }
    let target = crate::build::target_dir_of(root)?;
    let scratch = Scratch::sync(root, &target, "verify", &references)?;
    let mut packages: Vec<&str> = Vec::new();
    for task in &tasks {
        if !packages.contains(&&*task.package) {
            packages.push(&task.package);
        }
    }
    for package in packages {
        let of_it: Vec<&Task> = tasks
            .iter()
            .copied()
            .filter(|task| task.package == package)
            .collect();
        verify_package(package, &of_it, &references, &scratch, &mut tally)?;
    }
    let exercises = tasks.iter().filter(|task| !task.id.is_bug).count();
    let summary = format!(
        "verify: {}, {}, {}",
        count(exercises, "exercise"),
        count(tasks.len() - exercises, "bug"),
        count(tally.variants, "variant")
    );
    if !tally.problems.is_empty() {
        bail!(
            "{summary}: {} to mend",
            count(tally.problems.len(), "problem")
        );
    }
    eprintln!("in {} s", began.elapsed().as_secs());
    println!(
        "{}",
        Paint::for_stdout().green(&format!("{summary}: all hold"))
    );
    Ok(())
}

fn select<'a>(all: &'a [Task], ids: &[String], chapter: Option<u8>) -> Result<Vec<&'a Task>> {
    let mut tasks: Vec<&Task> = match ids {
        [] => all.iter().collect(),
        ids => ids.iter().map(|id| named(all, id)).collect::<Result<_>>()?,
    };
    tasks.retain(|task| chapter.is_none_or(|chapter| task.id.chapter == chapter));
    if tasks.is_empty() {
        bail!("no exercise is meant");
    }
    Ok(tasks)
}

/// Every file with an exercise or a bug in it, as it is without the reader's work.
fn references(root: &Path, tasks: &[Task]) -> Result<BTreeMap<PathBuf, String>> {
    let store = Store::of(root);
    let mut references = BTreeMap::new();
    for task in tasks {
        if references.contains_key(&task.file) {
            continue;
        }
        let of_file: Vec<&Task> = tasks.iter().filter(|it| it.file == task.file).collect();
        let text = source::read(root, task)?;
        let text = source::with_references(root, &store, &of_file, &text)
            .with_context(|| format!("{}", task.id))?;
        references.insert(task.file.clone(), text);
    }
    Ok(references)
}

/// Tries everything with the tasks of one package, and leaves the copy with the reference.
fn verify_package(
    package: &str,
    tasks: &[&Task],
    references: &BTreeMap<PathBuf, String>,
    scratch: &Scratch,
    tally: &mut Tally,
) -> Result<()> {
    let began = Instant::now();
    let before = tally.variants;
    let mut builds = 0;
    scratch.show_checks_beside(&tasks[0].file)?;
    let mut rounds: std::collections::VecDeque<_> = plan::rounds(tasks).into();
    while let Some(round) = rounds.pop_front() {
        builds += 1;
        let wrong = try_round(tasks, &round, references, scratch)?;
        if wrong.is_empty() {
            tally.variants += round.len();
        } else if round.len() > 1 && round[0].what != What::Reference {
            // Another may have got into their way: what counts is each of them alone.
            tally.variants += round.len() - wrong.len();
            for (variant, _) in wrong.into_iter().rev() {
                rounds.push_front(vec![variant]);
            }
        } else {
            tally.variants += round.len();
            for (variant, why) in wrong {
                tally.problem(&plan::name(tasks[variant.task], variant.what), &why);
            }
        }
    }
    scratch.write(references)?;
    eprintln!(
        "{package}: {}, {} in {} s",
        count(tally.variants - before, "variant"),
        count(builds, "build"),
        began.elapsed().as_secs()
    );
    Ok(())
}

/// Puts all of `round` in, builds and checks; says which did not do as they should.
fn try_round(
    tasks: &[&Task],
    round: &[Variant],
    references: &BTreeMap<PathBuf, String>,
    scratch: &Scratch,
) -> Result<Vec<(Variant, String)>> {
    let mut files = references.clone();
    let mut wrong = Vec::new();
    for &variant in round {
        let task = tasks[variant.task];
        let text = &files[&task.file];
        match plan::applied(task, variant.what, text) {
            Ok(text) => drop(files.insert(task.file.clone(), text)),
            Err(error) => wrong.push((variant, format!("{error:#}"))),
        }
    }
    if !wrong.is_empty() {
        return Ok(wrong);
    }
    scratch.write(&files)?;
    let program = match build(scratch, false)? {
        Built::Program(program) => program,
        Built::Broken(errors) => {
            let why = format!("it does not compile:\n{errors}");
            return Ok(round
                .iter()
                .map(|&variant| (variant, why.clone()))
                .collect());
        }
    };
    for &variant in round {
        let task = tasks[variant.task];
        let ran = run_check(&program, task, scratch, &scratch.log())?;
        if let Err(why) = plan::judge(task, variant.what, &ran) {
            wrong.push((variant, why));
        }
    }
    Ok(wrong)
}
