//! What the kernel says of this process, as Prometheus' clients tell it.

use std::fs;

/// Ticks of a second in `/proc`: `USER_HZ`, which is 100 on every architecture that matters here.
const TICKS: f64 = 100.0;

/// Name, type, help and value of each metric. What cannot be read is left out.
pub fn metrics() -> Vec<(&'static str, &'static str, &'static str, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may have spaces.
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // By their numbers in proc(5), where the field after the state is the fourth.
    let field = |number: usize| fields.get(number - 4).copied();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    let open = fs::read_dir("/proc/self/fd").ok();
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|stat| {
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        line.parse::<f64>().ok()
    });
    let seconds = field(14)
        .zip(field(15))
        .map(|(user, system)| (user + system) / TICKS);
    let started = booted
        .zip(field(22))
        .map(|(booted, ticks)| booted + ticks / TICKS);
    let all = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Seconds of CPU spent.",
            seconds,
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            open.map(|open| open.count() as f64),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            resident_kib.map(|kib| kib * 1024.0),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start, in seconds since 1970.",
            started,
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory.",
            field(23),
        ),
    ];
    let known = all.into_iter();
    known
        .filter_map(|(name, kind, help, value)| Some((name, kind, help, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_started_lately_and_has_some_memory() {
        let metrics = super::metrics();
        let value = |wanted: &str| {
            let found = metrics.iter().find(|(name, ..)| *name == wanted);
            found.expect("is told").3
        };
        let now = jiff::Timestamp::now().as_second() as f64;
        let started = value("process_start_time_seconds");
        assert!((now - 600.0..now + 2.0).contains(&started), "{started}");
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0);
    }
}
