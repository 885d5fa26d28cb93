//! The PORTS column. Upstream: `DisplayablePorts` in docker/cli.

use bollard::models::PortSummary;

/// Ports in a row are joined: `80-81/tcp`. Published ports show where: `0.0.0.0:80->80/tcp`.
pub fn displayable(ports: &[PortSummary]) -> String {
    let mut sorted: Vec<Port> = ports.iter().map(Port::from).collect();
    sorted.sort();

    let mut done = Vec::new();
    // In order of first appearance: (ip, protocol) and the run of ports that is open for it.
    let mut runs: Vec<(&Port, u16)> = Vec::new();
    let mut mapped = Vec::new();
    // ANCHOR: exercise-01.2
    for port in &sorted {
        let public = port.public.unwrap_or(0);
        if !port.ip.is_empty() && public != port.private {
            // Another number outside than inside: never part of a run.
            let outside = join(&port.ip, &public.to_string());
            mapped.push(format!("{outside}->{}/{}", port.private, port.protocol));
            continue;
        }
        let same = |run: &&mut (&Port, u16)| run.0.ip == port.ip && run.0.protocol == port.protocol;
        match runs.iter_mut().find(same) {
            None => runs.push((port, port.private)),
            Some((_, last)) if last.checked_add(1) == Some(port.private) => *last = port.private,
            Some(run) => {
                done.push(run_text(run.0, run.1));
                *run = (port, port.private);
            }
        }
    }
    // ANCHOR_END: exercise-01.2
    done.extend(runs.into_iter().map(|(first, last)| run_text(first, last)));
    done.extend(mapped);
    done.join(", ")
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    private: u16,
    ip: String,
    public: Option<u16>,
    protocol: String,
}

impl From<&PortSummary> for Port {
    fn from(port: &PortSummary) -> Port {
        Port {
            private: port.private_port,
            ip: port.ip.clone().unwrap_or_default(),
            public: port.public_port,
            protocol: port
                .typ
                .map(|protocol| protocol.to_string())
                .unwrap_or_default(),
        }
    }
}

fn run_text(first: &Port, last: u16) -> String {
    let range = if first.private == last {
        last.to_string()
    } else {
        format!("{}-{last}", first.private)
    };
    if first.ip.is_empty() {
        format!("{range}/{}", first.protocol)
    } else {
        format!("{}->{range}/{}", join(&first.ip, &range), first.protocol)
    }
}

/// An IPv6 address is bracketed.
fn join(ip: &str, port: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{port}")
    } else {
        format!("{ip}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{PortSummary, PortSummaryTypeEnum};

    use super::displayable;

    fn port(ip: &str, public: u16, private: u16) -> PortSummary {
        PortSummary {
            ip: (!ip.is_empty()).then(|| ip.to_owned()),
            public_port: (public > 0).then_some(public),
            private_port: private,
            typ: Some(PortSummaryTypeEnum::TCP),
        }
    }

    #[test]
    fn ports_are_joined_and_mapped_as_dockers_are() {
        let cases = [
            (vec![], ""),
            (vec![port("", 0, 80)], "80/tcp"),
            (
                vec![port("", 0, 81), port("", 0, 80), port("", 0, 443)],
                "80-81/tcp, 443/tcp",
            ),
            (vec![port("0.0.0.0", 80, 80)], "0.0.0.0:80->80/tcp"),
            (
                vec![port("0.0.0.0", 8080, 80), port("::", 8080, 80)],
                "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (
                vec![port("0.0.0.0", 80, 80), port("0.0.0.0", 81, 81)],
                "0.0.0.0:80-81->80-81/tcp",
            ),
            (
                vec![port("", 0, u16::MAX), port("", 0, 1)],
                "1/tcp, 65535/tcp",
            ),
        ];
        for (ports, text) in cases {
            assert_eq!(displayable(&ports), text);
        }
    }
}
