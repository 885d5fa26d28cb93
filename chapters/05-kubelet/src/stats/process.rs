//! What the kubelet itself uses.

use std::fs;

use jiff::Timestamp;

use super::node::boot_time;
use super::summary::{ContainerStats, CpuStats, MemoryStats};

/// Ticks of processor time a second, on all machines.
const TICKS_A_SECOND: u64 = 100;

/// This process, as numbers of `/proc/self`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Processor time in ticks.
    pub cpu_ticks: u64,
    /// When it was started, in ticks since the machine was.
    pub started_ticks: u64,
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Bytes of address space.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
}

impl Process {
    /// Reads them.
    pub fn read() -> Process {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Process {
            open_fds: fds as u64,
            ..Process::parse(&read("stat"), &read("status"))
        }
    }

    fn parse(stat: &str, status: &str) -> Process {
        // The name may hold anything, spaces and brackets too.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|text| text.parse().ok());
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kibibytes * 1024)
        };
        Process {
            cpu_ticks: number(11).unwrap_or(0) + number(12).unwrap_or(0),
            started_ticks: number(19).unwrap_or(0),
            resident_bytes: bytes("VmRSS:").unwrap_or(0),
            virtual_bytes: bytes("VmSize:").unwrap_or(0),
            open_fds: 0,
        }
    }

    /// Seconds of processor time.
    pub fn cpu_seconds(&self) -> f64 {
        self.cpu_ticks as f64 / TICKS_A_SECOND as f64
    }

    /// Seconds since 1970 at its start.
    pub fn start_seconds(&self) -> f64 {
        boot_time().as_second() as f64 + self.started_ticks as f64 / TICKS_A_SECOND as f64
    }
}

/// The kubelet as the summary's system container.
pub fn own() -> ContainerStats {
    let process = Process::read();
    let now = Timestamp::now();
    let started = boot_time()
        + jiff::SignedDuration::from_millis((process.started_ticks * 1000 / TICKS_A_SECOND) as i64);
    ContainerStats {
        name: "kubelet".to_owned(),
        start_time: started,
        cpu: Some(CpuStats {
            time: now,
            usage_nano_cores: None,
            usage_core_nano_seconds: Some(process.cpu_ticks * (1_000_000_000 / TICKS_A_SECOND)),
        }),
        memory: Some(MemoryStats {
            time: now,
            usage_bytes: Some(process.resident_bytes),
            working_set_bytes: Some(process.resident_bytes),
            rss_bytes: Some(process.resident_bytes),
            ..MemoryStats::default()
        }),
        ..ContainerStats::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_numbers() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 1 0 0 0 150 50 0 0 20 0 1 0 1234 5 6";
        let process = Process::parse(stat, "VmSize:\t 8 kB\nVmRSS:\t 4 kB\n");
        assert_eq!(process.cpu_seconds(), 2.0);
        assert_eq!(process.started_ticks, 1234);
        assert_eq!(
            (process.resident_bytes, process.virtual_bytes),
            (4096, 8192)
        );
        assert!(Process::read().open_fds > 0);
    }
}
