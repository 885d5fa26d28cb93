//! `lab.json`: what was asked for and who runs it.

use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Error;
use super::layout::Layout;
use super::members::Members;

/// The name of the control plane's node.
pub const CONTROL_PLANE: &str = "control-plane";

/// A lab, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// The host's loopback port of the API server.
    pub port: u16,
    /// Worker nodes.
    pub workers: u16,
    /// What runs its nodes and pods.
    #[serde(default)]
    pub runtime: Runtime,
    /// The third number of its nodes' addresses: 0 but for labs that share a network namespace.
    #[serde(default)]
    pub network: u8,
    /// A scheduler that takes the place of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<std::path::PathBuf>,
    /// The etcd members that are its store; none if the API server keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
    /// The supervisor, if the lab was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<Process>,
}

/// What runs the nodes and pods of a lab.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Namespaces of the kernel, made by the lab itself: no root, no Docker
    #[default]
    Embedded,
    /// A Docker engine: nodes and pods are its containers
    Docker,
    /// containerd and runc, one containerd for each node: root only
    Containerd,
}

/// A process, told apart from a later one that was given the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number on the host.
    pub pid: i32,
    /// When it was started, in clock ticks since the machine was.
    pub start_ticks: u64,
}

impl Process {
    /// The process that has the number `pid` now.
    pub fn find(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name may hold anything, so fields are counted after its last `)`.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        Some(Self {
            pid,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        Self::find(self.pid) == Some(*self)
    }
}

impl Record {
    /// Reads a lab's record; `None` when there is none or it was cut short.
    pub fn load(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(layout.record()).ok()?).ok()
    }

    /// The etcd members that are its store.
    ///
    /// # Errors
    /// When it has none.
    pub fn members(&self) -> Result<&Members, Error> {
        self.members.as_ref().ok_or_else(|| {
            Error::Usage("this lab has no etcd members: `lab up --store etcd` makes some".into())
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, layout: &Layout) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).expect("a record has only plain fields");
        write_atomically(&layout.record(), &text, 0o600)
    }

    /// All nodes, the control plane first.
    pub fn nodes(&self) -> Vec<Node> {
        let numbered = |number| Node::numbered(number, self.network);
        (0..=self.workers).map(numbered).collect()
    }
}

/// A node of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its place: 0 is the control plane.
    pub number: u16,
    /// The third number of the first node's address.
    network: u8,
}

impl Node {
    /// The control plane for 0, else `worker-{number}`.
    pub fn numbered(number: u16, network: u8) -> Self {
        let name = if number == 0 {
            CONTROL_PLANE.into()
        } else {
            format!("worker-{number}")
        };
        Self {
            name,
            number,
            network,
        }
    }

    /// Whether it carries the control plane.
    pub fn is_control_plane(&self) -> bool {
        self.number == 0
    }

    /// Its address on the lab's network: 172.30.0.2 and up; the gateway has 172.30.0.1.
    pub fn ip(&self) -> Ipv4Addr {
        let [high, low] = (self.number + 2).to_be_bytes();
        Ipv4Addr::new(172, 30, self.network + high, low)
    }
}

/// Writes `bytes` beside `path` and renames it into place, so that a reader (or a crash) never
/// meets half a file.
///
/// # Errors
/// When the folder cannot be written or the disk is full.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let scratch = path.with_extension("new");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        options.open(&scratch)?.write_all(bytes)?;
        std::fs::rename(&scratch, path)
    };
    write().map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_names_and_addresses() {
        let record = Record {
            name: "x".into(),
            port: 6443,
            workers: 2,
            runtime: Runtime::Embedded,
            network: 0,
            scheduler: None,
            members: None,
            supervisor: None,
        };
        let nodes: Vec<_> = record
            .nodes()
            .iter()
            .map(|node| (node.name.clone(), node.ip().to_string()))
            .collect();
        assert_eq!(
            nodes,
            [
                ("control-plane".into(), "172.30.0.2".into()),
                ("worker-1".into(), "172.30.0.3".into()),
                ("worker-2".into(), "172.30.0.4".into()),
            ]
        );
    }

    #[test]
    fn a_process_is_known_by_number_and_start() {
        let me = Process::find(std::process::id() as i32).expect("this process runs");
        assert!(me.is_alive());
        assert!(
            !Process {
                start_ticks: me.start_ticks + 1,
                ..me
            }
            .is_alive()
        );
    }
}
