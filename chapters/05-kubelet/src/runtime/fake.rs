//! A runtime that runs nothing: containers are entries in a table, and end when told to.
//!
//! Tests drive the kubelet with it, and `cargo run -p kubelet --example hollow` makes a node of
//! it, as upstream's kubemark does, to see what a cluster does with very many.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::usage::{ContainerUsage, MemoryUsage};
use super::{
    Container, ContainerConfig, ContainerRuntime, ContainerState, Duplex, ExecOutput, ExecRequest,
    Image, ProcessStreams, PullAuth, Resources, Result, RuntimeError, RuntimeEvent, Sandbox,
    SandboxConfig, SandboxState,
};

/// The table.
pub struct FakeRuntime {
    state: Mutex<State>,
    events: broadcast::Sender<RuntimeEvent>,
}

#[derive(Default)]
struct State {
    sandboxes: Vec<Sandbox>,
    log_dirs: BTreeMap<String, PathBuf>,
    containers: Vec<Container>,
    images: Vec<String>,
    /// What containers use, by name.
    usages: BTreeMap<String, ContainerUsage>,
    last_id: u32,
    pod_cidr: [u8; 3],
}

impl State {
    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    fn end(&mut self, ended: impl Fn(&Container) -> bool, code: i32) -> Vec<String> {
        let mut changed = Vec::new();
        for container in &mut self.containers {
            if container.state != ContainerState::Running || !ended(container) {
                continue;
            }
            let reason = if code == 0 { "Completed" } else { "Error" };
            container.state = ContainerState::Exited {
                exit_code: code,
                finished_at: Timestamp::now(),
                reason: reason.to_owned(),
                message: String::new(),
            };
            changed.push(container.sandbox_id.clone());
        }
        changed
    }
}

impl FakeRuntime {
    /// An empty table.
    pub fn new() -> FakeRuntime {
        FakeRuntime {
            state: Mutex::default(),
            events: broadcast::channel(1024).0,
        }
    }

    /// Ends the containers of a name with a code, as if their process had.
    pub fn exit(&self, name: &str, code: i32) {
        let changed = self.lock().end(|container| container.name == name, code);
        self.tell(changed);
    }

    /// Has the containers of a name use so much, as if their processes did.
    pub fn uses(&self, name: &str, cpu_nanos: u64, memory_bytes: u64) {
        let memory = MemoryUsage {
            usage_bytes: memory_bytes,
            working_set_bytes: memory_bytes,
            rss_bytes: memory_bytes,
            page_faults: None,
            major_page_faults: None,
        };
        let usage = ContainerUsage {
            cpu_nanos: Some(cpu_nanos),
            memory: Some(memory),
            processes: Some(1),
            ..ContainerUsage::default()
        };
        self.lock().usages.insert(name.to_owned(), usage);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panics inside")
    }

    fn tell(&self, sandboxes: Vec<String>) {
        for id in sandboxes {
            let sandbox = self.lock().sandboxes.iter().find(|s| s.id == id).cloned();
            if let Some(sandbox) = sandbox {
                let _nobody_listens = self.events.send(RuntimeEvent {
                    pod_uid: sandbox.metadata.uid,
                });
            }
        }
    }
}

impl Default for FakeRuntime {
    fn default() -> FakeRuntime {
        FakeRuntime::new()
    }
}

fn nothing_runs<T>() -> Result<T> {
    Err(RuntimeError::Other("nothing runs on this node".to_owned()))
}

#[async_trait::async_trait]
impl ContainerRuntime for FakeRuntime {
    fn version(&self) -> String {
        concat!("fake://", env!("CARGO_PKG_VERSION")).to_owned()
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let address = pod_cidr.split('/').next().unwrap_or(pod_cidr);
        let octets: Vec<u8> = address
            .split('.')
            .filter_map(|part| part.parse().ok())
            .collect();
        let [a, b, c, _] = octets[..] else {
            return Err(RuntimeError::Other(format!(
                "{pod_cidr} is no IPv4 network"
            )));
        };
        self.lock().pod_cidr = [a, b, c];
        Ok(())
    }

    async fn run_pod_sandbox(&self, config: SandboxConfig) -> Result<Sandbox> {
        let mut state = self.lock();
        let number = state.next_id();
        let [a, b, c] = state.pod_cidr;
        let address = IpAddr::from([a, b, c, 2 + (number % 250) as u8]);
        let sandbox = Sandbox {
            id: format!("s{number}"),
            metadata: config.metadata,
            state: SandboxState::Ready,
            ips: if config.host_network {
                Vec::new()
            } else {
                vec![address]
            },
            created_at: Timestamp::now(),
            runtime_handler: String::new(),
        };
        state
            .log_dirs
            .insert(sandbox.id.clone(), config.log_directory);
        state.sandboxes.insert(0, sandbox.clone());
        Ok(sandbox)
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let mut state = self.lock();
        state.end(|container| container.sandbox_id == sandbox_id, 137);
        for sandbox in state
            .sandboxes
            .iter_mut()
            .filter(|sandbox| sandbox.id == sandbox_id)
        {
            sandbox.state = SandboxState::NotReady;
        }
        drop(state);
        self.tell(vec![sandbox_id.to_owned()]);
        Ok(())
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let mut state = self.lock();
        state.sandboxes.retain(|sandbox| sandbox.id != sandbox_id);
        state
            .containers
            .retain(|container| container.sandbox_id != sandbox_id);
        Ok(())
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        let mut sandboxes = self.lock().sandboxes.clone();
        sandboxes.retain(|sandbox| pod_uid.is_none_or(|uid| uid == sandbox.metadata.uid));
        Ok(sandboxes)
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let mut state = self.lock();
        let id = format!("c{}", state.next_id());
        let log_dir = state.log_dirs.get(sandbox_id).cloned();
        let log_dir = log_dir.ok_or_else(|| RuntimeError::NotFound(sandbox_id.to_owned()))?;
        let container = Container {
            id: id.clone(),
            sandbox_id: sandbox_id.to_owned(),
            name: config.name,
            attempt: config.attempt,
            image: config.image,
            image_ref: config.image_id,
            state: ContainerState::Created,
            created_at: Timestamp::now(),
            started_at: None,
            log_path: log_dir.join(config.log_path),
            labels: config.labels,
            user: None,
        };
        state.containers.insert(0, container);
        Ok(id)
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        let mut state = self.lock();
        let container = state.containers.iter_mut().find(|c| c.id == container_id);
        let container = container.ok_or_else(|| RuntimeError::NotFound(container_id.to_owned()))?;
        container.state = ContainerState::Running;
        container.started_at = Some(Timestamp::now());
        Ok(())
    }

    async fn stop_container(&self, container_id: &str, _grace_period_seconds: i64) -> Result<()> {
        let changed = self
            .lock()
            .end(|container| container.id == container_id, 143);
        self.tell(changed);
        Ok(())
    }

    async fn update_container_resources(&self, id: &str, _resources: Resources) -> Result<()> {
        let state = self.lock();
        let known = state.containers.iter().any(|container| container.id == id);
        known
            .then_some(())
            .ok_or_else(|| RuntimeError::NotFound(id.to_owned()))
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        self.lock()
            .containers
            .retain(|container| container.id != container_id);
        Ok(())
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        let state = self.lock();
        let of_pod = |container: &&Container| {
            let sandbox = state
                .sandboxes
                .iter()
                .find(|s| s.id == container.sandbox_id);
            pod_uid.is_none_or(|uid| sandbox.is_some_and(|s| s.metadata.uid == uid))
        };
        Ok(state.containers.iter().filter(of_pod).cloned().collect())
    }

    async fn exec_sync(&self, _: &str, _: Vec<String>, _: Duration) -> Result<ExecOutput> {
        nothing_runs()
    }

    async fn exec(&self, _: &str, _: ExecRequest) -> Result<ProcessStreams> {
        nothing_runs()
    }

    async fn attach(&self, _: &str, _: ExecRequest) -> Result<ProcessStreams> {
        nothing_runs()
    }

    async fn port_forward(&self, _: &str, _: u16) -> Result<Pin<Box<dyn Duplex>>> {
        nothing_runs()
    }

    async fn pull_image(&self, image: &str, _auth: Option<PullAuth>) -> Result<String> {
        if image.contains("no-such") {
            return Err(RuntimeError::Pull(format!("{image}: not found")));
        }
        self.lock().images.push(image.to_owned());
        Ok(image.to_owned())
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        let images = self.list_images().await?;
        Ok(images.into_iter().find(|found| found.id == image))
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        let image = |name: &String| Image {
            id: name.clone(),
            repo_tags: vec![name.clone()],
            repo_digests: Vec::new(),
            size_bytes: 0,
            user: String::new(),
            pinned: false,
        };
        Ok(self.lock().images.iter().map(image).collect())
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        self.lock().images.retain(|name| name != image);
        Ok(())
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        let state = self.lock();
        let running = state
            .containers
            .iter()
            .filter(|container| container.state == ContainerState::Running);
        let usages = running.filter_map(|container| {
            let usage = state.usages.get(&container.name)?;
            Some(ContainerUsage {
                container_id: container.id.clone(),
                at: Timestamp::now(),
                ..usage.clone()
            })
        });
        Ok(usages.collect())
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}
