//! `start`, `next` and `hint`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::parse::load;
use super::region::{self, same_code};
use super::show::{Paint, duration, indented, wrapped};
use super::source::{self, Standing};
use super::store::{State, Store, write};
use super::task::{Kind, Task, named};

/// Hints are sentences: how wide they are shown, in letters.
const HINT_WIDTH: usize = 84;

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
        if self.tasks[0].id.is_bug {
            "cargo xtask bug list"
        } else {
            "cargo xtask ex list"
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
            // Mended once, in words of the reader's own: they are kept.
            Kind::Bug { .. } if state.is_some() => self.reset(task)?,
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

    /// Notes that a task is under way.
    pub fn begin(&self, task: &Task) -> Result<()> {
        self.store.record(|progress| {
            progress.entry(task).state = Some(State::Open);
            *progress.current(task) = Some(task.id.bare());
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
            println!("{head}\n{}", indented(&wrapped(hint, HINT_WIDTH)));
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

    /// A path below the workspace, as it is shown.
    pub fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap_or(path);
        path.display().to_string()
    }

    /// What the page of a task is called.
    pub fn page_title(&self, task: &Task) -> Result<String> {
        let path = self.root.join(task.page());
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let title = text.lines().find_map(|line| line.strip_prefix("# "));
        Ok(title.unwrap_or(&task.package).to_owned())
    }
}
