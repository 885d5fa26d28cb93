//! The pods of this node: a worker for each, told of every change that concerns it.
//!
//! Four things come in: pods that are bound to this node (a watch of the API), pods that a folder
//! of the node wants, changes in the runtime (its events), and workers that are done. Nothing is polled; every half minute what is
//! on the node is compared with what should be, and what nobody knows is ended.

mod allocation;
pub mod check;
mod health;
mod hooks;
mod kill;
pub mod launch;
pub mod ledger;
mod manifests;
mod messages;
mod mirrors;
pub mod pressure;
mod probes;
mod start;
mod storage_limits;
mod terminate;
mod timing;
mod tls;
mod upkeep;
pub mod users;
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
use crate::decide::{pod_key, static_pod};
use crate::runtime::Sandbox;
use mirrors::Mirrors;
use worker::{Desired, Order, Worker};

/// How often what is on the node is compared with what should be.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How often the machine is looked at for what it is short of.
const PRESSURE: Duration = Duration::from_secs(10);
/// How long an evicted pod has to give room before the next one goes.
const RELIEF: Duration = Duration::from_secs(30);

/// The pods this node knows, for its server. By uid.
pub type KnownPods = Arc<Mutex<HashMap<String, Arc<Pod>>>>;

/// Runs the node's pods until `shutdown`; they go on without it.
pub async fn run(context: Arc<Context>, known: KnownPods, shutdown: CancellationToken) {
    let (done_sender, done) = mpsc::unbounded_channel();
    let (mirrors, mirrored) = Mirrors::new(context.clone());
    let (over_sender, over) = mpsc::unbounded_channel();
    tokio::spawn(storage_limits::watch(context.clone(), over_sender));
    let manager = Manager {
        context,
        mirrors,
        static_pods: Vec::new(),
        known,
        workers: HashMap::new(),
        done_sender,
        listed: Vec::new(),
        synced: false,
        relieved: tokio::time::Instant::now(),
    };
    manager.manage(done, mirrored, over, shutdown).await;
}

struct Manager {
    context: Arc<Context>,
    known: KnownPods,
    workers: HashMap<String, Handle>,
    mirrors: Mirrors,
    /// The static pods that are wanted now.
    static_pods: Vec<Arc<Pod>>,
    done_sender: mpsc::UnboundedSender<String>,
    /// Uids of the list that is being received.
    listed: Vec<String>,
    /// All pods have been listed at least once.
    synced: bool,
    /// When a pod was last evicted.
    relieved: tokio::time::Instant,
}

/// The manager's end of a worker.
struct Handle {
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
}

impl Manager {
    async fn manage(
        mut self,
        mut done: mpsc::UnboundedReceiver<String>,
        mut mirrored: mpsc::UnboundedReceiver<String>,
        mut over: mpsc::UnboundedReceiver<(String, Order)>,
        shutdown: CancellationToken,
    ) {
        let mut last_orders = None;
        let mut pressure = tokio::time::interval(PRESSURE);
        let mut manifests = self.context.config.pod_manifest_path.clone().map(|path| {
            let node_name = self.context.node_name.clone();
            manifests::watch(path, node_name)
        });
        let api: Api<Pod> = Api::all(self.context.client.clone());
        let bound = format!("spec.nodeName={}", self.context.node_name);
        let config = watcher::Config::default().fields(&bound);
        let mut pods = std::pin::pin!(crate::retry::watch(api, config));
        let mut events = self.context.runtime.events();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        housekeeping.tick().await;
        loop {
            let now = Some(std::time::Instant::now());
            *self.context.loop_entered.lock().expect("no panics inside") = now;
            tokio::select! {
                Some(event) = pods.next() => self.pod_event(event).await,
                event = events.recv() => match event {
                    Ok(event) => self.wake(&event.pod_uid),
                    Err(RecvError::Lagged(_)) => self.wake_all(),
                    // A runtime without events: the workers' own delays have to do.
                    Err(RecvError::Closed) => std::future::pending().await,
                },
                Some(uid) = done.recv() => self.worker_done(&uid),
                Some(pods) = next(&mut manifests) => self.want_static(pods),
                Some(key) = mirrored.recv() => self.mirrors.carried_out(&key),
                _ = pressure.tick() => self.relieve().await,
                Some((uid, order)) = over.recv() => self.order(&uid, order),
                () = shutdown.cancelled(), if last_orders.is_none() => {
                    if self.context.config.shutdown_grace_period == 0 {
                        return;
                    }
                    let workers = self.workers.values().map(|handle| handle.desired.clone());
                    let ending = pressure::shut_down(self.context.clone(), workers.collect());
                    last_orders = Some(tokio::spawn(ending));
                }
                () = ended(&mut last_orders) => return,
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
                self.mirrors.listed(&listed);
                for (uid, handle) in &self.workers {
                    let is_static = static_pod::is_static(&handle.desired.borrow().pod);
                    if !listed.contains(uid) && !is_static {
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
        if static_pod::is_mirror(&pod) {
            // What it shows has a worker already; this is where that one's status goes.
            if let Some(shown) = self.mirrors.seen(pod, gone) {
                self.tell_mirror(&shown);
            }
            return;
        }
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
            None => {
                let mirror = None;
                self.start(
                    uid,
                    Desired {
                        pod,
                        gone,
                        mirror,
                        order: None,
                    },
                );
            }
        }
    }

    /// The folder of static pods was read: these are wanted, and no others.
    fn want_static(&mut self, pods: Vec<Pod>) {
        let known = |uid: &Option<String>, pods: &[Arc<Pod>]| -> Option<Arc<Pod>> {
            pods.iter().find(|pod| pod.metadata.uid == *uid).cloned()
        };
        // The same pod read again is the pod as it was first seen.
        let pods = pods.into_iter().map(|pod| {
            known(&pod.metadata.uid, &self.static_pods).unwrap_or_else(|| Arc::new(pod))
        });
        self.static_pods = pods.collect();
        for handle in self.workers.values() {
            let pod = handle.desired.borrow().pod.clone();
            let wanted = known(&pod.metadata.uid, &self.static_pods).is_some();
            if static_pod::is_static(&pod) && !wanted {
                handle.desired.send_modify(|desired| desired.gone = true);
            }
        }
        self.mirrors.want(self.static_pods.clone().into_iter());
        self.start_static();
    }

    /// Starts static pods that have no worker, once another of their name is gone.
    fn start_static(&mut self) {
        for pod in self.static_pods.clone() {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let taken = self.workers.values().any(|handle| {
                let other = &handle.desired.borrow().pod;
                static_pod::is_static(other) && pod_key(other) == pod_key(&pod)
            });
            if !taken && !self.workers.contains_key(&uid) {
                let mut known = self.known.lock().expect("no panics inside");
                known.insert(uid.clone(), pod.clone());
                drop(known);
                let mirror = self.mirrors.of(&pod);
                let gone = false;
                self.start(
                    uid,
                    Desired {
                        pod,
                        gone,
                        mirror,
                        order: None,
                    },
                );
            }
        }
    }

    /// Tells a static pod's worker where its status goes.
    fn tell_mirror(&self, pod: &Pod) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if let Some(handle) = self.workers.get(uid) {
            let mirror = self.mirrors.of(pod);
            handle
                .desired
                .send_modify(|desired| desired.mirror = mirror);
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
        self.context.metrics.forget_pod(uid);
        self.known.lock().expect("no panics inside").remove(uid);
        self.start_static();
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

    /// Ends a pod if the node is short of something; one at a time, since that may be enough.
    async fn relieve(&mut self) {
        let is_going = |handle: &Handle| handle.desired.borrow().order.is_some();
        if self.workers.values().any(is_going) && self.relieved.elapsed() < RELIEF {
            return;
        }
        let Some((pod, order)) = pressure::eviction(&self.context).await else {
            return;
        };
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        self.relieved = tokio::time::Instant::now();
        self.order(uid, order);
    }

    /// Tells a pod's worker to end it; the first order counts.
    fn order(&self, uid: &str, order: Order) {
        if let Some(handle) = self.workers.get(uid) {
            handle.desired.send_modify(|desired| {
                desired.order.get_or_insert(order);
            });
        }
    }

    /// Ends sandboxes and removes folders of pods that the API does not know: left over by a
    /// kubelet that was not running when they were deleted.
    async fn end_unknown(&mut self) {
        if !self.synced {
            return;
        }
        match self.context.runtime.list_pod_sandboxes(None).await {
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
                                mirror: None,
                                order: None,
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
                && let Err(error) =
                    crate::volumes::remove_pod_dir(&*self.context.runtime, &folder.path())
            {
                tracing::warn!(uid, %error, "folder of an unknown pod not removed");
            }
        }
    }
}

/// Waits until the pods of a node that goes have ended, if it does.
async fn ended(last_orders: &mut Option<tokio::task::JoinHandle<()>>) {
    match last_orders {
        Some(ending) => drop(ending.await),
        None => std::future::pending().await,
    }
}

/// The next reading of the folder of static pods, if there is one.
async fn next(manifests: &mut Option<mpsc::Receiver<Vec<Pod>>>) -> Option<Vec<Pod>> {
    match manifests {
        Some(manifests) => manifests.recv().await,
        None => std::future::pending().await,
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
