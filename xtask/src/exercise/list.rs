//! `list`: what there is, by chapter, and how far the reader is.

use std::fmt::Write;

use anyhow::Result;

use super::commands::Workshop;
use super::show::{count, duration};
use super::source::{self, Standing};
use super::store::State;
use super::task::Task;

impl Workshop {
    /// `list`
    pub fn list(&self) -> Result<()> {
        let progress = self.store.progress()?;
        let mut shown = String::new();
        let mut chapter = None;
        let (mut all, mut left, mut done) = (0, 0, 0);
        for task in &self.tasks {
            if chapter.replace(task.id.chapter) != Some(task.id.chapter) {
                let title = self.page_title(task)?;
                let head = format!("Chapter {}: {title}", task.id.chapter);
                writeln!(shown, "\n{}", self.paint.bold(&head))?;
            }
            let state = progress.state(task);
            let id = task.id.to_string();
            let minutes = duration(task.minutes);
            let words = self.state(task, state);
            writeln!(shown, "  {id:<8} {:<44} {minutes:>7}  {words}", task.title)?;
            all += task.minutes;
            match state {
                Some(State::Solved | State::Shown) => done += 1,
                _ => left += task.minutes,
            }
        }
        let kind = if self.tasks[0].id.is_bug {
            "planted bug"
        } else {
            "exercise"
        };
        let what = count(self.tasks.len(), kind);
        println!(
            "{}\n\n{what}, {done} done; {} in all, {} to go",
            shown.trim_start().trim_end(),
            duration(all),
            duration(left)
        );
        Ok(())
    }

    fn state(&self, task: &Task, state: Option<State>) -> String {
        match state {
            None => self.paint.dim("not started"),
            Some(State::Solved) => self.paint.green("solved"),
            Some(State::Shown) => "shown".to_owned(),
            Some(State::Open) => {
                let text = source::read(&self.root, task);
                match text.map(|text| source::standing(task, &text)) {
                    Ok(Standing::Open) if task.id.is_bug => "open, planted".to_owned(),
                    Ok(Standing::Open) => "open, nothing written".to_owned(),
                    Ok(Standing::Written) => "open".to_owned(),
                    Ok(Standing::Broken(_)) => self.paint.red("open, markers broken"),
                    Err(_) => self.paint.red("open, its file is gone"),
                }
            }
        }
    }
}
