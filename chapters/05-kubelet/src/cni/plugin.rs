//! What the plugins do to the node's network.

use std::fs::File;
use std::net::Ipv4Addr;

use netlink::{Netlink, netns};
use serde_json::{Value, json};

use super::addresses::Held;
use super::config::{Command, Error, Request, SUPPORTED_VERSIONS};
use crate::runtime::host_ports;
use crate::runtime::sandbox::{PodNetwork, connect, hardware_address, pod_network, set_up_bridge};

/// The pod's link, whose name all of Kubernetes relies on.
const INTERFACE: &str = "eth0";

/// Does what is asked; what there is to say to it goes to standard output.
pub fn run(plugin: &str, request: &Request) -> Result<Option<Value>, Error> {
    match (request.command, plugin) {
        (Command::Version, _) => Ok(Some(json!({
            "cniVersion": "1.0.0",
            "supportedVersions": SUPPORTED_VERSIONS,
        }))),
        (Command::Add, "loopback") => loopback(request).map(Some),
        (_, "loopback") => Ok(None),
        (Command::Add, _) => add(request).map(Some),
        (Command::Del, _) => delete(request).map(|()| None),
        (Command::Check, _) => check(request).map(|()| None),
    }
}

fn add(request: &Request) -> Result<Value, Error> {
    if request.interface != INTERFACE {
        let message = format!("CNI_IFNAME: a pod's link is called {INTERFACE}");
        return Err(Error::new(4, message));
    }
    let cidr = request.pod_cidr()?;
    let pod_netns = open_netns(request)?;
    let held = Held::lock(&request.config.data_dir)?;
    // While the others wait: the bridge is made once.
    set_up_bridge(cidr).map_err(|error| Error::new(100, error.to_string()))?;
    let ip = held.take(cidr, &request.container_id)?;
    drop(held);
    let network = network(request, ip)?;
    let connected = Netlink::open().and_then(|node| {
        // Left over from an ADD that was cut short.
        let _ = Netlink::open()?.delete_link(&network.host_link);
        netns::in_netns(&pod_netns, || connect(node, &network))?
    });
    let open = || open_ports(request, ip);
    let failed = |error| Error::new(100, format!("the pod's network: {error}"));
    if let Err(error) = connected.map_err(failed).and_then(|()| open()) {
        delete(request)?;
        return Err(error);
    }
    Ok(result(request, &network))
}

/// Lets ports of the node lead to the pod, if it wants any.
fn open_ports(request: &Request, ip: Ipv4Addr) -> Result<(), Error> {
    let ports = &request.config.runtime_config.port_mappings;
    if ports.is_empty() {
        return Ok(());
    }
    let held = Held::lock(&request.config.data_dir)?;
    held.set_ports(ip, ports)?;
    write_ports(&held)
}

/// All pods' host ports go into one table, which each plugin writes in its turn.
fn write_ports(held: &Held) -> Result<(), Error> {
    host_ports::write(held.ports()?.iter()).map_err(|error| Error::new(100, error.to_string()))
}

fn delete(request: &Request) -> Result<(), Error> {
    let held = Held::lock(&request.config.data_dir)?;
    if let Some(ip) = held.find(&request.container_id)? {
        if held.forget_ports(ip)? {
            write_ports(&held)?;
        }
        let network = network(request, ip)?;
        // With the node's end goes the pod's; both are gone if the namespace is.
        let deleted = Netlink::open().and_then(|mut node| node.delete_link(&network.host_link));
        if let Err(error) = deleted
            && !error.is_not_found()
        {
            return Err(Error::new(100, format!("{}: {error}", network.host_link)));
        }
    }
    held.give_back(&request.container_id)
}

fn check(request: &Request) -> Result<(), Error> {
    let wrong = |what: String| Error::new(100, what);
    let found = Held::lock(&request.config.data_dir)?.find(&request.container_id)?;
    let ip = found.ok_or_else(|| wrong("the pod has no address".to_owned()))?;
    let network = network(request, ip)?;
    let node = Netlink::open().and_then(|mut node| node.link(&network.host_link));
    node.map_err(|error| wrong(format!("{}: {error}", network.host_link)))?;
    let addresses = netns::in_netns(open_netns(request)?, || {
        Netlink::open().and_then(|mut pod| pod.addresses())
    });
    let addresses = addresses
        .and_then(|addresses| addresses)
        .map_err(|error| wrong(error.to_string()))?;
    if !addresses.iter().any(|address| address.ip == ip) {
        return Err(wrong(format!("{INTERFACE} has not the address {ip}")));
    }
    Ok(())
}

fn loopback(request: &Request) -> Result<Value, Error> {
    let up = netns::in_netns(open_netns(request)?, || {
        Netlink::open().and_then(|mut pod| pod.set_link_up("lo", true))
    });
    up.and_then(|up| up)
        .map_err(|error| Error::new(100, format!("lo: {error}")))?;
    Ok(json!({
        "cniVersion": request.config.cni_version,
        "interfaces": [{
            "name": "lo",
            "mac": "00:00:00:00:00:00",
            "sandbox": request.netns,
        }],
        "ips": [{ "version": "4", "address": "127.0.0.1/8", "interface": 0 }],
        "dns": {},
    }))
}

/// The pod's place in the network: a function of the container's id and its address.
fn network(request: &Request, ip: Ipv4Addr) -> Result<PodNetwork, Error> {
    let id = &request.container_id;
    // Eight characters of it are the name of the node's end.
    let padded = format!("{id:0<8}");
    Ok(pod_network(ip, request.pod_cidr()?, &padded))
}

fn open_netns(request: &Request) -> Result<File, Error> {
    File::open(&request.netns).map_err(|error| Error::io(&request.netns, error))
}

fn result(request: &Request, network: &PodNetwork) -> Value {
    let mac = hardware_address(network.ip)
        .map(|byte| format!("{byte:02x}"))
        .join(":");
    json!({
        "cniVersion": request.config.cni_version,
        "interfaces": [
            { "name": network.bridge },
            { "name": network.host_link },
            { "name": request.interface, "mac": mac, "sandbox": request.netns },
        ],
        "ips": [{
            // Wanted by versions before 1.0.0.
            "version": "4",
            "address": format!("{}/32", network.ip),
            "gateway": network.gateway,
            "interface": 2,
        }],
        "routes": [{ "dst": "0.0.0.0/0", "gw": network.gateway }],
        "dns": {},
    })
}
