//! Names and labels of what a kubelet makes in an engine: pure.
//!
//! They are dockershim's, so that tools that know a Docker node know this one:
//! `docker ps --filter label=io.kubernetes.docker.type=container`. Upstream: `cri-dockerd`,
//! `core/naming.go` and `core/docker_service.go`.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use crate::runtime::host_ports::PodPorts;
use crate::runtime::{ContainerConfig, PodMetadata, PortMapping};

/// `podsandbox` or `container`.
pub const TYPE: &str = "io.kubernetes.docker.type";
/// A pause container.
pub const SANDBOX: &str = "podsandbox";
/// A container of a pod.
pub const CONTAINER: &str = "container";
/// Name of the container in its pod; `POD` for the pause container.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Name of the pod.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Namespace of the pod.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// `metadata.uid` of the pod.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Id of the pause container of a container.
pub const SANDBOX_ID: &str = "io.kubernetes.sandbox.id";
/// Path of a container's log on the node.
pub const LOG_PATH: &str = "io.kubernetes.container.logpath";
/// How many of the name came before.
pub const RESTART_COUNT: &str = "annotation.io.kubernetes.container.restartCount";
/// Hash of the container's spec.
pub const HASH: &str = "annotation.io.kubernetes.container.hash";

/// The node that a container belongs to: several nodes may share an engine.
pub const NODE: &str = "workshop.node";
/// Address of the pod. It is known before the pause container is made, and a label is kept by the
/// engine: so nothing has to be kept beside it.
pub const POD_IP: &str = "workshop.pod-ip";
/// Ports of the node that lead to the pod, as JSON.
pub const PORT_MAPPINGS: &str = "workshop.port-mappings";
/// Image, as the pod's spec wrote it.
pub const IMAGE: &str = "workshop.image";
/// What `imageID` of the status is.
pub const IMAGE_REF: &str = "workshop.image-ref";

/// Labels as the engine takes them.
pub type Labels = HashMap<String, String>;

/// `k8s_POD_{pod}_{namespace}_{uid}_{attempt}`
pub fn sandbox_name(metadata: &PodMetadata) -> String {
    container_name("POD", metadata, metadata.attempt)
}

/// `k8s_{container}_{pod}_{namespace}_{uid}_{attempt}`: two containers cannot have one name, which
/// is what keeps a container from being made twice.
pub fn container_name(container: &str, pod: &PodMetadata, attempt: u32) -> String {
    let PodMetadata {
        name,
        namespace,
        uid,
        ..
    } = pod;
    format!("k8s_{container}_{name}_{namespace}_{uid}_{attempt}")
}

/// Labels of a pod's pause container, beside those that everything of the node has.
pub fn of_sandbox(metadata: &PodMetadata, ip: Option<Ipv4Addr>, ports: &[PortMapping]) -> Labels {
    let mut labels = of_pod(metadata);
    labels.extend([
        (TYPE.to_owned(), SANDBOX.to_owned()),
        (CONTAINER_NAME.to_owned(), "POD".to_owned()),
        (RESTART_COUNT.to_owned(), metadata.attempt.to_string()),
    ]);
    labels.extend(ip.map(|ip| (POD_IP.to_owned(), ip.to_string())));
    if !ports.is_empty() {
        let text = serde_json::to_string(ports).expect("plain data");
        labels.insert(PORT_MAPPINGS.to_owned(), text);
    }
    labels
}

/// The host ports of a sandbox with these labels.
pub fn pod_ports(labels: &Labels) -> Option<PodPorts> {
    Some(PodPorts {
        ip: labels.get(POD_IP)?.parse().ok()?,
        ports: serde_json::from_str(labels.get(PORT_MAPPINGS)?).ok()?,
    })
}

/// Labels of a container of a pod, beside those that everything of the node has.
pub fn of_container(
    config: &ContainerConfig,
    pod: &PodMetadata,
    sandbox_id: &str,
    log_path: &std::path::Path,
    image_ref: &str,
) -> Labels {
    let mut labels = of_pod(pod);
    labels.extend(config.labels.clone());
    let hash = config.labels.get(crate::decide::spec::HASH_LABEL);
    labels.extend(hash.map(|hash| (HASH.to_owned(), hash.clone())));
    labels.extend([
        (TYPE.to_owned(), CONTAINER.to_owned()),
        (CONTAINER_NAME.to_owned(), config.name.clone()),
        (RESTART_COUNT.to_owned(), config.attempt.to_string()),
        (SANDBOX_ID.to_owned(), sandbox_id.to_owned()),
        (LOG_PATH.to_owned(), log_path.display().to_string()),
        (IMAGE.to_owned(), config.image.clone()),
        (IMAGE_REF.to_owned(), image_ref.to_owned()),
    ]);
    labels
}

fn of_pod(pod: &PodMetadata) -> Labels {
    Labels::from([
        (POD_NAME.to_owned(), pod.name.clone()),
        (POD_NAMESPACE.to_owned(), pod.namespace.clone()),
        (POD_UID.to_owned(), pod.uid.clone()),
    ])
}

/// Whom a container with these labels belongs to; `attempt` is that of the container itself.
pub fn metadata(labels: &Labels) -> PodMetadata {
    PodMetadata {
        name: text(labels, POD_NAME),
        namespace: text(labels, POD_NAMESPACE),
        uid: text(labels, POD_UID),
        attempt: attempt(labels),
    }
}

/// How many of the name came before.
pub fn attempt(labels: &Labels) -> u32 {
    text(labels, RESTART_COUNT).parse().unwrap_or(0)
}

/// A label's value; empty where it is not there.
pub fn text(labels: &Labels, name: &str) -> String {
    labels.get(name).cloned().unwrap_or_default()
}

/// Labels in the order that the kubelet keeps them in.
pub fn sorted(labels: &Labels) -> BTreeMap<String, String> {
    labels.clone().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::PortProtocol;

    #[test]
    fn what_was_written_is_read() {
        let pod = PodMetadata {
            name: "web".into(),
            namespace: "default".into(),
            uid: "0a".into(),
            attempt: 2,
        };
        assert_eq!(sandbox_name(&pod), "k8s_POD_web_default_0a_2");
        assert_eq!(container_name("c", &pod, 7), "k8s_c_web_default_0a_7");
        let ip = Ipv4Addr::new(10, 244, 1, 2);
        let ports = vec![PortMapping {
            host_port: 80,
            container_port: 8080,
            protocol: PortProtocol::Udp,
            host_ip: String::new(),
        }];
        let labels = of_sandbox(&pod, Some(ip), &ports);
        assert_eq!(pod_ports(&labels), Some(PodPorts { ip, ports }));
        assert_eq!(pod_ports(&of_sandbox(&pod, Some(ip), &[])), None);
        assert_eq!(metadata(&labels), pod);
        assert_eq!(text(&labels, POD_IP), "10.244.1.2");
        assert_eq!(text(&labels, TYPE), SANDBOX);
    }
}
