//! What every part of one kubelet shares.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use k8s_openapi::api::core::v1::Service;
use tokio::sync::watch;

use crate::Config;
use crate::decide::dns::NodeDns;
use crate::decide::eviction::Monitor;
use crate::decide::image_gc::Records;
use crate::events::Recorder;
use crate::metrics::Metrics;
use crate::objects::ObjectCache;
use crate::pods::ledger::Ledger;
use crate::pods::users::UserRanges;
use crate::runtime::ContainerRuntime;
use crate::stats;

/// The kubelet's common ground: handed to each worker as an `Arc`.
pub struct Context {
    /// The flags.
    pub config: Config,
    /// The node's name.
    pub node_name: String,
    /// The node's addresses.
    pub node_ips: Vec<IpAddr>,
    /// The API.
    pub client: kube::Client,
    /// What runs containers.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// Where events go.
    pub recorder: Recorder,
    /// Config maps and secrets.
    pub objects: Arc<ObjectCache>,
    /// Names and lookups.
    pub dns: NodeDns,
    /// What the node has to give, by resource: `cpu` → `2`.
    pub allocatable: BTreeMap<String, String>,
    /// Which users of the node are which pod's.
    pub users: UserRanges,
    /// The pods that the node has taken.
    pub ledger: Ledger,
    /// When the loop that hears of pods last came round.
    pub loop_entered: Mutex<Option<Instant>>,
    /// What the node is short of.
    pub monitor: Mutex<Monitor>,
    /// What is known of the images on the node.
    pub images: tokio::sync::Mutex<Records>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is remembered of what was used.
    pub stats: stats::Memory,
    /// All services; `None` until they have been listed once.
    pub services: watch::Receiver<Option<Arc<Vec<Service>>>>,
    /// Whether pods can be given a network.
    pub network_ready: watch::Receiver<bool>,
}

impl Context {
    /// The runtime of pods of a handler.
    pub fn runtime_of(&self, handler: &str) -> Arc<dyn ContainerRuntime> {
        let other = self.runtime.of_handler(handler);
        other.unwrap_or_else(|| self.runtime.clone())
    }

    /// The part of `containerID` before `://`, for pods of a handler.
    pub fn scheme(&self, handler: &str) -> String {
        let version = self.runtime_of(handler).version();
        version.split(':').next().unwrap_or("sandbox").to_owned()
    }

    /// Folder of a pod: `<root-dir>/pods/<uid>`.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.pods_dir().join(uid)
    }

    /// Folder of all pods.
    pub fn pods_dir(&self) -> PathBuf {
        self.config.root_dir.join("pods")
    }

    /// Folder of all pods' logs.
    pub fn logs_dir(&self) -> PathBuf {
        self.config.root_dir.join("log/pods")
    }

    /// Folder of a pod's logs: `<root-dir>/log/pods/{namespace}_{name}_{uid}`.
    pub fn log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.logs_dir().join(format!("{namespace}_{name}_{uid}"))
    }
}
