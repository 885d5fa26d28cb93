//! What has to be done for a pod, from what is wanted and what is there.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container as ContainerSpec, Pod, ResourceRequirements};

use super::backoff::Backoff;
use super::{Notes, Outcome, ProbeResults, RuntimePod, resize, spec};
use crate::runtime::{Container, ContainerState};

/// Why a running container has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Its id.
    pub container_id: String,
    /// Its name in the pod.
    pub name: String,
    /// For the event: `Container web failed liveness probe, will be restarted`.
    pub message: String,
    /// A probe's own grace period.
    pub grace_period_seconds: Option<i64>,
    /// It is started anew when it has ended, however that was.
    pub restarts: bool,
}

/// What has to be done, in this order: kill, make the sandbox, start containers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodActions {
    /// Stop everything of the pod: it is over, or its sandbox is no more.
    pub kill_pod: bool,
    /// Make a sandbox, as this attempt.
    pub create_sandbox: Option<u32>,
    /// Ephemeral containers to start now.
    pub start_ephemeral: Vec<usize>,
    /// Init containers to start now.
    pub start_init: Vec<usize>,
    /// Containers to start now.
    pub start: Vec<usize>,
    /// Containers that wait out a back-off: name and what is left of it.
    pub backing_off: Vec<(String, SignedDuration)>,
    /// Containers that could not be made lately: name and how long until they are tried again.
    pub held: Vec<(String, SignedDuration)>,
    /// How long until a sandbox that could not be made lately is tried again.
    pub sandbox_held: Option<SignedDuration>,
    /// Containers to kill.
    pub kill: Vec<Kill>,
    /// Containers whose resources change while they run.
    pub resize: Vec<Resize>,
}

/// What a running container may use from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// Its id.
    pub container_id: String,
    /// Its name in the pod.
    pub name: String,
    /// All of its resources.
    pub resources: ResourceRequirements,
}

/// Key of a container in the back-off table.
pub fn backoff_key(pod: &Pod, container: &ContainerSpec) -> String {
    format!(
        "{}_{}_{}",
        pod.metadata.uid.as_deref().unwrap_or_default(),
        container.name,
        spec::container_hash(container)
    )
}

/// How long a container, or a sandbox, that could not be made is left alone. Whatever else happens to the pod
/// (its own new status among it) would else have it tried again at once. Upstream: `backOffPeriod`
/// in `pkg/kubelet/kubelet.go`, which is the same each time.
pub const RETRY_PERIOD: SignedDuration = SignedDuration::from_secs(10);

/// Takes note that a container could not be made. Another spec is another container.
pub fn hold(notes: &mut Notes, pod: &Pod, container: &ContainerSpec, now: Timestamp) {
    let key = backoff_key(pod, container);
    notes.retry_at.insert(key, now + RETRY_PERIOD);
}

/// Takes note that a pod's sandbox could not be made.
pub fn hold_sandbox(notes: &mut Notes, now: Timestamp) {
    notes.retry_sandbox_at = Some(now + RETRY_PERIOD);
}

/// Decides what to do for a pod that should be running.
///
/// Whoever is asked to start a container does it and counts it in `backoff`; whoever waits is
/// listed with the time that is left. Upstream: `computePodActions`.
pub fn compute_actions(
    pod: &Pod,
    runtime: &RuntimePod,
    probes: &ProbeResults,
    backoff: &Backoff,
    now: Timestamp,
) -> PodActions {
    let mut actions = match new_sandbox_attempt(pod, runtime) {
        Some(attempt) => start_over(pod, runtime, attempt),
        None => go_on(pod, runtime, probes),
    };
    hold_back_sandbox(&mut actions, &runtime.notes, now);
    hold_back(&mut actions, pod, runtime, backoff, now);
    actions
}

/// The attempt of the sandbox that has to be made, or `None` if the one there is fine.
fn new_sandbox_attempt(pod: &Pod, runtime: &RuntimePod) -> Option<u32> {
    let Some(newest) = runtime.sandbox() else {
        return Some(0);
    };
    let without_address = newest.ips.is_empty() && !spec::host_network(pod);
    let unusable = runtime.ready_sandbox().is_none() || without_address;
    unusable.then_some(newest.metadata.attempt + 1)
}

/// The pod has no sandbox: what of it begins again in a new one?
fn start_over(pod: &Pod, runtime: &RuntimePod, attempt: u32) -> PodActions {
    let mut actions = PodActions {
        kill_pod: attempt > 0,
        ..PodActions::default()
    };
    let containers = &spec::of(pod).containers;
    let ran_before = containers.iter().any(|c| runtime.latest(&c.name).is_some());
    let never = spec::pod_restart_policy(pod) == "Never";
    if never && attempt > 0 && !runtime.containers.is_empty() {
        // What ran once does not run again.
        return actions;
    }
    let start = indices(containers, |container| starts(container, pod, runtime));
    if start.is_empty() && ran_before {
        return actions;
    }
    actions.create_sandbox = Some(attempt);
    if spec::init_containers(pod).is_empty() {
        actions.start = start;
    } else {
        // A new sandbox is initialised anew.
        actions.start_init = vec![0];
    }
    actions
}

/// The pod has its sandbox: what is missing in it, what is wrong?
fn go_on(pod: &Pod, runtime: &RuntimePod, probes: &ProbeResults) -> PodActions {
    let mut actions = PodActions {
        // Who looks into a pod does not wait for it to be initialised.
        start_ephemeral: (0..spec::ephemeral_containers(pod).len())
            .filter(|index| {
                let guest = &spec::ephemeral_containers(pod)[*index];
                runtime.latest(&guest.name).is_none()
            })
            .collect(),
        ..PodActions::default()
    };
    let initialized = init_actions(pod, runtime, probes, &mut actions);
    if actions.kill_pod || !initialized {
        return actions;
    }
    let mut kept = 0;
    for (index, container) in spec::of(pod).containers.iter().enumerate() {
        let latest = runtime.latest(&container.name);
        match latest {
            Some(running) if running.state == ContainerState::Running => {
                let killed = kill_or_resize(container, running, pod, runtime, probes, &mut actions);
                kept += usize::from(!killed);
            }
            _ if starts(container, pod, runtime) => actions.start.push(index),
            _ => {}
        }
    }
    if kept == 0 && actions.start.is_empty() && actions.kill.is_empty() {
        // All containers are done: the sidecars go as well.
        actions.kill_pod = true;
        actions.start_init.clear();
        actions.start_ephemeral.clear();
    }
    actions
}

/// Takes init containers one step further, in their order. Returns whether all are done.
fn init_actions(
    pod: &Pod,
    runtime: &RuntimePod,
    probes: &ProbeResults,
    actions: &mut PodActions,
) -> bool {
    let init_containers = spec::init_containers(pod);
    let initialized = spec::of(pod)
        .containers
        .iter()
        .any(|c| runtime.current(&c.name).is_some());
    for (index, container) in init_containers.iter().enumerate() {
        let current = runtime.current(&container.name);
        // Later ones ran in this sandbox, so this one had its turn, whatever is known of it.
        let had_its_turn = initialized
            || init_containers[index + 1..]
                .iter()
                .any(|c| runtime.current(&c.name).is_some());
        // ANCHOR: exercise-05.12
        let done = match current.map(|c| (c, &c.state)) {
            Some((running, ContainerState::Running)) if spec::is_sidecar(container) => {
                kill_or_resize(container, running, pod, runtime, probes, actions);
                is_started(container, running, probes)
            }
            _ if spec::is_sidecar(container) => {
                actions.start_init.push(index);
                false
            }
            Some((_, ContainerState::Running)) => false,
            Some((_, ContainerState::Exited { exit_code: 0, .. })) => true,
            Some((_, ContainerState::Exited { exit_code, .. })) if !had_its_turn => {
                if spec::restarts_after(container, pod, *exit_code) {
                    actions.start_init.push(index);
                } else {
                    actions.kill_pod = true;
                }
                false
            }
            _ if had_its_turn => true,
            _ => {
                actions.start_init.push(index);
                false
            }
        };
        if !done && !had_its_turn {
            return false;
        }
        // ANCHOR_END: exercise-05.12
    }
    true
}

/// Without the sandbox, which could not be made lately, none of its containers starts.
fn hold_back_sandbox(actions: &mut PodActions, notes: &Notes, now: Timestamp) {
    let retry_at = notes.retry_sandbox_at.filter(|retry_at| *retry_at > now);
    if let Some(retry_at) = retry_at
        && actions.create_sandbox.take().is_some()
    {
        actions.start_init.clear();
        actions.start.clear();
        actions.sandbox_held = Some(retry_at.duration_since(now));
    }
}

/// Moves containers that crashed too often lately from `start` to `backing_off`, and those that
/// could not be made to `held`.
fn hold_back(
    actions: &mut PodActions,
    pod: &Pod,
    runtime: &RuntimePod,
    backoff: &Backoff,
    now: Timestamp,
) {
    let (mut backing_off, mut held) = (Vec::new(), Vec::new());
    let mut may_start = |container: &ContainerSpec| {
        let retry_at = runtime.notes.retry_at.get(&backoff_key(pod, container));
        if let Some(retry_at) = retry_at.filter(|retry_at| **retry_at > now) {
            held.push((container.name.clone(), retry_at.duration_since(now)));
            return false;
        }
        let Some(failed_at) = runtime.latest(&container.name).and_then(finished_at) else {
            return true;
        };
        let remaining = backoff.remaining(&backoff_key(pod, container), failed_at, now);
        if let Some(remaining) = remaining {
            backing_off.push((container.name.clone(), remaining));
        }
        remaining.is_none()
    };
    actions
        .start_init
        .retain(|index| may_start(&spec::init_containers(pod)[*index]));
    actions
        .start
        .retain(|index| may_start(&spec::of(pod).containers[*index]));
    actions.start_ephemeral.retain(|index| {
        let guest = spec::as_container(&spec::ephemeral_containers(pod)[*index]);
        may_start(&guest)
    });
    (actions.backing_off, actions.held) = (backing_off, held);
}

/// Ends a running container if it has to go (and says so), or lets it know of new resources.
fn kill_or_resize(
    container: &ContainerSpec,
    running: &Container,
    pod: &Pod,
    runtime: &RuntimePod,
    probes: &ProbeResults,
    actions: &mut PodActions,
) -> bool {
    let wanted = container.resources.clone().unwrap_or_default();
    let has = runtime.notes.actuated.get(&container.name);
    let resize = has.filter(|has| !resize::same_amounts(has, &wanted));
    let reason = reason_to_kill(container, running, probes).or_else(|| {
        let restart = resize.is_some_and(|has| resize::needs_restart(container, has, &wanted));
        restart.then_some(Reason::Resize)
    });
    if let Some(reason) = reason {
        actions.kill.push(kill(container, pod, running, reason));
        return true;
    }
    if resize.is_some() {
        actions.resize.push(Resize {
            container_id: running.id.clone(),
            name: container.name.clone(),
            resources: wanted,
        });
    }
    false
}

/// Whether a container has to be started, by what is known of it.
pub fn starts(container: &ContainerSpec, pod: &Pod, runtime: &RuntimePod) -> bool {
    runtime.restarts(&container.name)
        || should_start(container, pod, runtime.latest(&container.name))
}

/// Whether a container that does not run has to be started. Upstream:
/// `ShouldContainerBeRestarted`.
pub fn should_start(container: &ContainerSpec, pod: &Pod, latest: Option<&Container>) -> bool {
    match latest.map(|c| &c.state) {
        None | Some(ContainerState::Created) => true,
        Some(ContainerState::Running) => false,
        Some(ContainerState::Exited { exit_code, .. }) => {
            spec::restarts_after(container, pod, *exit_code)
        }
    }
}

/// Whether a running container counts as started: it has no startup probe, or that succeeded.
pub fn is_started(container: &ContainerSpec, running: &Container, probes: &ProbeResults) -> bool {
    container.startup_probe.is_none() || probes.startup.get(&running.id) == Some(&Outcome::Success)
}

/// When a container ended.
pub fn finished_at(container: &Container) -> Option<Timestamp> {
    match &container.state {
        ContainerState::Exited { finished_at, .. } => Some(*finished_at),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Reason {
    Changed,
    Liveness,
    Startup,
    Resize,
}

fn reason_to_kill(
    container: &ContainerSpec,
    running: &Container,
    probes: &ProbeResults,
) -> Option<Reason> {
    let hash = running.labels.get(spec::HASH_LABEL);
    if hash.is_some_and(|hash| *hash != spec::container_hash(container)) {
        return Some(Reason::Changed);
    }
    if probes.liveness.get(&running.id) == Some(&Outcome::Failure) {
        return Some(Reason::Liveness);
    }
    (probes.startup.get(&running.id) == Some(&Outcome::Failure)).then_some(Reason::Startup)
}

fn kill(container: &ContainerSpec, pod: &Pod, running: &Container, reason: Reason) -> Kill {
    let name = &container.name;
    let what = match reason {
        Reason::Changed => format!("Container {name} definition changed"),
        Reason::Liveness => format!("Container {name} failed liveness probe"),
        Reason::Startup => format!("Container {name} failed startup probe"),
        Reason::Resize => format!("Container {name} resize requires restart"),
    };
    // What is ended here is started anew, unless nothing of its kind ever is.
    let restarts = spec::restart_policy(container, pod) != "Never";
    let probe = match reason {
        Reason::Changed | Reason::Resize => None,
        Reason::Liveness => container.liveness_probe.as_ref(),
        Reason::Startup => container.startup_probe.as_ref(),
    };
    Kill {
        container_id: running.id.clone(),
        name: name.clone(),
        restarts,
        message: if restarts && reason != Reason::Resize {
            format!("{what}, will be restarted")
        } else {
            what
        },
        grace_period_seconds: probe.and_then(|probe| probe.termination_grace_period_seconds),
    }
}

fn indices(
    containers: &[ContainerSpec],
    mut keep: impl FnMut(&ContainerSpec) -> bool,
) -> Vec<usize> {
    (0..containers.len())
        .filter(|index| keep(&containers[*index]))
        .collect()
}
