//! The conditions of a pod that the kubelet owns.

use k8s_openapi::api::core::v1::{
    Container as ContainerSpec, ContainerStatus, Pod, PodCondition, PodStatus,
};

use super::spec;
use super::status::{StatusInput, seconds};

/// The conditions that the kubelet writes; all others are somebody else's.
pub const OWNED: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

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
        let was = old.iter().find(|condition| condition.type_ == type_);
        let unchanged = was.filter(|was| was.status == text);
        PodCondition {
            type_: type_.to_owned(),
            status: text.to_owned(),
            reason: (!verdict.reason.is_empty()).then(|| verdict.reason.to_owned()),
            message: (!verdict.message.is_empty()).then_some(verdict.message),
            last_probe_time: None,
            last_transition_time: unchanged
                .and_then(|was| was.last_transition_time.clone())
                .or_else(|| Some(seconds(input.now))),
            observed_generation: pod.metadata.generation,
        }
    });
    let others = old
        .iter()
        .filter(|condition| !OWNED.contains(&condition.type_.as_str()));
    ours.chain(others.cloned()).collect()
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
