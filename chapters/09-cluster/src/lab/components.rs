//! What runs on each node, and with which flags: pure.

use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::record::{Node, Record, Runtime};

/// Addresses of Services.
pub const SERVICE_CIDR: &str = "10.96.0.0/12";
/// Addresses of pods; each node gets a /24 of it.
pub const POD_CIDR: &str = "10.244.0.0/16";
/// The address of the Service `kube-dns`.
pub const DNS_IP: &str = "10.96.0.10";
/// What cluster names end in.
pub const DOMAIN: &str = "cluster.local";
/// The proxy through which kubelets pull images: see `gateway`.
pub const IMAGE_PROXY: &str = "http://172.30.0.1:3128";

/// Taint of the control plane's node, which the kubelet registers with, and its label, which no
/// kubelet may give itself (upstream: the NodeRestriction admission), so the lab does.
pub const CONTROL_PLANE_ROLE: &str = "node-role.kubernetes.io/control-plane";

/// Seconds without a lease renewal until a node is NotReady. Upstream's default is 50.
pub const NODE_MONITOR_GRACE_SECONDS: u32 = 12;
/// Seconds that a pod stays on a node that is NotReady or unreachable. Upstream's default is 300.
pub const TOLERATION_SECONDS: u32 = 15;

/// A program that runs on a node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Component {
    /// Its name: the role, as `lab logs` takes it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Give it the listening socket of the host's loopback.
    pub listener: Option<i32>,
    /// Start it in a network of its own, beside the node's, at this address.
    pub network: Option<std::net::Ipv4Addr>,
}

/// The programs of `node`. `listener` is the socket of the host's loopback, for the API server.
pub fn of(layout: &Layout, record: &Record, node: &Node, listener: i32) -> Vec<Component> {
    let mut components = ours(layout, record, node, listener);
    if let Some(members) = record.members.as_ref().filter(|_| node.is_control_plane()) {
        members.join(layout, &record.name, &mut components);
    }
    components
}

fn ours(layout: &Layout, record: &Record, node: &Node, listener: i32) -> Vec<Component> {
    let program = layout.bin().join("cluster");
    let component = |name: &str, args: Vec<String>| Component {
        name: name.into(),
        program: program.clone(),
        args: [vec![name.to_owned()], args].concat(),
        log: layout.log(&node.name, name),
        listener: None,
        network: None,
    };
    // ANCHOR: exercise-09.1
    let mut components = Vec::new();
    if node.is_control_plane() {
        let mut apiserver = component("apiserver", apiserver(layout, node, listener));
        apiserver.listener = Some(listener);
        components.push(apiserver);
        components.push(component("controllers", controllers(layout)));
        let mut scheduler = component("scheduler", scheduler(layout));
        if let Some(replacement) = &record.scheduler {
            // A program of its own has no subcommand to name the role.
            scheduler.program.clone_from(replacement);
            scheduler.args.remove(0);
        }
        components.push(scheduler);
    }
    if record.runtime == Runtime::Containerd {
        components.push(containerd(layout, node));
    }
    components.push(component("kubelet", kubelet(layout, record, node)));
    components.push(component("proxy", proxy(layout, node)));
    components
    // ANCHOR_END: exercise-09.1
}

fn apiserver(layout: &Layout, node: &Node, listener: i32) -> Vec<String> {
    let pki = |name: &str| layout.pki_file(name);
    Flags::default()
        .path("data-dir", &layout.store())
        .text("bind-address", node.ip())
        .text("advertise-address", node.ip())
        .text("secure-port", 6443)
        .text("listen-fd", listener)
        .path("tls-cert-file", &pki("apiserver.crt"))
        .path("tls-private-key-file", &pki("apiserver.key"))
        .path("client-ca-file", &pki("ca.crt"))
        .path("service-account-signing-key-file", &pki("sa.key"))
        .text(
            "service-account-issuer",
            format!("https://kubernetes.default.svc.{DOMAIN}"),
        )
        .text("service-cluster-ip-range", SERVICE_CIDR)
        .path("kubelet-client-certificate", &pki("apiserver-kubelet.crt"))
        .path("kubelet-client-key", &pki("apiserver-kubelet.key"))
        .path("kubelet-certificate-authority", &pki("ca.crt"))
        .text("default-not-ready-toleration-seconds", TOLERATION_SECONDS)
        .text("default-unreachable-toleration-seconds", TOLERATION_SECONDS)
        .args
}

fn controllers(layout: &Layout) -> Vec<String> {
    Flags::default()
        .path("kubeconfig", &layout.pki_file("controllers.kubeconfig"))
        .path("root-ca-file", &layout.pki_file("ca.crt"))
        .path(
            "service-account-private-key-file",
            &layout.pki_file("sa.key"),
        )
        .text("cluster-cidr", POD_CIDR)
        .text(
            "node-monitor-grace-period",
            format!("{NODE_MONITOR_GRACE_SECONDS}s"),
        )
        .text("leader-elect", false)
        .args
}

fn scheduler(layout: &Layout) -> Vec<String> {
    Flags::default()
        .path("kubeconfig", &layout.pki_file("scheduler.kubeconfig"))
        .args
}

/// The program is not ours, and knows of proxies only by its environment.
fn containerd(layout: &Layout, node: &Node) -> Component {
    let config = layout.containerd(&node.name).config();
    let args = [
        format!("HTTP_PROXY={IMAGE_PROXY}"),
        format!("HTTPS_PROXY={IMAGE_PROXY}"),
        "containerd".to_owned(),
        format!("--config={}", config.display()),
    ];
    Component {
        name: "containerd".into(),
        program: "env".into(),
        args: args.into(),
        log: layout.log(&node.name, "containerd"),
        listener: None,
        network: None,
    }
}

/// The cgroup of all pods of a lab; one of each node is in it.
pub fn cgroup(lab: &str) -> String {
    format!("/workshop-{lab}")
}

fn kubelet(layout: &Layout, record: &Record, node: &Node) -> Vec<String> {
    let pki = |end: &str| layout.pki_file(&format!("kubelet-{}{end}", node.name));
    let mut flags = Flags::default()
        .path("kubeconfig", &pki(".kubeconfig"))
        .text("node-name", &node.name)
        .text("node-ip", node.ip())
        .path("root-dir", &layout.node(&node.name))
        .path("image-store", &layout.images())
        .text("image-proxy", IMAGE_PROXY)
        .text("cluster-dns", DNS_IP)
        .text("cluster-domain", DOMAIN)
        // A reader's disk may well be that full, and an image that was loaded by hand can be pulled
        // from nowhere. kind does the same.
        .text("image-gc-high-threshold", "100")
        .text("eviction-hard", super::disk::eviction_hard())
        .path("client-ca-file", &layout.pki_file("ca.crt"))
        .path("tls-cert-file", &pki("-serving.crt"))
        .path("tls-private-key-file", &pki("-serving.key"));
    if record.runtime == Runtime::Containerd {
        let cgroup = format!("{}/{}", cgroup(&record.name), node.name);
        let endpoint = layout.containerd(&node.name).endpoint();
        flags = flags
            .text("container-runtime-endpoint", endpoint)
            .text("cgroup-root", cgroup);
        flags.args.push("--bring-pause-image".to_owned());
    }
    if node.is_control_plane() {
        flags = flags.text(
            "register-with-taints",
            format!("{CONTROL_PLANE_ROLE}:NoSchedule"),
        );
    }
    flags.args
}

fn proxy(layout: &Layout, node: &Node) -> Vec<String> {
    Flags::default()
        .path("kubeconfig", &layout.pki_file("proxy.kubeconfig"))
        .text("node-name", &node.name)
        .text("cluster-cidr", POD_CIDR)
        .args
}

/// `--name=value` flags, collected.
#[derive(Default)]
pub(super) struct Flags {
    /// In the order in which they came.
    pub args: Vec<String>,
}

impl Flags {
    /// A flag with any value.
    pub fn text(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.args.push(format!("--{name}={value}"));
        self
    }

    /// A flag whose value is a path.
    pub fn path(self, name: &str, path: &Path) -> Self {
        self.text(name, path.display())
    }
}
