//! In which order the containers of a pod end.

use k8s_openapi::api::core::v1::Pod;

use super::{RuntimePod, spec};
use crate::runtime::Container;

/// The running containers in the waves in which they are ended: the pod's own at once, then the
/// sidecars, each after all that were started after it, since those may still need it.
///
/// Upstream: `kuberuntime_termination_order.go`.
pub fn waves(pod: &Pod, runtime: &RuntimePod) -> Vec<Vec<Container>> {
    // Its place among the init containers, if it is a sidecar.
    let sidecar = |container: &Container| {
        let init = spec::init_containers(pod);
        init.iter()
            .position(|c| c.name == container.name && spec::is_sidecar(c))
    };
    let running = runtime.running().cloned();
    // ANCHOR: exercise-05.9
    let (mut sidecars, main): (Vec<_>, Vec<_>) = running.partition(|c| sidecar(c).is_some());
    sidecars.sort_by_key(|container| std::cmp::Reverse(sidecar(container)));
    let last = sidecars.into_iter().map(|sidecar| vec![sidecar]);
    std::iter::once(main)
        .chain(last)
        .filter(|wave| !wave.is_empty())
        .collect()
    // ANCHOR_END: exercise-05.9
}
