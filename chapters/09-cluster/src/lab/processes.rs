//! What the lab's processes are on the host: numbers and memory, from `/proc`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A process of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabProcess {
    /// Its number on the host.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Memory that is its own, and its share of what is shared, in KiB.
    pub pss_kib: u64,
    /// All memory that it maps, in KiB.
    pub rss_kib: u64,
}

/// The processes below `root`, itself included.
pub fn below(root: i32) -> Vec<LabProcess> {
    let mut parents = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if let Some(parent) = field(&entry.path().join("status"), "PPid:") {
            parents.insert(pid, parent as i32);
        }
    }
    let is_below = |pid: i32| {
        let mut at = Some(pid);
        while let Some(pid) = at {
            if pid == root {
                return true;
            }
            at = parents.get(&pid).copied();
        }
        false
    };
    let mut found: Vec<LabProcess> = parents
        .iter()
        .filter(|(pid, _)| is_below(**pid))
        .map(|(pid, at)| read(*pid, *at))
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn read(pid: i32, parent: i32) -> LabProcess {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let command = std::fs::read(dir.join("cmdline")).unwrap_or_default();
    let command = command
        .split(|byte| *byte == 0)
        .filter(|arg| !arg.is_empty())
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect();
    let (pss_kib, rss_kib) = memory_kib(pid);
    LabProcess {
        pid,
        parent,
        command,
        pss_kib,
        rss_kib,
    }
}

/// The memory of a process in KiB: what is its own and its share of what is shared, and all that it
/// maps.
pub fn memory_kib(pid: i32) -> (u64, u64) {
    let rollup = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
    let field = |name| field(&rollup, name).unwrap_or(0);
    (field("Pss:"), field("Rss:"))
}

/// The number that follows `name` in one of `/proc`'s tables.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}
