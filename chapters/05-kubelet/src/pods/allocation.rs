//! What a pod may use: admission when it comes, resizes while it is here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as ContainerSpec, Node, Pod};
use kube::api::Api;

use super::pressure;
use super::worker::{RetryIn, Worker, sooner};
use crate::context::Context;
use crate::decide::actions::Resize;
use crate::decide::admission::{self, Rejection, Room};
use crate::decide::resize::{self, Allocation, Pending, Verdict};
use crate::decide::{eviction, pod_key, security, spec, sysctls};
use crate::events::Severity;
use crate::node::machine;
use crate::{Error, Result};

/// How long to wait before a resize that the runtime refused is tried again.
const RESIZE_RETRY: Duration = Duration::from_secs(10);

/// Reads what an earlier kubelet allocated to a pod; `None` if it knew nothing of the pod.
pub(super) fn load(pod_dir: &Path) -> Option<Allocation> {
    let text = std::fs::read(file(pod_dir)).ok()?;
    match serde_json::from_slice(&text) {
        Ok(allocation) => Some(allocation),
        Err(error) => {
            tracing::warn!(%error, "allocation not readable: what the spec says counts");
            None
        }
    }
}

fn save(pod_dir: &Path, allocation: &Allocation) -> Result<()> {
    let path = file(pod_dir);
    let text = serde_json::to_vec(allocation).expect("maps of text are JSON");
    // Whole or not at all: a kubelet may die at any point.
    let new = path.with_extension("new");
    std::fs::create_dir_all(pod_dir)
        .and_then(|()| std::fs::write(&new, text))
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(Error::file(&path))
}

fn file(pod_dir: &Path) -> PathBuf {
    pod_dir.join("resources.json")
}

impl Worker {
    /// Takes the pod, if the node has room for it and is the one it asked for.
    pub(super) async fn admit(&mut self, pod: &Arc<Pod>) -> Result<()> {
        if self.admitted || self.rejected.is_some() || spec::is_terminal(pod) {
            return Ok(());
        }
        let begun = pod.status.as_ref().is_some_and(|s| s.start_time.is_some());
        // Taken by an earlier kubelet: its room is its own, whatever came since.
        let known = begun || !self.allocation.allocated.is_empty();
        let labels = if known {
            BTreeMap::new()
        } else {
            labels(&self.context, pod).await?
        };
        if self.allocation.allocated.is_empty() {
            self.allocation.allocated = resize::wanted(pod);
        }
        let allocated = Arc::new(resize::allocated_pod(pod, &self.allocation));
        let context = self.context.clone();
        let conditions = pressure::observe(&context).conditions;
        let admitted = context.ledger.decide(&self.uid, |others| {
            let verdict = if known {
                Ok(())
            } else {
                let room = room(&context, &labels, others);
                let allowed = &context.config.allowed_unsafe_sysctls;
                let node = security::Node {
                    apparmor: machine::has_apparmor(),
                    features: context.runtime.features(),
                };
                eviction::admit(&allocated, &conditions)
                    .and_then(|()| sysctls::admit(&allocated, allowed))
                    .and_then(|()| admission::admit(&allocated, &room))
                    .and_then(|()| security::admit(&allocated, node))
            };
            let entry = verdict.is_ok().then(|| allocated.clone());
            (verdict, entry)
        });
        match admitted {
            Ok(()) => {
                save(&self.context.pod_dir(&self.uid), &self.allocation)?;
                self.admitted = true;
            }
            Err(rejection) => self.reject(pod, rejection),
        }
        Ok(())
    }

    fn reject(&mut self, pod: &Pod, rejection: Rejection) {
        tracing::info!(
            pod = pod_key(pod),
            reason = rejection.reason,
            "pod rejected"
        );
        let (reason, message) = (rejection.reason.clone(), rejection.message.clone());
        let recorder = &self.context.recorder;
        recorder.pod(pod, Severity::Warning, &reason, message);
        self.rejected = Some(rejection);
    }

    /// The pod as it is allocated, after what its spec wishes for has been decided about.
    pub(super) fn allocate(&mut self, pod: &Arc<Pod>) -> Result<Arc<Pod>> {
        let context = self.context.clone();
        let labels = BTreeMap::new();
        let verdict = if spec::is_terminal(pod) {
            Verdict::Unchanged
        } else {
            context.ledger.decide(&self.uid, |others| {
                let verdict =
                    resize::decide(pod, &self.allocation, &room(&context, &labels, others));
                let entry = (verdict == Verdict::Allocate).then(|| pod.clone());
                (verdict, entry)
            })
        };
        let pending = match verdict {
            Verdict::Unchanged => None,
            Verdict::Allocate => {
                self.allocation.allocated = resize::wanted(pod);
                save(&context.pod_dir(&self.uid), &self.allocation)?;
                self.resizing = true;
                self.notes.resize_error = None;
                let message = format!("Pod resize started: {}", resize::told(pod, None));
                let recorder = &context.recorder;
                recorder.pod(pod, Severity::Normal, "ResizeStarted", message);
                None
            }
            Verdict::Pending(pending) => Some(pending),
        };
        if pending.is_some() && pending != self.notes.resize_pending {
            self.tell_pending(pod, pending.as_ref());
        }
        self.notes.resize_pending = pending;
        self.notes.actuated.clone_from(&self.allocation.actuated);
        Ok(Arc::new(resize::allocated_pod(pod, &self.allocation)))
    }

    fn tell_pending(&self, pod: &Pod, pending: Option<&Pending>) {
        let Some(Pending { reason, message }) = pending else {
            return;
        };
        let told = resize::told(pod, Some(message));
        let message = format!("Pod resize {reason}: {told}");
        let recorder = &self.context.recorder;
        recorder.pod(pod, Severity::Warning, &format!("Resize{reason}"), message);
    }

    /// Notes with which resources a container is made, before it is.
    pub(super) fn note_actuated(&mut self, container: &ContainerSpec) -> Result<()> {
        let resources = container.resources.clone().unwrap_or_default();
        let known = self.allocation.actuated.get(&container.name);
        if known == Some(&resources) || !self.allocation.allocated.contains_key(&container.name) {
            return Ok(());
        }
        let name = container.name.clone();
        self.allocation.actuated.insert(name, resources);
        self.notes.actuated.clone_from(&self.allocation.actuated);
        save(&self.context.pod_dir(&self.uid), &self.allocation)
    }

    /// Changes what running containers may use.
    pub(super) async fn resize(&mut self, pod: &Pod, resizes: &[Resize]) -> Result<RetryIn> {
        let mut retry_in = None;
        for change in resizes {
            let resources = resize::for_runtime(&change.resources);
            let runtime = &self.context.runtime;
            match runtime
                .update_container_resources(&change.container_id, resources)
                .await
            {
                Ok(()) => {
                    let (name, resources) = (change.name.clone(), change.resources.clone());
                    self.allocation.actuated.insert(name, resources);
                    save(&self.context.pod_dir(&self.uid), &self.allocation)?;
                    self.notes.resize_error = None;
                }
                Err(error) => {
                    let error = error.to_string();
                    if self.notes.resize_error.as_ref() != Some(&error) {
                        let told = resize::told(pod, Some(&error));
                        let message = format!("Pod resize error: {told}");
                        let recorder = &self.context.recorder;
                        recorder.pod(pod, Severity::Warning, "ResizeError", message);
                    }
                    self.notes.resize_error = Some(error);
                    retry_in = sooner(retry_in, Some(RESIZE_RETRY));
                }
            }
        }
        self.notes.actuated.clone_from(&self.allocation.actuated);
        Ok(retry_in)
    }

    /// Tells when all containers have what is allocated to them.
    pub(super) fn note_resized(&mut self, pod: &Pod) {
        let done = self.allocation.actuated.iter().all(|(name, has)| {
            let allocated = self.allocation.allocated.get(name);
            allocated.is_none_or(|allocated| resize::same_amounts(has, allocated))
        });
        if self.resizing && done {
            self.resizing = false;
            let message = format!("Pod resize completed: {}", resize::told(pod, None));
            let recorder = &self.context.recorder;
            recorder.pod(pod, Severity::Normal, "ResizeCompleted", message);
        }
    }
}

fn room<'a>(
    context: &'a Context,
    labels: &'a BTreeMap<String, String>,
    others: &'a [&'a Pod],
) -> Room<'a> {
    Room {
        node_name: &context.node_name,
        labels,
        allocatable: &context.allocatable,
        others,
    }
}

/// The labels of the node, if the pod depends on them.
async fn labels(context: &Context, pod: &Pod) -> Result<BTreeMap<String, String>> {
    if !admission::asks_for_labels(pod) {
        return Ok(BTreeMap::new());
    }
    let api: Api<Node> = Api::all(context.client.clone());
    let node = api.get(&context.node_name).await?;
    Ok(node.metadata.labels.unwrap_or_default())
}
