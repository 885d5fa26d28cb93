//! A copy of the workspace to try things in, so that the reader's own is never touched.
//!
//! Files are written only where they differ, so cargo builds anew only what changed. The copy
//! shares the folder of built dependencies with the workspace, but puts programs elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::exercise::run::Place;

/// What is no source, at the root of a workspace.
const LEFT_OUT: [&str; 4] = [".git", ".workshop", "target", "book/book"];

/// The copy.
pub struct Scratch {
    /// How cargo works there.
    pub place: Place,
    /// Where what checks print goes.
    pub log: PathBuf,
}

impl Scratch {
    /// Brings the copy in `target` in line with the workspace at `root`; the files in `instead`
    /// get their text from there.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn sync(root: &Path, target: &Path, instead: &BTreeMap<PathBuf, String>) -> Result<Self> {
        let dir = target.join("verify/workspace");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let mut wanted = Vec::new();
        files(root, Path::new(""), &mut wanted)?;
        for path in &wanted {
            let content = match instead.get(path) {
                Some(text) => text.clone().into_bytes(),
                None => {
                    let path = root.join(path);
                    fs::read(&path).with_context(|| path.display().to_string())?
                }
            };
            write_if_new(&dir.join(path), &content)?;
        }
        let mut there = Vec::new();
        files(&dir, Path::new(""), &mut there)?;
        let wanted: std::collections::BTreeSet<_> = wanted.into_iter().collect();
        for path in there.iter().filter(|path| !wanted.contains(*path)) {
            let path = dir.join(path);
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
        let env = vec![
            ("CARGO_BUILD_BUILD_DIR", target.to_owned()),
            ("CARGO_TARGET_DIR", target.join("verify/programs")),
        ];
        Ok(Self {
            place: Place { root: dir, env },
            log: target.join("verify/last-check.txt"),
        })
    }

    /// Writes `files` where they differ.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, files: &BTreeMap<PathBuf, String>) -> Result<()> {
        files
            .iter()
            .try_for_each(|(path, text)| write_if_new(&self.place.root.join(path), text.as_bytes()))
    }
}

fn write_if_new(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The files below `root`, from there.
fn files(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let dir = root.join(below);
    let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    for entry in entries {
        let entry = entry.with_context(|| dir.display().to_string())?;
        let path = below.join(entry.file_name());
        if LEFT_OUT.iter().any(|it| path == Path::new(it)) {
            continue;
        }
        // What a link leads to is looked at; one that leads nowhere is no source.
        match fs::metadata(root.join(&path)) {
            Ok(it) if it.is_dir() => files(root, &path, found)?,
            Ok(it) if it.is_file() => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path(), dir.path().join("target"));
        for (path, text) in [("a/one.rs", "1"), ("two.rs", "2"), (".git/x", "x")] {
            write_if_new(&root.join(path), text.as_bytes()).unwrap();
        }
        let instead = BTreeMap::from([(PathBuf::from("two.rs"), "two".to_owned())]);
        let scratch = Scratch::sync(root, &target, &instead).unwrap();
        let copy = |path: &str| scratch.place.root.join(path);
        let changed = |path: &str| fs::metadata(copy(path)).unwrap().modified().unwrap();
        assert_eq!(fs::read_to_string(copy("two.rs")).unwrap(), "two");
        assert!(!copy(".git").exists());
        let before = changed("a/one.rs");
        fs::remove_file(root.join("two.rs")).unwrap();
        Scratch::sync(root, &target, &instead).unwrap();
        assert_eq!(changed("a/one.rs"), before);
        assert!(!copy("two.rs").exists());
    }
}
