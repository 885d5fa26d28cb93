//! The pod network: every node forwards, and knows through whom the others' pods are reached.
//!
//! There is no overlay: the nodes share a link, so a route per node is the whole network. A pod's
//! packet leaves its node as it is, source address included, and comes to the other pod so.
//!
//! ```text
//! pod 10.244.1.5 ─▶ worker-1 ── 10.244.2.0/24 via 172.30.0.4 ──▶ worker-2 ─▶ pod 10.244.2.7
//! ```
//!
//! Upstream leaves this to a CNI plugin or to the cloud; flannel's `host-gw` backend is the same
//! idea.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use netlink::Netlink;
use netlink::nft::Network;
use netlink::route::Route;

use crate::model::{All, Node};

/// The routes that node `me` needs: each other node's pods, through that node. A node that has
/// no address or no pod network yet has no route.
pub fn routes(nodes: &All<Node>, me: &str) -> BTreeMap<Network, Ipv4Addr> {
    let others = nodes.iter().filter(|(name, _)| name.name != me);
    others
        .filter_map(|(_, node)| Some((node.pod_cidr?, *node.addresses.first()?)))
        .collect()
}

/// What to change of the kernel's routes: (add or replace, delete). Only routes into the cluster's
/// pod network that lead over a gateway are ours.
pub fn changes(
    present: &[Route],
    wanted: &BTreeMap<Network, Ipv4Addr>,
    cluster_cidr: Option<Network>,
) -> (Vec<Route>, Vec<Route>) {
    let target = |route: &Route| match (route.destination, route.gateway) {
        (IpAddr::V4(address), Some(IpAddr::V4(gateway))) => {
            let prefix = route.prefix_len;
            Some((Network { address, prefix }, gateway))
        }
        _ => None,
    };
    let present: BTreeMap<_, _> = present
        .iter()
        .filter_map(|route| Some((target(route)?, *route)))
        .collect();
    let missing = wanted
        .iter()
        .filter(|(network, gateway)| !present.contains_key(&(**network, **gateway)));
    let add = missing.map(|(network, gateway)| Route {
        destination: network.address.into(),
        prefix_len: network.prefix,
        gateway: Some((*gateway).into()),
        link: None,
    });
    let ours = |network: &Network| {
        cluster_cidr.is_some_and(|cluster| {
            cluster.contains(network.address) && network.prefix > cluster.prefix
        })
    };
    // A route that is replaced needs no deletion.
    let stale = present
        .iter()
        .filter(|((network, _), _)| ours(network) && !wanted.contains_key(network));
    (add.collect(), stale.map(|(_, route)| *route).collect())
}

/// Makes the kernel's routes those that are wanted.
///
/// # Errors
/// The first refusal, after everything else was tried: one node whose link is down must not keep
/// the others from being reached.
pub fn apply(
    wanted: &BTreeMap<Network, Ipv4Addr>,
    cluster_cidr: Option<Network>,
) -> Result<(), netlink::Error> {
    let mut netlink = Netlink::open()?;
    let (add, delete) = changes(&netlink.routes()?, wanted, cluster_cidr);
    let mut result = Ok(());
    for route in &add {
        tracing::info!(network = %route.destination, gateway = ?route.gateway, "route added");
        result = result.and(netlink.replace_route(route));
    }
    for route in &delete {
        tracing::info!(network = %route.destination, gateway = ?route.gateway, "route deleted");
        match netlink.delete_route(route) {
            Err(error) if error.is_not_found() => {}
            other => result = result.and(other),
        }
    }
    result
}

/// Lets the kernel pass packets on between its links.
///
/// # Errors
/// When the setting can be neither found on already nor changed.
pub fn enable_forwarding() -> std::io::Result<()> {
    let setting = Path::new("/proc/sys/net/ipv4/ip_forward");
    if std::fs::read_to_string(setting).is_ok_and(|value| value.trim() == "1") {
        return Ok(());
    }
    std::fs::write(setting, "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Name;

    #[test]
    fn other_nodes_are_reached_through_their_addresses() {
        let node = |address: [u8; 4], cidr: &str| Node {
            addresses: vec![address.into()],
            pod_cidr: cidr.parse().ok(),
        };
        let nodes: All<Node> = [
            (
                Name::new("", "worker-1"),
                node([172, 30, 0, 3], "10.244.1.0/24"),
            ),
            (
                Name::new("", "worker-2"),
                node([172, 30, 0, 4], "10.244.2.0/24"),
            ),
            (Name::new("", "not-yet"), Node::default()),
        ]
        .into();
        let wanted = routes(&nodes, "worker-1");
        let network: Network = "10.244.2.0/24".parse().expect("a network");
        assert_eq!(wanted, [(network, Ipv4Addr::new(172, 30, 0, 4))].into());
    }

    #[test]
    fn only_what_differs_is_changed_and_only_what_is_ours() {
        let route = |network: &str, gateway: Option<[u8; 4]>| {
            let network: Network = network.parse().expect("a network");
            Route {
                destination: network.address.into(),
                prefix_len: network.prefix,
                gateway: gateway.map(|gateway| Ipv4Addr::from(gateway).into()),
                link: Some(2),
            }
        };
        let present = [
            route("0.0.0.0/0", Some([172, 30, 0, 1])),
            route("172.30.0.0/16", None),
            route("10.244.1.0/24", None),
            route("10.244.2.0/24", Some([172, 30, 0, 4])),
            route("10.244.3.0/24", Some([172, 30, 0, 5])),
            route("10.244.4.0/24", Some([172, 30, 0, 6])),
        ];
        let wanted = [
            ("10.244.2.0/24", 4u8),
            ("10.244.3.0/24", 7),
            ("10.244.5.0/24", 8),
        ];
        let wanted = wanted.map(|(network, last)| {
            (
                network.parse().expect("a network"),
                Ipv4Addr::new(172, 30, 0, last),
            )
        });
        let cluster = "10.244.0.0/16".parse().ok();
        let (add, delete) = changes(&present, &wanted.into(), cluster);
        let show = |routes: &[Route]| {
            let lines = routes.iter().map(|route| {
                format!(
                    "{}/{} via {}",
                    route.destination,
                    route.prefix_len,
                    route.gateway.expect("a gateway")
                )
            });
            lines.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            show(&add),
            "10.244.3.0/24 via 172.30.0.7, 10.244.5.0/24 via 172.30.0.8"
        );
        assert_eq!(show(&delete), "10.244.4.0/24 via 172.30.0.6");
    }
}
