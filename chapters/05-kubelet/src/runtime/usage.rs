//! What containers and pods use of the machine: what a runtime tells, and how it is read from the
//! kernel.
//!
//! The working set is what cannot be taken back without somebody noticing: all memory in use but
//! the file pages that nobody touched lately. It is what `kubectl top` shows, what limits are
//! about, and what evictions go by.
//!
//! Upstream: cAdvisor (`google/cadvisor`, `container/libcontainer/handler.go`), and CRI's
//! `ContainerStats`.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// What a container uses. What is not known is `None`, which is not the same as nothing. CRI:
/// `ContainerStats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Id given by the runtime.
    pub container_id: String,
    /// When it was looked at.
    pub at: Timestamp,
    /// Processor time since its start.
    pub cpu_nanos: Option<u64>,
    /// Memory now.
    pub memory: Option<MemoryUsage>,
    /// How many processes it has.
    pub processes: Option<u64>,
}

/// Memory in bytes, and faults since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All of it, cached files too.
    pub usage_bytes: u64,
    /// Without the file pages that were not used lately.
    pub working_set_bytes: u64,
    /// What is of no file.
    pub rss_bytes: u64,
    /// Pages that had to be found.
    pub page_faults: Option<u64>,
    /// Pages that had to be read from disk.
    pub major_page_faults: Option<u64>,
}

/// What a sandbox's network has carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// The sandbox.
    pub sandbox_id: String,
    /// Its links but loopback, by name.
    pub interfaces: Vec<InterfaceUsage>,
}

/// What a link has carried, since it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceUsage {
    /// `eth0`.
    pub name: String,
    /// Bytes that came in.
    pub rx_bytes: u64,
    /// Packets that came in broken.
    pub rx_errors: u64,
    /// Bytes that went out.
    pub tx_bytes: u64,
    /// Packets that could not go out.
    pub tx_errors: u64,
}

/// Room that a folder takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes on the disk: of a sparse file only what is there.
    pub bytes: u64,
    /// Files and folders.
    pub inodes: u64,
}

impl std::ops::Add for DiskUsage {
    type Output = DiskUsage;

    fn add(self, other: DiskUsage) -> DiskUsage {
        DiskUsage {
            bytes: self.bytes + other.bytes,
            inodes: self.inodes + other.inodes,
        }
    }
}

/// What processes of control groups use: of one folder (v2), or of one for each controller (v1).
/// The id is left empty. `None` if no folder is a control group any more.
pub fn of_groups(folders: &[PathBuf]) -> Option<ContainerUsage> {
    let read = |file: &str| {
        let mut texts = folders.iter();
        texts.find_map(|folder| fs::read_to_string(folder.join(file)).ok())
    };
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let cpu_nanos = number("cpuacct.usage").or_else(|| {
        let micros = field(&read("cpu.stat")?, "usage_usec")?;
        Some(micros * 1000)
    });
    let usage = number("memory.current").or_else(|| number("memory.usage_in_bytes"));
    let memory = usage.map(|usage| memory_of(usage, &read("memory.stat").unwrap_or_default()));
    let usage = ContainerUsage {
        at: Timestamp::now(),
        cpu_nanos,
        memory,
        processes: number("pids.current"),
        ..ContainerUsage::default()
    };
    let known = usage.cpu_nanos.is_some() || usage.memory.is_some();
    known.then_some(usage)
}

/// From a group's use of memory and its `memory.stat`, of either version.
fn memory_of(usage_bytes: u64, stat: &str) -> MemoryUsage {
    // v1 has two of each: a group's own, and with those below it, which v2 always means.
    let of = |v1: &str, v2: &str| field(stat, v1).or_else(|| field(stat, v2));
    let inactive = of("total_inactive_file", "inactive_file").unwrap_or(0);
    MemoryUsage {
        usage_bytes,
        working_set_bytes: usage_bytes.saturating_sub(inactive),
        rss_bytes: of("total_rss", "anon").unwrap_or(0),
        page_faults: of("total_pgfault", "pgfault"),
        major_page_faults: of("total_pgmajfault", "pgmajfault"),
    }
}

/// A line `name value` of a text.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(key, _)| *key == name)?;
    value.trim().parse().ok()
}

/// What the links of a process's network have carried, but for loopback.
pub fn network_of(pid: i32) -> Vec<InterfaceUsage> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    interfaces(&text)
}

/// Reads `/proc/net/dev`: two lines of headings, then a line for each link.
pub fn interfaces(text: &str) -> Vec<InterfaceUsage> {
    let links = text.lines().skip(2).filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map_while(|number| number.parse().ok())
            .collect();
        Some(InterfaceUsage {
            name: name.trim().to_owned(),
            rx_bytes: *numbers.first()?,
            rx_errors: *numbers.get(2)?,
            tx_bytes: *numbers.get(8)?,
            tx_errors: *numbers.get(10)?,
        })
    });
    links.filter(|link| link.name != "lo").collect()
}

/// The room that a folder and all in it take; nothing if it is not there. Looks at every file,
/// and so belongs on a thread that may wait.
pub fn of_folder(folder: &Path) -> DiskUsage {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = folder.symlink_metadata() else {
        return DiskUsage::default();
    };
    let own = DiskUsage {
        bytes: metadata.blocks() * 512,
        inodes: 1,
    };
    if !metadata.is_dir() {
        return own;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.map(|entry| of_folder(&entry.path()));
    below.fold(own, |all, one| all + one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, ContainerUsage) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let usage = of_groups(&[PathBuf::from("/no/such"), dir.path().to_owned()]).unwrap();
        (dir, usage)
    }

    #[test]
    fn both_versions_of_control_groups_tell_the_same() {
        let (_v1, v1) = group(&[
            ("cpuacct.usage", "1500000\n"),
            ("memory.usage_in_bytes", "1000\n"),
            (
                "memory.stat",
                "rss 1\ninactive_file 2\ntotal_rss 300\ntotal_inactive_file 400\n\
                 total_pgfault 7\ntotal_pgmajfault 1\n",
            ),
            ("pids.current", "3\n"),
        ]);
        let (_v2, v2) = group(&[
            ("cpu.stat", "usage_usec 1500\nuser_usec 1\n"),
            ("memory.current", "1000\n"),
            (
                "memory.stat",
                "anon 300\nfile 1\ninactive_file 400\npgfault 7\npgmajfault 1\n",
            ),
            ("pids.current", "3\n"),
        ]);
        let at = Timestamp::UNIX_EPOCH;
        let expected = ContainerUsage {
            at,
            cpu_nanos: Some(1_500_000),
            memory: Some(MemoryUsage {
                usage_bytes: 1000,
                working_set_bytes: 600,
                rss_bytes: 300,
                page_faults: Some(7),
                major_page_faults: Some(1),
            }),
            processes: Some(3),
            ..ContainerUsage::default()
        };
        assert_eq!(ContainerUsage { at, ..v1 }, expected);
        assert_eq!(ContainerUsage { at, ..v2 }, expected);
        assert_eq!(of_groups(&[PathBuf::from("/no/such")]), None);
    }

    #[test]
    fn links_are_told_apart() {
        let text = "Inter-|   Receive                      |  Transmit\n \
                    face |bytes packets errs drop fifo frame compressed multicast|bytes …\n    \
                    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n  \
                    eth0: 100 2 3 0 0 0 0 0 200 4 5 0 0 0 0 0\n";
        let eth0 = InterfaceUsage {
            name: "eth0".to_owned(),
            rx_bytes: 100,
            rx_errors: 3,
            tx_bytes: 200,
            tx_errors: 5,
        };
        assert_eq!(interfaces(text), [eth0]);
        assert_eq!(interfaces("Inter-|\n face |\n x: 1 2\nnonsense"), []);
    }

    #[test]
    fn a_folder_takes_the_room_of_all_in_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), [1; 5000]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let usage = of_folder(dir.path());
        assert_eq!(usage.inodes, 4);
        assert!((5000..1 << 20).contains(&usage.bytes), "{usage:?}");
        assert_eq!(of_folder(Path::new("/no/such")), DiskUsage::default());
    }
}
