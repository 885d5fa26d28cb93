//! What is to be proven of an exercise, and how many builds that takes.

use crate::exercise::region;
use crate::exercise::run::Ran;
use crate::exercise::said::{Why, failures, open_exercise};
use crate::exercise::source;
use crate::exercise::task::{Kind, Task};

/// How long an exercise may be, in lines.
const LINES: std::ops::RangeInclusive<usize> = 5..=30;
/// How many wrong solutions an exercise lists.
const WRONG_MIN: usize = 2;

/// What stands in a task's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// What is right.
    Reference,
    /// Nothing yet.
    Hole,
    /// The wrong solution of this number.
    Wrong(usize),
    /// The planted bug.
    Bug,
}

/// One task in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Its place in the list of tasks.
    pub task: usize,
    /// Its state.
    pub what: What,
}

/// The states in which a check has to fail.
fn red(task: &Task) -> Vec<What> {
    match &task.kind {
        Kind::Exercise { wrong, .. } => {
            let wrong = (0..wrong.len()).map(What::Wrong);
            std::iter::once(What::Hole).chain(wrong).collect()
        }
        Kind::Bug { .. } => vec![What::Bug],
    }
}

/// The builds that prove the `tasks` of one package: the reference first, then as many tasks at
/// once in a red state as do not get into each other's way.
pub fn rounds(tasks: &[&Task]) -> Vec<Vec<Variant>> {
    let everyone = 0..tasks.len();
    let reference = |task| Variant {
        task,
        what: What::Reference,
    };
    let mut rounds = vec![everyone.clone().map(reference).collect()];
    let mut left: Vec<_> = tasks.iter().map(|task| red(task).into_iter()).collect();
    loop {
        let mut round: Vec<Variant> = Vec::new();
        for task in everyone.clone() {
            // A bug may lie within a region of the same file.
            let in_the_way = round.iter().any(|other| {
                let both = [tasks[task], tasks[other.task]];
                let same_file = both[0].file == both[1].file;
                both.iter().any(|it| it.alone || it.id.is_bug && same_file)
            });
            if !in_the_way && let Some(what) = left[task].next() {
                round.push(Variant { task, what });
            }
        }
        if round.is_empty() {
            return rounds;
        }
        rounds.push(round);
    }
}

/// `text`, the reference of the file of `task`, with `what` in it.
///
/// # Errors
/// When it has no place there.
pub fn applied(task: &Task, what: What, text: &str) -> anyhow::Result<String> {
    let code = match (what, &task.kind) {
        (What::Hole, Kind::Exercise { hole, .. }) => hole,
        (What::Wrong(number), Kind::Exercise { wrong, .. }) => &wrong[number].code,
        (What::Bug, _) => return source::planted(task, text),
        _ => return Ok(text.to_owned()),
    };
    Ok(source::region_of(task, text)?.replaced(text, code))
}

/// What a variant is called.
pub fn name(task: &Task, what: What) -> String {
    match (what, &task.kind) {
        (What::Wrong(number), Kind::Exercise { wrong, .. }) => {
            format!("{}, wrong solution {:?}", task.id, wrong[number].name)
        }
        (What::Hole, _) => format!("{}, hole", task.id),
        (What::Bug, _) => format!("{}, planted", task.id),
        _ => format!("{}, reference", task.id),
    }
}

/// Whether the check did as it should on `what`; else what is wrong with it.
pub fn judge(task: &Task, what: What, ran: &Ran) -> Result<(), String> {
    let text = match ran {
        Ran::None => return Err(format!("there is no test {}", task.check_name())),
        Ran::Held(_) if what == What::Reference => return Ok(()),
        Ran::Held(_) => return Err("its check holds".to_owned()),
        Ran::Hung(seconds) => format!("it did not end in {seconds} seconds"),
        Ran::Failed(output) => {
            let failures = failures(output);
            let met = |id: &str| {
                let is_it = |why: &Why| matches!(why, Why::Open(open) if open == id);
                failures.iter().any(|failure| is_it(&failure.why))
            };
            if what == What::Hole && met(&task.id.to_string()) {
                return Ok(());
            }
            let texts: Vec<String> = failures.iter().map(|failure| failure.text()).collect();
            texts.join("\n")
        }
        Ran::Crashed(output) => output.clone(),
    };
    let says = match (what, &task.kind) {
        (What::Reference, _) => return Err(format!("its check fails:\n{text}")),
        (What::Hole, _) => return Err(format!("its check does not meet the hole:\n{text}")),
        (What::Wrong(number), Kind::Exercise { wrong, .. }) => &wrong[number].says,
        (_, Kind::Bug { says, .. }) => says,
        (_, Kind::Exercise { .. }) => return Err("it is no bug".to_owned()),
    };
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words(&text).contains(&words(says)) {
        Ok(())
    } else {
        Err(format!("its check does not say {says:?}, but:\n{text}"))
    }
}

/// What is wrong with a task before anything is built: `text` is its file with the reference,
/// `page` its page in the book.
pub fn flaws(task: &Task, text: &str, page: Option<&str>) -> Vec<String> {
    let mut flaws = Vec::new();
    match page {
        None => flaws.push(format!("there is no page {}", task.page().display())),
        Some(page) if !page.lines().any(|line| is_heading(line, &task.heading())) => {
            let page = task.page();
            flaws.push(format!(
                "{} has no heading {:?}",
                page.display(),
                task.heading()
            ));
        }
        Some(_) => {}
    }
    if task.hints.is_empty() {
        flaws.push("it has no hints".to_owned());
    }
    match &task.kind {
        Kind::Exercise { hole, wrong, .. } => {
            match region::find(text, &task.anchor()) {
                Ok(region) => {
                    let lines = region.of(text).lines();
                    let lines = lines.filter(|line| !line.trim().is_empty()).count();
                    if !LINES.contains(&lines) {
                        flaws.push(format!(
                            "{lines} lines to write: {} to {} are a fair amount",
                            LINES.start(),
                            LINES.end()
                        ));
                    }
                }
                Err(broken) => flaws.push(format!("{}: {broken}", task.file.display())),
            }
            let opens = format!("todo!(\"{}", task.open_says());
            if open_exercise(hole) != Some(&*task.id.to_string()) || !hole.contains(&opens) {
                flaws.push(format!("its hole has no `{opens}…`"));
            }
            if wrong.len() < WRONG_MIN {
                flaws.push(format!("{} wrong solutions: two at least", wrong.len()));
            }
        }
        Kind::Bug { find, plant, .. } => {
            if let Err(error) = source::planted(task, text) {
                flaws.push(error.to_string());
            }
            // Whether the bug is in is told by what was planted.
            if plant.trim().is_empty() || text.replace(find, "").contains(plant.as_str()) {
                flaws.push("what it plants is not told from what is there".to_owned());
            }
        }
    }
    flaws
}

fn is_heading(line: &str, heading: &str) -> bool {
    line.strip_prefix("##")
        .is_some_and(|rest| rest.trim_start_matches('#').trim() == heading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exercise::source::tests::bug;
    use crate::exercise::task::Wrong;

    fn exercise(number: u8, wrong: usize) -> Task {
        let wrong = (0..wrong).map(|it| Wrong {
            name: format!("w{it}"),
            code: format!("    wrong {it}\n"),
            says: format!("rule {it}"),
        });
        let mut task = bug();
        task.id.number = Some(number);
        task.id.is_bug = false;
        let id = task.id;
        task.title = "T".into();
        task.hints = vec!["h".into()];
        task.kind = Kind::Exercise {
            missing: "m".into(),
            task: "t".into(),
            hole: format!("    todo!(\"exercise {id} is open: see the book\")\n"),
            wrong: wrong.collect(),
        };
        task
    }

    const TEXT: &str =
        "// ANCHOR: exercise-04.1\n1\n2\n3\n4\nat(revision)\n// ANCHOR_END: exercise-04.1\n";
    const PAGE: &str = "# P\n\n## Exercise 04.1: T\n";

    #[test]
    fn rounds_are_few_and_nobody_is_in_the_way() {
        let (one, two, bug) = (exercise(1, 2), exercise(2, 3), bug());
        let tasks = [&one, &two, &bug];
        let rounds: Vec<Vec<String>> = rounds(&tasks)
            .iter()
            .map(|round| {
                let names = round.iter().map(|it| name(tasks[it.task], it.what));
                names.collect()
            })
            .collect();
        let hole = |id: &str| format!("{id}, hole");
        let wrong = |id: &str, number| format!("{id}, wrong solution \"w{number}\"");
        assert_eq!(
            rounds,
            [
                ["04.1", "04.2", "bug 04"]
                    .map(|id| format!("{id}, reference"))
                    .to_vec(),
                vec![hole("04.1"), hole("04.2")],
                vec![wrong("04.1", 0), wrong("04.2", 0)],
                vec![wrong("04.1", 1), wrong("04.2", 1)],
                vec![wrong("04.2", 2)],
                vec!["bug 04, planted".to_owned()],
            ]
        );
    }

    #[test]
    fn whose_lines_others_run_through_is_alone() {
        let (mut one, two) = (exercise(1, 1), exercise(2, 1));
        one.alone = true;
        let red = |task, what| vec![Variant { task, what }];
        assert_eq!(
            rounds(&[&one, &two])[1..],
            [
                red(0, What::Hole),
                red(0, What::Wrong(0)),
                red(1, What::Hole),
                red(1, What::Wrong(0)),
            ]
        );
    }

    #[test]
    fn a_check_is_judged() {
        let task = exercise(1, 2);
        let failed = |message: &str| {
            let head = "---- exercise_04_1 stdout ----\nthread 'x' panicked at a.rs:1:1:\n";
            Ran::Failed(format!("{head}{message}\n"))
        };
        let block = |because: &str| failed(&format!("\n┌─ check\n│ because   {because}\n└─"));
        assert_eq!(judge(&task, What::Reference, &Ran::Held(1)), Ok(()));
        assert!(judge(&task, What::Reference, &block("rule 0")).is_err());
        let hole = failed("not yet implemented: exercise 04.1 is open: see the book");
        assert_eq!(judge(&task, What::Hole, &hole), Ok(()));
        assert!(judge(&task, What::Hole, &Ran::Held(1)).is_err());
        assert!(judge(&task, What::Hole, &block("rule 0")).is_err());
        assert_eq!(
            judge(&task, What::Wrong(0), &block("the rule 0 holds")),
            Ok(())
        );
        let other = judge(&task, What::Wrong(0), &block("rule 1")).unwrap_err();
        assert!(other.contains("does not say \"rule 0\""), "{other}");
        let held = judge(&task, What::Wrong(0), &Ran::Held(1));
        assert_eq!(held, Err("its check holds".into()));
        let none = judge(&task, What::Reference, &Ran::None);
        assert_eq!(none, Err("there is no test exercise_04_1".into()));
    }

    #[test]
    fn flaws_are_named() {
        let good = exercise(1, 2);
        assert_eq!(flaws(&good, TEXT, Some(PAGE)), [""; 0]);
        let said = |task: &Task, text: &str, page| flaws(task, text, page).join("; ");
        assert_eq!(said(&good, TEXT, None), "there is no page book/src/b.md");
        let other = "# P\n## Exercise 04.10: T\n";
        assert!(said(&good, TEXT, Some(other)).contains("has no heading"));
        let short = TEXT.replace("1\n2\n", "");
        assert!(said(&good, &short, Some(PAGE)).contains("3 lines to write"));
        assert!(said(&exercise(1, 1), TEXT, Some(PAGE)).contains("two at least"));
        let mut hole = good.clone();
        if let Kind::Exercise { hole, .. } = &mut hole.kind {
            *hole = "todo!()".into();
        }
        assert!(said(&hole, TEXT, Some(PAGE)).contains("its hole has no"));
        let page = "## A planted bug\n";
        let mut bug = bug();
        bug.hints = vec!["h".into()];
        assert_eq!(flaws(&bug, TEXT, Some(page)), [""; 0]);
        assert!(said(&bug, &TEXT.repeat(2), Some(page)).contains("more than one place"));
        let twice = TEXT.replace("1\n", "at(revision + 1)\n");
        assert!(said(&bug, &twice, Some(page)).contains("not told from"));
    }
}
