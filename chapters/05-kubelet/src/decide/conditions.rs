//! The conditions of a pod that the kubelet owns.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerStatus, Pod, PodCondition, PodStatus,
};

use super::status::{StatusInput, seconds};
use super::{RuntimePod, resize, spec};
use crate::runtime::ContainerState;

/// The conditions that the kubelet writes; all others are somebody else's. The last two are there
/// only while a resize is.
pub const OWNED: [&str; 7] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
];

/// The condition that whoever ends a pod on behalf of others sets, the kubelet among them.
pub const DISRUPTION: &str = "DisruptionTarget";

/// A verdict: whether it is true, and if not, why.
struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    const TRUE: Verdict = Verdict {
        holds: true,
        reason: "",
        message: String::new(),
    };

    fn not(reason: &'static str, message: String) -> Verdict {
        Verdict {
            holds: false,
            reason,
            message,
        }
    }
}

/// All conditions of the new status: ours, in upstream's order, then those of others as they
/// were. Upstream: `pkg/kubelet/status/generate.go`.
pub(super) fn conditions(
    pod: &Pod,
    status: &PodStatus,
    input: &StatusInput<'_>,
) -> Vec<PodCondition> {
    let old = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let old = old.unwrap_or_default();
    let networked = input
        .runtime
        .ready_sandbox()
        .is_some_and(|sandbox| spec::host_network(pod) || !sandbox.ips.is_empty());
    let sandbox = Verdict {
        holds: networked && !input.stopped,
        ..Verdict::TRUE
    };
    let containers = containers_ready(pod, status);
    let ready = ready(pod, &containers, old);
    let verdicts = [
        sandbox,
        initialized(pod, status),
        ready,
        containers,
        Verdict::TRUE,
    ];

    let ours = OWNED.into_iter().zip(verdicts).map(|(type_, verdict)| {
        let text = if verdict.holds { "True" } else { "False" };
        let why = (verdict.reason, verdict.message);
        condition(type_, text, why, old, input.now, pod)
    });
    let passing = passing(pod, old, input);
    let others = old.iter().filter(|condition| {
        let type_ = &condition.type_;
        !OWNED.contains(&type_.as_str()) && passing.iter().all(|ours| ours.type_ != *type_)
    });
    let others: Vec<PodCondition> = others.cloned().collect();
    ours.chain(passing).chain(others).collect()
}

/// The conditions that are there for a while: of a resize, and of a disruption.
fn passing(pod: &Pod, old: &[PodCondition], input: &StatusInput<'_>) -> Vec<PodCondition> {
    let notes = &input.runtime.notes;
    let pending = notes.resize_pending.as_ref();
    let pending = pending.map(|pending| (OWNED[5], pending.reason, pending.message.clone()));
    let under_way = spec::init_containers(pod)
        .iter()
        .chain(&spec::of(pod).containers)
        .any(|container| is_resizing(container, input.runtime));
    let in_progress = (under_way && !input.stopped).then(|| {
        let error = notes.resize_error.clone();
        let reason = if error.is_some() { "Error" } else { "" };
        (OWNED[6], reason, error.unwrap_or_default())
    });
    let disruption = notes.disruption.as_ref();
    let disruption = disruption.map(|why| (DISRUPTION, why.reason.as_str(), why.message.clone()));
    let said = pending.into_iter().chain(in_progress).chain(disruption);
    said.map(|(type_, reason, message)| {
        condition(type_, "True", (reason, message), old, input.now, pod)
    })
    .collect()
}

/// A condition, with the time since when its status is what it is: reasons and messages may
/// change meanwhile.
fn condition(
    type_: &str,
    status: &str,
    (reason, message): (&str, String),
    old: &[PodCondition],
    now: Timestamp,
    pod: &Pod,
) -> PodCondition {
    // ANCHOR: exercise-05.8
    let was = old.iter().find(|condition| condition.type_ == type_);
    let unchanged = was.filter(|was| was.status == status);
    let since = unchanged
        .and_then(|was| was.last_transition_time.clone())
        .unwrap_or_else(|| seconds(now));
    // ANCHOR_END: exercise-05.8
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        message: (!message.is_empty()).then_some(message),
        last_probe_time: None,
        last_transition_time: Some(since),
        observed_generation: pod.metadata.generation,
    }
}

/// Whether a running container has not yet what is allocated to it.
fn is_resizing(container: &ContainerSpec, runtime: &RuntimePod) -> bool {
    let runs = runtime
        .latest(&container.name)
        .is_some_and(|latest| latest.state == ContainerState::Running);
    let has = runtime.notes.actuated.get(&container.name);
    let wanted = container.resources.clone().unwrap_or_default();
    (runs || runtime.restarts(&container.name))
        && has.is_some_and(|has| !resize::same_amounts(has, &wanted))
}

fn initialized(pod: &Pod, status: &PodStatus) -> Verdict {
    let statuses = status
        .init_container_statuses
        .as_deref()
        .unwrap_or_default();
    if status.phase.as_deref() == Some("Succeeded") {
        return Verdict {
            holds: true,
            reason: "PodCompleted",
            message: String::new(),
        };
    }
    let begun = status.container_statuses.iter().flatten().any(|status| {
        let running = status.state.as_ref().is_some_and(|s| s.running.is_some());
        running
            || status
                .last_state
                .as_ref()
                .is_some_and(|s| s.terminated.is_some())
    });
    let incomplete = names(spec::init_containers(pod), statuses, |container, status| {
        let done = if spec::is_sidecar(container) {
            status.started == Some(true)
        } else {
            status.ready
        };
        !done
    });
    if begun || incomplete.is_empty() {
        return Verdict::TRUE;
    }
    Verdict::not(
        "ContainersNotInitialized",
        format!(
            "containers with incomplete status: [{}]",
            incomplete.join(" ")
        ),
    )
}

fn containers_ready(pod: &Pod, status: &PodStatus) -> Verdict {
    match status.phase.as_deref() {
        Some("Succeeded") => return Verdict::not("PodCompleted", String::new()),
        Some("Failed") => return Verdict::not("PodFailed", String::new()),
        _ => {}
    }
    let init_statuses = status
        .init_container_statuses
        .as_deref()
        .unwrap_or_default();
    let statuses = status.container_statuses.as_deref().unwrap_or_default();
    let mut unready = names(
        spec::init_containers(pod),
        init_statuses,
        |container, status| spec::is_sidecar(container) && !status.ready,
    );
    unready.extend(names(&spec::of(pod).containers, statuses, |_, status| {
        !status.ready
    }));
    if unready.is_empty() {
        return Verdict::TRUE;
    }
    Verdict::not(
        "ContainersNotReady",
        format!("containers with unready status: [{}]", unready.join(" ")),
    )
}

fn ready(pod: &Pod, containers: &Verdict, conditions: &[PodCondition]) -> Verdict {
    if !containers.holds {
        return Verdict::not(containers.reason, containers.message.clone());
    }
    let gates = spec::of(pod).readiness_gates.as_deref().unwrap_or_default();
    let closed: Vec<String> = gates
        .iter()
        .filter_map(|gate| {
            let name = &gate.condition_type;
            match conditions.iter().find(|condition| condition.type_ == *name) {
                None => Some(format!(
                    "corresponding condition of pod readiness gate \"{name}\" does not exist."
                )),
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if closed.is_empty() {
        return Verdict::TRUE;
    }
    Verdict::not("ReadinessGatesNotReady", closed.join(", "))
}

fn names<'a>(
    containers: &'a [ContainerSpec],
    statuses: &[ContainerStatus],
    mut keep: impl FnMut(&ContainerSpec, &ContainerStatus) -> bool,
) -> Vec<&'a str> {
    containers
        .iter()
        .zip(statuses)
        .filter(|(container, status)| keep(container, status))
        .map(|(container, _)| container.name.as_str())
        .collect()
}
