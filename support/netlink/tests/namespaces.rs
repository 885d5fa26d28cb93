//! The requests against a real kernel, in network namespaces of the test's own.

use std::os::fd::{AsFd, OwnedFd};

use netlink::link::VethEnd;
use netlink::route::Route;
use netlink::{Netlink, netns};

/// Two fresh namespaces, or `None` where this user may not make any.
fn two_namespaces() -> Option<(OwnedFd, OwnedFd)> {
    match netns::create().and_then(|a| Ok((a, netns::create()?))) {
        Ok(pair) => Some(pair),
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "no network namespaces: {error}"
            );
            eprintln!("skipped: no network namespaces: {error}");
            None
        }
    }
}

#[test]
fn a_bridge_and_a_pod_behind_a_veth_pair() {
    let Some((node, pod)) = two_namespaces() else {
        return;
    };
    let gateway = "10.244.1.1".parse().unwrap();
    let ip = "10.244.1.2".parse().unwrap();
    netns::in_netns(&node, || {
        let mut nl = Netlink::open().unwrap();
        nl.add_bridge("cni0").unwrap();
        assert!(nl.add_bridge("cni0").unwrap_err().is_exists());
        nl.set_link_up("cni0", true).unwrap();
        let bridge = nl.link("cni0").unwrap();
        nl.add_address(bridge.index, gateway, 24).unwrap();
        nl.add_address(bridge.index, gateway, 24).unwrap();

        let peer = VethEnd {
            name: "eth0",
            netns: Some(pod.as_fd()),
        };
        nl.add_veth(
            VethEnd {
                name: "veth1",
                netns: None,
            },
            peer,
            1400,
        )
        .unwrap();
        nl.add_bridge_port("veth1", bridge.index).unwrap();
        let port = nl.link("veth1").unwrap();
        nl.set_hairpin(port.index).unwrap();
        assert_eq!(
            (port.master, port.mtu, port.up),
            (Some(bridge.index), 1400, true)
        );
        let hairpin = std::fs::read_to_string("/sys/class/net/veth1/brport/hairpin_mode");
        // Another namespace's /sys may be mounted here; where it is ours it has to agree.
        assert!(hairpin.is_err() || hairpin.unwrap().trim() == "1");
        assert!(nl.links().unwrap().iter().any(|link| link.name == "lo"));
    })
    .unwrap();
    netns::in_netns(&pod, || {
        let mut nl = Netlink::open().unwrap();
        let eth0 = nl.link("eth0").unwrap();
        nl.set_link_up("lo", true).unwrap();
        nl.set_link_up("eth0", true).unwrap();
        nl.add_address(eth0.index, ip, 24).unwrap();
        let any = "0.0.0.0".parse().unwrap();
        let default = Route {
            destination: any,
            prefix_len: 0,
            gateway: Some(gateway),
            link: None,
        };
        nl.replace_route(&default).unwrap();
        nl.replace_route(&default).unwrap();
        let expected = Route {
            link: Some(eth0.index),
            ..default
        };
        assert!(nl.routes().unwrap().contains(&expected));
        assert!(
            nl.addresses()
                .unwrap()
                .iter()
                .any(|a| a.ip == ip && a.prefix_len == 24)
        );
        nl.delete_route(&default).unwrap();
        assert!(nl.delete_route(&default).unwrap_err().is_not_found());
        nl.delete_address(eth0.index, ip, 24).unwrap();
    })
    .unwrap();
    netns::in_netns(&node, || {
        let mut nl = Netlink::open().unwrap();
        nl.set_link_up("veth1", false).unwrap();
        nl.rename_link("veth1", "veth2").unwrap();
        nl.delete_link("veth2").unwrap();
        assert!(nl.delete_link("veth2").unwrap_err().is_not_found());
        assert!(nl.link("veth2").unwrap_err().is_not_found());
    })
    .unwrap();
}
