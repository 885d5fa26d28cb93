//! The Node object as this kubelet writes it: pure functions of what is known.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeFeatures, NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus,
    NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::machine::{Capacity, Pressure, architecture};
use crate::runtime::{Features, Handler, Image};
use crate::{Config, Error, Result};

/// What a node's status is made from.
#[derive(Debug, Clone)]
pub struct NodeInput {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Port of the kubelet's server.
    pub port: u16,
    /// Most pods.
    pub max_pods: u32,
    /// What the machine has.
    pub capacity: Capacity,
    /// What of that pods can have, by resource.
    pub allocatable: BTreeMap<String, String>,
    /// What the machine lacks.
    pub pressure: Pressure,
    /// What the machine is.
    pub info: NodeSystemInfo,
    /// Images on it.
    pub images: Vec<Image>,
    /// What its runtime can do.
    pub features: Features,
    /// The handlers of its runtime, as it tells them.
    pub handlers: Vec<Handler>,
    /// Why it is not ready, if it is not.
    pub not_ready: Option<String>,
}

/// The node's capacity as resources: `cpu`, `memory`, `ephemeral-storage`, `pods`.
pub fn resources(capacity: &Capacity, max_pods: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("cpu".to_owned(), capacity.cpus.to_string()),
        (
            "memory".to_owned(),
            format!("{}Ki", capacity.memory_bytes / 1024),
        ),
        (
            "ephemeral-storage".to_owned(),
            format!("{}Ki", capacity.storage_bytes / 1024),
        ),
        ("pods".to_owned(), max_pods.to_string()),
        ("hugepages-1Gi".to_owned(), "0".to_owned()),
        ("hugepages-2Mi".to_owned(), "0".to_owned()),
    ])
}

/// The Node that registers itself.
///
/// # Errors
/// When a label or a taint among the flags is malformed.
pub fn registration(
    config: &Config,
    input: &NodeInput,
    old: &NodeStatus,
    now: Timestamp,
) -> Result<Node> {
    Ok(Node {
        metadata: ObjectMeta {
            name: Some(input.name.clone()),
            labels: Some(labels(config, &input.name)?),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: taints(config)?,
            ..NodeSpec::default()
        }),
        status: Some(node_status(input, old, now)),
    })
}

/// Labels that the kubelet keeps on its node. Upstream: `kubelet_node_status.go: initialNode`.
///
/// # Errors
/// When one of `--node-labels` has no `=`.
pub fn labels(config: &Config, name: &str) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for (key, value) in [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture()),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    for label in config.node_labels.iter().filter(|label| !label.is_empty()) {
        let (key, value) = label
            .split_once('=')
            .ok_or_else(|| Error::Config(format!("--node-labels: {label:?} is not key=value")))?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// The taints the node registers with: `key=value:effect` or `key:effect`.
fn taints(config: &Config) -> Result<Option<Vec<Taint>>> {
    let taints = config
        .register_with_taints
        .iter()
        .filter(|taint| !taint.is_empty());
    let taints = taints.map(|text| {
        let malformed = || {
            Error::Config(format!(
                "--register-with-taints: {text:?} is not key=value:effect"
            ))
        };
        let (key, effect) = text.rsplit_once(':').ok_or_else(malformed)?;
        if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            return Err(malformed());
        }
        let (key, value) = key.split_once('=').unwrap_or((key, ""));
        Ok(Taint {
            key: key.to_owned(),
            value: (!value.is_empty()).then(|| value.to_owned()),
            effect: effect.to_owned(),
            time_added: None,
        })
    });
    let taints: Vec<Taint> = taints.collect::<Result<_>>()?;
    Ok((!taints.is_empty()).then_some(taints))
}

/// The node's status. `old` gives the times of transition of what did not change.
pub fn node_status(input: &NodeInput, old: &NodeStatus, now: Timestamp) -> NodeStatus {
    let quantities = |texts: BTreeMap<String, String>| -> BTreeMap<String, Quantity> {
        let quantities = texts.into_iter().map(|(name, text)| (name, Quantity(text)));
        quantities.collect()
    };
    let capacity = resources(&input.capacity, input.max_pods);
    let mut addresses: Vec<NodeAddress> = input
        .ips
        .iter()
        .map(|ip| NodeAddress {
            type_: "InternalIP".to_owned(),
            address: ip.to_string(),
        })
        .collect();
    addresses.push(NodeAddress {
        type_: "Hostname".to_owned(),
        address: input.name.clone(),
    });
    let endpoint = DaemonEndpoint {
        port: i32::from(input.port),
    };
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(quantities(capacity)),
        allocatable: Some(quantities(input.allocatable.clone())),
        conditions: Some(conditions(input, old, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(endpoint),
        }),
        images: Some(images(&input.images)),
        node_info: Some(input.info.clone()),
        features: Some(NodeFeatures {
            supplemental_groups_policy: Some(input.features.supplemental_groups_policy),
        }),
        runtime_handlers: handlers(&input.handlers),
        ..NodeStatus::default()
    }
}

/// What RuntimeClasses can name here, and what each can do. A runtime that does not tell has none
/// listed. Upstream: `nodestatus/setters.go: RuntimeHandlers`.
fn handlers(handlers: &[Handler]) -> Option<Vec<NodeRuntimeHandler>> {
    let handlers = handlers.iter().map(|handler| NodeRuntimeHandler {
        name: Some(handler.name.clone()),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(handler.features.recursive_read_only_mounts),
            user_namespaces: Some(handler.features.user_namespaces),
        }),
    });
    let handlers: Vec<_> = handlers.collect();
    (!handlers.is_empty()).then_some(handlers)
}

/// Largest first, at most 50, as upstream.
fn images(images: &[Image]) -> Vec<ContainerImage> {
    let mut images: Vec<&Image> = images.iter().collect();
    images.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then(a.id.cmp(&b.id)));
    let images = images.into_iter().take(50).map(|image| ContainerImage {
        names: Some(
            image
                .repo_digests
                .iter()
                .chain(&image.repo_tags)
                .cloned()
                .collect(),
        ),
        size_bytes: i64::try_from(image.size_bytes).ok(),
    });
    images.collect()
}

fn conditions(input: &NodeInput, old: &NodeStatus, now: Timestamp) -> Vec<NodeCondition> {
    let pressure = input.pressure;
    let ready = match &input.not_ready {
        None => (
            true,
            "KubeletReady",
            "kubelet is posting ready status".to_owned(),
        ),
        Some(why) => (false, "KubeletNotReady", why.clone()),
    };
    let verdict = |short: bool, bad: (&'static str, &str), good: (&'static str, &str)| {
        let (reason, message) = if short { bad } else { good };
        (short, reason, message.to_owned())
    };
    let verdicts = [
        (
            "MemoryPressure",
            verdict(
                pressure.memory,
                (
                    "KubeletHasInsufficientMemory",
                    "kubelet has insufficient memory available",
                ),
                (
                    "KubeletHasSufficientMemory",
                    "kubelet has sufficient memory available",
                ),
            ),
        ),
        (
            "DiskPressure",
            verdict(
                pressure.disk,
                ("KubeletHasDiskPressure", "kubelet has disk pressure"),
                ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ),
        ),
        (
            "PIDPressure",
            verdict(
                pressure.pid,
                (
                    "KubeletHasInsufficientPID",
                    "kubelet has insufficient PID available",
                ),
                (
                    "KubeletHasSufficientPID",
                    "kubelet has sufficient PID available",
                ),
            ),
        ),
        ("Ready", ready),
    ];
    let old = old.conditions.as_deref().unwrap_or_default();
    verdicts
        .into_iter()
        .map(|(type_, (holds, reason, message))| {
            let status = if holds { "True" } else { "False" };
            let was = old.iter().find(|c| c.type_ == type_ && c.status == status);
            let since = was.and_then(|was| was.last_transition_time.clone());
            NodeCondition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_heartbeat_time: Some(Time(now)),
                last_transition_time: since.or(Some(Time(now))),
            }
        })
        .collect()
}
