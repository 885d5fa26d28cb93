//! What the process takes of the machine, from `/proc/self`.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};

use super::text::Text;

/// Adds what is known; a machine without `/proc` has nothing to say.
pub fn write(text: &mut Text) {
    if let Some(used) = open_files() {
        text.gauge("process_open_fds", "File descriptors that are open.", used);
        text.gauge("os_fd_used", "File descriptors that are open.", used);
    }
    if let Some(limit) = limit("Max open files") {
        text.gauge("process_max_fds", "The most that may be open.", limit);
        text.gauge("os_fd_limit", "The most that may be open.", limit);
    }
    if let Some(limit) = limit("Max address space") {
        text.gauge(
            "process_virtual_memory_max_bytes",
            "The most address space there may be.",
            limit,
        );
    }
    let Some(process) = Process::read() else {
        return;
    };
    text.counter(
        "process_cpu_seconds_total",
        "Processor time, of the process and of the kernel for it.",
        process.cpu_seconds,
    );
    text.gauge(
        "process_resident_memory_bytes",
        "Memory that is held.",
        process.resident_bytes,
    );
    text.gauge(
        "process_virtual_memory_bytes",
        "Address space that is held.",
        process.virtual_bytes,
    );
    if let Some(start) = process.start() {
        text.gauge(
            "process_start_time_seconds",
            "When it was started, since 1970.",
            start,
        );
    }
}

fn open_files() -> Option<usize> {
    // The directory itself is one of them while it is read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count() - 1)
}

fn limit(name: &str) -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with(name))?;
    let soft = line[name.len()..].split_whitespace().next()?;
    match soft {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Of `/proc/self/stat` (see `proc(5)`).
#[derive(Debug, PartialEq)]
struct Process {
    cpu_seconds: f64,
    /// Since the machine was started.
    start_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Process {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The program's name comes second, in brackets, and may have any character in it.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted from 1 in the manual, and the first of these is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            start_seconds: seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as u64,
        })
    }

    /// Since 1970.
    fn start(&self) -> Option<f64> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(now.as_secs_f64() - uptime + self.start_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 1200 8192 2 9 1 1";
        let expect = Process {
            cpu_seconds: 200.0 / clock_ticks_per_second() as f64,
            start_seconds: 1200.0 / clock_ticks_per_second() as f64,
            virtual_bytes: 8192,
            resident_bytes: 2 * page_size() as u64,
        };
        assert_eq!(Process::parse(stat), Some(expect));
        assert!(Process::read().is_some_and(|this| this.resident_bytes > 0));
    }
}
