//! The ports of the node that a pod wants.

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use super::spec;
use crate::runtime::{PortMapping, PortProtocol};

/// The ports of a pod's containers that name a port of the node.
///
/// Init containers come and go one after another, so upstream counts those alone that stay.
pub fn host_ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let sidecars = spec::init_containers(pod)
        .iter()
        .filter(|c| spec::is_sidecar(c));
    let containers = sidecars.chain(&spec::of(pod).containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.filter(|port| port.host_port.is_some_and(|number| number > 0))
}

/// What the runtime is to open on the node for the pod; nothing where the pod's network is the
/// node's already.
pub fn mappings(pod: &Pod) -> Vec<PortMapping> {
    if spec::host_network(pod) {
        return Vec::new();
    }
    let mappings = host_ports(pod).filter_map(|port| {
        Some(PortMapping {
            host_port: port.host_port?.try_into().ok()?,
            container_port: port.container_port.try_into().ok()?,
            protocol: match port.protocol.as_deref() {
                Some("UDP") => PortProtocol::Udp,
                Some("SCTP") => PortProtocol::Sctp,
                _ => PortProtocol::Tcp,
            },
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
    });
    mappings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ports_of_all_that_stays() {
        let pod = |host_network| -> Pod {
            let json = serde_json::json!({ "spec": {
                "hostNetwork": host_network,
                "initContainers": [
                    { "name": "once", "ports": [{ "containerPort": 1, "hostPort": 1 }] },
                    { "name": "sidecar", "restartPolicy": "Always",
                      "ports": [{ "containerPort": 2, "hostPort": 3, "protocol": "UDP" }] },
                ],
                "containers": [{ "name": "c", "ports": [
                    { "containerPort": 4 },
                    { "containerPort": 5, "hostPort": 6, "hostIP": "127.0.0.1" },
                ] }],
            } });
            serde_json::from_value(json).unwrap()
        };
        let mapping = |host_port, container_port, protocol, host_ip: &str| PortMapping {
            host_port,
            container_port,
            protocol,
            host_ip: host_ip.to_owned(),
        };
        let expected = [
            mapping(3, 2, PortProtocol::Udp, ""),
            mapping(6, 5, PortProtocol::Tcp, "127.0.0.1"),
        ];
        assert_eq!(mappings(&pod(false)), expected);
        assert_eq!(mappings(&pod(true)), []);
    }
}
