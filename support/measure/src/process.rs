//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// Processor time of the process, in user and kernel mode.
pub fn cpu(pid: u32) -> Duration {
    // Of each thread in nanoseconds: `stat` counts in hundredths of a second.
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let spent = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Bytes of memory of the process, with what is mapped from files.
pub fn memory(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
