//! `reset` and `solve`: what takes the place of the reader's lines, and keeps them.

use anyhow::{Result, bail};

use super::commands::Workshop;
use super::region::{self, same_code};
use super::show::indented;
use super::source::{self, Standing};
use super::store::{State, write};
use super::task::{Kind, Task};

impl Workshop {
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
        if task.id.is_bug {
            println!("The bug is in again.");
        } else {
            println!("The hole of {} is back: {}", task.id, self.place(task)?);
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
        // From now on, what is in the file is the reference, whoever changes it.
        self.store.forget(task)?;
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
    pub fn keep_written(&self, task: &Task, text: &str) -> Result<()> {
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
}
