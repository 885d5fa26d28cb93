//! What is kept of each sandbox beside the runtime's own state.
//!
//! ```text
//! {root}/cri/{sandbox}/config.json   what it was made from: each container is made with it again
//! {root}/cri/{sandbox}/hosts         the pod's `/etc/hosts`, mounted into every container
//! ```

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{convert, other};
use crate::runtime::{Result, RuntimeError, SandboxConfig};

/// The folder of records.
pub struct Records {
    dir: PathBuf,
}

impl Records {
    /// The records in `dir`, which is made.
    pub fn open(dir: PathBuf) -> Result<Records> {
        std::fs::create_dir_all(&dir).map_err(other)?;
        let dir = std::path::absolute(dir).map_err(other)?;
        Ok(Records { dir })
    }

    /// Whether there is a whole record of a sandbox.
    pub fn has(&self, sandbox_id: &str) -> bool {
        self.config(sandbox_id).exists()
    }

    /// The pod's `/etc/hosts`.
    pub fn hosts(&self, sandbox_id: &str) -> PathBuf {
        self.dir.join(sandbox_id).join("hosts")
    }

    fn config(&self, sandbox_id: &str) -> PathBuf {
        self.dir.join(sandbox_id).join("config.json")
    }

    /// Writes the record of a new sandbox; what says that it is whole comes last.
    pub fn write(&self, id: &str, config: &SandboxConfig, ip: Option<&IpAddr>) -> Result<()> {
        let ip = ip.map(ToString::to_string).unwrap_or_default();
        let write = || {
            std::fs::create_dir_all(self.dir.join(id))?;
            std::fs::write(self.hosts(id), config.hosts.replace("{POD_IP}", &ip))?;
            let scratch = self.config(id).with_extension("tmp");
            std::fs::write(&scratch, serde_json::to_vec(config)?)?;
            std::fs::rename(scratch, self.config(id))
        };
        write().map_err(other)
    }

    /// What a sandbox was made from.
    pub fn read(&self, id: &str) -> Result<SandboxConfig> {
        let text = std::fs::read(self.config(id));
        let text = text.map_err(|_| RuntimeError::NotFound(format!("sandbox {id:?}")))?;
        serde_json::from_slice(&text).map_err(other)
    }

    /// Forgets a sandbox, and removes its pod's cgroup, which the runtime leaves to who named it.
    pub fn remove(&self, id: &str, cgroup_root: &str) {
        if let Ok(config) = self.read(id) {
            remove_cgroup(&convert::pod_cgroup(cgroup_root, &config.metadata.uid));
        }
        if let Err(error) = std::fs::remove_dir_all(self.dir.join(id)) {
            tracing::debug!(sandbox = id, %error, "no record to remove");
        }
    }
}

/// Removes a cgroup that nothing is in: of the one hierarchy (v2), or of each controller's (v1).
fn remove_cgroup(cgroup: &str) {
    let path = Path::new("/sys/fs/cgroup");
    let cgroup = cgroup.trim_start_matches('/');
    // Only an empty one can be removed, so one in use by the pod's next sandbox stays.
    let _in_use_or_gone = std::fs::remove_dir(path.join(cgroup));
    for hierarchy in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let _in_use_or_gone = std::fs::remove_dir(hierarchy.path().join(cgroup));
    }
}
