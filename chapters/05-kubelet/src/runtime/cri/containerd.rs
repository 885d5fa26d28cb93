//! A node's own containerd: the config that sets it up beside others on the same machine. Pure.
//!
//! Everything that it keeps is in one folder. What it hands to CNI is written from a template once
//! the node's pod CIDR is known, which the kubelet tells it (`UpdateRuntimeConfig`).
//!
//! ```text
//! {dir}/containerd.toml          this config
//! {dir}/containerd.sock          where it listens
//! {dir}/root, {dir}/state        images and snapshots; what runs
//! {dir}/cni/bin                  plugins: symlinks to our program
//! {dir}/cni/template, {dir}/cni/net.d
//! {dir}/cni/addresses            who has which address
//! ```
//!
//! Upstream: containerd `docs/cri/config.md`.

use std::io;
use std::path::{Path, PathBuf};

use super::pause;

/// A folder with all that one containerd needs.
#[derive(Debug, Clone)]
pub struct ContainerdDir(PathBuf);

impl ContainerdDir {
    /// At an absolute path.
    pub fn new(dir: impl Into<PathBuf>) -> ContainerdDir {
        ContainerdDir(dir.into())
    }

    /// Its config: `containerd --config FILE`.
    pub fn config(&self) -> PathBuf {
        self.0.join("containerd.toml")
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.0.join("containerd.sock")
    }

    /// As the kubelet's `--container-runtime-endpoint`.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Writes the folder. `program` is what the CNI plugins are symlinks to.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn prepare(&self, program: &Path) -> io::Result<()> {
        let cni = self.0.join("cni");
        for dir in ["bin", "net.d"] {
            std::fs::create_dir_all(cni.join(dir))?;
        }
        for name in crate::cni::NAMES {
            let link = cni.join("bin").join(name);
            match std::fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::os::unix::fs::symlink(program, link)?,
            }
        }
        // The node may get another pod CIDR in its next life: then the network is written anew.
        for old in std::fs::read_dir(cni.join("net.d"))? {
            std::fs::remove_file(old?.path())?;
        }
        std::fs::write(cni.join("template"), self.cni_template())?;
        std::fs::write(self.config(), self.config_text())
    }

    fn cni_template(&self) -> String {
        // Go fills in what stands in double braces.
        format!(
            r#"{{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{{
    "type": "workshop",
    "capabilities": {{ "portMappings": true }},
    "podCidr": "{{{{.PodCIDR}}}}",
    "dataDir": "{}"
  }}]
}}
"#,
            self.0.join("cni/addresses").display()
        )
    }

    fn config_text(&self) -> String {
        let path = |name: &str| format!("{:?}", self.0.join(name).display().to_string());
        format!(
            r#"version = 2
root = {root}
state = {state}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = {socket}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# What a machine without CAP_SYS_RESOURCE allows.
restrict_oom_score_adj = true
# Nothing outside of this folder: the namespaces' files would be in /var/run/netns.
netns_mounts_under_state_dir = true
# As the embedded sandbox has it.
enable_unprivileged_ports = true
enable_unprivileged_icmp = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {bin}
conf_dir = {net}
conf_template = {template}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
Root = {runc}
"#,
            root = path("root"),
            state = path("state"),
            socket = path("containerd.sock"),
            opt = path("opt"),
            pause = pause::REFERENCE,
            bin = path("cni/bin"),
            net = path("cni/net.d"),
            template = path("cni/template"),
            runc = path("state/runc"),
        )
    }
}
