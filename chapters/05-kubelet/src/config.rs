//! The kubelet's flags, by upstream's names.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use jiff::SignedDuration;

use crate::decide::eviction::{Amounts, Periods, Policy, Thresholds};
use crate::decide::image_gc;
use crate::decide::reserved::{Reservation, Reserved};
use crate::decide::sysctls::Unsafe;

/// What runs a node's containers.
#[derive(clap::ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RuntimeKind {
    /// The embedded one: namespaces of this machine
    #[default]
    Sandbox,
    /// A Docker engine
    Docker,
}

/// How one kubelet is set up.
///
/// Upstream: `cmd/kubelet/app/options/options.go`.
#[derive(clap::Args, Debug, Clone)]
pub struct Config {
    /// Kubeconfig file: where the API server is and who this node is.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// Name of the Node object; the machine's hostname if left out.
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Address of the node; that of the interface with the route to the API server if left out.
    #[arg(long, value_name = "IP")]
    pub node_ip: Option<IpAddr>,
    /// Folder for everything that this node keeps: pods, volumes, containers, logs.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/workshop-kubelet")]
    pub root_dir: PathBuf,
    /// Folder of images, which the nodes of one machine may share; `<root-dir>/images` if left
    /// out.
    #[arg(long, value_name = "DIR")]
    pub image_store: Option<PathBuf>,
    /// Name servers of pods whose `dnsPolicy` is `ClusterFirst`.
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub cluster_dns: Vec<IpAddr>,
    /// Domain of the cluster, searched by pods.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// CA of the clients that may call this kubelet; without it only those with a token may.
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Certificate of the kubelet's own server. Without it the kubelet makes a self-signed one,
    /// which needs no trust since the API server identifies itself, as upstream does.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Key of the kubelet's own server.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Address the kubelet's server listens on.
    #[arg(long, value_name = "IP", default_value = "0.0.0.0")]
    pub address: IpAddr,
    /// Port the kubelet's server listens on.
    #[arg(long, default_value_t = 10250)]
    pub port: u16,
    /// Folder (or file) of static pods: pods that run whether or not an API server is there.
    #[arg(long, value_name = "PATH")]
    pub pod_manifest_path: Option<PathBuf>,
    /// Taints the node registers itself with: `key=value:effect`.
    #[arg(long, value_name = "TAINT", value_delimiter = ',')]
    pub register_with_taints: Vec<String>,
    /// Labels the node registers itself with: `key=value`.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub node_labels: Vec<String>,
    /// Kernel parameters that pods may set beside the safe ones: `kernel.msg*,net.core.somaxconn`.
    #[arg(long, value_name = "LIST", default_value_t = Unsafe::default())]
    pub allowed_unsafe_sysctls: Unsafe,
    /// How much has to be left of memory and disk, or pods are evicted.
    #[arg(long, value_name = "LIST", default_value_t = Thresholds::hard_default())]
    pub eviction_hard: Thresholds,
    /// What is kept for what runs beside Kubernetes: `cpu=200m,memory=512Mi,ephemeral-storage=1Gi,pid=100`.
    #[arg(long, value_name = "LIST", default_value_t = Reserved::default())]
    pub system_reserved: Reserved,
    /// What is kept for the kubelet and the container runtime, likewise.
    #[arg(long, value_name = "LIST", default_value_t = Reserved::default())]
    pub kube_reserved: Reserved,
    /// How much has to be left, or pods are evicted after a grace period: `memory.available<300Mi`.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub eviction_soft: Thresholds,
    /// That period, for each: `memory.available=1m30s`.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub eviction_soft_grace_period: Periods,
    /// How much more than a threshold has to be left once a pod was evicted:
    /// `memory.available=100Mi`.
    #[arg(long, value_name = "LIST", default_value = "")]
    pub eviction_minimum_reclaim: Amounts,
    /// Seconds that a pod evicted because of a soft threshold has to end, at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub eviction_max_pod_grace_period: i64,
    /// How long the node keeps a condition such as `MemoryPressure` after it has passed.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub eviction_pressure_transition_period: SignedDuration,
    /// Percent of the disk in use from which on unused images are removed; 100: never.
    #[arg(long, value_name = "PERCENT", default_value_t = 85)]
    pub image_gc_high_threshold: u8,
    /// Percent of the disk in use down to which they are removed.
    #[arg(long, value_name = "PERCENT", default_value_t = 80)]
    pub image_gc_low_threshold: u8,
    /// How long an unused image has to be there before it is removed.
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub minimum_image_ttl_duration: SignedDuration,
    /// Seconds that a node which goes down gives its pods to end; without it they go on, and the
    /// next kubelet takes them up.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub shutdown_grace_period: u32,
    /// How many of these seconds are kept for critical pods, which end last.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub shutdown_grace_period_critical_pods: u32,
    /// Most pods this node takes.
    #[arg(long, value_name = "N", default_value_t = 110)]
    pub max_pods: u32,
    /// Pod CIDR to use before, or without, a node IPAM that assigns one.
    #[arg(long, value_name = "CIDR")]
    pub pod_cidr: Option<String>,
    /// HTTP proxy for image pulls: `http://host:port`.
    #[arg(long, value_name = "URL")]
    pub image_proxy: Option<String>,
    /// What runs containers.
    #[arg(long, value_enum, default_value_t)]
    pub container_runtime: RuntimeKind,
    /// More runtimes, which the pods of a RuntimeClass get whose `handler` is one of these names.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        conflicts_with = "container_runtime_endpoint"
    )]
    pub runtime_handlers: Vec<RuntimeKind>,
    /// The flags of CRI runtimes.
    #[command(flatten)]
    pub cri: CriFlags,
    /// The flags of the Docker runtime.
    #[command(flatten)]
    pub docker: DockerFlags,
}

/// Flags of runtimes that speak CRI.
#[derive(clap::Args, Debug, Clone)]
pub struct CriFlags {
    /// Where a CRI runtime listens, which then runs the containers:
    /// `unix:///run/containerd/containerd.sock`.
    #[arg(long, value_name = "URL")]
    pub container_runtime_endpoint: Option<String>,
    /// Give the CRI runtime the workshop's pause image, `workshop/pause`.
    #[arg(long, requires = "container_runtime_endpoint")]
    pub bring_pause_image: bool,
    /// The cgroup that a CRI runtime puts all pods in.
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub cgroup_root: String,
}

/// Flags of the Docker runtime alone.
#[derive(clap::Args, Debug, Clone)]
pub struct DockerFlags {
    /// Where the Docker engine listens.
    #[arg(
        long,
        value_name = "URL",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// The container that this node is, where it is one: hostNetwork is its network, and files are
    /// shared through its volumes.
    #[arg(long, value_name = "CONTAINER")]
    pub docker_node_container: Option<String>,
    /// Label of all that the kubelet makes in the engine: `name=value`; may be given again.
    #[arg(long = "docker-label", value_name = "LABEL")]
    pub docker_labels: Vec<String>,
    /// Image of the container that holds a pod's namespaces; a node that is a container uses its
    /// own.
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "registry.k8s.io/pause:3.10.1"
    )]
    pub pod_infra_container_image: String,
}

impl RuntimeKind {
    /// Its name, as flags have it.
    pub fn name(self) -> &'static str {
        match self {
            RuntimeKind::Sandbox => "sandbox",
            RuntimeKind::Docker => "docker",
        }
    }
}

impl Config {
    /// The node's name: the flag, else the hostname in lower case.
    pub fn node_name(&self) -> String {
        self.node_name.clone().unwrap_or_else(|| {
            let uname = rustix::system::uname();
            uname.nodename().to_string_lossy().to_lowercase()
        })
    }

    /// Where images are kept.
    pub fn image_store(&self) -> PathBuf {
        self.image_store
            .clone()
            .unwrap_or_else(|| self.root_dir.join("images"))
    }

    /// What the node does when it runs short.
    pub fn eviction(&self) -> Policy {
        Policy {
            hard: self.eviction_hard.clone(),
            soft: self.eviction_soft.clone(),
            soft_grace: self.eviction_soft_grace_period.clone(),
            minimum_reclaim: self.eviction_minimum_reclaim.clone(),
            max_pod_grace_seconds: self.eviction_max_pod_grace_period,
            transition_period: self.eviction_pressure_transition_period,
        }
    }

    /// What pods cannot have.
    pub fn reservation(&self) -> Reservation {
        Reservation {
            system: self.system_reserved.clone(),
            kube: self.kube_reserved.clone(),
            eviction_hard: self.eviction_hard.clone(),
        }
    }

    /// When unused images are removed.
    pub fn image_gc(&self) -> image_gc::Policy {
        image_gc::Policy {
            high_threshold_percent: self.image_gc_high_threshold,
            low_threshold_percent: self.image_gc_low_threshold,
            min_age: self.minimum_image_ttl_duration,
        }
    }

    /// Where the kubelet's server listens.
    pub fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}
