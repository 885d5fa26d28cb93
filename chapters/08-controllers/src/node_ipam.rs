//! A range of pod addresses for each node. Upstream: `pkg/controller/nodeipam/ipam`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use informers::key_of;
use informers::work_queue::WorkQueue;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::context::{Context, Outcome, SharedInformers};
use crate::error::Error;

/// Bits of a node's network: 254 pods.
const NODE_PREFIX: u8 = 24;

/// All pods' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterCidr {
    base: u32,
    prefix: u8,
}

impl std::str::FromStr for ClusterCidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            Some((
                address.parse::<Ipv4Addr>().ok()?,
                prefix.parse::<u8>().ok()?,
            ))
        });
        match parsed {
            Some((address, prefix)) if (1..=NODE_PREFIX).contains(&prefix) => {
                let base = u32::from(address) & (u32::MAX << (32 - prefix));
                Ok(ClusterCidr { base, prefix })
            }
            _ => Err(Error::Config(format!(
                "--cluster-cidr {text:?} is no IPv4 network of /{NODE_PREFIX} or larger"
            ))),
        }
    }
}

impl ClusterCidr {
    /// The first node network that none of `taken` is, or `None` if there is none left.
    pub fn first_free(&self, taken: &[String]) -> Option<String> {
        (0..1u32 << (NODE_PREFIX - self.prefix))
            .map(|index| self.base | (index << (32 - NODE_PREFIX)))
            .map(|base| format!("{}/{NODE_PREFIX}", Ipv4Addr::from(base)))
            .find(|cidr| !taken.contains(cidr))
    }
}

/// Adds the controller's handlers and returns what starts it.
pub fn register(
    informers: &mut SharedInformers,
    cluster_cidr: ClusterCidr,
) -> impl FnOnce(&Context) + use<> {
    let queue: WorkQueue<String> = WorkQueue::default();
    let nodes = queue.clone();
    informers
        .nodes
        .on_event(move |event| nodes.add(key_of(event.object().as_ref())));
    // What was handed out and may not be in the store yet. One worker: no two nodes at once.
    let assigned: Arc<tokio::sync::Mutex<Vec<(String, String)>>> = Arc::default();
    move |context| {
        context.work("node-ipam", &queue, 1, move |context, name| {
            let assigned = assigned.clone();
            Box::pin(async move {
                reconcile(&context, cluster_cidr, &mut *assigned.lock().await, &name).await
            })
        });
    }
}

fn pod_cidr(node: &Node) -> Option<&String> {
    node.spec
        .as_ref()
        .and_then(|spec| spec.pod_cidr.as_ref())
        .filter(|cidr| !cidr.is_empty())
}

async fn reconcile(
    context: &Context,
    cluster_cidr: ClusterCidr,
    assigned: &mut Vec<(String, String)>,
    name: &str,
) -> Outcome {
    let nodes = context.stores.nodes.list();
    // An assignment is remembered until its node is seen with it, or is gone.
    assigned.retain(|(node, _)| {
        nodes
            .iter()
            .any(|known| known.name_any() == *node && pod_cidr(known).is_none())
    });
    let Some(node) = context.stores.nodes.get(name) else {
        return Ok(None);
    };
    if pod_cidr(&node).is_some() || assigned.iter().any(|(node, _)| node == name) {
        return Ok(None);
    }
    let taken: Vec<String> = nodes
        .iter()
        .filter_map(|node| pod_cidr(node).cloned())
        .chain(assigned.iter().map(|(_, cidr)| cidr.clone()))
        .collect();
    let Some(cidr) = cluster_cidr.first_free(&taken) else {
        let recorder = context.recorder.named("cidrAllocator");
        let message = format!("Node {name} status is now: CIDRNotAvailable");
        recorder.warning(node.as_ref(), "CIDRNotAvailable", message);
        return Err(Error::Invalid("no pod CIDR is left".into()));
    };
    let patch = json!({"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}});
    let api = Api::<Node>::all(context.client.clone());
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    assigned.push((name.to_owned(), cidr));
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_network_is_taken() {
        let cidr: ClusterCidr = "10.244.0.0/16".parse().expect("it is a network");
        let taken = ["10.244.0.0/24".to_owned(), "10.244.2.0/24".to_owned()];
        assert_eq!(cidr.first_free(&taken).as_deref(), Some("10.244.1.0/24"));
        let single: ClusterCidr = "10.0.7.0/24".parse().expect("it is a network");
        assert_eq!(single.first_free(&["10.0.7.0/24".to_owned()]), None);
        for bad in ["10.0.0.0", "10.0.0.0/25", "x/8", "10.0.0.0/0"] {
            assert!(bad.parse::<ClusterCidr>().is_err(), "{bad} must not parse");
        }
    }
}
