//! What a node's container is made from: pure.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, NetworkingConfig,
    PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

use super::{LAB, NODE, ROLE};
use crate::lab::record::{Node, Record};

/// Where a node keeps everything: its volume.
pub const STATE: &str = "/var/lib/workshop";
/// Where it finds the folder of the engine's socket. The folder, since an engine that is restarted
/// makes a new socket: a mount of the old one would lead nowhere.
const ENGINE: &str = "/run/engine";

/// The engine's socket as a node sees it; `socket` is its path on this machine.
pub fn socket_inside(socket: &str) -> String {
    let name = Path::new(socket).file_name().unwrap_or_default();
    format!("{ENGINE}/{}", name.to_string_lossy())
}

/// What a node may do beyond an ordinary container, and why it has to.
///
/// | capability | for |
/// | --- | --- |
/// | `NET_ADMIN` | its bridge, routes, nftables rules; a pod's end of a cable |
/// | `NET_RAW` | pings, and nftables' own sockets |
/// | `SYS_ADMIN` | entering the network namespaces of its pods |
/// | `SYS_PTRACE` | looking at them in `/proc/PID/ns` |
/// | `DAC_READ_SEARCH` | files of pods that run as others |
///
/// Not `--privileged`: no devices, no kernel modules, no raw disks. Who can use the engine's
/// socket can do all of that, though, and the node has it: see the book.
const CAPABILITIES: [&str; 5] = [
    "NET_ADMIN",
    "NET_RAW",
    "SYS_ADMIN",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
];

/// The container of a node.
pub fn spec(record: &Record, node: &Node, image: &str, socket: &str) -> ContainerCreateBody {
    let name = super::container(&record.name, &node.name);
    let labels = [(LAB, &*record.name), (NODE, &*node.name), (ROLE, "node")];
    let folder = Path::new(socket).parent().unwrap_or(Path::new("/"));
    let binds = vec![
        format!("{name}:{STATE}"),
        // Nothing in it can be changed; a socket can be spoken to all the same.
        format!("{}:{ENGINE}:ro", folder.display()),
    ];
    let api_server = node.is_control_plane().then(|| {
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".into()),
            host_port: Some(record.port.to_string()),
        };
        HashMap::from([("6443/tcp".to_owned(), Some(vec![binding]))])
    });
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(node.ip().to_string()),
            ..EndpointIpamConfig::default()
        }),
        aliases: Some(vec![node.name.clone()]),
        ..EndpointSettings::default()
    };
    ContainerCreateBody {
        image: Some(image.to_owned()),
        hostname: Some(node.name.clone()),
        cmd: Some(vec![
            "lab".into(),
            "docker-node".into(),
            format!("--state={STATE}"),
        ]),
        env: Some(vec![
            format!("WORKSHOP_LAB={}", record.name),
            format!("WORKSHOP_NODE={}", node.name),
            format!("DOCKER_HOST=unix://{}", socket_inside(socket)),
        ]),
        labels: Some(labels.map(|(key, value)| (key.into(), value.into())).into()),
        exposed_ports: node.is_control_plane().then(|| vec!["6443/tcp".to_owned()]),
        host_config: Some(HostConfig {
            binds: Some(binds),
            port_bindings: api_server,
            cap_add: Some(CAPABILITIES.map(Into::into).into()),
            security_opt: Some(vec![
                "seccomp=unconfined".into(),
                "apparmor=unconfined".into(),
            ]),
            // Pods are siblings: their processes are seen in the engine's own namespace only.
            pid_mode: Some("host".into()),
            // Its kernel parameters are its own to set, those of its network above all.
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            sysctls: Some(HashMap::from([("net.ipv4.ip_forward".into(), "1".into())])),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(super::network(&record.name), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
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
    fn the_control_plane_is_published_on_loopback_alone() {
        let record = record();
        let nodes = record.nodes();
        let spec = |node| serde_json::to_value(spec(&record, node, "i", "/s")).expect("is JSON");
        let control_plane = spec(&nodes[0]);
        let bindings = &control_plane["HostConfig"]["PortBindings"];
        assert_eq!(bindings["6443/tcp"][0]["HostIp"], "127.0.0.1");
        assert_eq!(bindings["6443/tcp"][0]["HostPort"], "7443");
        assert!(spec(&nodes[1])["HostConfig"]["PortBindings"].is_null());
    }

    #[test]
    fn no_node_is_privileged() {
        let record = record();
        for node in record.nodes() {
            let spec = spec(&record, &node, "i", "/s");
            let host = spec.host_config.expect("has one");
            assert_eq!(host.privileged, None);
            assert_eq!(host.cap_add.expect("has some").len(), CAPABILITIES.len());
        }
    }

    #[test]
    fn the_socket_is_found_by_its_folder() {
        let record = record();
        let spec = spec(&record, &record.nodes()[1], "i", "/x/docker.sock");
        let binds = spec.host_config.and_then(|host| host.binds);
        assert!(binds.is_some_and(|binds| binds.contains(&"/x:/run/engine:ro".to_owned())));
        let environment = spec.env.expect("has one");
        let host = "DOCKER_HOST=unix:///run/engine/docker.sock".to_owned();
        assert!(environment.contains(&host), "{environment:?}");
    }

    #[test]
    fn nodes_have_fixed_addresses() {
        let record = record();
        let nodes = record.nodes();
        let spec = spec(&record, &nodes[1], "i", "/s");
        let networks = spec
            .networking_config
            .and_then(|config| config.endpoints_config);
        let endpoint = networks
            .expect("has one")
            .remove("workshop-x")
            .expect("is its network");
        let ip = endpoint.ipam_config.and_then(|ipam| ipam.ipv4_address);
        assert_eq!(ip.as_deref(), Some("172.30.9.3"));
    }
}
