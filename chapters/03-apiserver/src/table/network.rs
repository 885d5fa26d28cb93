//! The cells of Services and of what stands behind them.

use serde_json::Value;

use super::cells::{joined, list, none_if_empty, text};

/// How many addresses or ports a cell lists before it only counts.
const LISTED_MAX: usize = 3;

/// The address of a Service.
pub(super) fn cluster_ip(spec: &Value) -> &str {
    match text(&spec["clusterIPs"][0]) {
        "" => text(&spec["clusterIP"]),
        address => address,
    }
}

/// Where a Service is reached from outside.
pub(super) fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let external = joined(list(&spec["externalIPs"]).iter());
    match text(&spec["type"]) {
        "ClusterIP" | "NodePort" => none_if_empty(&external).to_owned(),
        "ExternalName" => text(&spec["externalName"]).to_owned(),
        "LoadBalancer" => {
            let ingress = list(&service["status"]["loadBalancer"]["ingress"]).iter();
            let balanced = joined(ingress.map(|at| match text(&at["ip"]) {
                "" => &at["hostname"],
                _ => &at["ip"],
            }));
            match (balanced.as_str(), external.as_str()) {
                ("", "") => "<pending>".to_owned(),
                (one, "") | ("", one) => one.to_owned(),
                (balanced, external) => format!("{balanced},{external}"),
            }
        }
        _ => "<unknown>".to_owned(),
    }
}

/// `80/TCP,443:30443/TCP`
pub(super) fn service_ports(spec: &Value) -> String {
    let ports = list(&spec["ports"]).iter().map(|port| {
        let protocol = text(&port["protocol"]);
        match port["nodePort"].as_i64() {
            Some(node_port) => format!("{}:{node_port}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    });
    none_if_empty(&ports.collect::<Vec<_>>().join(",")).to_owned()
}

/// `10.244.1.2:80,10.244.2.2:80`
pub(super) fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(&object["subsets"]) {
        let addresses = list(&subset["addresses"])
            .iter()
            .map(|address| text(&address["ip"]));
        let ports = list(&subset["ports"]);
        if ports.is_empty() {
            all.extend(addresses.clone().map(str::to_owned));
        }
        for port in ports {
            all.extend(addresses.clone().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{}", port["port"]),
                false => format!("{ip}:{}", port["port"]),
            }));
        }
    }
    listed(&all, "<none>")
}

/// `80,443`
pub(super) fn slice_ports(slice: &Value) -> String {
    let ports = list(&slice["ports"]).iter();
    let all: Vec<String> = ports
        .map(
            |port| match (port["port"].as_i64(), port["name"].as_str()) {
                (Some(port), _) => port.to_string(),
                (None, Some(name)) if !name.is_empty() => name.to_owned(),
                _ => "*".to_owned(),
            },
        )
        .collect();
    listed(&all, "<unset>")
}

/// `10.244.1.2,10.244.2.2`
pub(super) fn slice_addresses(slice: &Value) -> String {
    let endpoints = list(&slice["endpoints"]).iter();
    let all: Vec<String> = endpoints
        .flat_map(|e| list(&e["addresses"]))
        .map(|ip| text(ip).to_owned())
        .collect();
    listed(&all, "<unset>")
}

/// `a,b,c + 2 more...`
fn listed(all: &[String], empty: &str) -> String {
    let shown = all[..all.len().min(LISTED_MAX)].join(",");
    match all.len() {
        0 => empty.to_owned(),
        n if n > LISTED_MAX => format!("{shown} + {} more...", n - LISTED_MAX),
        _ => shown,
    }
}
