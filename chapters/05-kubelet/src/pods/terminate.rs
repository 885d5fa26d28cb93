//! The end of a pod on its node.
//!
//! ```text
//! deletionTimestamp ─▶ preStop, SIGTERM ─(grace)─▶ SIGKILL ─▶ sandbox stopped
//!      ─▶ final status written ─▶ volumes gone ─▶ DELETE with grace 0 and the pod's uid
//!      ─▶ runtime's records and logs removed
//! ```

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};

use super::kill;
use super::worker::Worker;
use crate::context::Context;
use crate::decide::{RuntimePod, pod_key, spec};
use crate::retry::Retry;
use crate::runtime::SandboxState;
use crate::volumes;

/// Ends a pod and removes all that is left of it.
pub(super) async fn terminate(mut worker: Worker) {
    worker.probes.stop();
    let desired = worker.desired.borrow().clone();
    let pod = desired.pod;
    let mut retry = Retry::new();
    let runtime = loop {
        match stop(&mut worker, &pod).await {
            Ok(runtime) => break runtime,
            Err(error) => {
                tracing::warn!(pod = pod_key(&pod), %error, "pod not stopped");
                retry.wait().await;
            }
        }
    };
    let desired = worker.desired.borrow().clone();
    worker.state(&desired.pod, &runtime, true);
    worker.context.ledger.leave(&worker.uid);
    let context = worker.context.clone();
    let pod_dir = context.pod_dir(&worker.uid);
    if let Err(error) = volumes::remove_pod_dir(&*context.runtime, &pod_dir) {
        tracing::warn!(pod = pod_key(&pod), %error, "pod folder not removed");
    }
    if !desired.gone {
        let mut gone = worker.desired.clone();
        tokio::select! {
            () = async {
                worker.writer.finish().await;
                delete(&context, &pod).await;
            } => {}
            _ = gone.wait_for(|desired| desired.gone) => {}
        }
    }
    forget(&context, &pod, &runtime).await;
    tracing::debug!(pod = pod_key(&pod), "pod removed");
}

/// Stops all containers, sidecars last, and the sandboxes.
async fn stop(worker: &mut Worker, pod: &Arc<Pod>) -> crate::Result<RuntimePod> {
    let runtime = worker.look(pod).await?;
    worker.state(pod, &runtime, false);
    stop_containers(worker, pod, &runtime).await;
    for sandbox in &runtime.sandboxes {
        if sandbox.state == SandboxState::Ready {
            worker.context.runtime.stop_pod_sandbox(&sandbox.id).await?;
        }
    }
    worker.look(pod).await
}

/// Stops the containers. When the grace is shortened meanwhile, they are told again.
async fn stop_containers(worker: &mut Worker, pod: &Arc<Pod>, runtime: &RuntimePod) {
    let context = worker.context.clone();
    let mut grace = grace_of(worker);
    let waves = worker.targets(pod, runtime);
    let mut all = std::pin::pin!(kill::stop_waves(&context, waves, grace));
    let mut desired = worker.desired.clone();
    loop {
        tokio::select! {
            () = &mut all => return,
            changed = desired.changed() => {
                if changed.is_err() {
                    // The kubelet stops; the next one goes on here.
                    return std::future::pending().await;
                }
                let shorter = grace_of(worker);
                if shorter < grace {
                    grace = shorter;
                    hurry(&context, runtime, shorter).await;
                }
            }
            () = worker.wake.notified() => {
                if let Ok(now) = worker.look(pod).await {
                    worker.state(pod, &now, false);
                }
            }
        }
    }
}

fn grace_of(worker: &Worker) -> i64 {
    spec::grace_period_seconds(&worker.desired.borrow().pod)
}

async fn hurry(context: &Context, runtime: &RuntimePod, grace: i64) {
    let running = runtime.running();
    let stops = running.map(|container| context.runtime.stop_container(&container.id, grace));
    for result in futures::future::join_all(stops).await {
        if let Err(error) = result {
            tracing::debug!(%error, "container not hurried");
        }
    }
}

/// Deletes the pod from the API for good, unless it is gone or another has its name.
async fn delete(context: &Context, pod: &Pod) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: pod.metadata.uid.clone(),
            ..Preconditions::default()
        }),
        ..DeleteParams::default()
    };
    let mut retry = Retry::new();
    loop {
        match api.delete(name, &params).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return,
            Err(error) => {
                tracing::warn!(pod = pod_key(pod), %error, "pod not deleted");
                retry.wait().await;
            }
        }
    }
}

/// Removes the runtime's records of a pod, and its logs.
async fn forget(context: &Context, pod: &Pod, runtime: &RuntimePod) {
    for container in &runtime.containers {
        if let Err(error) = context.runtime.remove_container(&container.id).await {
            tracing::debug!(container = container.id, %error, "container not removed");
        }
    }
    for sandbox in &runtime.sandboxes {
        if let Err(error) = context.runtime.remove_pod_sandbox(&sandbox.id).await {
            tracing::debug!(sandbox = sandbox.id, %error, "sandbox not removed");
        }
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let meta = &pod.metadata;
    let logs = context.log_dir(&text(&meta.namespace), &text(&meta.name), &text(&meta.uid));
    let _already_gone = std::fs::remove_dir_all(logs);
    let pod_dir = context.pod_dir(&text(&meta.uid));
    // Some runtimes let go of a mount a moment after they said so.
    for _ in 0..10 {
        if volumes::remove_pod_dir(&*context.runtime, &pod_dir).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
