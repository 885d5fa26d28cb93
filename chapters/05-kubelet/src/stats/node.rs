//! What the node uses as a whole, from `/proc`.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::build::rate;
use super::summary::{CpuStats, FsStats, MemoryStats, NetworkStats, RlimitStats};
use crate::node::machine::meminfo_bytes;
use crate::runtime::usage;

/// The kernel counts processor time in ticks, 100 a second on all machines.
const NANOS_A_TICK: u64 = 10_000_000;

/// When the machine was started: since then its processors' time is counted.
pub fn boot_time() -> Timestamp {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let seconds = seconds.and_then(|seconds| seconds.trim().parse().ok());
    Timestamp::from_second(seconds.unwrap_or(0)).unwrap_or_default()
}

/// The time that the machine's processors were busy. `before` is what it was when last asked.
pub fn cpu(before: Option<(Timestamp, u64)>) -> Option<CpuStats> {
    let now = Timestamp::now();
    let nanos = busy_nanos(&fs::read_to_string("/proc/stat").ok()?)?;
    Some(CpuStats {
        time: now,
        usage_nano_cores: rate(before, Some(boot_time()), (now, nanos)),
        usage_core_nano_seconds: Some(nanos),
    })
}

/// From the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn busy_nanos(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = line
        .split_whitespace()
        .map(|ticks| ticks.parse::<u64>().ok());
    let ticks: Vec<u64> = ticks.collect::<Option<_>>()?;
    let waits = |index: usize| index == 3 || index == 4;
    let busy = ticks.iter().take(8).enumerate();
    let busy = busy.filter(|(index, _)| !waits(*index));
    Some(busy.map(|(_, ticks)| ticks).sum::<u64>() * NANOS_A_TICK)
}

/// The machine's memory. What can still be had is what evictions go by: all but the working set.
pub fn memory() -> Option<MemoryStats> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let vmstat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    memory_from(&meminfo, &vmstat)
}

/// Upstream (cAdvisor, `setMemoryStats` of the root cgroup of v2): in use is what is not free;
/// file pages that nobody touched lately are not of the working set.
fn memory_from(meminfo: &str, vmstat: &str) -> Option<MemoryStats> {
    let total = meminfo_bytes(meminfo, "MemTotal:")?;
    let usage = total.saturating_sub(meminfo_bytes(meminfo, "MemFree:")?);
    let inactive = meminfo_bytes(meminfo, "Inactive(file):").unwrap_or(0);
    let working_set = usage.saturating_sub(inactive);
    let count = |name: &str| -> Option<u64> {
        let mut lines = vmstat.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
    };
    Some(MemoryStats {
        time: Timestamp::now(),
        available_bytes: Some(total.saturating_sub(working_set)),
        usage_bytes: Some(usage),
        working_set_bytes: Some(working_set),
        rss_bytes: meminfo_bytes(meminfo, "AnonPages:"),
        page_faults: count("pgfault"),
        major_page_faults: count("pgmajfault"),
    })
}

/// The node's links.
pub fn network() -> NetworkStats {
    let links = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    NetworkStats::of(&usage::interfaces(&links), Timestamp::now())
}

/// The file system that holds a folder, all that is used of it.
pub fn file_system(path: &Path) -> Option<FsStats> {
    let fs = rustix::fs::statvfs(path).ok()?;
    // File systems without a fixed number of inodes say 0.
    let has_inodes = fs.f_files > 0;
    Some(FsStats {
        time: Timestamp::now(),
        available_bytes: Some(fs.f_bavail * fs.f_frsize),
        capacity_bytes: Some(fs.f_blocks * fs.f_frsize),
        used_bytes: Some((fs.f_blocks - fs.f_bfree) * fs.f_frsize),
        inodes_free: has_inodes.then_some(fs.f_ffree),
        inodes: has_inodes.then_some(fs.f_files),
        inodes_used: has_inodes.then(|| fs.f_files - fs.f_ffree),
    })
}

/// How many processes there are and may be.
pub fn processes() -> RlimitStats {
    let max = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let loadavg = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let now = loadavg.split_whitespace().nth(3);
    let now = now.and_then(|ratio| ratio.split_once('/')?.1.parse().ok());
    RlimitStats {
        time: Timestamp::now(),
        maxpid: max.trim().parse().ok(),
        curproc: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_working() {
        let stat = "cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_nanos(stat), Some(63 * NANOS_A_TICK));
        assert_eq!(busy_nanos("intr 1\n"), None);
    }

    #[test]
    fn what_nobody_touched_lately_can_be_had() {
        let meminfo = "MemTotal: 100 kB\nMemFree: 20 kB\nAnonPages: 30 kB\nInactive(file): 10 kB\n";
        let memory = memory_from(meminfo, "pgfault 7\npgmajfault 1\n").unwrap();
        let kibibytes = |bytes: Option<u64>| bytes.unwrap() >> 10;
        assert_eq!(kibibytes(memory.usage_bytes), 80);
        assert_eq!(kibibytes(memory.working_set_bytes), 70);
        assert_eq!(kibibytes(memory.available_bytes), 30);
        assert_eq!(kibibytes(memory.rss_bytes), 30);
        assert_eq!(
            (memory.page_faults, memory.major_page_faults),
            (Some(7), Some(1))
        );
    }
}
