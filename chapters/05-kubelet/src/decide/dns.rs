//! A pod's names: its hostname, `/etc/hosts` and `/etc/resolv.conf`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::spec;

/// What the node brings to its pods' name lookups.
#[derive(Debug, Clone, Default)]
pub struct NodeDns {
    /// Name servers of the cluster.
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster: `cluster.local`.
    pub cluster_domain: String,
    /// The node's own `/etc/resolv.conf`.
    pub host_resolv_conf: String,
    /// The node's own `/etc/hosts`.
    pub host_hosts: String,
    /// The node's name, the hostname of pods with its network.
    pub node_name: String,
}

/// What a `resolv.conf` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct ResolvConf {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl ResolvConf {
    fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => conf.nameservers.extend(words.next()),
                // The last of several `search` lines counts.
                Some("search") => conf.searches = words.collect(),
                Some("options") => conf.options = words.collect(),
                _ => {}
            }
        }
        conf
    }

    fn render(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for nameserver in &self.nameservers {
            text.push_str(&format!("nameserver {nameserver}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// The pod's `/etc/resolv.conf`, by its `dnsPolicy` and `dnsConfig`.
///
/// Upstream: `pkg/kubelet/network/dns/dns.go`.
pub fn resolv_conf(pod: &Pod, node: &NodeDns) -> String {
    let pod_spec = spec::of(pod);
    let host = ResolvConf::parse(&node.host_resolv_conf);
    let policy = match pod_spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        // The host's network has the host's lookups, unless asked otherwise.
        "ClusterFirst" if spec::host_network(pod) => "Default",
        "ClusterFirst" | "ClusterFirstWithHostNet" if !node.cluster_dns.is_empty() => "Cluster",
        "None" => "None",
        _ => "Default",
    };
    let mut conf = match policy {
        "Cluster" => cluster_conf(pod, node, host),
        "None" => ResolvConf::default(),
        _ => host,
    };
    if let Some(extra) = &pod_spec.dns_config {
        conf.nameservers
            .extend(extra.nameservers.iter().flatten().cloned());
        conf.searches
            .extend(extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            conf.options
                .retain(|have| have.split(':').next() != Some(name));
            conf.options
                .push(match option.value.as_deref().filter(|v| !v.is_empty()) {
                    Some(value) => format!("{name}:{value}"),
                    None => name.clone(),
                });
        }
    }
    dedup(&mut conf.nameservers);
    dedup(&mut conf.searches);
    conf.render()
}

fn cluster_conf(pod: &Pod, node: &NodeDns, host: ResolvConf) -> ResolvConf {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let domain = &node.cluster_domain;
    let mut searches = vec![
        format!("{namespace}.svc.{domain}"),
        format!("svc.{domain}"),
        domain.clone(),
    ];
    searches.extend(host.searches);
    ResolvConf {
        nameservers: node.cluster_dns.iter().map(IpAddr::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn dedup(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|entry| seen.insert(entry.clone()));
}

/// The pod's hostname, and its domain if it has a subdomain.
///
/// Upstream: `kubelet_pods.go: GeneratePodHostNameAndDomain`.
pub fn hostname(pod: &Pod, node: &NodeDns) -> (String, Option<String>) {
    let pod_spec = spec::of(pod);
    if let Some(name) = &pod_spec.hostname_override {
        return (name.clone(), None);
    }
    if spec::host_network(pod) {
        return (node.node_name.clone(), None);
    }
    let name = pod_spec.hostname.clone().filter(|name| !name.is_empty());
    let mut name = name
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    // The kernel takes 64; upstream keeps to a DNS label.
    name.truncate(63);
    let name = name.trim_end_matches(['-', '.']).to_owned();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let subdomain = pod_spec
        .subdomain
        .as_deref()
        .filter(|name| !name.is_empty());
    let domain = subdomain.map(|sub| format!("{sub}.{namespace}.svc.{}", node.cluster_domain));
    (name, domain)
}

/// What the pod's kernel gets as hostname.
pub fn kernel_hostname(pod: &Pod, node: &NodeDns) -> String {
    match hostname(pod, node) {
        (name, Some(domain)) if spec::of(pod).set_hostname_as_fqdn == Some(true) => {
            format!("{name}.{domain}")
        }
        (name, _) => name,
    }
}

/// The pod's `/etc/hosts`, with `{POD_IP}` where its address will be.
///
/// Upstream: `kubelet_pods.go: managedHostsFileContent`.
pub fn hosts(pod: &Pod, node: &NodeDns) -> String {
    let mut text = String::new();
    if spec::host_network(pod) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(&node.host_hosts);
    } else {
        text.push_str("# Kubernetes-managed hosts file.\n");
        text.push_str("127.0.0.1\tlocalhost\n");
        text.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
        text.push_str("fe00::0\tip6-localnet\n");
        text.push_str("fe00::0\tip6-mcastprefix\n");
        text.push_str("fe00::1\tip6-allnodes\n");
        text.push_str("fe00::2\tip6-allrouters\n");
        match hostname(pod, node) {
            (name, Some(domain)) => {
                text.push_str(&format!("{{POD_IP}}\t{name}.{domain}\t{name}\n"));
            }
            (name, None) => text.push_str(&format!("{{POD_IP}}\t{name}\n")),
        }
    }
    let aliases = spec::of(pod).host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default();
        text.push_str(&format!("{}\t{}\n", alias.ip, names.join("\t")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: serde_json::Value, expected: &str) {
        let node = NodeDns {
            cluster_dns: vec!["10.96.0.10".parse().unwrap()],
            cluster_domain: "cluster.local".into(),
            host_resolv_conf: "search example.org\nnameserver 192.0.2.1\n".into(),
            ..NodeDns::default()
        };
        let pod = json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": spec });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(resolv_conf(&pod, &node), expected);
    }

    #[test]
    fn each_policy_has_its_resolv_conf() {
        let cluster = "search ns.svc.cluster.local svc.cluster.local cluster.local example.org\n\
                       nameserver 10.96.0.10\noptions ndots:5\n";
        let host = "search example.org\nnameserver 192.0.2.1\n";
        check(json!({ "containers": [] }), cluster);
        check(json!({ "containers": [], "hostNetwork": true }), host);
        let policy = "ClusterFirstWithHostNet";
        check(
            json!({ "containers": [], "hostNetwork": true, "dnsPolicy": policy }),
            cluster,
        );
        check(json!({ "containers": [], "dnsPolicy": "Default" }), host);
        check(
            json!({ "containers": [], "dnsPolicy": "None", "dnsConfig": {
                "nameservers": ["192.0.2.9"], "searches": ["a.b"],
                "options": [{ "name": "ndots", "value": "2" }, { "name": "edns0" }] } }),
            "search a.b\nnameserver 192.0.2.9\noptions ndots:2 edns0\n",
        );
    }
}
