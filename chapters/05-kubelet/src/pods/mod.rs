//! The pods of this node: a worker for each, told of every change that concerns it.
//!
//! Three things come in: pods that are bound to this node (a watch of the API), changes in the
//! runtime (its events), and workers that are done. Nothing is polled; every half minute what is
//! on the node is compared with what should be, and what nobody knows is ended.

mod allocation;
pub mod check;
mod hooks;
mod kill;
pub mod launch;
pub mod ledger;
mod messages;
mod probes;
mod start;
mod terminate;
mod tls;
mod upkeep;
mod worker;
mod writer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::runtime::Sandbox;
use worker::{Desired, Worker};

/// How often what is on the node is compared with what should be.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// The pods this node knows, for its server. By uid.
pub type KnownPods = Arc<Mutex<HashMap<String, Arc<Pod>>>>;

/// Runs the node's pods until `shutdown`; they go on without it.
pub async fn run(context: Arc<Context>, known: KnownPods, shutdown: CancellationToken) {
    let (done_sender, done) = mpsc::unbounded_channel();
    let manager = Manager {
        context,
        known,
        workers: HashMap::new(),
        done_sender,
        listed: Vec::new(),
        synced: false,
    };
    tokio::select! {
        () = manager.manage(done) => {}
        () = shutdown.cancelled() => {}
    }
}

struct Manager {
    context: Arc<Context>,
    known: KnownPods,
    workers: HashMap<String, Handle>,
    done_sender: mpsc::UnboundedSender<String>,
    /// Uids of the list that is being received.
    listed: Vec<String>,
    /// All pods have been listed at least once.
    synced: bool,
}

/// The manager's end of a worker.
struct Handle {
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
}

impl Manager {
    async fn manage(mut self, mut done: mpsc::UnboundedReceiver<String>) {
        let api: Api<Pod> = Api::all(self.context.client.clone());
        let bound = format!("spec.nodeName={}", self.context.node_name);
        let config = watcher::Config::default().fields(&bound);
        let mut pods = std::pin::pin!(crate::retry::watch(api, config));
        let mut events = self.context.runtime.events();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.tick().await;
        loop {
            tokio::select! {
                Some(event) = pods.next() => self.pod_event(event).await,
                event = events.recv() => match event {
                    Ok(event) => self.wake(&event.pod_uid),
                    Err(RecvError::Lagged(_)) => self.wake_all(),
                    // A runtime without events: the workers' own delays have to do.
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                Some(uid) = done.recv() => self.worker_done(&uid),
                _ = housekeeping.tick() => self.end_unknown().await,
            }
        }
    }

    async fn pod_event(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.update(pod, false);
            }
            Event::InitDone => {
                self.synced = true;
                let listed = std::mem::take(&mut self.listed);
                for (uid, handle) in &self.workers {
                    if !listed.contains(uid) {
                        handle.desired.send_modify(|desired| desired.gone = true);
                    }
                }
                self.end_unknown().await;
            }
            Event::Apply(pod) => self.update(pod, false),
            Event::Delete(pod) => self.update(pod, true),
        }
    }

    fn update(&mut self, pod: Pod, gone: bool) {
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        let pod = Arc::new(pod);
        if !gone {
            self.known
                .lock()
                .expect("no panics inside")
                .insert(uid.clone(), pod.clone());
        }
        match self.workers.get(&uid) {
            Some(handle) => {
                handle.desired.send_modify(|desired| {
                    desired.gone |= gone;
                    desired.pod = pod;
                });
            }
            None if gone => {
                self.known.lock().expect("no panics inside").remove(&uid);
            }
            None => self.start(uid, Desired { pod, gone }),
        }
    }

    fn start(&mut self, uid: String, desired: Desired) {
        let (desired, receiver) = watch::channel(desired);
        let wake = Arc::new(Notify::new());
        let worker = Worker::new(self.context.clone(), receiver, wake.clone());
        let done = self.done_sender.clone();
        tokio::spawn({
            let uid = uid.clone();
            async move {
                worker.run().await;
                let _kubelet_stops = done.send(uid);
            }
        });
        self.workers.insert(uid, Handle { desired, wake });
    }

    fn worker_done(&mut self, uid: &str) {
        self.workers.remove(uid);
        self.known.lock().expect("no panics inside").remove(uid);
    }

    fn wake(&self, uid: &str) {
        if let Some(handle) = self.workers.get(uid) {
            handle.wake.notify_one();
        }
    }

    fn wake_all(&self) {
        for handle in self.workers.values() {
            handle.wake.notify_one();
        }
    }

    /// Ends sandboxes and removes folders of pods that the API does not know: left over by a
    /// kubelet that was not running when they were deleted.
    async fn end_unknown(&mut self) {
        if !self.synced {
            return;
        }
        match self.context.runtime.list_pod_sandboxes().await {
            Ok(sandboxes) => {
                for sandbox in sandboxes {
                    let uid = sandbox.metadata.uid.clone();
                    if !self.workers.contains_key(&uid) {
                        tracing::info!(pod = sandbox.metadata.name, "ends a pod nobody knows");
                        self.start(
                            uid,
                            Desired {
                                pod: Arc::new(orphan(&sandbox)),
                                gone: true,
                            },
                        );
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "sandboxes not listed"),
        }
        let folders = std::fs::read_dir(self.context.pods_dir())
            .into_iter()
            .flatten()
            .flatten();
        for folder in folders {
            let uid = folder.file_name().to_string_lossy().into_owned();
            if !self.workers.contains_key(&uid)
                && let Err(error) = crate::volumes::remove_pod_dir(&folder.path())
            {
                tracing::warn!(uid, %error, "folder of an unknown pod not removed");
            }
        }
    }
}

/// As much of a pod as is needed to end it.
fn orphan(sandbox: &Sandbox) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(sandbox.metadata.name.clone()),
            namespace: Some(sandbox.metadata.namespace.clone()),
            uid: Some(sandbox.metadata.uid.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            termination_grace_period_seconds: Some(1),
            ..PodSpec::default()
        }),
        status: None,
    }
}
