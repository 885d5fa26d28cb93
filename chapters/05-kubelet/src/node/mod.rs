//! The node: registers itself, keeps its lease, and says how it is.
//!
//! ```text
//! start ── create Node (NotReady: no pod CIDR yet)
//!   │        └─ it exists: bring its labels and status up to date
//!   ├─ watch of this one Node: podCIDR assigned → runtime's network → Ready, at once
//!   ├─ every 10 s: renew the lease in kube-node-lease (what node lifecycle looks at)
//!   └─ every 10 s: look at the machine; write the status if it changed, or after 5 min
//! ```
//!
//! Upstream: `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus`, and
//! `component-helpers/apimachinery/lease`.

pub mod health;
pub mod image_gc;
pub mod machine;
pub mod status;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::watcher;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::context::Context;
use crate::events::Severity;
use crate::pods::pressure;
use crate::retry::Retry;
use health::RuntimeHealth;
use status::NodeInput;

/// How long a lease holds.
const LEASE_DURATION_SECONDS: i32 = 40;
/// How often it is renewed, and the machine looked at.
const RENEWAL: Duration = Duration::from_secs(10);
/// How long a heartbeat may take: one that is late is worth less than the next one. Upstream:
/// `cmd/kubelet/app/server.go`, the time limit of `heartbeatClientConfig`.
const HEARTBEAT_TIMEOUT: Duration = RENEWAL;
/// How often a status is written that did not change.
const REPORT: i64 = 300;

/// Keeps the Node object true until `shutdown`. `network_ready` is told when pods can be given a
/// network.
pub async fn run(
    context: Arc<Context>,
    network_ready: watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    let keeper = NodeKeeper {
        context,
        network_ready,
        known: Node::default(),
        health: RuntimeHealth::new(Instant::now()),
    };
    tokio::select! {
        () = keeper.keep() => {}
        () = shutdown.cancelled() => {}
    }
}

struct NodeKeeper {
    context: Arc<Context>,
    network_ready: watch::Sender<bool>,
    /// The Node as last seen or written.
    known: Node,
    health: RuntimeHealth,
}

impl NodeKeeper {
    async fn keep(mut self) {
        if let Some(cidr) = self.context.config.pod_cidr.clone() {
            self.network_up(&cidr).await;
        }
        self.register().await;
        tokio::spawn(keep_lease(
            self.context.clone(),
            self.known.metadata.uid.clone(),
        ));
        let node = &self.known;
        let recorder = &self.context.recorder;
        recorder.node(
            node,
            Severity::Normal,
            "Starting",
            "Starting kubelet.".to_owned(),
        );

        let api: Api<Node> = Api::all(self.context.client.clone());
        let own =
            watcher::Config::default().fields(&format!("metadata.name={}", self.context.node_name));
        let mut changes = std::pin::pin!(crate::retry::watch(api, own));
        let mut tick = tokio::time::interval(RENEWAL);
        tick.tick().await;
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(watcher::Event::Apply(node) | watcher::Event::InitApply(node)) => {
                        self.seen(node).await;
                    }
                    Some(watcher::Event::Delete(_)) => {
                        tracing::warn!("the Node object was deleted; registering again");
                        self.register().await;
                    }
                    _ => {}
                },
                _ = tick.tick() => {
                    self.check_runtime().await;
                    self.report().await;
                }
            }
        }
    }

    /// Creates the Node, or takes over the one there is.
    async fn register(&mut self) {
        let api: Api<Node> = Api::all(self.context.client.clone());
        let mut retry = Retry::new();
        loop {
            match self.try_register(&api).await {
                Ok(node) => {
                    tracing::info!(node = self.context.node_name, "registered");
                    self.seen(node).await;
                    return;
                }
                Err(error) => {
                    tracing::info!(%error, "not registered yet");
                    retry.wait().await;
                }
            }
        }
    }

    async fn try_register(&self, api: &Api<Node>) -> Result<Node> {
        let config = &self.context.config;
        let name = &self.context.node_name;
        let input = self.input().await;
        let old = api.get_opt(name).await?;
        let Some(old) = old else {
            let node =
                status::registration(config, &input, &NodeStatus::default(), Timestamp::now())?;
            return Ok(api.create(&PostParams::default(), &node).await?);
        };
        let labels = status::labels(config, name)?;
        let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        api.patch(name, &PatchParams::default(), &patch).await?;
        let old_status = old.status.unwrap_or_default();
        let status = status::node_status(&input, &old_status, Timestamp::now());
        self.write_status(api, &status).await
    }

    /// Somebody, perhaps we, wrote the Node. What only the machine changes can wait for the next
    /// tick; whether the node is ready cannot.
    async fn seen(&mut self, node: Node) {
        let cidr = node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone());
        self.known = node;
        if let Some(cidr) = cidr
            && !*self.network_ready.borrow()
        {
            self.network_up(&cidr).await;
        }
        let said = self.known.status.as_ref().is_some_and(is_ready);
        if said != *self.network_ready.borrow() {
            self.report().await;
        }
    }

    async fn network_up(&self, cidr: &str) {
        match self.context.runtime.update_pod_cidr(cidr).await {
            Ok(()) => {
                tracing::info!(cidr, "pod network is up");
                self.network_ready.send_replace(true);
            }
            Err(error) => tracing::warn!(cidr, %error, "pod network is not up"),
        }
    }

    async fn check_runtime(&mut self) {
        let status = self.context.runtime.status().await;
        if let Err(error) = &status {
            tracing::warn!(%error, "container runtime does not work");
        }
        self.health.checked(status.is_ok(), Instant::now());
    }

    /// Writes the status if what it says changed, or was last said long ago.
    async fn report(&mut self) {
        if !*self.network_ready.borrow() {
            let cidr = self
                .known
                .spec
                .as_ref()
                .and_then(|spec| spec.pod_cidr.clone());
            if let Some(cidr) = cidr {
                self.network_up(&cidr).await;
            }
        }
        let now = Timestamp::now();
        let old = self.known.status.clone().unwrap_or_default();
        let new = status::node_status(&self.input().await, &old, now);
        if says_the_same(&old, &new) && !is_due(&old, now) {
            return;
        }
        let was_ready = is_ready(&old);
        let api: Api<Node> = Api::all(self.context.client.clone());
        match in_time(self.write_status(&api, &new)).await {
            Ok(node) => {
                self.known = node;
                if is_ready(&new) && !was_ready {
                    let name = &self.context.node_name;
                    let message = format!("Node {name} status is now: NodeReady");
                    let recorder = &self.context.recorder;
                    recorder.node(&self.known, Severity::Normal, "NodeReady", message);
                    tracing::info!(node = name, "ready");
                }
                if was_ready && !is_ready(&new) {
                    let name = &self.context.node_name;
                    let message = format!("Node {name} status is now: NodeNotReady");
                    let recorder = &self.context.recorder;
                    recorder.node(&self.known, Severity::Normal, "NodeNotReady", message);
                }
            }
            Err(error) => tracing::warn!(%error, "node status not written"),
        }
    }

    async fn write_status(&self, api: &Api<Node>, status: &NodeStatus) -> Result<Node> {
        let mut patch = serde_json::to_value(status).expect("a status is plain data");
        if let Some(addresses) = patch["addresses"].as_array_mut() {
            // Addresses merge by type, which would keep one we no longer have.
            addresses.push(json!({ "$patch": "replace" }));
        }
        let patch = Patch::Strategic(json!({ "status": patch }));
        let name = &self.context.node_name;
        Ok(api
            .patch_status(name, &PatchParams::default(), &patch)
            .await?)
    }

    async fn input(&self) -> NodeInput {
        let context = &self.context;
        let root_dir = &context.config.root_dir;
        let network = *self.network_ready.borrow();
        let runtime_down = self.health.is_down(Instant::now());
        NodeInput {
            name: context.node_name.clone(),
            ips: context.node_ips.clone(),
            port: context.config.port,
            max_pods: context.config.max_pods,
            capacity: machine::capacity(root_dir),
            allocatable: context.allocatable.clone(),
            pressure: machine::pressure(&pressure::observe(context).conditions),
            info: machine::system_info(context.runtime.version()),
            images: context.runtime.list_images().await.unwrap_or_default(),
            features: context.runtime.features(),
            handlers: context.runtime.runtime_handlers().await.unwrap_or_default(),
            not_ready: health::not_ready(runtime_down, network),
        }
    }
}

fn is_ready(status: &NodeStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether two statuses differ at most in their heartbeats.
fn says_the_same(old: &NodeStatus, new: &NodeStatus) -> bool {
    let without_heartbeat = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        // Conditions of others are not ours to compare.
        if let Some(conditions) = &mut status.conditions {
            let ours = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];
            conditions.retain(|condition| ours.contains(&condition.type_.as_str()));
            for condition in conditions.iter_mut() {
                condition.last_transition_time = None;
            }
        }
        (
            status.conditions,
            status.addresses,
            status.capacity,
            status.allocatable,
            status.images,
            status.node_info,
            status.features,
            status.runtime_handlers,
        )
    };
    without_heartbeat(old) == without_heartbeat(new)
}

fn is_due(old: &NodeStatus, now: Timestamp) -> bool {
    let conditions = old.conditions.as_deref().unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let heartbeat = ready.and_then(|ready| ready.last_heartbeat_time.as_ref());
    heartbeat.is_none_or(|time| now.duration_since(time.0).as_secs() >= REPORT)
}

/// Renews the lease until the task is dropped with its runtime.
async fn keep_lease(context: Arc<Context>, node_uid: Option<String>) {
    let api: Api<Lease> = Api::namespaced(context.client.clone(), "kube-node-lease");
    let name = &context.node_name;
    let owner = node_uid.map(|uid| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.clone(),
        uid,
        ..OwnerReference::default()
    });
    let mut retry = Retry::new();
    loop {
        match in_time(renew(&api, name, owner.as_ref())).await {
            Ok(()) => {
                retry = Retry::new();
                tokio::time::sleep(RENEWAL).await;
            }
            Err(error) => {
                tracing::debug!(%error, "lease not renewed");
                retry.wait().await;
            }
        }
    }
}

/// Gives up a heartbeat that takes too long.
async fn in_time<T>(heartbeat: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(HEARTBEAT_TIMEOUT, heartbeat).await;
    done.unwrap_or_else(|_| {
        let late = api_client::limits::TookTooLong(HEARTBEAT_TIMEOUT);
        Err(kube::Error::Service(late.into()).into())
    })
}

async fn renew(api: &Api<Lease>, name: &str, owner: Option<&OwnerReference>) -> Result<()> {
    let spec = LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: Some(LEASE_DURATION_SECONDS),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    let patch = Patch::Merge(json!({ "spec": spec }));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error.into()),
    }
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
    };
    api.create(&PostParams::default(), &lease).await?;
    Ok(())
}
