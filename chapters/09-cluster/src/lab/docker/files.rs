//! What is put into a node's volume before it is started: who it is, and what runs on it.

use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::node::{STATE, socket_inside};
use super::{LAB, container};
use crate::lab::Error;
use crate::lab::components::{self, Component};
use crate::lab::layout::Layout;
use crate::lab::record::{Node, Record};

/// The components of a node, as JSON, below [`STATE`].
pub const COMPONENTS: &str = "components.json";
/// The programs of the node image.
const CLUSTER: &str = "/cluster";

/// What runs on a node that is a container.
///
/// The components are those of any lab. What differs: the program is in the image, nobody hands
/// over a socket, and the kubelet's runtime is the engine that listens at `socket`.
pub fn components(record: &Record, node: &Node, socket: &str) -> Vec<Component> {
    let nobody = -1;
    let mut components = components::of(&Layout::at(STATE), record, node, nobody);
    for component in &mut components {
        component.listener = None;
        component.program = CLUSTER.into();
        let args = &mut component.args;
        args.retain(|arg| {
            let elsewhere = ["--listen-fd=", "--image-store=", "--image-proxy="];
            !elsewhere.iter().any(|flag| arg.starts_with(flag))
        });
        if component.name == "kubelet" {
            args.extend([
                "--container-runtime=docker".to_owned(),
                format!("--docker-host=unix://{}", socket_inside(socket)),
                format!(
                    "--docker-node-container={}",
                    container(&record.name, &node.name)
                ),
                format!("--docker-label={LAB}={}", record.name),
            ]);
        }
    }
    components
}

/// The archive for a node's volume: folders, certificates, components.
///
/// # Errors
/// When a certificate cannot be read.
pub fn archive(
    layout: &Layout,
    record: &Record,
    node: &Node,
    socket: &str,
) -> Result<Vec<u8>, Error> {
    let mut tar = Builder::new(Vec::new());
    let own = Path::new("nodes").join(&node.name);
    for dir in [
        "pki",
        "logs",
        "nodes",
        "control-plane",
        "control-plane/store",
    ] {
        folder(&mut tar, Path::new(dir))?;
    }
    folder(&mut tar, &own)?;
    let entries = std::fs::read_dir(layout.pki()).map_err(|source| Error::File {
        path: layout.pki(),
        source,
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_for(&name, node) {
            continue;
        }
        let path = entry.path();
        let bytes = std::fs::read(&path).map_err(|source| Error::File { path, source })?;
        file(&mut tar, &Path::new("pki").join(name), &bytes)?;
    }
    let list = serde_json::to_vec_pretty(&components(record, node, socket));
    let list = list.expect("components have only plain fields");
    file(&mut tar, Path::new(COMPONENTS), &list)?;
    tar.into_inner().map_err(Error::system("an archive"))
}

/// Whether a node may have a file of `pki/`: the authority's key stays on the host, a worker gets
/// what is its own.
fn is_for(file: &str, node: &Node) -> bool {
    if file == "ca.key" || file.starts_with("admin.") {
        return false;
    }
    let own = format!("kubelet-{}", node.name);
    let is_own = file
        .strip_prefix(&own)
        .is_some_and(|rest| rest.starts_with('.') || rest.starts_with("-serving."));
    let is_others = file.starts_with("kubelet-") && !is_own;
    if node.is_control_plane() {
        return !is_others;
    }
    is_own || file == "ca.crt" || file == "proxy.kubeconfig"
}

fn folder(tar: &mut Builder<Vec<u8>>, path: &Path) -> Result<(), Error> {
    let mut header = header(0, 0o755);
    header.set_entry_type(EntryType::Directory);
    tar.append_data(&mut header, path, std::io::empty())
        .map_err(Error::system("an archive"))
}

fn file(tar: &mut Builder<Vec<u8>>, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut header = header(bytes.len() as u64, 0o600);
    tar.append_data(&mut header, path, bytes)
        .map_err(Error::system("an archive"))
}

fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::Runtime;

    fn record() -> Record {
        Record {
            name: "x".into(),
            port: 7443,
            workers: 1,
            runtime: Runtime::Docker,
            network: 9,
            scheduler: None,
            members: None,
            supervisor: None,
        }
    }

    #[test]
    fn the_runtime_is_the_engine_and_the_program_the_image_s() {
        let record = record();
        for node in record.nodes() {
            for component in components(&record, &node, "/s") {
                assert_eq!(component.program, Path::new("/cluster"));
                let args = component.args.join(" ");
                assert!(
                    !args.contains("listen-fd") && !args.contains("image-store"),
                    "{args}"
                );
                let docker = args.contains("--container-runtime=docker");
                assert_eq!(docker, component.name == "kubelet", "{args}");
            }
        }
    }

    #[test]
    fn a_worker_gets_no_key_but_its_own() {
        let record = record();
        let nodes = record.nodes();
        let files = [
            "admin.key",
            "apiserver.key",
            "ca.crt",
            "ca.key",
            "kubelet-control-plane.key",
            "kubelet-worker-1.kubeconfig",
            "kubelet-worker-1-serving.key",
            "kubelet-worker-10.key",
            "proxy.kubeconfig",
            "sa.key",
        ];
        let of = |node: &Node| -> Vec<&str> {
            files
                .into_iter()
                .filter(|file| is_for(file, node))
                .collect()
        };
        assert_eq!(
            of(&nodes[1]),
            [
                "ca.crt",
                "kubelet-worker-1.kubeconfig",
                "kubelet-worker-1-serving.key",
                "proxy.kubeconfig",
            ]
        );
        assert_eq!(
            of(&nodes[0]),
            [
                "apiserver.key",
                "ca.crt",
                "kubelet-control-plane.key",
                "proxy.kubeconfig",
                "sa.key",
            ]
        );
    }
}
