//! What the machine under the node is and has, from `/proc` and `/etc`.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;

use crate::decide::eviction::{Signals, Supply};
use crate::stats;

/// What the machine has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Processors.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the file system that holds the root folder.
    pub storage_bytes: u64,
}

/// Reads the machine's capacity. What cannot be read counts as nothing.
pub fn capacity(root_dir: &Path) -> Capacity {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let storage = rustix::fs::statvfs(root_dir);
    Capacity {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: meminfo_bytes(&meminfo, "MemTotal:").unwrap_or(0),
        storage_bytes: storage.map_or(0, |fs| fs.f_blocks * fs.f_frsize),
    }
}

/// Whether its kernel has AppArmor, and it is on.
pub fn has_apparmor() -> bool {
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    Path::new("/sys/kernel/security/apparmor").exists()
        && enabled.is_ok_and(|text| text.starts_with('Y'))
}

/// How short the machine is of what pods need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Of memory.
    pub memory: bool,
    /// Of disk, or of its inodes.
    pub disk: bool,
    /// Of processes: nearly none can be started.
    pub pid: bool,
}

/// How short the machine is, with these conditions.
pub fn pressure(conditions: &[&str]) -> Pressure {
    Pressure {
        memory: conditions.contains(&"MemoryPressure"),
        disk: conditions.contains(&"DiskPressure"),
        pid: processes_left().is_some_and(|left| left < 100),
    }
}

/// Reads what the machine has left of what evictions are about.
pub fn signals(root_dir: &Path) -> Signals {
    let memory = stats::node::memory();
    let memory = memory.and_then(|it| it.available_bytes.zip(it.working_set_bytes));
    let disk = rustix::fs::statvfs(root_dir).ok();
    let supply = |available, capacity| Supply {
        available,
        capacity,
    };
    Signals {
        memory: memory.map(|(available, used)| supply(available, available + used)),
        disk: disk
            .as_ref()
            .map(|fs| supply(fs.f_bavail * fs.f_frsize, fs.f_blocks * fs.f_frsize)),
        // File systems without a fixed number of inodes say 0.
        inodes: disk
            .filter(|fs| fs.f_files > 0)
            .map(|fs| supply(fs.f_favail, fs.f_files)),
    }
}

/// A line of `/proc/meminfo`, in bytes.
pub fn meminfo_bytes(meminfo: &str, field: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with(field))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// How many processes and threads the machine can have.
pub fn processes_max() -> Option<i64> {
    read_trimmed("/proc/sys/kernel/pid_max")?.parse().ok()
}

fn processes_left() -> Option<i64> {
    let max = processes_max()?;
    let loadavg = read_trimmed("/proc/loadavg")?;
    let all: i64 = loadavg
        .split_whitespace()
        .nth(3)?
        .split('/')
        .nth(1)?
        .parse()
        .ok()?;
    Some(max - all)
}

/// What `kubectl describe node` shows under System Info.
pub fn system_info(runtime_version: String) -> NodeSystemInfo {
    let uname = rustix::system::uname();
    let machine_id = read_trimmed("/etc/machine-id").filter(|id| !id.is_empty());
    let boot_id = read_trimmed("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let pretty = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    NodeSystemInfo {
        machine_id: machine_id.clone().unwrap_or_else(|| boot_id.clone()),
        system_uuid: read_trimmed("/sys/class/dmi/id/product_uuid")
            .or(machine_id)
            .unwrap_or_else(|| boot_id.clone()),
        boot_id,
        kernel_version: uname.release().to_string_lossy().into_owned(),
        os_image: pretty.unwrap_or("Linux").trim_matches('"').to_owned(),
        container_runtime_version: runtime_version,
        kubelet_version: KUBELET_VERSION.to_owned(),
        kube_proxy_version: String::new(),
        operating_system: "linux".to_owned(),
        architecture: architecture().to_owned(),
        swap: None,
    }
}

/// The version of the API that this kubelet is written for.
pub const KUBELET_VERSION: &str = "v1.36.2";

/// The processor's kind, by Go's name.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// The address this machine would reach `server` from, without sending anything.
pub fn address_towards(server: &str) -> Option<IpAddr> {
    let any = if server.contains('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn read_trimmed(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
