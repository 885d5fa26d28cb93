//! The Docker lab: nodes are containers, and so is every pod: `docker ps` shows the cluster.
//!
//! ```text
//! host ───────────────────────────────────────────────────────────────────────────────────
//!   kubectl ─► 127.0.0.1:6443 ─► published by the engine
//! Docker engine ──────────────────────────────────────────────────────────────────────────
//!   network workshop-NAME 172.30.N.0/24
//!     ├──────────────────────────────┬─────────────────────────────┐
//!   ┌─┴─ workshop-NAME-control-plane ┐ ┌─┴─ workshop-NAME-worker-1 ┐ ┌─┴─ …-worker-2 ─┐
//!   │ init ─ apiserver, scheduler, … │ │ init ─ kubelet, proxy     │ │ …              │
//!   └──────────┬─────────────────────┘ └───────┬───────────────────┘ └────────────────┘
//!              │ veth                          │ veth
//!        pause and containers            pause and containers     siblings, by the same engine
//!        of its pods                     of its pods
//! ```
//!
//! | what | how the engine keeps it | label |
//! | --- | --- | --- |
//! | node | a container of the node image, never privileged: see [`node`] | `workshop.role=node` |
//! | its state | a volume, also certificates and components: see [`files`] | `workshop.lab=NAME` |
//! | pod, container | a container made by the kubelet | `workshop.lab`, `workshop.node` |
//! | images | `workshop/node`, `echo`, `dns`, `shell`: see [`image`] | `workshop.image` |
//!
//! There is no supervisor: what the embedded lab's does (start components, start them again), a
//! node's process 1 does here ([`init`]), and the engine starts nodes again. `lab down` removes what
//! has the lab's label, and nothing else.
//!
//! Left out: NodePorts are served at the nodes' addresses, not on 127.0.0.1 (on Linux the host
//! reaches them). With an engine that is not on this machine's Linux (Docker Desktop) nobody ran
//! this yet: the program has to be built for Linux first, which `cargo xtask lab` does not do there.

pub mod doctor;
pub mod engine;
pub mod files;
pub mod image;
pub mod init;
pub mod node;
pub mod up;
pub mod verbs;

/// Label with the lab's name, on all that belongs to it.
pub const LAB: &str = "workshop.lab";
/// Label with the node's name, on the node and on what runs on it.
pub const NODE: &str = "workshop.node";
/// Label that tells a node from what runs on it.
pub const ROLE: &str = "workshop.role";

/// The name of a lab's network.
pub fn network(lab: &str) -> String {
    format!("workshop-{lab}")
}

/// The name of a node's container, and of its volume.
pub fn container(lab: &str, node: &str) -> String {
    format!("workshop-{lab}-{node}")
}
