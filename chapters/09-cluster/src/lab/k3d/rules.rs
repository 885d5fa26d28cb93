//! Whether k3d would take a config: the schema's rules, and those that k3d applies after it.
//!
//! Said here, since k3d says it after it has made half a cluster, or in the words of a schema.
//! Types and unknown fields are checked where the file is read, by [`Simple`] itself.

use std::net::{IpAddr, Ipv4Addr};

use super::config::Simple;

/// k3d's own limit: its names of nodes must be names of hosts.
const NAME_LENGTH_MAX: usize = 32;

/// What is wrong with `config`, each as `field: what`; nothing if k3d takes it.
pub fn problems(config: &Simple) -> Vec<String> {
    let mut found = Found(Vec::new());
    found.unless(config.api_version == "k3d.io/v1alpha5", || {
        "apiVersion: must be k3d.io/v1alpha5".into()
    });
    found.unless(config.kind == "Simple", || "kind: must be Simple".into());
    let name = &config.metadata.name;
    found.unless(is_hostname(name), || {
        format!("metadata.name: {name:?} is no hostname")
    });
    found.unless(name.len() <= NAME_LENGTH_MAX, || {
        format!("metadata.name: {name:?} has more than {NAME_LENGTH_MAX} letters")
    });
    found.unless(config.servers >= 1, || "servers: must be at least 1".into());
    let api = &config.kube_api;
    found.unless(is_hostname(&api.host), || {
        format!("kubeAPI.host: {:?} is no hostname", api.host)
    });
    found.unless(api.host_ip.parse::<Ipv4Addr>().is_ok(), || {
        format!("kubeAPI.hostIP: {:?} is no IPv4 address", api.host_ip)
    });
    found.unless(is_port_or_random(&api.host_port), || {
        format!("kubeAPI.hostPort: {:?} is no port", api.host_port)
    });
    for (at, it) in config.ports.iter().enumerate() {
        found.unless(is_mapping(&it.port), || {
            format!(
                "ports[{at}]: {:?} is not [IP:]HOST:NODE[/tcp|/udp]",
                it.port
            )
        });
        found.filters(&format!("ports[{at}]"), &it.node_filters, config);
    }
    for (at, it) in config.volumes.iter().enumerate() {
        found.unless(is_volume(&it.volume), || {
            format!("volumes[{at}]: {:?} is not SOURCE:/PATH[:ro]", it.volume)
        });
        found.filters(&format!("volumes[{at}]"), &it.node_filters, config);
    }
    for (at, it) in config.options.k3s.extra_args.iter().enumerate() {
        let field = format!("options.k3s.extraArgs[{at}]");
        found.unless(it.arg.starts_with('-'), || {
            format!("{field}: {:?} is no flag", it.arg)
        });
        found.filters(&field, &it.node_filters, config);
    }
    if let Some(registry) = &config.registries.create {
        found.unless(is_hostname(&registry.name), || {
            format!("registries.create.name: {:?} is no hostname", registry.name)
        });
        found.unless(is_port_or_random(&registry.host_port), || {
            let port = &registry.host_port;
            format!("registries.create.hostPort: {port:?} is no port, nor random")
        });
    }
    for (at, used) in config.registries.used.iter().enumerate() {
        let good = used
            .split_once(':')
            .is_some_and(|(host, port)| is_hostname(host) && is_port(port));
        found.unless(good, || {
            format!("registries.use[{at}]: {used:?} is not NAME:PORT")
        });
    }
    let timeout = &config.options.k3d.timeout;
    found.unless(is_duration(timeout), || {
        format!("options.k3d.timeout: {timeout:?} is no duration such as 1m30s")
    });
    found.0
}

struct Found(Vec<String>);

impl Found {
    fn unless(&mut self, good: bool, problem: impl FnOnce() -> String) {
        if !good {
            self.0.push(problem());
        }
    }

    /// A filter names a role, and may name numbers of its nodes: `server:0`, `agent:0,2`,
    /// `agent:0-1`, `agent:*`.
    fn filters(&mut self, field: &str, filters: &[String], config: &Simple) {
        for filter in filters {
            let (role, numbers) = filter.split_once(':').unwrap_or((filter, "*"));
            let count = match role {
                "server" | "servers" => config.servers,
                "agent" | "agents" => config.agents,
                "loadbalancer" | "all" if !filter.contains(':') => continue,
                _ => {
                    self.0
                        .push(format!("{field}: no node can be meant by {filter:?}"));
                    continue;
                }
            };
            if numbers == "*" {
                continue;
            }
            let there = |number: &str| number.parse::<u16>().is_ok_and(|it| it < count);
            let good = numbers.split(',').all(|part| match part.split_once('-') {
                Some((first, last)) => there(first) && there(last),
                None => there(part),
            });
            self.unless(good, || {
                format!("{field}: {filter:?} names a node that is not there")
            });
        }
    }
}

fn is_hostname(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_port_or_random(text: &str) -> bool {
    text == "random" || is_port(text)
}

fn is_mapping(text: &str) -> bool {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let parts: Vec<&str> = text.split(':').collect();
    let good = match parts.as_slice() {
        [host, node] => is_port(host) && is_port(node),
        [ip, host, node] => ip.parse::<IpAddr>().is_ok() && is_port(host) && is_port(node),
        _ => false,
    };
    good && ["tcp", "udp"].contains(&protocol)
}

fn is_volume(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [source, path] => !source.is_empty() && path.starts_with('/'),
        [source, path, mode] => !source.is_empty() && path.starts_with('/') && !mode.is_empty(),
        _ => false,
    }
}

/// `1m30s`: numbers with units, as Go reads them.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if unit.len() == rest.len() {
            return false;
        }
        // `ms` before `m`: the longer of two that begin alike.
        let units = ["ms", "h", "m", "s"];
        let Some(after) = units.iter().find_map(|it| unit.strip_prefix(it)) else {
            return false;
        };
        rest = after;
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::config::{Wanted, simple};
    use super::*;

    fn check(change: impl FnOnce(&mut Simple), expect: &[&str]) {
        let wanted = Wanted {
            agents: 2,
            port: 6550,
            publish: vec!["8080:30080".into()],
            volumes: vec!["/tmp/data:/data:ro".into()],
            registry: Some("random".into()),
            use_registries: vec!["k3d-other:5000".into()],
            ..Wanted::default()
        };
        let mut config = simple("workshop", &wanted);
        change(&mut config);
        assert_eq!(problems(&config), expect);
    }

    #[test]
    fn what_the_lab_writes_is_good() {
        check(|_| {}, &[]);
        check(
            |it| it.ports[0].node_filters = vec!["agent:0-1".into()],
            &[],
        );
    }

    #[test]
    fn each_problem_names_its_field() {
        check(
            |it| it.metadata.name = "under_score".into(),
            &["metadata.name: \"under_score\" is no hostname"],
        );
        check(
            |it| it.metadata.name = "n".repeat(33),
            &[&format!(
                "metadata.name: {:?} has more than 32 letters",
                "n".repeat(33)
            )],
        );
        check(
            |it| it.servers = 0,
            &[
                "servers: must be at least 1",
                "ports[0]: \"server:0\" names a node that is not there",
            ],
        );
        check(
            |it| it.kube_api.host_port = "65536".into(),
            &["kubeAPI.hostPort: \"65536\" is no port"],
        );
        check(
            |it| it.ports[0].port = "8080:x".into(),
            &["ports[0]: \"8080:x\" is not [IP:]HOST:NODE[/tcp|/udp]"],
        );
        check(
            |it| it.volumes[0].volume = "/tmp/data:data".into(),
            &["volumes[0]: \"/tmp/data:data\" is not SOURCE:/PATH[:ro]"],
        );
        check(
            |it| it.ports[0].node_filters = vec!["agent:2".into(), "worker".into()],
            &[
                "ports[0]: \"agent:2\" names a node that is not there",
                "ports[0]: no node can be meant by \"worker\"",
            ],
        );
        check(
            |it| it.registries.used = vec!["k3d-other".into()],
            &["registries.use[0]: \"k3d-other\" is not NAME:PORT"],
        );
        check(
            |it| it.options.k3d.timeout = "1m30".into(),
            &["options.k3d.timeout: \"1m30\" is no duration such as 1m30s"],
        );
    }

    #[test]
    fn an_unknown_field_is_refused_where_it_is_read() {
        let mut json = serde_json::to_value(simple("workshop", &Wanted::default())).unwrap();
        json["serverz"] = 1.into();
        let error = serde_json::from_value::<Simple>(json).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `serverz`"),
            "{error}"
        );
    }
}
