//! What a pod needs while it runs: fresh volumes, and no more remains than are of use.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::worker::{RetryIn, Worker};
use crate::decide::{RuntimePod, pod_key, spec};
use crate::runtime::{ContainerState, SandboxState};
use crate::volumes::Volumes;

/// How often volumes are looked at although no object that they show has changed: tokens get old,
/// and what the downward API shows may have changed. Upstream: `--sync-frequency`.
const VOLUME_REFRESH: Duration = Duration::from_secs(60);

impl Worker {
    /// Brings volumes that show what the API holds up to date, when it is time.
    pub(super) async fn refresh_volumes(&mut self, pod: &Pod, runtime: &RuntimePod) -> RetryIn {
        if runtime.ready_sandbox().is_none() || !Volumes::may_change(pod) {
            return None;
        }
        let is_due = |at: Instant| at.elapsed() >= VOLUME_REFRESH;
        if self.refreshed.is_none_or(is_due) || self.volumes.are_stale() || !self.shows(pod) {
            self.note_shown(pod);
            let addresses = self.addresses(pod, runtime);
            if let Err(error) = self.volumes.mount(pod, &addresses).await {
                // What was shown stays; so upstream.
                tracing::debug!(pod = pod_key(pod), ?error, "volume not refreshed");
            }
        }
        self.refreshed
            .map(|at| VOLUME_REFRESH.saturating_sub(at.elapsed()))
    }

    /// Notes that the volumes show the pod as it is now.
    pub(super) fn note_shown(&mut self, pod: &Pod) {
        self.refreshed = Some(Instant::now());
        let meta = &pod.metadata;
        self.shown = Some((meta.labels.clone(), meta.annotations.clone()));
    }

    /// Whether the volumes show the pod's labels and annotations as they are now.
    fn shows(&self, pod: &Pod) -> bool {
        let meta = &pod.metadata;
        let shown = self.shown.as_ref();
        shown.is_some_and(|(labels, annotations)| {
            *labels == meta.labels && *annotations == meta.annotations
        })
    }

    /// Removes ended containers but the last two of a name, and sandboxes without any.
    pub(super) async fn collect_garbage(&self, pod: &Pod, runtime: &RuntimePod) {
        let mut kept: HashMap<&str, usize> = HashMap::new();
        let mut needed: Vec<&str> = Vec::new();
        for container in &runtime.containers {
            let count = kept.entry(&container.name).or_default();
            *count += 1;
            let ended = matches!(container.state, ContainerState::Exited { .. });
            if *count > 2 && ended && spec::find_container(pod, &container.name).is_some() {
                let removed = self.context.runtime.remove_container(&container.id).await;
                if removed.is_ok() {
                    let _already_gone = std::fs::remove_file(&container.log_path);
                }
            } else {
                needed.push(&container.sandbox_id);
            }
        }
        for old in runtime.sandboxes.iter().skip(1) {
            let unused = !needed.contains(&old.id.as_str());
            if unused && old.state == SandboxState::NotReady {
                let removed = self.context.runtime.remove_pod_sandbox(&old.id).await;
                if let Err(error) = removed {
                    tracing::debug!(sandbox = old.id, %error, "old sandbox not removed");
                }
            }
        }
    }
}
