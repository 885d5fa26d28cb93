//! Which kernel parameters a pod may set.
//!
//! Only those that belong to a namespace of the pod can be set for the pod alone, and of those only
//! some cannot hurt its neighbours. These are safe; a node's administrator may allow more.
//!
//! Upstream: `pkg/kubelet/sysctl`, `component-helpers/node/util/sysctl`.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use k8s_openapi::api::core::v1::Pod;

use super::admission::Rejection;
use super::spec;

/// What every pod may set.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Longest name. Upstream: `SysctlMaxLength`.
const NAME_LEN_MAX: usize = 253;

/// What the node's administrator allows beside: names, and beginnings of names that end in `*`.
/// As a text, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsafe(Vec<String>);

impl FromStr for Unsafe {
    type Err = String;

    fn from_str(text: &str) -> Result<Unsafe, String> {
        let patterns = text.split(',').filter(|part| !part.is_empty());
        let patterns = patterns.map(|pattern| {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            let named =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_./".contains(c);
            if pattern.len() > NAME_LEN_MAX || name.is_empty() || !name.chars().all(named) {
                return Err(format!(
                    "{pattern:?} is no sysctl, and no beginning of one with a *"
                ));
            }
            let pattern = with_dots(pattern);
            match namespace(pattern.trim_end_matches('*')) {
                Some(_) => Ok(pattern),
                None => Err(format!(
                    "the sysctls {pattern:?} are not known to be namespaced"
                )),
            }
        });
        patterns.collect::<Result<_, _>>().map(Unsafe)
    }
}

impl Unsafe {
    /// As the kubelet's configuration lists them.
    pub fn patterns(&self) -> &[String] {
        &self.0
    }
}

impl Display for Unsafe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// A name as the kubelet writes it. Whichever of `.` and `/` comes first separates its parts: in
/// `net/ipv4/conf/eth0.1/mtu` the dot is a part of a part.
pub fn with_dots(name: &str) -> String {
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    match first {
        Some(b'/') => swapped(name),
        _ => name.to_owned(),
    }
}

/// Where the kernel shows a parameter, below `/proc/sys`.
pub fn path(name: &str) -> String {
    swapped(&with_dots(name))
}

fn swapped(name: &str) -> String {
    let other = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(other).collect()
}

/// The namespace that a parameter, or all that begin so, belong to.
fn namespace(name: &str) -> Option<&'static str> {
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
    if name == "kernel.sem" || ipc.iter().any(|prefix| name.starts_with(prefix)) {
        Some("ipc")
    } else if name.starts_with("net.") {
        Some("net")
    } else {
        None
    }
}

/// Whether the node lets the pod set what it wants to.
///
/// # Errors
/// `SysctlForbidden`, with the first parameter that it may not set.
pub fn admit(pod: &Pod, allowed: &Unsafe) -> Result<(), Rejection> {
    let security = spec::of(pod).security_context.as_ref();
    let sysctls = security.and_then(|security| security.sysctls.as_deref());
    for sysctl in sysctls.unwrap_or_default() {
        check(pod, &with_dots(&sysctl.name), allowed).map_err(|why| Rejection {
            reason: "SysctlForbidden".to_owned(),
            message: format!("forbidden sysctl: {why}"),
        })?;
    }
    Ok(())
}

fn check(pod: &Pod, name: &str, allowed: &Unsafe) -> Result<(), String> {
    let matches = |pattern: &String| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    if !SAFE.contains(&name) && !allowed.0.iter().any(matches) {
        return Err(format!("{name:?} not allowlisted"));
    }
    let host_ipc = spec::of(pod).host_ipc == Some(true);
    match namespace(name) {
        Some("net") if spec::host_network(pod) => {
            Err(format!("{name:?} not allowed with host net enabled"))
        }
        Some("ipc") if host_ipc => Err(format!("{name:?} not allowed with host ipc enabled")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(sysctl: &str, host: &str, allowed: &str) -> Result<(), String> {
        let pod = serde_json::from_value(json!({ "spec": {
            "containers": [], host: true,
            "securityContext": { "sysctls": [{ "name": sysctl, "value": "1" }] },
        } }));
        let said = admit(&pod.unwrap(), &allowed.parse().unwrap());
        said.map_err(|rejection| format!("{}: {}", rejection.reason, rejection.message))
    }

    #[test]
    fn what_is_safe_or_allowed_is_taken() {
        let forbidden = |why: &str| Err(format!("SysctlForbidden: forbidden sysctl: {why}"));
        let somaxconn = "net.core.somaxconn";
        let none = forbidden("\"net.core.somaxconn\" not allowlisted");
        assert_eq!(said(somaxconn, "x", ""), none);
        assert_eq!(said(somaxconn, "x", "kernel.msg*,net.core.*"), Ok(()));
        assert_eq!(said(somaxconn, "x", "net/core/somaxconn"), Ok(()));
        assert_eq!(said("net/ipv4/tcp_syncookies", "x", ""), Ok(()));
        assert_eq!(
            said("vm.swappiness", "x", "kernel.sem"),
            forbidden("\"vm.swappiness\" not allowlisted")
        );
    }

    #[test]
    fn what_is_the_node_s_is_not_the_pod_s() {
        let forbidden = |why: &str| Err(format!("SysctlForbidden: forbidden sysctl: {why}"));
        let net = "net.ipv4.tcp_syncookies";
        let shared = format!("{net:?} not allowed with host net enabled");
        assert_eq!(said(net, "hostNetwork", ""), forbidden(&shared));
        assert_eq!(said(net, "hostIPC", ""), Ok(()));
        let ipc = "kernel.shm_rmid_forced";
        let shared = format!("{ipc:?} not allowed with host ipc enabled");
        assert_eq!(said(ipc, "hostIPC", ""), forbidden(&shared));
    }

    #[test]
    fn the_flag_names_what_has_a_namespace() {
        let parse = |text: &str| text.parse::<Unsafe>().map(|allowed| allowed.to_string());
        assert_eq!(
            parse("net/core/*,kernel.sem"),
            Ok("net.core.*,kernel.sem".into())
        );
        let why = "the sysctls \"vm.*\" are not known to be namespaced";
        assert_eq!(parse("vm.*"), Err(why.to_owned()));
        assert!(parse("*").is_err() && parse("a b").is_err());
    }

    #[test]
    fn names_have_two_spellings() {
        assert_eq!(
            with_dots("net/ipv4/conf/eth0.1/mtu"),
            "net.ipv4.conf.eth0/1.mtu"
        );
        assert_eq!(path("net.ipv4.conf.eth0/1.mtu"), "net/ipv4/conf/eth0.1/mtu");
        assert_eq!(path("net/ipv4/conf/eth0.1/mtu"), "net/ipv4/conf/eth0.1/mtu");
        assert_eq!(path("kernel.sem"), "kernel/sem");
    }
}
