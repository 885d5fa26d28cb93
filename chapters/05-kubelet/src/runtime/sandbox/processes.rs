//! What containers use, told from `/proc`: for machines where no control group can be written.
//!
//! All processes of a container are in its mount namespace, commands run in it too, and nobody
//! else's are. What is told this way is a little less exact than a control group: pages that two
//! processes share count twice, cached files not at all, and the time of a command that has ended
//! is forgotten.

use std::collections::HashMap;
use std::fs;

use jiff::Timestamp;

use crate::runtime::usage::{ContainerUsage, MemoryUsage};

/// The kernel counts a process's time in ticks, 100 a second on all machines.
const NANOS_A_TICK: u64 = 10_000_000;

/// A process, as `/proc` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Process {
    parent: i32,
    /// Its number in each PID namespace that it is in, from ours inwards.
    numbers: Vec<i32>,
    /// `mnt:[4026531841]`.
    mount_namespace: String,
    cpu_nanos: u64,
    resident_bytes: u64,
    anonymous_bytes: u64,
    page_faults: u64,
    major_page_faults: u64,
}

/// The processes of this machine that we may look at, at one time.
pub struct Processes {
    table: HashMap<i32, Process>,
    at: Timestamp,
}

impl Processes {
    /// Looks at all of them.
    pub fn read() -> Processes {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let table = numbers.filter_map(|pid: i32| Some((pid, Process::read(pid)?)));
        Processes {
            table: table.collect(),
            at: Timestamp::now(),
        }
    }

    /// What a container uses whose first process has this number as its shim sees it.
    pub fn of_container(&self, shim: i32, first: i32) -> Option<ContainerUsage> {
        // The number that the shim knows itself by is the last one it has.
        let level = self.table.get(&shim)?.numbers.len() - 1;
        let mut children = self.table.values().filter(|child| child.parent == shim);
        let first = children.find(|child| child.numbers.get(level) == Some(&first))?;
        let members = self.table.values();
        let members: Vec<&Process> = members
            .filter(|process| process.mount_namespace == first.mount_namespace)
            .collect();
        let sum = |part: fn(&Process) -> u64| members.iter().map(|process| part(process)).sum();
        let resident = sum(|process| process.resident_bytes);
        Some(ContainerUsage {
            container_id: String::new(),
            at: self.at,
            cpu_nanos: Some(sum(|process| process.cpu_nanos)),
            memory: Some(MemoryUsage {
                usage_bytes: resident,
                working_set_bytes: resident,
                rss_bytes: sum(|process| process.anonymous_bytes),
                page_faults: Some(sum(|process| process.page_faults)),
                major_page_faults: Some(sum(|process| process.major_page_faults)),
            }),
            processes: Some(members.len() as u64),
        })
    }
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let namespace = fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()?;
        let mut process = Process::parse(&read("stat")?, &read("status")?)?;
        process.mount_namespace = namespace.to_string_lossy().into_owned();
        Some(process)
    }

    /// From `/proc/[pid]/stat` and `status`: see `proc_pid_stat(5)`.
    fn parse(stat: &str, status: &str) -> Option<Process> {
        // The name may hold anything, spaces and brackets too.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let bytes = |name: &str| -> Option<u64> {
            let kibibytes: u64 = line(name)?.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes * 1024)
        };
        let numbers = line("NSpid:")?.split_whitespace();
        // With the time of children that have ended and were waited for.
        let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
        Some(Process {
            parent: fields.get(1)?.parse().ok()?,
            numbers: numbers.filter_map(|number| number.parse().ok()).collect(),
            mount_namespace: String::new(),
            cpu_nanos: ticks * NANOS_A_TICK,
            // A process on its way out has no memory any more.
            resident_bytes: bytes("VmRSS:").unwrap_or(0),
            anonymous_bytes: bytes("RssAnon:").unwrap_or(0),
            page_faults: number(7)? + number(8)?,
            major_page_faults: number(9)? + number(10)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b (c) S 5 7 7 0 -1 4194560 100 10 3 1 20 30 4 6 20 0 1 0 5 6 7";
    const STATUS: &str = "Name:\tx\nNSpid:\t7\t2\t1\nVmRSS:\t    2000 kB\nRssAnon:\t  500 kB\n";

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let process = Process::parse(STAT, STATUS).unwrap();
        let expected = Process {
            parent: 5,
            numbers: vec![7, 2, 1],
            mount_namespace: String::new(),
            cpu_nanos: 60 * NANOS_A_TICK,
            resident_bytes: 2000 << 10,
            anonymous_bytes: 500 << 10,
            page_faults: 110,
            major_page_faults: 4,
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("7 (x) S", STATUS), None);
        assert_eq!(Process::parse(STAT, "Name:\tx\n"), None);
    }

    #[test]
    fn a_container_s_processes_are_those_of_its_mount_namespace() {
        let process = |parent, numbers: &[i32], namespace: &str, resident_bytes| Process {
            parent,
            numbers: numbers.to_vec(),
            mount_namespace: namespace.to_owned(),
            resident_bytes,
            ..Process::default()
        };
        let table = [
            // The shim, two containers, a child of the first and a command in it; a stranger.
            (50, process(1, &[50, 1], "node", 1)),
            (51, process(50, &[51, 2, 1], "first", 10)),
            (52, process(50, &[52, 3, 1], "second", 100)),
            (53, process(51, &[53, 4, 2], "first", 1000)),
            (54, process(50, &[54, 5, 3], "first", 10_000)),
            (55, process(1, &[55, 2], "node", 1)),
        ];
        let at = Timestamp::UNIX_EPOCH;
        let table = table.into_iter().collect();
        let processes = Processes { table, at };
        let uses = |first| {
            let usage = processes.of_container(50, first)?;
            Some((usage.processes?, usage.memory?.working_set_bytes))
        };
        assert_eq!(uses(2), Some((3, 11_010)));
        assert_eq!(uses(3), Some((1, 100)));
        assert_eq!(uses(9), None);
        assert_eq!(processes.of_container(99, 2), None);
    }
}
