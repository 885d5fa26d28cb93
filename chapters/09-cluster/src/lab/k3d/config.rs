//! The file that `k3d cluster create --config` reads: `k3d.io/v1alpha5`, kind `Simple`.
//!
//! It is written as JSON, which is YAML too. A field that k3d has and the lab does not set is not
//! here. Upstream: `pkg/config/v1alpha5` of k3d-io/k3d, types and `schema.json`.

use serde::{Deserialize, Serialize};

/// A cluster, as k3d is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Simple {
    /// `k3d.io/v1alpha5`
    pub api_version: String,
    /// `Simple`
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// Nodes with a control plane.
    pub servers: u16,
    /// Nodes without.
    pub agents: u16,
    /// Where the API server answers.
    #[serde(rename = "kubeAPI")]
    pub kube_api: KubeApi,
    /// The image of all nodes; k3d knows one that fits itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Folders of the host in nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Ports of nodes on the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Where images come from.
    #[serde(default, skip_serializing_if = "Registries::is_empty")]
    pub registries: Registries,
    /// How k3d and k3s go about it.
    pub options: Options,
}

/// `metadata`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The cluster's name: nodes are `k3d-NAME-server-0` and so on.
    pub name: String,
}

/// `kubeAPI`: the address of the API server on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeApi {
    /// What kubeconfigs name.
    pub host: String,
    /// The address that is listened on.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
    /// Its port: a string there, too.
    pub host_port: String,
}

/// `volumes[]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// `SOURCE:PATH` as for `docker run --volume`.
    pub volume: String,
    /// The nodes that get it.
    pub node_filters: Vec<String>,
}

/// `ports[]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Port {
    /// `[IP:]HOST:NODE[/PROTOCOL]` as for `docker run --publish`.
    pub port: String,
    /// The nodes whose port it is.
    pub node_filters: Vec<String>,
}

/// `registries`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registries {
    /// One to make, which ends with the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<Registry>,
    /// Those that are there: `NAME:PORT`.
    #[serde(default, rename = "use", skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<String>,
    /// The path, or the text, of a `registries.yaml` of k3s: mirrors, certificates, passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
}

impl Registries {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `registries.create`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// The container's name, by which nodes know it.
    pub name: String,
    /// The host's address for it.
    pub host: String,
    /// The host's port for it, or `random`.
    pub host_port: String,
}

/// `options`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What k3d does.
    pub k3d: K3dOptions,
    /// What k3s is told.
    pub k3s: K3sOptions,
    /// Whether k3d touches the user's own kubeconfig.
    pub kubeconfig: KubeconfigOptions,
}

/// `options.k3d`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct K3dOptions {
    /// Return when the servers are ready.
    pub wait: bool,
    /// Give up after so long, and remove what was made; a duration of Go.
    pub timeout: String,
}

/// `options.k3s`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct K3sOptions {
    /// Flags of k3s.
    pub extra_args: Vec<ExtraArg>,
}

/// `options.k3s.extraArgs[]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtraArg {
    /// The flag.
    pub arg: String,
    /// The nodes that get it.
    pub node_filters: Vec<String>,
}

/// `options.kubeconfig`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeconfigOptions {
    /// Add the cluster to `~/.kube/config`.
    pub update_default_kubeconfig: bool,
    /// And make it the current one there.
    pub switch_current_context: bool,
}

/// What the lab is asked for on its command line.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Workers.
    pub agents: u16,
    /// The API server's port on the host.
    pub port: u16,
    /// The image of nodes.
    pub image: Option<String>,
    /// `HOST:NODE`
    pub publish: Vec<String>,
    /// `SOURCE:PATH`
    pub volumes: Vec<String>,
    /// The port of a registry to make.
    pub registry: Option<String>,
    /// Registries that are there.
    pub use_registries: Vec<String>,
    /// A `registries.yaml`.
    pub registry_config: Option<String>,
}

/// The cluster `name` in the shape of our lab: one control plane, workers, nothing on the host but
/// on 127.0.0.1, and no ingress controller, which the lab has not either.
pub fn simple(name: &str, wanted: &Wanted) -> Simple {
    let each = |filter: &str| vec![filter.to_owned()];
    Simple {
        api_version: "k3d.io/v1alpha5".into(),
        kind: "Simple".into(),
        metadata: Metadata { name: name.into() },
        servers: 1,
        agents: wanted.agents,
        kube_api: KubeApi {
            host: "127.0.0.1".into(),
            host_ip: "127.0.0.1".into(),
            host_port: wanted.port.to_string(),
        },
        image: wanted.image.clone(),
        volumes: wanted
            .volumes
            .iter()
            .map(|volume| Volume {
                volume: volume.clone(),
                node_filters: each("all"),
            })
            .collect(),
        ports: wanted
            .publish
            .iter()
            .map(|port| Port {
                port: on_loopback(port),
                // A NodePort answers on any node.
                node_filters: each("server:0"),
            })
            .collect(),
        registries: Registries {
            create: wanted.registry.as_ref().map(|port| Registry {
                name: format!("{name}-registry"),
                host: "127.0.0.1".into(),
                host_port: port.clone(),
            }),
            used: wanted.use_registries.clone(),
            config: wanted.registry_config.clone(),
        },
        options: Options {
            k3d: K3dOptions {
                wait: true,
                timeout: "180s".into(),
            },
            k3s: K3sOptions {
                extra_args: vec![ExtraArg {
                    arg: "--disable=traefik".into(),
                    node_filters: each("server:*"),
                }],
            },
            kubeconfig: KubeconfigOptions {
                update_default_kubeconfig: false,
                switch_current_context: false,
            },
        },
    }
}

/// Docker would listen on all addresses where none is said.
fn on_loopback(port: &str) -> String {
    match port.split(':').count() {
        2 => format!("127.0.0.1:{port}"),
        _ => port.into(),
    }
}
