//! A copy of the workspace to build checks in, so that the reader's own is never touched.
//!
//! Files are written only where they differ, so cargo builds anew only what changed. The copy
//! shares the folder of built dependencies with the workspace, but puts programs elsewhere.
//!
//! The packages of the copy have a version of their own. cargo tells packages apart by name, version
//! and place in their workspace, so with the same version it took what was built from the copy for
//! what the workspace had asked for, and looked at the copy's files to see whether it is up to date.
//!
//! A copy has the checks of one package at a time: `tests/exercises.rs` is left out of all others.
//! So cargo can be asked for the checks of the whole workspace and builds those alone, with every
//! dependency as `cargo xtask test` has it. For a package by itself cargo chooses other features
//! of what is below it, and would build most of that once more for each chapter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::cargo;

/// Where the checks of a package are, below its folder.
const CHECKS: &str = "tests/exercises.rs";
/// What is no source, at the root of a workspace.
const LEFT_OUT: [&str; 4] = [".git", ".workshop", "target", "book/book"];

/// The copy.
pub struct Scratch {
    /// Its folder.
    pub root: PathBuf,
    /// cargo's folder of what is built, the workspace's own.
    target: PathBuf,
    /// All checks, which are not in the copy until they are asked for.
    checks: BTreeMap<PathBuf, Vec<u8>>,
}

impl Scratch {
    /// Brings the copy `name` in line with the workspace at `root`, whose `target` folder it is
    /// in; the files in `instead` get their text from there.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn sync(
        root: &Path,
        target: &Path,
        name: &str,
        instead: &BTreeMap<PathBuf, String>,
    ) -> Result<Self> {
        let dir = target.join(name).join("workspace");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let (mut checks, mut wanted) = (BTreeMap::new(), BTreeSet::new());
        for path in files(root)? {
            let mut content = match instead.get(&path) {
                Some(text) => text.clone().into_bytes(),
                None => {
                    let path = root.join(&path);
                    fs::read(&path).with_context(|| path.display().to_string())?
                }
            };
            if path == Path::new("Cargo.toml") {
                content = set_apart(&String::from_utf8(content)?).into_bytes();
            }
            if path.ends_with(CHECKS) {
                checks.insert(path, content);
            } else {
                write_if_new(&dir.join(&path), &content)?;
                wanted.insert(path);
            }
        }
        for path in files(&dir)? {
            if !wanted.contains(&path) && !checks.contains_key(&path) {
                remove(&dir.join(&path))?;
                // cargo takes what is left of a package that is gone for a broken one.
                let mut folders = path.ancestors().skip(1);
                while let Some(folder) = folders.next().filter(|it| *it != Path::new(""))
                    && fs::remove_dir(dir.join(folder)).is_ok()
                {}
            }
        }
        let (root, target) = (dir, target.to_owned());
        Ok(Self {
            root,
            target,
            checks,
        })
    }

    /// Puts in the checks of the package that `file` belongs to, and no others.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn show_checks_beside(&self, file: &Path) -> Result<()> {
        let wanted = package_folder(&self.root, file).join(CHECKS);
        for (path, content) in &self.checks {
            let path = self.root.join(path);
            if path == wanted {
                write_if_new(&path, content)?;
            } else if path.exists() {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Writes `files` where they differ.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, files: &BTreeMap<PathBuf, String>) -> Result<()> {
        files
            .iter()
            .try_for_each(|(path, text)| write_if_new(&self.root.join(path), text.as_bytes()))
    }

    /// cargo, at work in the copy.
    pub fn cargo(&self) -> Command {
        let programs = self.root.with_file_name("programs");
        let mut command = cargo();
        command
            .current_dir(&self.root)
            .env("CARGO_BUILD_BUILD_DIR", &self.target)
            .env("CARGO_TARGET_DIR", programs);
        command
    }

    /// Where what the checks print can go.
    pub fn log(&self) -> PathBuf {
        self.root.with_file_name("last-check.txt")
    }
}

/// The manifest of the workspace, with packages that cannot be taken for those of the original.
fn set_apart(manifest: &str) -> String {
    let version = "\n[workspace.package]\nversion = \"";
    manifest.replacen(version, &format!("{version}0.0.0-copy."), 1)
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// The folder of the package that `file` belongs to, in the workspace at `root`.
pub fn package_folder(root: &Path, file: &Path) -> PathBuf {
    let file = root.join(file);
    let mut folders = file.ancestors().skip(1);
    folders
        .find(|folder| folder.join("Cargo.toml").exists())
        .unwrap_or(root)
        .to_owned()
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
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(root, Path::new(""), &mut found)?;
    Ok(found)
}

fn collect(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
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
            Ok(it) if it.is_dir() => collect(root, &path, found)?,
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
    fn the_copy_is_not_taken_for_the_original() {
        let apart = set_apart(include_str!("../../../Cargo.toml"));
        assert!(apart.contains("\nversion = \"0.0.0-copy."), "{apart}");
    }

    #[test]
    fn only_what_differs_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (root, target) = (dir.path(), dir.path().join("target"));
        let checks = ["a/tests/exercises.rs", "b/tests/exercises.rs"];
        for path in ["a/Cargo.toml", "b/Cargo.toml", "two.rs", ".git/x"]
            .iter()
            .chain(&checks)
        {
            write_if_new(&root.join(path), b"1").unwrap();
        }
        write_if_new(&root.join("gone/src/lib.rs"), b"1").unwrap();
        let instead = BTreeMap::from([(PathBuf::from("two.rs"), "two".to_owned())]);
        let sync = || Scratch::sync(root, &target, "verify", &instead).unwrap();
        let scratch = sync();
        let copy = |path: &str| scratch.root.join(path);
        let changed = |path: &str| fs::metadata(copy(path)).unwrap().modified().unwrap();
        assert_eq!(fs::read_to_string(copy("two.rs")).unwrap(), "two");
        assert!(!copy(".git").exists());
        scratch
            .show_checks_beside(Path::new("a/src/lib.rs"))
            .unwrap();
        assert_eq!(checks.map(|path| copy(path).exists()), [true, false]);
        scratch
            .show_checks_beside(Path::new("b/src/lib.rs"))
            .unwrap();
        assert_eq!(checks.map(|path| copy(path).exists()), [false, true]);
        let before = (changed("a/Cargo.toml"), changed(checks[1]));
        fs::remove_file(root.join("two.rs")).unwrap();
        fs::remove_dir_all(root.join("gone")).unwrap();
        assert!(copy("gone/src").exists());
        sync();
        assert!(!copy("gone").exists());
        assert_eq!((changed("a/Cargo.toml"), changed(checks[1])), before);
        assert!(!copy("two.rs").exists());
    }
}
