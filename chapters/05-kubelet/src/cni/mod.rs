//! A CNI plugin: how a CRI runtime's pods get their place in the node's network.
//!
//! A runtime that makes a pod's network namespace runs a plugin to furnish it. The plugin is a
//! program: what to do is in its environment, how in JSON on its standard input, and the result is
//! JSON on its standard output. This program is two plugins, by the name that it is called by:
//!
//! ```text
//! containerd                          workshop (a symlink to this program)
//!   CNI_COMMAND=ADD          ──►        an address of the node's pod CIDR, written down
//!   CNI_CONTAINERID=1f2e…               a veth pair: eth0 in the pod, the other end on cni0
//!   CNI_NETNS=/run/…/netns   ◄──        {"ips": [{"address": "10.244.1.7/32", …}], …}
//!   (runtimeConfig.portMappings)        host ports (capability `portMappings`)
//!   CNI_COMMAND=CHECK        ──►        is it all still there?
//!   CNI_COMMAND=DEL          ──►        the veth pair goes, the address is free again
//!                                     loopback (another symlink)
//!   CNI_COMMAND=ADD          ──►        lo is up
//! ```
//!
//! The plumbing is the embedded sandbox's own: see `runtime/sandbox/node_network.rs` and its shim's
//! `network.rs`. A runtime may call DEL for what never was, and twice; that succeeds.
//!
//! Upstream: the CNI specification 1.0.0, `containernetworking/plugins` (`bridge`, `host-local`,
//! `loopback`, `portmap`).
//!
//! Left out: IPv6, chains of plugins.

mod addresses;
mod config;
mod plugin;

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

pub use config::{Error, SUPPORTED_VERSIONS, parse};

/// Names that the program is linked to in a node's folder of plugins.
pub const NAMES: [&str; 2] = ["workshop", "loopback"];

/// Acts as a CNI plugin if this process was started as one. To be called first thing in `main`;
/// `Some` is then what `main` returns.
pub fn maybe_run() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let is_plugin = NAMES.contains(&name.as_str()) && std::env::var_os("CNI_COMMAND").is_some();
    is_plugin.then(|| main(&name))
}

fn main(name: &str) -> ExitCode {
    let mut input = Vec::new();
    let environment = |name: &str| std::env::var(name).ok();
    let result = std::io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| Error::io("reading standard input", error))
        .and_then(|_| parse(environment, &input))
        .and_then(|request| plugin::run(name, &request));
    let (text, code) = match result {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(result)) => (result.to_string(), ExitCode::SUCCESS),
        Err(error) => (error.to_json().to_string(), ExitCode::FAILURE),
    };
    // A runtime that does not listen cannot be told.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}
