//! Writes one pod's status to the API server, the latest there is.
//!
//! A worker states what the status is as often as it likes; here only what differs from what the
//! API server has is sent, one write at a time. While a write is under way newer statuses replace
//! each other, so a slow API server gets fewer and larger writes, never a queue of them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Api, Patch, PatchParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::decide::patch::status_patch;
use crate::decide::pod_key;
use crate::retry::Retry;

/// How long the news that a pod is being started waits for better news.
const PROGRESS_DELAY: Duration = Duration::from_millis(100);

/// How long a node that goes waits for its last words to be heard.
const FLUSH: Duration = Duration::from_secs(2);

/// What a worker says of its pod.
#[derive(Debug, Clone)]
struct Said {
    pod: Arc<Pod>,
    status: PodStatus,
    /// Counts what is said.
    number: u64,
}

/// The worker's end.
pub struct StatusWriter {
    said: watch::Sender<Option<Said>>,
    /// The number of the last that the API server knows.
    known: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl StatusWriter {
    /// Starts the writing task of a pod.
    pub fn new(client: kube::Client, pod: &Pod) -> StatusWriter {
        let (said, receiver) = watch::channel(None);
        let (known_sender, known) = watch::channel(0);
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::namespaced(client, namespace);
        StatusWriter {
            said,
            known,
            task: tokio::spawn(write(api, receiver, known_sender)),
        }
    }

    /// States what the status is. `pod` is the latest that the API server sent.
    pub fn say(&self, pod: &Arc<Pod>, status: PodStatus) {
        let number = self
            .said
            .borrow()
            .as_ref()
            .map_or(1, |said| said.number + 1);
        self.said.send_replace(Some(Said {
            pod: pod.clone(),
            status,
            number,
        }));
    }

    /// Waits, but not for ever, until the API server knows all that was said.
    pub async fn flush(&self) {
        let number = self.said.borrow().as_ref().map_or(0, |said| said.number);
        let mut known = self.known.clone();
        let is_known = known.wait_for(|known| *known >= number);
        let _in_time_or_not = tokio::time::timeout(FLUSH, is_known).await;
    }

    /// Ends the task after the last status has been written.
    pub async fn finish(self) {
        drop(self.said);
        let _panicked = self.task.await;
    }
}

async fn write(api: Api<Pod>, mut said: watch::Receiver<Option<Said>>, sent: watch::Sender<u64>) {
    // What the API server has: its answer to the last write, or what it sent since.
    let mut known: Option<(u64, PodStatus)> = None;
    let mut unsent: Option<Said> = None;
    let mut held_back = false;
    let mut retry = Retry::new();
    loop {
        let Some(latest) = &unsent else {
            if said.changed().await.is_err() {
                return;
            }
            unsent.clone_from(&said.borrow_and_update());
            continue;
        };
        let sent_version = version(&latest.pod);
        if known
            .as_ref()
            .is_none_or(|(version, _)| sent_version > *version)
        {
            known = Some((sent_version, latest.pod.status.clone().unwrap_or_default()));
        }
        let (_, has) = known.as_ref().expect("it was just set");
        let Some(patch) = status_patch(&latest.pod, has, &latest.status) else {
            sent.send_replace(latest.number);
            unsent = None;
            continue;
        };
        if is_mere_progress(has, &latest.status) && !held_back {
            held_back = true;
            let _better_news_or_not = tokio::time::timeout(PROGRESS_DELAY, said.changed()).await;
            unsent.clone_from(&said.borrow_and_update());
            continue;
        }
        match send(&api, latest, patch).await {
            Sent::Written(version, status) => {
                known = Some((version, *status));
                sent.send_replace(latest.number);
                unsent = None;
                held_back = false;
                retry = Retry::new();
            }
            Sent::Gone => return,
            Sent::Failed => {
                retry.wait().await;
                unsent.clone_from(&said.borrow_and_update());
            }
        }
    }
}

enum Sent {
    Written(u64, Box<PodStatus>),
    /// The pod is no more, or another has its name.
    Gone,
    Failed,
}

async fn send(api: &Api<Pod>, said: &Said, patch: serde_json::Value) -> Sent {
    let name = said.pod.metadata.name.as_deref().unwrap_or_default();
    tracing::debug!(pod = pod_key(&said.pod), %patch, "status");
    let patch = Patch::Strategic(patch);
    match api
        .patch_status(name, &PatchParams::default(), &patch)
        .await
    {
        Ok(pod) => Sent::Written(version(&pod), Box::new(pod.status.unwrap_or_default())),
        Err(kube::Error::Api(status)) if status.code == 404 => Sent::Gone,
        // A conflict over the uid is final; one over a version is not.
        Err(kube::Error::Api(status)) if status.code == 409 && status.message.contains("UID") => {
            Sent::Gone
        }
        Err(error) => {
            tracing::warn!(pod = pod_key(&said.pod), %error, "pod status not written");
            Sent::Failed
        }
    }
}

/// KEP-5504: versions of one resource compare as numbers.
fn version(pod: &Pod) -> u64 {
    let version = pod.metadata.resource_version.as_deref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// Whether all that a status tells is that a pending pod is still pending.
fn is_mere_progress(has: &PodStatus, status: &PodStatus) -> bool {
    let pending = |status: &PodStatus| matches!(status.phase.as_deref(), None | Some("Pending"));
    let fails = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten()
        .any(|status| {
            let waiting = status
                .state
                .as_ref()
                .and_then(|state| state.waiting.as_ref());
            let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
            !matches!(reason, Some("ContainerCreating" | "PodInitializing"))
        });
    pending(has) && pending(status) && !fails
}
