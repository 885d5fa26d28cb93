//! The shell: watch events in, bindings out.
//!
//! One task, so nothing here is locked: it takes an event, brings cache and queue up to date, and
//! places every pod that is due before it takes the next. Only requests to the API server run
//! beside it.

mod storage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use component::CancellationToken;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, Pod, Service};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::cache::{Cache, Helps};
use crate::events::{COMPONENT, Recorder};
use crate::inputs::{self, Input};
use crate::queue::Queue;
use crate::requests::{BindError, bind, bind_volumes, set_condition, unschedulable};
use crate::schedule::{FitError, schedule};

/// A pod, its node, the volumes that it gets with the node, and what became of it all.
type Bound = (
    Arc<Pod>,
    String,
    Vec<PersistentVolume>,
    Result<(), BindError>,
);

/// How long the API server may take to answer a binding. A pod whose binding is never answered
/// would be in flight for ever; as it is not known whether it was bound, it is tried again, and the
/// API server refuses that if it was. Upstream: the client's connection is closed when the server
/// does not answer a ping for 45 s.
const BIND_TIMEOUT: Duration = Duration::from_secs(45);

/// Decisions on half a cluster would be wrong ones.
const NEEDED: [&str; 5] = [
    "pods",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses",
];

/// The scheduler at work.
pub struct Driver {
    client: Client,
    recorder: Recorder,
    cache: Cache,
    queue: Queue,
    binding: FuturesUnordered<BoxFuture<'static, Bound>>,
    bind_timeout: Duration,
    /// Conditions that are being written, by the pod's uid: a binding waits for its pod's, else the
    /// pod could be told after it that it does not fit.
    telling: HashMap<String, JoinHandle<()>>,
    /// What the running list of each resource has shown, to know at its end what is gone.
    listed: BTreeMap<&'static str, HashSet<String>>,
    /// The resources whose first list is still to come, of those that decisions need.
    unsynced: HashSet<&'static str>,
}

impl Driver {
    /// A scheduler that knows of nothing yet.
    pub fn new(client: Client) -> Self {
        Self {
            recorder: Recorder::spawn(client.clone()),
            client,
            cache: Cache::default(),
            queue: Queue::default(),
            binding: FuturesUnordered::new(),
            bind_timeout: BIND_TIMEOUT,
            telling: HashMap::new(),
            listed: BTreeMap::new(),
            unsynced: HashSet::from(NEEDED),
        }
    }

    /// Schedules until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut inputs = inputs::all(&self.client);
        loop {
            let wake = self.queue.next_wake().map(tokio::time::Instant::from_std);
            let never = tokio::time::Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(input) = inputs.next() => self.take(input),
                Some(bound) = self.binding.next() => self.bound(bound),
                () = tokio::time::sleep_until(wake.unwrap_or(never)) => {}
            }
            if self.unsynced.is_empty() {
                self.place_all();
            }
        }
        // What was decided is still told, unless the API server is gone.
        let finish = async { while self.binding.next().await.is_some() {} };
        let _in_time = tokio::time::timeout(Duration::from_secs(1), finish).await;
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Pod(event) => self.take_pod(*event),
            Input::Node(event) => self.take_node(*event),
            Input::Namespace(event) => self.take_namespace(*event),
            Input::Service(event) => self.take_service(*event),
            Input::Claim(event) => self.take_claim(*event),
            Input::Volume(event) => self.take_volume(*event),
            Input::Class(event) => self.take_class(*event),
        }
    }

    fn take_pod(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Apply(pod) => self.set_pod(pod),
            watcher::Event::Delete(pod) => self.remove_pod(&pod.uid().unwrap_or_default()),
            watcher::Event::Init => self.begin_list("pods"),
            watcher::Event::InitApply(pod) => {
                self.listed("pods", pod.uid().unwrap_or_default());
                self.set_pod(pod);
            }
            watcher::Event::InitDone => {
                let listed = self.end_list("pods");
                let known = self.cache.assigned_uids().chain(self.queue.uids());
                let gone: Vec<String> = known
                    .filter(|uid| !listed.contains(*uid))
                    .map(str::to_owned)
                    .collect();
                gone.iter().for_each(|uid| self.remove_pod(uid));
            }
        }
    }

    fn set_pod(&mut self, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let Some(spec) = &pod.spec else { return };
        if matches!(phase, Some("Succeeded" | "Failed")) {
            // It is done and gives back what it had.
            return self.remove_pod(&uid);
        }
        if let Some(node) = spec.node_name.clone().filter(|node| !node.is_empty()) {
            self.queue.remove(&uid);
            match self.cache.assign(&pod, &node) {
                Helps::Nobody => {}
                Helps::WhoLooksAtPods => self.queue.retry(Instant::now(), looks_at_pods),
                Helps::Anybody => self.queue.retry(Instant::now(), |_| true),
            }
            return;
        }
        if !self.queue.contains(&uid) && self.cache.is_assigned(&uid) {
            // It was bound a moment ago, and this is older.
            return;
        }
        let is_ours = spec.scheduler_name.as_deref().unwrap_or(COMPONENT) == COMPONENT;
        let is_gated = spec
            .scheduling_gates
            .as_ref()
            .is_some_and(|gates| !gates.is_empty());
        let is_deleted = pod.metadata.deletion_timestamp.is_some();
        if is_ours && !is_gated && !is_deleted {
            self.queue.set(Arc::new(pod));
        } else {
            self.remove_pod(&uid);
        }
    }

    fn remove_pod(&mut self, uid: &str) {
        self.queue.remove(uid);
        self.telling.remove(uid);
        if self.cache.forget(uid) {
            self.queue.retry(Instant::now(), |_| true);
        }
    }

    fn take_node(&mut self, event: watcher::Event<Node>) {
        match event {
            watcher::Event::Apply(node) => self.set_node(&node),
            watcher::Event::Delete(node) => self.cache.remove_node(&node.name_any()),
            watcher::Event::Init => self.begin_list("nodes"),
            watcher::Event::InitApply(node) => {
                self.listed("nodes", node.name_any());
                self.set_node(&node);
            }
            watcher::Event::InitDone => {
                let listed = self.end_list("nodes");
                let names = self.cache.node_names();
                let gone: Vec<String> = names
                    .filter(|name| !listed.contains(*name))
                    .map(str::to_owned)
                    .collect();
                gone.iter().for_each(|name| self.cache.remove_node(name));
            }
        }
    }

    fn set_node(&mut self, node: &Node) {
        // Most updates of a node are its heartbeat, which is nobody's chance.
        if self.cache.set_node(node) {
            self.queue.retry(Instant::now(), |_| true);
        }
    }

    fn take_namespace(&mut self, event: watcher::Event<Namespace>) {
        match event {
            watcher::Event::Apply(namespace) | watcher::Event::InitApply(namespace) => {
                let labels = namespace.metadata.labels.clone().unwrap_or_default();
                self.listed("namespaces", namespace.name_any());
                self.cache.namespaces.insert(namespace.name_any(), labels);
            }
            watcher::Event::Delete(namespace) => {
                self.cache.namespaces.remove(&namespace.name_any());
            }
            watcher::Event::Init => self.begin_list("namespaces"),
            watcher::Event::InitDone => {
                let listed = self.end_list("namespaces");
                self.cache
                    .namespaces
                    .retain(|name, _| listed.contains(name));
            }
        }
    }

    fn take_service(&mut self, event: watcher::Event<Service>) {
        let key = |service: &Service| (service.namespace().unwrap_or_default(), service.name_any());
        match event {
            watcher::Event::Apply(service) | watcher::Event::InitApply(service) => {
                let (namespace, name) = key(&service);
                self.listed("services", format!("{namespace}/{name}"));
                let selector = service.spec.and_then(|spec| spec.selector);
                self.cache.set_service(&namespace, &name, selector);
            }
            watcher::Event::Delete(service) => {
                let (namespace, name) = key(&service);
                self.cache.set_service(&namespace, &name, None);
            }
            watcher::Event::Init => self.begin_list("services"),
            watcher::Event::InitDone => {
                let listed = self.end_list("services");
                let known: Vec<_> = self.cache.service_keys().cloned().collect();
                for (namespace, name) in known {
                    if !listed.contains(&format!("{namespace}/{name}")) {
                        self.cache.set_service(&namespace, &name, None);
                    }
                }
            }
        }
    }

    fn begin_list(&mut self, resource: &'static str) {
        self.listed.insert(resource, HashSet::new());
    }

    fn listed(&mut self, resource: &'static str, key: String) {
        if let Some(listed) = self.listed.get_mut(resource) {
            listed.insert(key);
        }
    }

    fn end_list(&mut self, resource: &'static str) -> HashSet<String> {
        self.unsynced.remove(resource);
        self.listed.remove(resource).unwrap_or_default()
    }

    fn place_all(&mut self) {
        while let Some(pod) = self.queue.pop(Instant::now()) {
            match schedule(&pod, &self.cache.snapshot()) {
                Ok(decision) => self.bind(pod, decision.node, decision.volumes),
                Err(error) => self.did_not_fit(pod, &error),
            }
        }
    }

    fn bind(&mut self, pod: Arc<Pod>, node: String, volumes: Vec<PersistentVolume>) {
        self.cache.assign(&pod, &node);
        self.cache.volumes.assume(&volumes);
        let client = self.client.clone();
        let told = self.telling.remove(&pod.uid().unwrap_or_default());
        let timeout = self.bind_timeout;
        self.binding.push(Box::pin(async move {
            if let Some(told) = told {
                // Whether it was written or not: it is not written after this.
                let _ = tokio::time::timeout(timeout, told).await;
            }
            let bound = bind_volumes(&client, &volumes).await;
            let result = match bound {
                Ok(()) => bind(client, &pod, &node, timeout).await,
                Err(error) => Err(error),
            };
            (pod, node, volumes, result)
        }));
    }

    fn bound(&mut self, (pod, node, volumes, result): Bound) {
        let uid = pod.uid().unwrap_or_default();
        let name = format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        if result.is_err() {
            self.cache.volumes.take_back(&volumes);
        }
        match result {
            Ok(()) => {
                tracing::info!(pod = %name, %node, "bound");
                let message = format!("Successfully assigned {name} to {node}");
                self.recorder.normal(&pod, "Scheduled", message);
                self.queue.remove(&uid);
            }
            // The pod is gone, or has a node already: its own watch event says which.
            Err(BindError::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                tracing::debug!(pod = %name, %node, %status, "not bound");
                self.take_back(&uid);
            }
            Err(error) => {
                tracing::warn!(pod = %name, %node, %error, "not bound");
                self.recorder
                    .warning(&pod, "FailedScheduling", error.to_string());
                self.take_back(&uid);
            }
        }
    }

    /// Takes a pod off the node that it was assumed on, to be tried again if it is still there.
    fn take_back(&mut self, uid: &str) {
        // Not if its watch event has come first and says that it is on a node after all.
        if self.queue.contains(uid) {
            self.queue.failed(uid, Instant::now());
            self.cache.forget(uid);
            self.queue.retry(Instant::now(), |_| true);
        }
    }

    fn did_not_fit(&mut self, pod: Arc<Pod>, error: &FitError) {
        let uid = pod.uid().unwrap_or_default();
        self.queue.did_not_fit(&uid, Instant::now());
        let message = error.to_string();
        self.recorder
            .warning(&pod, "FailedScheduling", message.clone());
        if let Some(condition) = unschedulable(&pod, message) {
            let told = tokio::spawn(set_condition(self.client.clone(), pod, condition));
            self.telling.insert(uid, told);
        }
    }
}

fn looks_at_pods(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    spec.is_some_and(|spec| {
        let affinity = spec.affinity.as_ref();
        affinity.is_some_and(|affinity| affinity.pod_affinity.is_some())
            || spec.topology_spread_constraints.is_some()
    })
}
