//! What a plugin is asked: environment and standard input, read and checked. Pure.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::runtime::PortMapping;
use crate::runtime::sandbox::PodCidr;

/// The versions of the specification that are spoken, the newest last.
pub const SUPPORTED_VERSIONS: [&str; 4] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0"];

/// Why a plugin did not do what it was asked, by the specification's codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// 1 version, 2 field, 4 environment, 5 input/output, 6 content, 7 config, 11 try again later.
    pub code: u32,
    /// For people.
    pub message: String,
}

impl Error {
    /// An error with one of the specification's codes.
    pub fn new(code: u32, message: impl Into<String>) -> Error {
        Error {
            code,
            message: message.into(),
        }
    }

    /// Something could not be read or written.
    pub fn io(what: &str, error: impl std::fmt::Display) -> Error {
        Error::new(5, format!("{what}: {error}"))
    }

    /// As a plugin tells it.
    pub fn to_json(&self) -> Value {
        json!({ "cniVersion": "1.0.0", "code": self.code, "msg": self.message })
    }
}

/// What is to be done. `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Furnish the namespace.
    Add,
    /// Undo it.
    Del,
    /// Say whether it is still as `Add` left it.
    Check,
    /// Say which versions are spoken.
    Version,
}

/// A network's config, as far as these plugins read it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfig {
    /// Version of the specification that the runtime speaks.
    pub cni_version: String,
    /// The network's name.
    #[serde(default)]
    pub name: String,
    /// The node's range of pod addresses: `10.244.1.0/24`.
    #[serde(default)]
    pub pod_cidr: String,
    /// Folder where it is written down who has which address.
    #[serde(default)]
    pub data_dir: PathBuf,
    /// What the runtime says of this pod.
    #[serde(default)]
    pub runtime_config: RuntimeConfig,
    /// What `Add` said, with `Check` (and, of newer runtimes, `Del`).
    #[serde(default)]
    pub prev_result: Option<Value>,
}

/// What a runtime tells a plugin by the capabilities that the network's config names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeConfig {
    /// Ports of the node that lead to the pod: the capability `portMappings`.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
}

/// A request to a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub command: Command,
    /// The container (of the pod's sandbox). Empty for `Version`.
    pub container_id: String,
    /// Its network namespace. Empty where it is gone already.
    pub netns: String,
    /// The link's name in it: `eth0`.
    pub interface: String,
    /// The network.
    pub config: NetworkConfig,
}

impl Request {
    /// The pod CIDR.
    ///
    /// # Errors
    /// Code 7 when there is none or it is none.
    pub fn pod_cidr(&self) -> Result<PodCidr, Error> {
        let cidr = PodCidr::parse(&self.config.pod_cidr);
        cidr.map_err(|error| Error::new(7, format!("podCidr: {error}")))
    }
}

/// Reads a request. `environment` is how variables are looked up.
///
/// # Errors
/// With the code that the specification has for it.
pub fn parse(environment: impl Fn(&str) -> Option<String>, input: &[u8]) -> Result<Request, Error> {
    let command = match environment("CNI_COMMAND").as_deref() {
        Some("ADD") => Command::Add,
        Some("DEL") => Command::Del,
        Some("CHECK") => Command::Check,
        Some("VERSION") => Command::Version,
        other => {
            let message = format!("unknown CNI_COMMAND: {}", other.unwrap_or_default());
            return Err(Error::new(4, message));
        }
    };
    let config: NetworkConfig = serde_json::from_slice(input)
        .map_err(|error| Error::new(6, format!("network config: {error}")))?;
    let is_spoken = SUPPORTED_VERSIONS.contains(&config.cni_version.as_str());
    if !is_spoken && command != Command::Version {
        let message = format!("incompatible CNI version {:?}", config.cni_version);
        return Err(Error::new(1, message));
    }
    let variable = |name: &str, is_needed: bool| match environment(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ if !is_needed => Ok(String::new()),
        _ => Err(Error::new(
            4,
            format!("required env variable {name} is missing"),
        )),
    };
    let about_a_container = command != Command::Version;
    let container_id = variable("CNI_CONTAINERID", about_a_container)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    // It names a file and a link. `..` would be another one.
    if !container_id.chars().all(is_plain) || container_id.starts_with('.') {
        return Err(Error::new(4, "invalid characters in CNI_CONTAINERID"));
    }
    let request = Request {
        command,
        container_id,
        netns: variable(
            "CNI_NETNS",
            matches!(command, Command::Add | Command::Check),
        )?,
        interface: variable("CNI_IFNAME", about_a_container)?,
        config,
    };
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(variables: &[(&str, &str)], input: &str) -> Result<Request, Error> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        parse(find, input.as_bytes())
    }

    const ADD: [(&str, &str); 4] = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "1f2e"),
        ("CNI_NETNS", "/run/netns/x"),
        ("CNI_IFNAME", "eth0"),
    ];
    const CONFIG: &str = r#"{"cniVersion":"1.0.0","name":"pods","type":"workshop",
        "podCidr":"10.244.1.0/24","dataDir":"/run/x"}"#;

    #[test]
    fn a_request_is_environment_and_config() {
        let request = request(&ADD, CONFIG).unwrap();
        assert_eq!(request.command, Command::Add);
        assert_eq!(request.interface, "eth0");
        assert_eq!(
            request.pod_cidr().unwrap().gateway().to_string(),
            "10.244.1.1"
        );
    }

    #[test]
    fn host_ports_are_in_the_runtime_s_part() {
        let config = r#"{"cniVersion":"1.0.0","runtimeConfig":{"portMappings":[
            {"hostPort":80,"containerPort":8080,"protocol":"udp","hostIP":"127.0.0.1"},
            {"HostPort":80,"ContainerPort":8080,"Protocol":"udp","HostIP":"127.0.0.1"}]}}"#;
        let expected = PortMapping {
            host_port: 80,
            container_port: 8080,
            protocol: crate::runtime::PortProtocol::Udp,
            host_ip: "127.0.0.1".to_owned(),
        };
        let found = request(&ADD, config).unwrap().config.runtime_config;
        assert_eq!(found.port_mappings, [expected.clone(), expected]);
    }

    #[test]
    fn errors_have_the_specification_s_codes() {
        let code = |variables: &[(&str, &str)], input| request(variables, input).unwrap_err().code;
        assert_eq!(code(&ADD[1..], CONFIG), 4);
        assert_eq!(code(&ADD[..3], CONFIG), 4);
        assert_eq!(code(&ADD, r#"{"cniVersion":"9.0.0"}"#), 1);
        assert_eq!(code(&ADD, "{}"), 6);
        assert_eq!(code(&ADD, "nonsense"), 6);
        let mut outside = ADD;
        outside[1].1 = "../../x";
        assert_eq!(code(&outside, CONFIG), 4);
        let bare = request(&ADD, r#"{"cniVersion":"1.0.0"}"#).unwrap();
        assert_eq!(bare.pod_cidr().unwrap_err().code, 7);
    }

    #[test]
    fn undoing_needs_no_namespace() {
        let del = [("CNI_COMMAND", "DEL"), ADD[1], ADD[3]];
        assert_eq!(request(&del, CONFIG).unwrap().netns, "");
        let version = [("CNI_COMMAND", "VERSION")];
        assert!(request(&version, r#"{"cniVersion":"9.9.9"}"#).is_ok());
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(input in ".{0,200}") {
            let _malformed = request(&ADD, &input);
        }

        #[test]
        fn whatever_is_accepted_is_sound(
            version in "(1\\.0\\.0|0\\.4\\.0|[0-9.]{0,6})",
            cidr in "([0-9]{1,3}\\.){3}[0-9]{1,3}/[0-9]{1,2}",
            id in "[a-zA-Z0-9./_-]{0,20}",
        ) {
            let mut variables = ADD;
            variables[1].1 = &id;
            let config = json!({ "cniVersion": version, "podCidr": cidr }).to_string();
            if let Ok(request) = request(&variables, &config) {
                prop_assert!(SUPPORTED_VERSIONS.contains(&request.config.cni_version.as_str()));
                prop_assert!(!request.container_id.is_empty());
                prop_assert!(!request.container_id.contains('/'));
                if let Ok(cidr) = request.pod_cidr() {
                    prop_assert!((8..=29).contains(&cidr.prefix_len()));
                }
            }
        }
    }
}
