//! A pod's phase: one word for the states of all its containers.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodStatus};

use super::spec;

/// How many of a pod's containers are in which state.
#[derive(Debug, Default)]
struct Counts {
    /// Have not run yet.
    waiting: usize,
    /// Run now.
    running: usize,
    /// Ran, and do not run now: they are over, or wait to be started again.
    ended: usize,
    /// Of those that ended: over, with exit code 0.
    succeeded: usize,
}

/// How far a pod's init containers are.
#[derive(Debug, Default)]
struct Initialization {
    /// Not all are done.
    pending: bool,
    /// One ended with another code than 0, and is not started again.
    failed: bool,
}

/// `Pending`, `Running`, `Succeeded` or `Failed`, from what `status` says of the containers.
/// `stopped`: nothing of the pod runs, and nothing will be started again. Upstream: `getPhase`.
pub fn phase(pod: &Pod, status: &PodStatus, stopped: bool) -> &'static str {
    let Initialization { pending, failed } = initialization(pod, status);
    let init_failed = failed;
    let Counts {
        waiting,
        running,
        ended,
        succeeded,
    } = count(status);
    let restarts = !stopped && restarts_any(pod, status);
    // Sidecars count only until the pod's own containers have begun.
    let initializing = pending && running + ended == 0;
    // ANCHOR: exercise-05.1
    if init_failed {
        "Failed"
    } else if initializing || waiting > 0 {
        "Pending"
    } else if running > 0 {
        "Running"
    } else if ended == 0 {
        "Pending"
    } else if restarts {
        // Nothing runs at this moment, but the pod is not over.
        "Running"
    } else if succeeded == ended {
        "Succeeded"
    } else {
        "Failed"
    }
    // ANCHOR_END: exercise-05.1
}

fn initialization(pod: &Pod, status: &PodStatus) -> Initialization {
    let mut found = Initialization::default();
    let statuses = status.init_container_statuses.iter().flatten();
    for (container, status) in spec::init_containers(pod).iter().zip(statuses) {
        match ended_with(status) {
            _ if spec::is_sidecar(container) => found.pending |= status.started != Some(true),
            Some(0) => {}
            Some(code) => {
                found.failed |= !spec::restarts_after(container, pod, code);
                found.pending = true;
            }
            None => found.pending = true,
        }
    }
    found
}

fn count(status: &PodStatus) -> Counts {
    let mut counts = Counts::default();
    for status in status.container_statuses.iter().flatten() {
        let state = status.state.as_ref();
        if state.is_some_and(|state| state.running.is_some()) {
            counts.running += 1;
        } else if let Some(code) = ended_with(status) {
            counts.ended += 1;
            // A container that waits to be started again has not succeeded.
            let over = state.is_some_and(|state| state.terminated.is_some());
            counts.succeeded += usize::from(code == 0 && over);
        } else {
            counts.waiting += 1;
        }
    }
    counts
}

/// Whether any container that ended will be started again.
fn restarts_any(pod: &Pod, status: &PodStatus) -> bool {
    let statuses = status.container_statuses.iter().flatten();
    spec::of(pod)
        .containers
        .iter()
        .zip(statuses)
        .any(|(container, status)| {
            ended_with(status).is_none_or(|code| spec::restarts_after(container, pod, code))
        })
}

/// The exit code of a container that ended and was not started again.
fn ended_with(status: &ContainerStatus) -> Option<i32> {
    let terminated = |state: &Option<ContainerState>| {
        state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .map(|t| t.exit_code)
    };
    let waits = status
        .state
        .as_ref()
        .is_none_or(|state| state.running.is_none());
    terminated(&status.state).or_else(|| terminated(&status.last_state).filter(|_| waits))
}
