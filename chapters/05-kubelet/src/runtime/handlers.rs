//! Several runtimes behind one: a pod's handler, which its RuntimeClass names, says which is its.
//!
//! ```text
//!   RuntimeClass vm: handler "docker"            Handlers
//!   Pod: runtimeClassName vm ── "docker" ──▶  ┌──────────────┐ ──▶ docker
//!   Pod: no class ────────────── "" ───────▶  │ by id, after │ ──▶ sandbox (the node's usual one)
//!   stop, exec, logs … of an id ───────────▶  │ what lists say│
//!                                             └──────────────┘
//! ```
//!
//! Lists are those of all runtimes together; one that does not answer makes the node not ready, as
//! its only one would. Whose an id is, is remembered from lists and from what was made.
//!
//! Upstream has one CRI runtime, which knows handlers itself (containerd's
//! `containerd.runtimes.NAME`); this is the same idea one step earlier.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::broadcast;

use super::usage::{ContainerUsage, DiskUsage, NetworkUsage};
use super::{
    Container, ContainerConfig, ContainerRuntime, Duplex, ExecOutput, ExecRequest, Features,
    Handler, Image, ProcessStreams, PullAuth, Resources, Result, RuntimeError, RuntimeEvent,
    Sandbox, SandboxConfig,
};

/// A runtime and the handler that pods ask for it by.
pub type Named = (String, Arc<dyn ContainerRuntime>);

/// The runtimes of a node.
pub struct Handlers {
    /// The first is that of pods without a class.
    runtimes: Vec<Named>,
    homes: Mutex<Homes>,
    events: broadcast::Sender<RuntimeEvent>,
}

/// Whose is what, by the place in the list of runtimes.
#[derive(Default)]
struct Homes {
    /// Sandboxes, with the uid of their pod.
    sandboxes: HashMap<String, (usize, String)>,
    containers: HashMap<String, usize>,
}

impl Handlers {
    /// `usual` is the runtime of pods that name none; each has its own name as a handler.
    pub fn new(usual: Named, more: Vec<Named>) -> Handlers {
        let runtimes: Vec<Named> = std::iter::once(usual).chain(more).collect();
        let events = broadcast::channel(1024).0;
        for (_, runtime) in &runtimes {
            let weak = Arc::downgrade(runtime);
            tokio::spawn(follow(runtime.events(), weak, events.clone()));
        }
        Handlers {
            runtimes,
            homes: Mutex::default(),
            events,
        }
    }

    fn homes(&self) -> MutexGuard<'_, Homes> {
        self.homes.lock().expect("no panics inside")
    }

    fn place_of(&self, handler: &str) -> Option<usize> {
        match handler {
            "" => Some(0),
            name => self.runtimes.iter().position(|(known, _)| known == name),
        }
    }

    /// A sandbox as others see it, with the handler it was made by.
    fn noted(&self, place: usize, mut sandbox: Sandbox) -> Sandbox {
        if place > 0 {
            sandbox.runtime_handler.clone_from(&self.runtimes[place].0);
        }
        let uid = sandbox.metadata.uid.clone();
        let home = (place, uid);
        self.homes().sandboxes.insert(sandbox.id.clone(), home);
        sandbox
    }

    /// The runtimes that may have something of a pod: one, once it has been seen there.
    fn may_have(&self, pod_uid: Option<&str>) -> Vec<usize> {
        let homes = self.homes();
        let mut known = homes.sandboxes.values();
        let seen = pod_uid.and_then(|wanted| known.find(|(_, uid)| uid == wanted));
        match seen {
            Some((place, _)) => vec![*place],
            None => (0..self.runtimes.len()).collect(),
        }
    }

    /// Whose a sandbox is. What nobody knows is left to the usual one, which says so.
    async fn sandbox_home(&self, id: &str) -> Result<&dyn ContainerRuntime> {
        let known = |homes: &Homes| homes.sandboxes.get(id).map(|(place, _)| *place);
        let mut place = known(&self.homes());
        if place.is_none() {
            self.list_pod_sandboxes(None).await?;
            place = known(&self.homes());
        }
        Ok(&*self.runtimes[place.unwrap_or(0)].1)
    }

    /// Whose a container is.
    async fn container_home(&self, id: &str) -> Result<&dyn ContainerRuntime> {
        let known = |homes: &Homes| homes.containers.get(id).copied();
        let mut place = known(&self.homes());
        if place.is_none() {
            self.list_containers(None).await?;
            place = known(&self.homes());
        }
        Ok(&*self.runtimes[place.unwrap_or(0)].1)
    }
}

/// Passes on what a runtime tells. Who falls behind tells of every pod instead.
async fn follow(
    mut receiver: broadcast::Receiver<RuntimeEvent>,
    runtime: Weak<dyn ContainerRuntime>,
    events: broadcast::Sender<RuntimeEvent>,
) {
    use broadcast::error::RecvError;
    loop {
        let told = match receiver.recv().await {
            Ok(event) => vec![event],
            Err(RecvError::Closed) => return,
            Err(RecvError::Lagged(_)) => {
                let Some(runtime) = runtime.upgrade() else {
                    return;
                };
                let all = runtime.list_pod_sandboxes(None).await.unwrap_or_default();
                let uids = all.into_iter().map(|sandbox| sandbox.metadata.uid);
                uids.map(|pod_uid| RuntimeEvent { pod_uid }).collect()
            }
        };
        for event in told {
            let _nobody_listens = events.send(event);
        }
    }
}

#[async_trait::async_trait]
impl ContainerRuntime for Handlers {
    fn version(&self) -> String {
        self.runtimes[0].1.version()
    }

    fn features(&self) -> Features {
        self.runtimes[0].1.features()
    }

    async fn status(&self) -> Result<()> {
        for (_, runtime) in &self.runtimes {
            runtime.status().await?;
        }
        Ok(())
    }

    async fn runtime_handlers(&self) -> Result<Vec<Handler>> {
        let usual = Handler {
            name: String::new(),
            features: self.features(),
        };
        let named = self.runtimes.iter().map(|(name, runtime)| Handler {
            name: name.clone(),
            features: runtime.features(),
        });
        Ok(std::iter::once(usual).chain(named).collect())
    }

    fn of_handler(&self, handler: &str) -> Option<Arc<dyn ContainerRuntime>> {
        let place = self.place_of(handler).filter(|place| *place > 0)?;
        Some(self.runtimes[place].1.clone())
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        for (_, runtime) in &self.runtimes {
            runtime.update_pod_cidr(pod_cidr).await?;
        }
        Ok(())
    }

    async fn run_pod_sandbox(&self, mut config: SandboxConfig) -> Result<Sandbox> {
        let Some(place) = self.place_of(&config.runtime_handler) else {
            return Err(RuntimeError::Other(format!(
                "failed to get sandbox runtime: no runtime for {:?} is configured",
                config.runtime_handler
            )));
        };
        // Who it is for has no handlers of its own.
        config.runtime_handler.clear();
        let sandbox = self.runtimes[place].1.run_pod_sandbox(config).await?;
        Ok(self.noted(place, sandbox))
    }

    async fn stop_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let runtime = self.sandbox_home(sandbox_id).await?;
        runtime.stop_pod_sandbox(sandbox_id).await
    }

    async fn remove_pod_sandbox(&self, sandbox_id: &str) -> Result<()> {
        let runtime = self.sandbox_home(sandbox_id).await?;
        runtime.remove_pod_sandbox(sandbox_id).await?;
        self.homes().sandboxes.remove(sandbox_id);
        Ok(())
    }

    async fn list_pod_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
        let mut all = Vec::new();
        for place in self.may_have(pod_uid) {
            let listed = self.runtimes[place].1.list_pod_sandboxes(pod_uid).await?;
            all.extend(listed.into_iter().map(|one| self.noted(place, one)));
        }
        all.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        Ok(all)
    }

    async fn create_container(&self, sandbox_id: &str, config: ContainerConfig) -> Result<String> {
        let runtime = self.sandbox_home(sandbox_id).await?;
        let id = runtime.create_container(sandbox_id, config).await?;
        let mut homes = self.homes();
        let place = homes.sandboxes.get(sandbox_id).map(|(place, _)| *place);
        homes.containers.insert(id.clone(), place.unwrap_or(0));
        Ok(id)
    }

    async fn start_container(&self, container_id: &str) -> Result<()> {
        let runtime = self.container_home(container_id).await?;
        runtime.start_container(container_id).await
    }

    async fn stop_container(&self, container_id: &str, grace_period_seconds: i64) -> Result<()> {
        let runtime = self.container_home(container_id).await?;
        runtime
            .stop_container(container_id, grace_period_seconds)
            .await
    }

    async fn update_container_resources(
        &self,
        container_id: &str,
        resources: Resources,
    ) -> Result<()> {
        let runtime = self.container_home(container_id).await?;
        runtime
            .update_container_resources(container_id, resources)
            .await
    }

    async fn remove_container(&self, container_id: &str) -> Result<()> {
        let runtime = self.container_home(container_id).await?;
        runtime.remove_container(container_id).await?;
        self.homes().containers.remove(container_id);
        Ok(())
    }

    async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for place in self.may_have(pod_uid) {
            let listed = self.runtimes[place].1.list_containers(pod_uid).await?;
            let mut homes = self.homes();
            let ids = listed.iter().map(|container| container.id.clone());
            homes.containers.extend(ids.map(|id| (id, place)));
            all.extend(listed);
        }
        all.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        Ok(all)
    }

    async fn exec_sync(
        &self,
        container_id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let runtime = self.container_home(container_id).await?;
        runtime.exec_sync(container_id, command, timeout).await
    }

    async fn exec(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let runtime = self.container_home(container_id).await?;
        runtime.exec(container_id, request).await
    }

    async fn attach(&self, container_id: &str, request: ExecRequest) -> Result<ProcessStreams> {
        let runtime = self.container_home(container_id).await?;
        runtime.attach(container_id, request).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<Pin<Box<dyn Duplex>>> {
        let runtime = self.sandbox_home(sandbox_id).await?;
        runtime.port_forward(sandbox_id, port).await
    }

    /// Images of the usual runtime; those of another are asked of [`Self::of_handler`].
    async fn pull_image(&self, image: &str, auth: Option<PullAuth>) -> Result<String> {
        self.runtimes[0].1.pull_image(image, auth).await
    }

    async fn image_status(&self, image: &str) -> Result<Option<Image>> {
        self.runtimes[0].1.image_status(image).await
    }

    async fn list_images(&self) -> Result<Vec<Image>> {
        let mut all = Vec::new();
        for (_, runtime) in &self.runtimes {
            all.extend(runtime.list_images().await?);
        }
        Ok(all)
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        for (_, runtime) in &self.runtimes {
            runtime.remove_image(image).await?;
        }
        Ok(())
    }

    fn mount_image(&self, image_id: &str, target: &Path) -> Result<()> {
        self.runtimes[0].1.mount_image(image_id, target)
    }

    fn unmount_image(&self, target: &Path) {
        for (_, runtime) in &self.runtimes {
            runtime.unmount_image(target);
        }
    }

    async fn container_usage(&self) -> Result<Vec<ContainerUsage>> {
        let mut all = Vec::new();
        for (_, runtime) in &self.runtimes {
            all.extend(runtime.container_usage().await?);
        }
        Ok(all)
    }

    async fn network_usage(&self) -> Result<Vec<NetworkUsage>> {
        let mut all = Vec::new();
        for (_, runtime) in &self.runtimes {
            all.extend(runtime.network_usage().await?);
        }
        Ok(all)
    }

    async fn writable_layers(&self) -> Result<HashMap<String, DiskUsage>> {
        let mut all = HashMap::new();
        for (_, runtime) in &self.runtimes {
            all.extend(runtime.writable_layers().await?);
        }
        Ok(all)
    }

    async fn checkpoint_container(&self, container_id: &str, location: &Path) -> Result<()> {
        let runtime = self.container_home(container_id).await?;
        runtime.checkpoint_container(container_id, location).await
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.events.subscribe()
    }
}

#[cfg(test)]
mod tests;
