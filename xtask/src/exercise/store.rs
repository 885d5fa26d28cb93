//! What is kept in `.workshop/`: progress, the files as they were, and what the reader wrote.
//!
//! ```text
//! .workshop/progress.json                 what is open and solved, hints given
//! .workshop/as-it-was/04.1-taints.rs      the file before the hole was put in
//! .workshop/kept/04.1-taints.1.rs         what the reader wrote, before it was replaced
//! .workshop/last-check.txt                all that the last check printed
//! ```

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::task::Task;

/// How far the reader is with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Begun.
    Open,
    /// Its check held on what the reader wrote.
    Solved,
    /// The reference was shown before that.
    Shown,
}

/// What is known of a task that was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// None while only hints were asked for.
    pub state: Option<State>,
    /// Hints given so far.
    #[serde(default)]
    pub hints: usize,
}

/// What is known of all tasks, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The exercise that was started last.
    #[serde(default)]
    pub exercise: Option<String>,
    /// The bug that was started last.
    #[serde(default)]
    pub bug: Option<String>,
    /// Each task that was begun.
    #[serde(default)]
    pub tasks: BTreeMap<String, Entry>,
}

impl Progress {
    /// How far the reader is with `task`.
    pub fn state(&self, task: &Task) -> Option<State> {
        self.tasks
            .get(&task.id.to_string())
            .and_then(|entry| entry.state)
    }

    /// What is known of `task`, to be changed.
    pub fn entry(&mut self, task: &Task) -> &mut Entry {
        self.tasks.entry(task.id.to_string()).or_default()
    }

    /// Which task of this kind was started last.
    pub fn current(&mut self, task: &Task) -> &mut Option<String> {
        if task.id.is_bug {
            &mut self.bug
        } else {
            &mut self.exercise
        }
    }
}

/// The folder `.workshop` of a workspace.
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// That of the workspace at `root`.
    pub fn of(root: &Path) -> Self {
        Self {
            dir: root.join(".workshop"),
        }
    }

    /// What is known so far.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn progress(&self) -> Result<Progress> {
        let path = self.dir.join("progress.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Progress::default()),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        serde_json::from_str(&text).with_context(|| {
            format!(
                "{} cannot be understood; remove it to begin anew (what you wrote stays where it is)",
                path.display()
            )
        })
    }

    /// Changes what is known. Read again each time: a `check --watch` may run beside this.
    pub fn record(&self, change: impl FnOnce(&mut Progress)) -> Result<()> {
        let mut progress = self.progress()?;
        change(&mut progress);
        let text = serde_json::to_string_pretty(&progress).context("progress is plain")?;
        self.make()?;
        write(&self.dir.join("progress.json"), &format!("{text}\n"))
    }

    /// Where the file of `task` is kept as it was.
    pub fn as_it_was_path(&self, task: &Task) -> PathBuf {
        self.dir
            .join("as-it-was")
            .join(format!("{}.rs", task.stem()))
    }

    /// The file of `task` as it was before it was begun.
    pub fn as_it_was(&self, task: &Task) -> Option<String> {
        fs::read_to_string(self.as_it_was_path(task)).ok()
    }

    /// Keeps the file of `task` as it is now.
    pub fn set_as_it_was(&self, task: &Task, text: &str) -> Result<()> {
        self.make()?;
        write(&self.as_it_was_path(task), text)
    }

    /// Drops the file of `task` as it was: the workspace has it again.
    pub fn forget(&self, task: &Task) -> Result<()> {
        let path = self.as_it_was_path(task);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    /// Keeps what the reader wrote; says where. Never over what is kept already.
    pub fn keep(&self, task: &Task, text: &str) -> Result<PathBuf> {
        self.make()?;
        for number in 1_u32.. {
            let name = format!("{}.{number}.rs", task.stem());
            let path = self.dir.join("kept").join(name);
            if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
                return Ok(path);
            }
            let mut new = match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(new) => new,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error).with_context(|| cannot_write(&path)),
            };
            let written = new.write_all(text.as_bytes()).and_then(|()| new.sync_all());
            if let Err(error) = written {
                let _ = fs::remove_file(&path);
                return Err(error).with_context(|| cannot_write(&path));
            }
            return Ok(path);
        }
        unreachable!("there are enough numbers")
    }

    /// Where what a check prints is written.
    pub fn last_check(&self) -> Result<PathBuf> {
        self.make()?;
        Ok(self.dir.join("last-check.txt"))
    }

    fn make(&self) -> Result<()> {
        for dir in ["as-it-was", "kept"].map(|name| self.dir.join(name)) {
            fs::create_dir_all(&dir).with_context(|| cannot_write(&dir))?;
        }
        Ok(())
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}; nothing was changed", path.display())
}

/// Writes `text` to `path`, whole or not at all.
///
/// # Errors
/// When the file is read-only, or the disk is full: it is then as it was.
pub fn write(path: &Path, text: &str) -> Result<()> {
    // A link stays a link: what it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = fs::metadata(path).ok().map(|it| it.permissions());
    // A rename would replace a file that its owner wanted left alone.
    if old.as_ref().is_some_and(fs::Permissions::readonly) {
        bail!("{} is read-only; nothing was changed", path.display());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        if let Some(permissions) = old {
            file.set_permissions(permissions)?;
        }
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written
        .inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
        .with_context(|| cannot_write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rs");
        write(&path, "one").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        let said = write(&path, "two").unwrap_err().to_string();
        assert!(
            said.ends_with("is read-only; nothing was changed"),
            "{said}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
    }

    #[test]
    fn what_cannot_be_written_leaves_no_half() {
        let dir = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file: the rename fails as a full disk would.
        let path = dir.path().join("a.rs");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("in-it"), "").unwrap();
        let said = format!("{:#}", write(&path, "two").unwrap_err());
        assert!(said.contains("nothing was changed"), "{said}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
