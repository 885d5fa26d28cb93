//! Where a lab keeps its files.
//!
//! ```text
//! $WORKSHOP_HOME/NAME/
//!   lab.json             what was asked for, and who runs it
//!   lock                 held by the supervisor as long as it lives
//!   supervisor.sock      where `lab status` and its kin ask
//!   kubeconfig           the administrator's, for the host
//!   bin/                 the programs that run, so that a rebuild does not pull them away
//!   pki/                 the authority, certificates, keys, kubeconfigs of the components
//!   control-plane/store  the API server's data, or of each etcd member's beside it (etcd-1 …)
//!   images/              layers, shared by the nodes
//!   nodes/NODE/          what the kubelet of one node keeps
//!   logs/                one file for each component of each node
//! ```

use std::path::{Path, PathBuf};

use kubelet::runtime::cri::containerd::ContainerdDir;

/// The files of one lab.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The lab's folder, absolute.
    pub dir: PathBuf,
}

impl Layout {
    /// The files of the lab called `name`.
    pub fn of(name: &str) -> Self {
        Self {
            dir: home().join(name),
        }
    }

    /// The files of the lab in `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// What was asked for, and who runs it.
    pub fn record(&self) -> PathBuf {
        self.dir.join("lab.json")
    }

    /// Held by the supervisor as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The administrator's kubeconfig, for use on the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The programs that the lab runs.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// Certificates, keys and the components' kubeconfigs.
    pub fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// A file of the `pki` folder.
    pub fn pki_file(&self, name: &str) -> PathBuf {
        self.pki().join(name)
    }

    /// The API server's data.
    pub fn store(&self) -> PathBuf {
        self.dir.join("control-plane/store")
    }

    /// The data of an etcd member.
    pub fn member(&self, name: &str) -> PathBuf {
        self.dir.join("control-plane").join(name)
    }

    /// The images of all nodes.
    pub fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    /// What the kubelet of `node` keeps.
    pub fn node(&self, node: &str) -> PathBuf {
        self.dir.join("nodes").join(node)
    }

    /// The containerd of `node`, where there is one.
    pub fn containerd(&self, node: &str) -> ContainerdDir {
        ContainerdDir::new(self.node(node).join("containerd"))
    }

    /// All logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The log of one component of one node.
    pub fn log(&self, node: &str, component: &str) -> PathBuf {
        self.logs().join(format!("{node}.{component}.log"))
    }

    /// The log of the supervisor itself.
    pub fn supervisor_log(&self) -> PathBuf {
        self.logs().join("supervisor.log")
    }
}

/// Where all labs of this user are:
/// `$WORKSHOP_HOME`, else `$XDG_STATE_HOME/workshop`, else `~/.local/state/workshop`.
pub fn home() -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .map(|path| {
                // A relative path must not mean another folder for each working directory's process.
                std::path::absolute(&path).unwrap_or(path)
            })
    };
    absolute("WORKSHOP_HOME")
        .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("workshop")))
        .unwrap_or_else(|| {
            absolute("HOME")
                .unwrap_or_else(|| "/".into())
                .join(".local/state/workshop")
        })
}

/// The labs that have a folder, by name.
pub fn labs() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(home()) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| has_lab(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Whether `dir` looks like a lab, whole or half.
pub fn has_lab(dir: &Path) -> bool {
    ["lab.json", "pki", "nodes", "logs"]
        .iter()
        .any(|name| dir.join(name).exists())
}

/// Checks that `name` can name a lab: it becomes a folder and part of `kubectl`'s context.
///
/// # Errors
/// What is wrong with it, in the words that Kubernetes uses for names.
pub fn check_name(name: &str) -> Result<(), String> {
    let letters = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() || name.len() > 63 || !letters || !ends {
        return Err(format!(
            "{name:?} cannot name a lab: a lowercase RFC 1123 label must consist of lower case \
             alphanumeric characters or '-', must start and end with an alphanumeric character, \
             and be no longer than 63"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "workshop", "lab-2", "0"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "../x",
            "a/b",
            "a.b",
            &"x".repeat(64),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
