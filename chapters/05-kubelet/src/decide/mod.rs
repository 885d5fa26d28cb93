//! The kubelet's decisions, as functions of what is known: no IO, no clock.
//!
//! | function | question | upstream |
//! | --- | --- | --- |
//! | [`actions::compute_actions`] | what has to be done for this pod now? | `kuberuntime_manager.go: computePodActions` |
//! | [`status::pod_status`] | what does its status say? | `kubelet_pods.go: generateAPIPodStatus` |
//! | [`ending::waves`] | in which order do its containers end? | `kuberuntime_termination_order.go` |
//! | [`phase::phase`] | one word for all of that? | `kubelet_pods.go: getPhase` |
//! | [`patch::status_patch`] | which part of that does the API server not know yet? | `util/pod: PatchPodStatus` |
//! | [`admission::admit`] | does this node take the pod? | `lifecycle/predicate.go` |
//! | [`resize::decide`] | may it use more, or less? | `pkg/kubelet/allocation` |
//! | [`static_pod::mirror_step`] | does the API show a static pod as it is? | `pkg/kubelet/pod` |
//! | [`eviction::first_to_go`] | which pod goes when the node runs short? | `pkg/kubelet/eviction` |
//! | [`reserved::Reservation::allocatable`] | what has the node to give? | `cm/node_container_manager_linux.go` |
//! | [`shutdown::phases`] | in which order do pods end with their node? | `pkg/kubelet/nodeshutdown` |
//! | [`probe::is_asked`] | is a probe asked yet? | `prober/worker.go` |
//! | [`probe::ProbeState::record`] | does this probe's result change anything? | `prober/worker.go` |
//! | [`env::container_env`], [`env::expand`] | what is in its environment? | `kubelet_pods.go: makeEnvironmentVariables` |
//! | [`dns::resolv_conf`] | where does it look up names? | `network/dns/dns.go` |
//!
//! The inputs are the [`Pod`] that the API server wants, and [`RuntimePod`]: what the runtime says
//! there is. Little is remembered between calls: the back-off of crashing containers, and the
//! [`Notes`] of what was done to them, which are inputs as well. So a kubelet that restarts, or a runtime that lost everything, needs no
//! case of its own: the next sync sees what is there and goes on from it.

pub mod actions;
pub mod admission;
pub mod backoff;
pub mod conditions;
pub mod dns;
pub mod ending;
pub mod env;
mod env_file;
pub mod eviction;
pub mod fields;
pub mod image_gc;
pub mod local_storage;
pub mod mounts;
pub mod patch;
pub mod phase;
pub mod ports;
pub mod probe;
pub mod pull_policy;
pub mod qos;
pub mod quantity;
pub mod requests;
pub mod reserved;
pub mod resize;
pub mod security;
pub mod shutdown;
pub mod spec;
pub mod static_pod;
pub mod status;
pub mod sysctls;
pub mod users;

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};

use crate::runtime::{Container, ContainerState, Sandbox, SandboxState};

/// What the runtime says there is of one pod. Upstream: `kubecontainer.PodStatus`.
#[derive(Debug, Clone, Default)]
pub struct RuntimePod {
    /// Its sandboxes, newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Its containers, of all its sandboxes, newest first.
    pub containers: Vec<Container>,
    /// What the kubelet knows of them beside that.
    pub notes: Notes,
}

/// What the kubelet knows of a pod's containers that the runtime does not say.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// Containers that were ended in order to start them anew, by id: they are started again
    /// however they ended.
    pub restarting: HashSet<String>,
    /// When to try again to make containers that could not be made, by [`actions::backoff_key`].
    pub retry_at: HashMap<String, Timestamp>,
    /// When to try again to make the sandbox, if it could not be made.
    pub retry_sandbox_at: Option<Timestamp>,
    /// The resources that the runtime was last told of, by name.
    pub actuated: BTreeMap<String, ResourceRequirements>,
    /// A resize that cannot be done now.
    pub resize_pending: Option<resize::Pending>,
    /// Why the resize under way does not get on.
    pub resize_error: Option<String>,
    /// Why the pod is ended on behalf of others: what `DisruptionTarget` says.
    pub disruption: Option<status::Waiting>,
}

impl RuntimePod {
    /// The sandbox that counts, whatever its state.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// The sandbox that containers can run in.
    pub fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandbox()
            .filter(|sandbox| sandbox.state == SandboxState::Ready)
    }

    /// The newest container of a name.
    pub fn latest(&self, name: &str) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }

    /// The newest container of a name in the sandbox that counts.
    pub fn current(&self, name: &str) -> Option<&Container> {
        let sandbox = self.sandbox()?;
        self.containers
            .iter()
            .find(|c| c.name == name && c.sandbox_id == sandbox.id)
    }

    /// Whether the newest container of a name has ended and was to be started anew.
    pub fn restarts(&self, name: &str) -> bool {
        self.latest(name).is_some_and(|latest| {
            let ended = matches!(latest.state, ContainerState::Exited { .. });
            ended && self.notes.restarting.contains(&latest.id)
        })
    }

    /// All containers that run.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers
            .iter()
            .filter(|c| c.state == ContainerState::Running)
    }

    /// Whether nothing of the pod runs.
    pub fn is_stopped(&self) -> bool {
        self.running().next().is_none()
            && self
                .sandboxes
                .iter()
                .all(|s| s.state == SandboxState::NotReady)
    }
}

/// What a kind of probe last said, after its thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The container is fine.
    Success,
    /// It is not.
    Failure,
}

/// What the probes say, by container id. No entry: has not been decided yet.
#[derive(Debug, Clone, Default)]
pub struct ProbeResults {
    /// Has it started?
    pub startup: HashMap<String, Outcome>,
    /// Should it get traffic?
    pub readiness: HashMap<String, Outcome>,
    /// Should it be killed?
    pub liveness: HashMap<String, Outcome>,
}

/// `namespace/name` of a pod, for logs.
pub fn pod_key(pod: &Pod) -> String {
    format!(
        "{}/{}",
        pod.metadata.namespace.as_deref().unwrap_or("default"),
        pod.metadata.name.as_deref().unwrap_or_default()
    )
}
