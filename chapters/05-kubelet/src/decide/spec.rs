//! Questions to a pod's spec that several decisions ask.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);

/// The spec of a pod, which every pod of the API has.
pub fn of(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// The init containers.
pub fn init_containers(pod: &Pod) -> &[Container] {
    of(pod).init_containers.as_deref().unwrap_or_default()
}

/// The ephemeral containers: added to a pod that runs, started once.
pub fn ephemeral_containers(pod: &Pod) -> &[EphemeralContainer] {
    of(pod).ephemeral_containers.as_deref().unwrap_or_default()
}

/// Any container of the spec by name.
pub fn find_container<'a>(pod: &'a Pod, name: &str) -> Option<Cow<'a, Container>> {
    let of_the_spec = init_containers(pod)
        .iter()
        .chain(&of(pod).containers)
        .find(|c| c.name == name)
        .map(Cow::Borrowed);
    of_the_spec.or_else(|| {
        let guest = ephemeral_containers(pod).iter().find(|c| c.name == name)?;
        Some(Cow::Owned(as_container(guest)))
    })
}

/// An ephemeral container as any other: it has the same fields, and is never started again.
pub fn as_container(guest: &EphemeralContainer) -> Container {
    Container {
        name: guest.name.clone(),
        image: guest.image.clone(),
        image_pull_policy: guest.image_pull_policy.clone(),
        command: guest.command.clone(),
        args: guest.args.clone(),
        working_dir: guest.working_dir.clone(),
        env: guest.env.clone(),
        env_from: guest.env_from.clone(),
        volume_mounts: guest.volume_mounts.clone(),
        volume_devices: guest.volume_devices.clone(),
        security_context: guest.security_context.clone(),
        stdin: guest.stdin,
        stdin_once: guest.stdin_once,
        tty: guest.tty,
        termination_message_path: guest.termination_message_path.clone(),
        termination_message_policy: guest.termination_message_policy.clone(),
        restart_policy: Some("Never".to_owned()),
        ..Container::default()
    }
}

/// Whether the init container is a sidecar: started in its turn, and kept running.
pub fn is_sidecar(init_container: &Container) -> bool {
    init_container.restart_policy.as_deref() == Some("Always")
}

/// The pod's restart policy.
pub fn pod_restart_policy(pod: &Pod) -> &str {
    of(pod).restart_policy.as_deref().unwrap_or("Always")
}

/// The restart policy of a container: its own, else the pod's.
pub fn restart_policy<'a>(container: &'a Container, pod: &'a Pod) -> &'a str {
    let own = container.restart_policy.as_deref();
    own.unwrap_or_else(|| pod_restart_policy(pod))
}

/// Whether a container that exited with this code is started again, by its own rules, its own
/// policy, or the pod's (KEP-5307 gave containers their own).
pub fn restarts_after(container: &Container, pod: &Pod, exit_code: i32) -> bool {
    // ANCHOR: exercise-05.3
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else {
            continue;
        };
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let matches = listed != (codes.operator == "NotIn");
        if matches && rule.action == "Restart" {
            return true;
        }
    }
    match restart_policy(container, pod) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
    // ANCHOR_END: exercise-05.3
}

/// Whether the pod shares the node's network.
pub fn host_network(pod: &Pod) -> bool {
    of(pod).host_network.unwrap_or(false)
}

/// Whether the pod is over for good.
pub fn is_terminal(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The grace that a pod being deleted has: what the deletion asked for, else the spec's.
pub fn grace_period_seconds(pod: &Pod) -> i64 {
    let asked = pod
        .metadata
        .deletion_timestamp
        .as_ref()
        .and(pod.metadata.deletion_grace_period_seconds);
    // Upstream gives at least a second, also to a forced deletion.
    asked
        .or(of(pod).termination_grace_period_seconds)
        .unwrap_or(30)
        .max(1)
}

/// Path of a container inside its pod, for `involvedObject.fieldPath`.
pub fn field_path(pod: &Pod, container: &str) -> String {
    if init_containers(pod).iter().any(|c| c.name == container) {
        format!("spec.initContainers{{{container}}}")
    } else if ephemeral_containers(pod)
        .iter()
        .any(|c| c.name == container)
    {
        format!("spec.ephemeralContainers{{{container}}}")
    } else {
        format!("spec.containers{{{container}}}")
    }
}

/// What of a container's spec cannot change without a new container: upstream hashes its name
/// and its image (`HashContainer`).
pub fn container_hash(container: &Container) -> String {
    // FNV-1a: short, stable between versions of this program, no secrets involved.
    let text = format!(
        "{}\0{}",
        container.name,
        container.image.as_deref().unwrap_or_default()
    );
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:x}")
}

/// Label under which [`container_hash`] is kept with a container.
pub const HASH_LABEL: &str = "io.kubernetes.container.hash";
