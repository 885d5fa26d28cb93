//! Control groups: what pods and containers may use of the machine, and what they do use.
//!
//! ```text
//! workshop-1f0c…/                      a node's: named after the folder it lives in
//!   kubepods/pod<uid>/                 a Guaranteed pod
//!     <container id>/                  its container's processes
//!   kubepods/burstable/pod<uid>/…
//!   kubepods/besteffort/pod<uid>/…
//! ```
//!
//! Of v2 that is one folder of `/sys/fs/cgroup`, of v1 one for each controller. Root has them at
//! the top of the hierarchy; an ordinary user below the uppermost group that was delegated to him,
//! if one was. Otherwise nothing is limited, and the runtime says so once.
//!
//! Left out: shares of the `burstable` class as a whole, cpusets, huge pages, swap, and the limit
//! on a pod's processes.

mod values;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::spec::Limits;
use crate::decide::reserved::PodsLimits;
pub use values::Version;

/// What this runtime uses of the kernel's controllers.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "cpuacct"];
/// In a node's folder: where its groups are.
const RECORD: &str = "cgroups.json";

/// A node's control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    version: Version,
    /// The node's group in each hierarchy.
    roots: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes the node's groups, and removes what an earlier kubelet of the node left empty.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn open(node_dir: &Path) -> Result<Cgroups, String> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let cgroups = Cgroups::open_in(Path::new("/sys/fs/cgroup"), &own, node_dir)?;
        let record = serde_json::to_vec(&cgroups.roots).expect("paths that were made of text");
        fs::write(node_dir.join(RECORD), record).map_err(|error| error.to_string())?;
        Ok(cgroups)
    }

    fn open_in(mount: &Path, own: &str, node_dir: &Path) -> Result<Cgroups, String> {
        let name = node_group(node_dir);
        let version = match mount.join("cgroup.controllers").exists() {
            true => Version::V2,
            false => Version::V1,
        };
        let parents = match version {
            Version::V2 => vec![delegated(mount, own_group(own, ""))?],
            Version::V1 => hierarchies(mount, own)?,
        };
        let roots = parents.iter().map(|parent| parent.join(&name)).collect();
        let cgroups = Cgroups { version, roots };
        for class in ["kubepods", "kubepods/burstable", "kubepods/besteffort"] {
            cgroups.make(class).map_err(|error| error.to_string())?;
        }
        Ok(cgroups)
    }

    /// Makes a container's group in its pod's. Returns the folders that its processes are to be
    /// put in, and whether the pod's group is new, too.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn make_container(&self, pod: &str, id: &str) -> io::Result<(Vec<PathBuf>, bool)> {
        let is_new = !self.roots.iter().any(|root| root.join(pod).exists());
        self.make(pod)?;
        let folders = self.make(&format!("{pod}/{id}"))?;
        if self.version == Version::V2 {
            // What runs out of memory ends as a whole. Older kernels do not know it.
            let _ = fs::write(folders[0].join("memory.oom.group"), "1");
        }
        Ok((folders, is_new))
    }

    /// The same as [`Self::limit`] for groups that were just made. They limit nothing yet, so only
    /// what is limited is written: most containers are started with half the writes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_new(&self, pod: &str, id: &str, own: &Limits) -> io::Result<()> {
        for group in [&format!("{pod}/{id}"), pod] {
            for (file, value) in values::settings_of_new(self.version, own) {
                self.set(group, file, &value)?;
            }
        }
        Ok(())
    }

    /// Sets what a container may use, and its pod: what `all` containers of the pod may use
    /// together, a limit only if each of them has one.
    ///
    /// # Errors
    /// When the kernel refuses, or more memory is in use than there would be.
    pub fn limit(&self, pod: &str, id: &str, own: &Limits, all: &[Limits]) -> io::Result<()> {
        // None for a moment: whether a limit grows or shrinks, the pod's is never the smaller one,
        // which v1 does not allow.
        self.apply(pod, &Limits::default())?;
        let done = self.apply(&format!("{pod}/{id}"), own);
        self.apply(pod, &values::sum(all.iter()))?;
        done
    }

    /// Sets what all pods may use together. Upstream: `enforceNodeAllocatable=pods`.
    ///
    /// # Errors
    /// When the kernel refuses, or more memory is in use than there would be.
    pub fn limit_pods(&self, limits: &PodsLimits) -> io::Result<()> {
        let resources = Limits {
            memory_bytes: Some(limits.memory_bytes),
            cpu_millis: None,
            cpu_request_millis: Some(limits.cpu_millis),
        };
        self.apply("kubepods", &resources)?;
        let most = limits.processes.map_or("max".to_owned(), |n| n.to_string());
        self.set("kubepods", "pids.max", &most)
    }

    fn apply(&self, group: &str, limits: &Limits) -> io::Result<()> {
        let settings = values::settings(self.version, limits);
        if let Some(bytes) = limits.memory_bytes
            && let Some(used) = self.memory_used(group)
            && used > bytes
        {
            // The kernel would end processes to get there.
            return Err(io::Error::other(format!(
                "attempting to set pod memory limit ({bytes}) below current usage ({used})"
            )));
        }
        for (file, value) in &settings {
            self.set(group, file, value)?;
        }
        Ok(())
    }

    /// Removes a group with those below it, which nobody may be in any more. Idempotent.
    pub fn remove(&self, group: &str) {
        for root in &self.roots {
            remove_tree(&root.join(group));
        }
    }

    /// Removes the groups of all pods but these.
    pub fn keep_only(&self, pods: &[String]) {
        for root in &self.roots {
            for class in ["kubepods", "kubepods/burstable", "kubepods/besteffort"] {
                for name in folders(&root.join(class)) {
                    let group = format!("{class}/{name}");
                    if name.starts_with("pod") && !pods.contains(&group) {
                        remove_tree(&root.join(group));
                    }
                }
            }
        }
    }

    fn memory_used(&self, group: &str) -> Option<i64> {
        let file = match self.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        let mut texts = self.roots.iter();
        let text = texts.find_map(|root| fs::read_to_string(root.join(group).join(file)).ok())?;
        text.trim().parse().ok()
    }

    /// Makes a group in each hierarchy; those above it exist.
    fn make(&self, group: &str) -> io::Result<Vec<PathBuf>> {
        let folders: Vec<PathBuf> = self.roots.iter().map(|root| root.join(group)).collect();
        for (root, folder) in self.roots.iter().zip(&folders) {
            fs::create_dir_all(folder)?;
            if self.version == Version::V2 {
                let above = folder.ancestors().skip(1);
                let above: Vec<&Path> = above.take_while(|dir| dir.starts_with(root)).collect();
                for dir in above.iter().rev() {
                    enable_controllers(dir)?;
                }
            }
        }
        Ok(folders)
    }

    /// Writes a setting in the hierarchy that has it. A controller that the kernel was built
    /// without has no file, and limits nothing.
    fn set(&self, group: &str, file: &str, value: &str) -> io::Result<()> {
        for root in &self.roots {
            let path = root.join(group).join(file);
            if path.exists() {
                fs::write(&path, value)
                    .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
            }
        }
        Ok(())
    }
}

/// The group of the node that lives in a folder.
fn node_group(node_dir: &Path) -> String {
    let digest = Sha256::digest(node_dir.as_os_str().as_encoded_bytes());
    let hex: String = digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("workshop-{hex}")
}

/// The group of a pod: `kubepods/burstable/pod<uid>`.
pub fn pod_group(qos_class: &str, uid: &str) -> String {
    match qos_class {
        "Burstable" => format!("kubepods/burstable/pod{uid}"),
        "BestEffort" => format!("kubepods/besteffort/pod{uid}"),
        _ => format!("kubepods/pod{uid}"),
    }
}

/// Puts this process in groups: its children will be in them as well.
///
/// # Errors
/// When the kernel refuses.
pub fn join(folders: &[PathBuf]) -> io::Result<()> {
    for folder in folders {
        // v1 lets a thread that moves itself in without a lock on all others, whose price is ten
        // milliseconds; this process is one thread. v2 knows processes only.
        let tasks = folder.join("tasks");
        let file = if tasks.exists() {
            tasks
        } else {
            folder.join("cgroup.procs")
        };
        // The number of the writer, in whatever namespace it is.
        fs::write(file, "0")?;
    }
    Ok(())
}

/// How often the kernel has ended a process of a group for want of memory.
pub fn oom_kills(folders: &[PathBuf]) -> u64 {
    let count = |folder: &PathBuf| {
        let files = ["memory.events", "memory.oom_control"];
        let text = files
            .iter()
            .find_map(|file| fs::read_to_string(folder.join(file)).ok())?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line?.trim().parse::<u64>().ok()
    };
    folders.iter().filter_map(count).sum()
}

/// Removes the groups of the node that lived in a folder, after its processes were killed.
pub fn remove_node(node_dir: &Path) {
    let record = fs::read(node_dir.join(RECORD)).unwrap_or_default();
    let roots: Vec<PathBuf> = serde_json::from_slice(&record).unwrap_or_default();
    for root in roots {
        remove_tree(&root);
    }
}

/// A group's own folders go, deepest first; the kernel's files go with them. The last process may
/// be on its way out yet.
fn remove_tree(group: &Path) {
    for name in folders(group) {
        remove_tree(&group.join(name));
    }
    for _ in 0..100 {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            _ => return,
        }
    }
}

fn folders(group: &Path) -> Vec<String> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// This process's own group in a hierarchy, from `/proc/self/cgroup`: `4:memory:/user/x`.
fn own_group<'a>(own: &'a str, controller: &str) -> &'a str {
    let mut lines = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.nth(1)?, parts.next()?))
    });
    let of_controller = |names: &str| names.split(',').any(|name| name == controller);
    lines
        .find(|(names, _)| of_controller(names))
        .map_or("/", |(_, path)| path)
}

/// v1: where groups can be made, for each controller that there is.
fn hierarchies(mount: &Path, own: &str) -> Result<Vec<PathBuf>, String> {
    let mut parents = Vec::new();
    for controller in CONTROLLERS {
        let Ok(hierarchy) = mount.join(controller).canonicalize() else {
            continue;
        };
        let parent = uppermost(&hierarchy, own_group(own, controller), &|_| true)
            .ok_or_else(|| format!("{} cannot be written", hierarchy.display()))?;
        // `cpu` and `cpuacct` are often one hierarchy.
        if !parents.contains(&parent) {
            parents.push(parent);
        }
    }
    match parents.is_empty() {
        true => Err(format!("{} has no controllers", mount.display())),
        false => Ok(parents),
    }
}

/// v2: the uppermost group whose controllers are ours to hand on.
fn delegated(mount: &Path, own: &str) -> Result<PathBuf, String> {
    uppermost(mount, own, &|group| enable_controllers(group).is_ok()).ok_or_else(|| {
        format!(
            "no control group of {} is delegated to this user",
            mount.display()
        )
    })
}

/// The uppermost of a group and those above it that this user may write and that `fits`.
fn uppermost(hierarchy: &Path, group: &str, fits: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let own = hierarchy.join(group.trim_start_matches('/'));
    let above: Vec<&Path> = own
        .ancestors()
        .take_while(|dir| dir.starts_with(hierarchy))
        .collect();
    let may_write = |dir: &Path| {
        use rustix::fs::{Access, access};
        let procs = dir.join("cgroup.procs");
        access(dir, Access::WRITE_OK).is_ok() && access(procs, Access::WRITE_OK).is_ok()
    };
    let mut above = above.into_iter().rev();
    above
        .find(|dir| may_write(dir) && fits(dir))
        .map(Path::to_path_buf)
}

/// v2: lets the groups below have the controllers that this one has.
fn enable_controllers(group: &Path) -> io::Result<()> {
    let there = fs::read_to_string(group.join("cgroup.controllers"))?;
    let wanted = CONTROLLERS
        .iter()
        .filter(|name| there.split_whitespace().any(|c| c == **name));
    let line: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
    match line.is_empty() {
        true => Err(io::Error::other("no controllers")),
        false => fs::write(group.join("cgroup.subtree_control"), line.join(" ")),
    }
}

#[cfg(test)]
mod tests;
