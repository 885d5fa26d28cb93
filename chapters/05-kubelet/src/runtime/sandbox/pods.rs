//! The sandboxes and containers of a node, as the kubelet sees them: a copy in memory of what is
//! on disk, kept true by what the shims tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use tokio::sync::{broadcast, watch};

use super::node_network::NodeNetwork;
use super::record::{
    CONTAINER_FILE, CONTAINERS_DIR, ContainerRecord, ContainerStatus, Exit, PodNetwork,
    SANDBOX_FILE, SANDBOXES_DIR, STATUS_FILE, STOPPED_FILE, SandboxRecord, read_json, sandbox_dir,
    write_json,
};
use crate::runtime::{
    Container, ContainerState, ContainerUser, Result, RuntimeError, RuntimeEvent, Sandbox,
    SandboxState,
};

/// A sandbox and its containers.
#[derive(Debug)]
pub struct Pod {
    /// As it was made.
    pub record: SandboxRecord,
    /// Its shim answers.
    pub ready: bool,
    /// Its containers by id.
    pub containers: BTreeMap<String, Entry>,
}

/// A container.
#[derive(Debug)]
pub struct Entry {
    /// As it was made.
    pub record: ContainerRecord,
    /// How far it got.
    pub status: ContainerStatus,
}

/// What is known of all of them.
#[derive(Debug, Default)]
pub struct State {
    /// Sandboxes by id.
    pub pods: BTreeMap<String, Pod>,
}

impl State {
    /// The container of that id, and the sandbox it is in.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`].
    pub fn container(&self, id: &str) -> Result<(&Pod, &Entry)> {
        let found = self
            .pods
            .values()
            .find_map(|pod| Some((pod, pod.containers.get(id)?)));
        found.ok_or_else(|| RuntimeError::NotFound(format!("container {id:?}")))
    }

    /// The sandbox of that id.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`].
    pub fn pod(&self, id: &str) -> Result<&Pod> {
        self.pods
            .get(id)
            .ok_or_else(|| RuntimeError::NotFound(format!("sandbox {id:?}")))
    }

    /// A container's entry, to be changed.
    pub fn entry_mut(&mut self, id: &str) -> Option<&mut Entry> {
        self.pods
            .values_mut()
            .find_map(|pod| pod.containers.get_mut(id))
    }
}

/// The state, and who wants to know of its changes.
#[derive(Debug)]
pub struct Pods {
    root: PathBuf,
    /// Addresses and ports.
    pub network: NodeNetwork,
    state: Mutex<State>,
    events: broadcast::Sender<RuntimeEvent>,
    /// Counts changes, for those who wait for one.
    version: watch::Sender<u64>,
}

impl Pods {
    /// Reads what is on disk. All sandboxes are not ready until their shims have answered.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn load(root: &Path, network: NodeNetwork) -> std::io::Result<Self> {
        let dir = root.join(SANDBOXES_DIR);
        std::fs::create_dir_all(&dir)?;
        let mut state = State::default();
        for entry in std::fs::read_dir(&dir)? {
            let dir = entry?.path();
            match load_pod(&dir) {
                Ok(pod) => {
                    if let Some(PodNetwork { ip, .. }) = pod.record.network
                        && !dir.join(STOPPED_FILE).exists()
                    {
                        network.addresses().claim(ip);
                    }
                    state.pods.insert(pod.record.id.clone(), pod);
                }
                Err(error) => {
                    // Cut short while it was made: nothing ran in it yet.
                    tracing::warn!(dir = %dir.display(), %error, "removing an unreadable sandbox");
                    let _ = std::fs::remove_dir_all(&dir);
                }
            }
        }
        Ok(Pods {
            root: root.to_owned(),
            network,
            state: Mutex::new(state),
            events: broadcast::channel(1024).0,
            version: watch::channel(0).0,
        })
    }

    /// The state, for as long as no `await` comes between.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }

    /// Folder of a sandbox.
    pub fn dir(&self, sandbox_id: &str) -> PathBuf {
        sandbox_dir(&self.root, sandbox_id)
    }

    /// Folder of a container.
    pub fn container_dir(&self, sandbox_id: &str, container_id: &str) -> PathBuf {
        self.dir(sandbox_id).join(CONTAINERS_DIR).join(container_id)
    }

    /// A receiver of what changes from now on.
    pub fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }

    /// Tells of a change to a pod.
    pub fn changed(&self, pod_uid: &str) {
        self.version.send_modify(|version| *version += 1);
        // An error means that nobody listens.
        let _ = self.events.send(RuntimeEvent {
            pod_uid: pod_uid.to_string(),
        });
    }

    /// Waits until the state fulfils a condition.
    pub async fn wait_until(&self, condition: impl Fn(&State) -> bool) {
        let mut version = self.version.subscribe();
        while !condition(&self.lock()) {
            // Cannot fail: the sender lives in `self`.
            let _ = version.changed().await;
        }
    }

    /// Takes note of a container's start.
    pub fn started(&self, container_id: &str) {
        let mut state = self.lock();
        let Some(entry) = state.entry_mut(container_id) else {
            return;
        };
        entry.status.started_at.get_or_insert_with(Timestamp::now);
    }

    /// Takes note of a container's end.
    pub fn exited(&self, sandbox_id: &str, container_id: &str, exit: Exit) {
        let mut state = self.lock();
        let Some(pod) = state.pods.get_mut(sandbox_id) else {
            return;
        };
        let uid = pod.record.config.metadata.uid.clone();
        if let Some(entry) = pod.containers.get_mut(container_id) {
            entry.status.exit = Some(exit);
        }
        drop(state);
        self.changed(&uid);
    }

    /// Takes note of a shim's end: what ran in its sandbox is gone with it.
    pub fn lost(&self, sandbox_id: &str) {
        let mut state = self.lock();
        let Some(pod) = state.pods.get_mut(sandbox_id) else {
            return;
        };
        pod.ready = false;
        let uid = pod.record.config.metadata.uid.clone();
        for (id, entry) in &mut pod.containers {
            settle(&self.container_dir(sandbox_id, id), entry);
        }
        drop(state);
        self.changed(&uid);
    }

    /// The sandboxes, of one pod if asked, newest first.
    pub fn list_sandboxes(&self, pod_uid: Option<&str>) -> Vec<Sandbox> {
        let state = self.lock();
        let wanted = |pod: &&Pod| pod_uid.is_none_or(|uid| uid == pod.record.config.metadata.uid);
        let mut sandboxes: Vec<Sandbox> = state
            .pods
            .values()
            .filter(wanted)
            .map(describe_pod)
            .collect();
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        sandboxes
    }

    /// The containers, of one pod if asked, newest first.
    pub fn list_containers(&self, pod_uid: Option<&str>) -> Vec<Container> {
        let state = self.lock();
        let pods = state.pods.values();
        let pods =
            pods.filter(|pod| pod_uid.is_none_or(|uid| pod.record.config.metadata.uid == uid));
        let mut containers: Vec<Container> = pods
            .flat_map(|pod| {
                pod.containers
                    .values()
                    .map(|entry| describe_container(pod, entry))
            })
            .collect();
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        containers
    }
}

fn load_pod(dir: &Path) -> std::io::Result<Pod> {
    let record: SandboxRecord = read_json(&dir.join(SANDBOX_FILE))?;
    let mut containers = BTreeMap::new();
    for entry in std::fs::read_dir(dir.join(CONTAINERS_DIR))? {
        let dir = entry?.path();
        let Ok(record) = read_json::<ContainerRecord>(&dir.join(CONTAINER_FILE)) else {
            let _ = std::fs::remove_dir_all(&dir);
            continue;
        };
        let status = read_json(&dir.join(STATUS_FILE)).unwrap_or_default();
        containers.insert(record.id.clone(), Entry { record, status });
    }
    Ok(Pod {
        record,
        ready: false,
        containers,
    })
}

/// Brings to its end what a container that is gone left open. Its shim may have written the end
/// before its own.
fn settle(dir: &Path, entry: &mut Entry) {
    if entry.status.exit.is_some() {
        return;
    }
    if let Ok(status) = read_json::<ContainerStatus>(&dir.join(STATUS_FILE)) {
        entry.status = status;
    }
    if entry.status.started_at.is_some() && entry.status.exit.is_none() {
        entry.status.exit = Some(Exit {
            code: 137,
            finished_at: Timestamp::now(),
            reason: "ContainerStatusUnknown".into(),
            message: "The container could not be located when the pod's sandbox was lost".into(),
        });
        let _ = write_json(&dir.join(STATUS_FILE), &entry.status);
    }
}

/// A sandbox as CRI describes it.
pub fn describe_pod(pod: &Pod) -> Sandbox {
    Sandbox {
        id: pod.record.id.clone(),
        metadata: pod.record.config.metadata.clone(),
        state: if pod.ready {
            SandboxState::Ready
        } else {
            SandboxState::NotReady
        },
        ips: pod
            .record
            .network
            .iter()
            .map(|network| network.ip.into())
            .collect(),
        created_at: pod.record.created_at,
        runtime_handler: String::new(),
    }
}

fn describe_container(pod: &Pod, entry: &Entry) -> Container {
    let Entry { record, status } = entry;
    let state = match &status.exit {
        Some(exit) => ContainerState::Exited {
            exit_code: exit.code,
            finished_at: exit.finished_at,
            reason: exit.reason.clone(),
            message: exit.message.clone(),
        },
        None if status.started_at.is_some() => ContainerState::Running,
        None => ContainerState::Created,
    };
    Container {
        id: record.id.clone(),
        sandbox_id: pod.record.id.clone(),
        name: record.name.clone(),
        attempt: record.attempt,
        image: record.image.clone(),
        image_ref: record.image_ref.clone(),
        state,
        created_at: record.created_at,
        started_at: status.started_at,
        log_path: record.spec.log_path.clone(),
        labels: record.labels.clone(),
        user: Some(ContainerUser {
            uid: record.spec.uid,
            gid: record.spec.gid,
            // The first group is among them, as others' runtimes have it.
            supplemental_groups: std::iter::once(record.spec.gid)
                .chain(record.spec.groups.iter().copied())
                .collect(),
        }),
    }
}
