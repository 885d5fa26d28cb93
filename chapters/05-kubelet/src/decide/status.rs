//! A pod's status, as upstream's kubelet writes it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerState as ApiState, ContainerStateRunning,
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, ContainerUser as ApiUser,
    HostIP, LinuxContainerUser, Pod, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::actions::{is_started, starts};
use super::admission::Rejection;
use super::phase::phase;
use super::{Outcome, ProbeResults, RuntimePod, conditions, mounts, qos, spec};
use crate::runtime::{Container, ContainerState, ContainerUser, Features};

/// Why a container does not run: `CrashLoopBackOff`, `ErrImagePull`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// Why a pod was ended by the kubelet itself: `DeadlineExceeded`, `Evicted`.
pub type Ended = Waiting;

/// What a status is made from, beside the pod itself.
#[derive(Debug, Clone, Copy)]
pub struct StatusInput<'a> {
    /// What the runtime says.
    pub runtime: &'a RuntimePod,
    /// What the probes say.
    pub probes: &'a ProbeResults,
    /// Why containers wait, by name.
    pub waiting: &'a HashMap<String, Waiting>,
    /// Set if the kubelet ended the pod.
    pub ended: Option<&'a Ended>,
    /// Everything was stopped and nothing will start again.
    pub stopped: bool,
    /// The scheme of container ids: `sandbox`.
    pub scheme: &'a str,
    /// Addresses of the node.
    pub node_ips: &'a [IpAddr],
    /// What the runtime can do.
    pub features: Features,
    /// The time.
    pub now: Timestamp,
}

/// The status of a pod. Upstream: `generateAPIPodStatus`.
///
/// `pod.status` is the last one known; what others wrote into it is kept, and times of
/// transition of what did not change.
pub fn pod_status(pod: &Pod, input: &StatusInput<'_>) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let guests = spec::ephemeral_containers(pod).iter();
    let guests: Vec<ContainerSpec> = guests.map(spec::as_container).collect();
    let mut status = PodStatus {
        init_container_statuses: container_statuses(
            pod,
            spec::init_containers(pod),
            Kind::Init,
            old.init_container_statuses.as_deref(),
            input,
        ),
        container_statuses: container_statuses(
            pod,
            &spec::of(pod).containers,
            Kind::Main,
            old.container_statuses.as_deref(),
            input,
        ),
        ephemeral_container_statuses: container_statuses(
            pod,
            &guests,
            Kind::Ephemeral,
            old.ephemeral_container_statuses.as_deref(),
            input,
        ),
        start_time: Some(old.start_time.clone().unwrap_or(seconds(input.now))),
        qos_class: Some(
            old.qos_class
                .clone()
                .unwrap_or_else(|| qos::qos_class(pod).to_owned()),
        ),
        observed_generation: pod.metadata.generation,
        ..old.clone()
    };
    if input.stopped {
        account_for_all(pod, &mut status);
    }
    let mut names = spec::of(pod).containers.iter().map(|c| &c.name);
    let restarting = names.any(|name| input.runtime.restarts(name));
    status.phase = Some(match (&old.phase, input.ended) {
        // A pod that is over stays over.
        (Some(phase), _) if phase == "Succeeded" || phase == "Failed" => phase.clone(),
        (_, Some(_)) => "Failed".to_owned(),
        // What was ended in order to be started anew is not over.
        _ if restarting && !input.stopped => "Running".to_owned(),
        _ => phase(pod, &status, input.stopped).to_owned(),
    });
    if let Some(ended) = input.ended {
        status.reason = Some(ended.reason.clone());
        status.message = Some(ended.message.clone());
    }
    addresses(pod, &mut status, input);
    status.conditions = Some(conditions::conditions(pod, &status, input));
    status
}

fn addresses(pod: &Pod, status: &mut PodStatus, input: &StatusInput<'_>) {
    let host: Vec<String> = input.node_ips.iter().map(IpAddr::to_string).collect();
    status.host_ip = host.first().cloned();
    status.host_ips = Some(host.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let ips = if spec::host_network(pod) {
        // Known before it runs, as upstream: what needs the address at its start can have it.
        host
    } else {
        let sandbox = input.runtime.ready_sandbox();
        sandbox
            .map(|s| s.ips.iter().map(IpAddr::to_string).collect())
            .unwrap_or_default()
    };
    // A pod that lost its sandbox, or is over, keeps the address it had.
    if !ips.is_empty() {
        status.pod_ip = ips.first().cloned();
        status.pod_ips = Some(ips.into_iter().map(|ip| PodIP { ip }).collect());
    }
}

/// The three kinds of containers of a pod.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Init,
    Main,
    Ephemeral,
}

/// The statuses of the containers of a kind, in the spec's order.
fn container_statuses(
    pod: &Pod,
    containers: &[ContainerSpec],
    kind: Kind,
    old: Option<&[ContainerStatus]>,
    input: &StatusInput<'_>,
) -> Option<Vec<ContainerStatus>> {
    let old = old.unwrap_or_default();
    let statuses: Vec<ContainerStatus> = containers
        .iter()
        .map(|container| {
            let old = old.iter().find(|status| status.name == container.name);
            container_status(pod, container, kind, old, input)
        })
        .collect();
    (!statuses.is_empty()).then_some(statuses)
}

fn container_status(
    pod: &Pod,
    container: &ContainerSpec,
    kind: Kind,
    old: Option<&ContainerStatus>,
    input: &StatusInput<'_>,
) -> ContainerStatus {
    let mut records = input
        .runtime
        .containers
        .iter()
        .filter(|c| c.name == container.name);
    let latest = records.next();
    let mut status = match latest {
        Some(latest) => known_status(container, latest, records.next(), old, input),
        None => unknown_status(pod, container, kind, old, input),
    };
    let waits = starts(container, pod, input.runtime);
    if waits
        && !input.stopped
        && let Some(waiting) = input.waiting.get(&container.name)
    {
        let was = status
            .state
            .take()
            .filter(|state| state.terminated.is_some());
        status.last_state = was.or(status.last_state);
        status.state = Some(waiting_state(&waiting.reason, &waiting.message));
    }
    readiness(&mut status, container, kind, latest, input.probes);
    // The API server shows an empty state where there is none: what is said has to be what comes
    // back, or it would be said again and again.
    status.last_state.get_or_insert_default();
    status.state.get_or_insert_default();
    status
}

/// The status of a container of which the runtime has a record.
fn known_status(
    container: &ContainerSpec,
    latest: &Container,
    previous: Option<&Container>,
    old: Option<&ContainerStatus>,
    input: &StatusInput<'_>,
) -> ContainerStatus {
    let last_state = match previous {
        Some(previous) => Some(api_state(previous, input.scheme)),
        None => old.and_then(|old| old.last_state.clone()),
    };
    let running = latest.state == ContainerState::Running;
    let allocated = container.resources.clone().unwrap_or_default();
    let actuated = input.runtime.notes.actuated.get(&container.name);
    let resources = actuated.filter(|_| running).unwrap_or(&allocated);
    ContainerStatus {
        name: container.name.clone(),
        image: latest.image.clone(),
        image_id: latest.image_ref.clone(),
        container_id: Some(format!("{}://{}", input.scheme, latest.id)),
        restart_count: latest.attempt as i32,
        state: Some(api_state(latest, input.scheme)),
        last_state,
        allocated_resources: allocated.requests.clone().filter(|_| running),
        resources: Some(resources.clone()),
        volume_mounts: mounts::statuses(container, input.features),
        user: latest.user.clone().map(user),
        ..ContainerStatus::default()
    }
}

/// KEP-3619: whom the first process was started as, which the image has a say in.
fn user(user: ContainerUser) -> ApiUser {
    let groups = user.supplemental_groups.into_iter().map(i64::from);
    ApiUser {
        linux: Some(LinuxContainerUser {
            uid: user.uid.into(),
            gid: user.gid.into(),
            supplemental_groups: Some(groups.collect()),
        }),
    }
}

/// The status of a container that the runtime does not know: not yet, or not any more.
fn unknown_status(
    pod: &Pod,
    container: &ContainerSpec,
    kind: Kind,
    old: Option<&ContainerStatus>,
    input: &StatusInput<'_>,
) -> ContainerStatus {
    let initializing = kind == Kind::Init || !spec::init_containers(pod).is_empty();
    let reason = if initializing {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting_state(reason, "")),
        volume_mounts: mounts::statuses(container, input.features),
        ..ContainerStatus::default()
    };
    let Some(old) = old else { return status };
    status.restart_count = old.restart_count;
    status.last_state = old.last_state.clone();
    let state = old.state.as_ref();
    if state.is_some_and(|state| state.terminated.is_some()) {
        // It ended and its record was removed; what was said of it holds.
        return ContainerStatus {
            ready: false,
            ..old.clone()
        };
    }
    if state.is_some_and(|state| state.running.is_some()) {
        // It ran when it was last seen: the node lost it.
        status.last_state = Some(lost_state(old.container_id.clone()));
    }
    status
}

/// `ready` and `started`. Upstream: `prober/prober_manager.go: UpdatePodStatus`.
fn readiness(
    status: &mut ContainerStatus,
    container: &ContainerSpec,
    kind: Kind,
    latest: Option<&Container>,
    probes: &ProbeResults,
) {
    if kind == Kind::Ephemeral {
        // Nobody waits for them, and no traffic goes to them.
        return;
    }
    let state = status.state.as_ref();
    if kind == Kind::Init && !spec::is_sidecar(container) {
        let ended = state.and_then(|state| state.terminated.as_ref());
        status.ready = ended.is_some_and(|ended| ended.exit_code == 0);
        status.started = Some(false);
        return;
    }
    let running = latest.filter(|_| state.is_some_and(|state| state.running.is_some()));
    let started = running.is_some_and(|running| is_started(container, running, probes));
    status.started = Some(started);
    status.ready = started
        && running.is_some_and(|running| {
            container.readiness_probe.is_none()
                || probes.readiness.get(&running.id) == Some(&Outcome::Success)
        });
}

/// A pod that is over has no container that waits or runs, but for those that it never came to.
/// Upstream: `status_manager.go: TerminatePod`.
fn account_for_all(pod: &Pod, status: &mut PodStatus) {
    let waits = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        state.is_none_or(|state| state.running.is_none() && state.terminated.is_none())
    };
    let init = status.init_container_statuses.as_deref_mut();
    let init = init.unwrap_or_default();
    let main = status.container_statuses.as_deref_mut().unwrap_or_default();
    // Init containers run in turn: those at the end that wait had none. The first always had.
    let untried = init.iter().rev().take_while(|init| waits(init)).count();
    let tried = (init.len() - untried).max(1).min(init.len());
    let last_succeeded = init.last().is_some_and(|last| {
        let ended = last
            .state
            .as_ref()
            .and_then(|state| state.terminated.as_ref());
        let sidecar = spec::init_containers(pod)
            .last()
            .is_some_and(spec::is_sidecar);
        if sidecar {
            !waits(last)
        } else {
            ended.is_some_and(|ended| ended.exit_code == 0)
        }
    });
    let initialized = init.is_empty() || last_succeeded || !main.iter().all(waits);
    for status in &mut init[..tried] {
        lost_if_not_ended(status);
    }
    if initialized {
        for status in main {
            lost_if_not_ended(status);
        }
    }
}

fn lost_if_not_ended(status: &mut ContainerStatus) {
    if status
        .state
        .as_ref()
        .is_some_and(|state| state.terminated.is_some())
    {
        return;
    }
    // Upstream tells the two apart: one that ran has a last state, one that never ran has not.
    status.state = match status.last_state.take_if(|last| last.terminated.is_some()) {
        Some(last) => Some(last),
        None => Some(lost_state(status.container_id.clone())),
    };
}

fn lost_state(container_id: Option<String>) -> ApiState {
    ApiState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some(
                "The container could not be located when the pod was terminated".to_owned(),
            ),
            container_id,
            ..ContainerStateTerminated::default()
        }),
        ..ApiState::default()
    }
}

fn waiting_state(reason: &str, message: &str) -> ApiState {
    ApiState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }),
        ..ApiState::default()
    }
}

fn api_state(container: &Container, scheme: &str) -> ApiState {
    match &container.state {
        ContainerState::Created => waiting_state("ContainerCreating", ""),
        ContainerState::Running => ApiState {
            running: Some(ContainerStateRunning {
                started_at: container.started_at.map(seconds),
            }),
            ..ApiState::default()
        },
        ContainerState::Exited {
            exit_code,
            finished_at,
            reason,
            message,
        } => ApiState {
            terminated: Some(ContainerStateTerminated {
                exit_code: *exit_code,
                reason: (!reason.is_empty()).then(|| reason.clone()),
                message: (!message.is_empty()).then(|| message.clone()),
                started_at: container.started_at.map(seconds),
                finished_at: Some(seconds(*finished_at)),
                container_id: Some(format!("{scheme}://{}", container.id)),
                signal: None,
            }),
            ..ApiState::default()
        },
    }
}

/// `metav1.Time` has whole seconds: what is sent has to equal what comes back.
pub(super) fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// The status of a pod that the node does not take. Upstream: `kubelet.go: rejectPod`.
pub fn rejected(pod: &Pod, rejection: &Rejection) -> PodStatus {
    PodStatus {
        phase: Some("Failed".to_owned()),
        reason: Some(rejection.reason.clone()),
        message: Some(format!("Pod was rejected: {}", rejection.message)),
        qos_class: Some(qos::qos_class(pod).to_owned()),
        observed_generation: pod.metadata.generation,
        ..pod.status.clone().unwrap_or_default()
    }
}

/// Messages that containers left behind, put into the runtime's view of them. By container id.
pub fn add_termination_messages(runtime: &mut RuntimePod, messages: &BTreeMap<String, String>) {
    for container in &mut runtime.containers {
        if let ContainerState::Exited { message, .. } = &mut container.state
            && let Some(left) = messages.get(&container.id)
            && message.is_empty()
        {
            message.clone_from(left);
        }
    }
}
