//! Where the binder reads: a disk, or a map in tests. Paths are from the workspace's folder.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The pages of the book.
pub const SOURCE: &str = "book/src";
/// The console sessions.
pub const TRANSCRIPTS: &str = "book/transcripts";
/// The recorded requests.
pub const TRACES: &str = "book/traces";
/// The exercises, which say how long they take.
pub const EXERCISES: &str = "exercises";

/// A tree of files.
pub trait Files {
    /// The text of a file; `None` when there is none.
    fn read(&self, path: &Path) -> Option<String>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &Path) -> bool;
    /// The files of a folder and its folders, sorted.
    fn list(&self, folder: &Path) -> Vec<PathBuf>;
}

/// The workspace on disk; remembers what was asked for, as that is what a change of matters.
pub struct Disk {
    root: PathBuf,
    asked: RefCell<BTreeSet<PathBuf>>,
}

impl Disk {
    /// The workspace in that folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            asked: RefCell::default(),
        }
    }

    /// Everything that was looked at so far.
    pub fn asked(&self) -> BTreeSet<PathBuf> {
        self.asked.borrow().clone()
    }

    fn at(&self, path: &Path) -> PathBuf {
        let path = self.root.join(path);
        self.asked.borrow_mut().insert(path.clone());
        path
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(self.at(path)).ok()
    }

    fn exists(&self, path: &Path) -> bool {
        self.at(path).exists()
    }

    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.at(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                found.extend(self.list(&path));
            } else {
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

/// `path` as it is meant in `file`: from its folder, with `..` resolved. `None` when it leaves the
/// workspace.
pub(crate) fn beside(file: &Path, path: &str) -> Option<PathBuf> {
    let mut resolved = file.parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

/// Files in memory, for tests.
#[cfg(test)]
pub(crate) struct Memory(std::collections::BTreeMap<PathBuf, String>);

#[cfg(test)]
impl Memory {
    pub(crate) fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        let files = files.map(|(path, text)| (path.into(), text.into()));
        Self(files.into_iter().collect())
    }
}

#[cfg(test)]
impl Files for Memory {
    fn read(&self, path: &Path) -> Option<String> {
        self.0.get(path).cloned()
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file.starts_with(path))
    }

    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let files = self.0.keys().filter(|file| file.starts_with(folder));
        files.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_meant_from_the_file() {
        let page = Path::new("book/src/01.md");
        assert_eq!(beside(page, "../../a/b.rs"), Some("a/b.rs".into()));
        assert_eq!(beside(page, "./02.md"), Some("book/src/02.md".into()));
        assert_eq!(beside(page, "../../../etc/passwd"), None);
        assert_eq!(beside(page, "/etc/passwd"), None);
    }
}
