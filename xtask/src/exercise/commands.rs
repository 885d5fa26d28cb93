//! `start`, `next`, `hint`, `reset` and `solve`: what changes the reader's files, and keeps them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::region::{self, same_code};
use super::show::{Paint, duration, indented};
use super::source::{self, Standing};
use super::store::{State, Store, write};
use super::task::{Kind, Task, load, named};

/// A workspace, its exercises (or its bugs), and how far the reader is.
pub struct Workshop {
    /// The workspace's folder.
    pub root: PathBuf,
    /// What is kept of the reader's.
    pub store: Store,
    /// All exercises, or all bugs.
    pub tasks: Vec<Task>,
    /// How to say things.
    pub paint: Paint,
}

impl Workshop {
    /// The exercises of the workspace at `root`, or its bugs.
    pub fn open(root: &Path, bugs: bool) -> Result<Self> {
        let tasks = load(root, bugs)?;
        if tasks.is_empty() {
            bail!("there are no exercises in {}", root.display());
        }
        Ok(Self {
            root: root.to_owned(),
            store: Store::of(root),
            tasks,
            paint: Paint::for_stdout(),
        })
    }

    /// The task of this name, or the one that was started last.
    pub fn pick(&self, name: Option<&str>) -> Result<&Task> {
        if let Some(name) = name {
            return named(&self.tasks, name);
        }
        let mut progress = self.store.progress()?;
        match progress.current(&self.tasks[0]) {
            Some(current) => named(&self.tasks, current),
            None => bail!(
                "nothing is started; `{}` lists what there is",
                self.list_command()
            ),
        }
    }

    fn list_command(&self) -> &'static str {
        match self.tasks[0].id.number {
            Some(_) => "cargo xtask ex list",
            None => "cargo xtask bug list",
        }
    }

    /// The first that is neither solved nor shown.
    pub fn next(&self) -> Result<Option<&Task>> {
        let progress = self.store.progress()?;
        let is_left = |task: &&Task| matches!(progress.state(task), None | Some(State::Open));
        Ok(self.tasks.iter().find(is_left))
    }

    /// `next`
    pub fn start_next(&self) -> Result<()> {
        match self.next()? {
            Some(task) => self.start(task),
            None => {
                println!("All of them are done. `cargo xtask lab` runs on what you wrote.");
                Ok(())
            }
        }
    }

    /// `start`
    pub fn start(&self, task: &Task) -> Result<()> {
        let state = self.store.progress()?.state(task);
        if state == Some(State::Open) {
            println!("{} is begun already; your file stays as it is.\n", task.id);
            return self.explain(task);
        }
        let text = source::read(&self.root, task)?;
        match &task.kind {
            Kind::Exercise { hole, .. } => self.put_hole(task, &text, hole, state)?,
            Kind::Bug { .. } if source::standing(task, &text) == Standing::Open => {}
            Kind::Bug { .. } => {
                let planted = source::planted(task, &text)?;
                self.store.set_as_it_was(task, &text)?;
                write(&self.root.join(&task.file), &planted)?;
            }
        }
        self.begin(task)?;
        self.explain(task)
    }

    fn put_hole(&self, task: &Task, text: &str, hole: &str, state: Option<State>) -> Result<()> {
        let region = source::region_of(task, text)?;
        let lines = region.of(text);
        if same_code(lines, hole) {
            // The progress is lost, or a start was cut off: the reference must be somewhere.
            let original = source::original(&self.root, &self.store, task)?;
            return self.store.set_as_it_was(task, &original);
        }
        if state.is_some() && self.store.as_it_was(task).is_some() {
            self.keep_written(task, text)?;
        } else {
            // Lines that are not git's are the reader's, whose progress was lost, or an author's.
            let committed = source::committed(&self.root, task);
            let reference = committed.as_deref().and_then(|committed| {
                let region = region::find(committed, &task.anchor()).ok()?;
                let reference = region.of(committed);
                (!same_code(reference, hole)).then_some(reference)
            });
            let reference = reference.unwrap_or(lines);
            if !same_code(reference, lines) {
                let kept = self.store.keep(task, lines)?;
                println!(
                    "The lines of {} are not those of git's HEAD. They are kept in {}; HEAD's \
                     count as the reference.",
                    task.id,
                    self.shown(&kept)
                );
            }
            let original = region.replaced(text, reference);
            self.store.set_as_it_was(task, &original)?;
        }
        write(&self.root.join(&task.file), &region.replaced(text, hole))
    }

    fn begin(&self, task: &Task) -> Result<()> {
        self.store.record(|progress| {
            progress.entry(task).state = Some(State::Open);
            *progress.current(task) = Some(task.id.to_string().replace("bug ", ""));
        })
    }

    /// What the reader is to do, and where.
    pub fn explain(&self, task: &Task) -> Result<()> {
        let paint = self.paint;
        let title = format!("{} {}", task.id, task.title);
        println!("{}  ({})\n", paint.bold(&title), duration(task.minutes));
        match &task.kind {
            Kind::Exercise { task: text, .. } => {
                println!("{}\n", indented(text));
                println!("  write  {}", self.place(task)?);
            }
            Kind::Bug { symptom, .. } => {
                println!("{}\n", indented(symptom));
                println!(
                    "  where  somewhere in the chapter's crate, `{}`",
                    task.package
                );
            }
        }
        println!("  read   {}", self.reading(task));
        println!("  check  {}", task.command("check"));
        println!("  hint   {}", task.command("hint"));
        Ok(())
    }

    /// `file:line` of what is to be written.
    pub fn place(&self, task: &Task) -> Result<String> {
        let text = source::read(&self.root, task)?;
        let region = source::region_of(task, &text)?;
        Ok(format!("{}:{}", task.file.display(), region.line))
    }

    /// Where the book tells of a task.
    pub fn reading(&self, task: &Task) -> String {
        format!("{}, {:?}", task.page().display(), task.heading())
    }

    /// `hint`
    pub fn hint(&self, task: &Task) -> Result<()> {
        let given = self.store.progress()?.entry(task).hints;
        let all = task.hints.len();
        let now = (given + 1).min(all);
        for (number, hint) in task.hints.iter().take(now).enumerate() {
            let head = format!("hint {} of {all}", number + 1);
            // The new one is what the reader asked for.
            let head = match number + 1 == now && given < all {
                true => self.paint.bold(&head),
                false => self.paint.dim(&head),
            };
            println!("{head}  {}", hint.trim());
        }
        if given >= all {
            println!(
                "\nThose are all. `{}` shows a solution.",
                task.command("solve")
            );
        }
        self.store
            .record(|progress| progress.entry(task).hints = now)
    }

    /// `reset`
    pub fn reset(&self, task: &Task) -> Result<()> {
        if self.store.progress()?.state(task).is_none() {
            bail!(
                "{} was never started; `{}` starts it",
                task.id,
                task.command("start")
            );
        }
        let text = source::read(&self.root, task)?;
        if source::standing(task, &text) == Standing::Open {
            println!(
                "{} is open already: there is nothing of yours to reset.",
                task.id
            );
            return self.begin(task);
        }
        let new = match &task.kind {
            Kind::Exercise { hole, .. } => {
                let text = self.whole(task, &text)?;
                let region = source::region_of(task, &text)?;
                region.replaced(&text, hole)
            }
            Kind::Bug { .. } => {
                let again = source::planted(task, &text);
                let from_original = || {
                    let original = source::original(&self.root, &self.store, task)?;
                    source::planted(task, &region::carried(&text, &original, None))
                };
                again.or_else(|_| from_original())?
            }
        };
        self.keep_written(task, &text)?;
        write(&self.root.join(&task.file), &new)?;
        self.begin(task)?;
        match task.id.number {
            Some(_) => println!("The hole of {} is back: {}", task.id, self.place(task)?),
            None => println!("The bug is in again."),
        }
        Ok(())
    }

    /// `solve`
    pub fn solve(&self, task: &Task) -> Result<()> {
        let text = source::read(&self.root, task)?;
        if source::standing(task, &text) == Standing::Written
            && self.store.progress()?.state(task).is_none()
        {
            bail!("{} was never started: the file has the reference", task.id);
        }
        let (old, new, file) = match &task.kind {
            Kind::Exercise { .. } => {
                let original = source::original(&self.root, &self.store, task)?;
                let reference = source::region_of(task, &original)?;
                let reference = reference.of(&original).to_owned();
                let whole = self.whole(task, &text)?;
                let region = source::region_of(task, &whole)?;
                let file = region.replaced(&whole, &reference);
                if whole == text {
                    (region.of(&whole).to_owned(), reference, file)
                } else {
                    (text.clone(), file.clone(), file)
                }
            }
            Kind::Bug { .. } => {
                let file = source::with_references(&self.root, &self.store, &[task], &text)?;
                (text.clone(), file.clone(), file)
            }
        };
        if file == text {
            println!("{}: the file has the reference already.", task.id);
        } else {
            self.keep_written(task, &text)?;
            write(&self.root.join(&task.file), &file)?;
            println!(
                "{}\n",
                self.paint.bold(&format!("{} {}", task.id, task.title))
            );
            println!("{}", self.paint.difference(&old, &new));
            println!("\n{} has the reference.", task.file.display());
        }
        if let Kind::Bug { explain, .. } = &task.kind {
            println!("\n{}", indented(explain));
        }
        self.store.record(|progress| {
            let entry = progress.entry(task);
            if entry.state != Some(State::Solved) {
                entry.state = Some(State::Shown);
            }
        })
    }

    /// `text`, or where its markers are broken the file as it was, with what is in other regions.
    fn whole(&self, task: &Task, text: &str) -> Result<String> {
        if !matches!(source::standing(task, text), Standing::Broken(_)) {
            return Ok(text.to_owned());
        }
        let original = source::original(&self.root, &self.store, task)?;
        println!(
            "The markers of {} are broken: the whole of {} is put back as it was.",
            task.id,
            task.file.display()
        );
        Ok(region::carried(text, &original, Some(&task.anchor())))
    }

    /// Keeps what is the reader's in `text`, the file of `task`, and says where: the region of an
    /// exercise, or the whole file.
    fn keep_written(&self, task: &Task, text: &str) -> Result<()> {
        let mine = match region::find(text, &task.anchor()) {
            Ok(region) => {
                let lines = region.of(text);
                let original = source::original(&self.root, &self.store, task).ok();
                let is_reference = original.is_some_and(|original| {
                    region::find(&original, &task.anchor())
                        .is_ok_and(|region| same_code(region.of(&original), lines))
                });
                if is_reference || source::standing(task, text) == Standing::Open {
                    return Ok(());
                }
                lines
            }
            Err(_) if source::standing(task, text) == Standing::Open => return Ok(()),
            Err(_) => text,
        };
        let kept = self.store.keep(task, mine)?;
        println!("What you wrote is kept in {}", self.shown(&kept));
        Ok(())
    }

    fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        path.display().to_string()
    }

    /// The workspace's name for a path below it.
    pub fn page_title(&self, task: &Task) -> Result<String> {
        let path = self.root.join(task.page());
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let title = text.lines().find_map(|line| line.strip_prefix("# "));
        Ok(title.unwrap_or(&task.package).to_owned())
    }
}
